/** A client's outputs and its siblings', put together: every sibling must be what the shape of the tree says it is. */
import { FactoryError } from '@ln-factory/tlv'
import { stockAmount } from './amounts.js'
import { DUST, MIN_CAPACITY } from './params.js'
import type { Step } from './route.js'
import { isP2tr, isP2wsh, isPayoutScript } from './script.js'
import { sizeOf } from './shape.js'
import type { SiblingOutputs, TreeParams, TxOutput } from './types.js'

/** The LSP proposed what the agreed parameters rule out. */
export const badProposal = (id: string, why: string): FactoryError =>
  new FactoryError('bad_proposal', `the LSP's proposal is wrong in ${id}: ${why}`, 'nothing was signed')

const NOT_P2TR = 'is not P2TR'
const NOT_PAYOUT = 'is none of P2WPKH, P2WSH, P2TR'

/** Outputs of the step's transaction, without the anchor. */
function countOf(step: Step): number {
  switch (step.kind) {
    case 'static':
      return step.group.children.length
    case 'kickoff':
      return 1
    case 'leaf':
      return sizeOf(step.group) + step.group.stocks.length
    case 'poison':
    case 'stockDistribution':
      return sizeOf(step.group)
    case 'distribution':
    case 'payout':
      return step.entries.length
  }
}

/** What is wrong with `out` as the sibling at `index` of `step`; undefined when it may be what it should. */
function faultOf(params: TreeParams, step: Step, index: number, out: TxOutput): string | undefined {
  if (out.amount < DUST) return `has ${out.amount} sat, which is dust`
  switch (step.kind) {
    case 'static':
    case 'kickoff':
      return isP2tr(out.script) ? undefined : NOT_P2TR
    case 'leaf': {
      const stock = step.group.stocks[index - sizeOf(step.group)]
      if (stock === undefined) {
        if (!isP2wsh(out.script)) return 'is not P2WSH'
        return out.amount < MIN_CAPACITY ? `is a channel of only ${out.amount} sat` : undefined
      }
      if (!isP2tr(out.script)) return NOT_P2TR
      const expected = stockAmount(params, stock)
      return out.amount === expected ? undefined : `is a stock of ${out.amount} sat instead of ${expected}`
    }
    case 'poison':
      if (out.amount !== params.stockPerClient) return `pays ${out.amount} sat instead of ${params.stockPerClient}`
      return isPayoutScript(out.script) ? undefined : NOT_PAYOUT
    case 'stockDistribution':
      if (out.amount < params.stockPerClient) return `pays ${out.amount} sat, and must pay ${params.stockPerClient}`
      return isPayoutScript(out.script) ? undefined : NOT_PAYOUT
    case 'distribution':
    case 'payout': {
      const entry = step.entries[index]
      if (entry !== undefined && sizeOf(entry) > 1) return isP2tr(out.script) ? undefined : NOT_P2TR
      return isPayoutScript(out.script) ? undefined : NOT_PAYOUT
    }
  }
}

/** @throws FactoryError `bad_proposal` naming the transaction and the output */
export function checkSiblings(params: TreeParams, step: Step, siblings: SiblingOutputs): void {
  const count = countOf(step) - step.own.length
  if (siblings.length !== count) throw badProposal(step.id, `${siblings.length} sibling outputs instead of ${count}`)
  const indexes = Array.from({ length: countOf(step) }, (_, i) => i).filter((i) => !step.own.includes(i))
  for (const [i, out] of siblings.entries()) {
    const index = indexes[i] ?? -1
    const fault = faultOf(params, step, index, out)
    if (fault !== undefined) throw badProposal(step.id, `output ${index} ${fault}`)
  }
}

/** All outputs of the step in order; `own` are the client's, by ascending index. */
export function mergeOutputs(step: Step, siblings: SiblingOutputs, own: readonly TxOutput[]): TxOutput[] {
  const outputs = [...siblings]
  for (const [i, index] of step.own.entries()) {
    const out = own[i]
    if (out === undefined) throw new FactoryError('internal', `${step.id} lacks an output of the client`)
    outputs.splice(index, 0, out)
  }
  return outputs
}
