/**
 * A client's side: its own path, rebuilt from what it knows and its siblings' outputs. Every amount that leads to the client
 * is derived, never taken from the LSP: in the tree from its channel upwards, in a distribution as what the others leave.
 */
import { equalBytes } from '@noble/curves/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import { sat, type Sat } from '../units/index.js'
import { childOverhead, stockAmount } from './amounts.js'
import { checkClient, require32 } from './checks.js'
import { payingOverhead } from './distribute.js'
import { FactoryKeys } from './keys.js'
import { FIRST_STATE, sharedName } from './names.js'
import { checkClientCount, earlyWarning } from './params.js'
import { positionOf } from './participants.js'
import { leafAt, routeOf, stockOf, type ChildStep, type EntriesStep, type StockStep } from './route.js'
import { shapeOf, sizeOf, type Group } from './shape.js'
import { badProposal, checkSiblings, mergeOutputs } from './siblings.js'
import {
  distributionSpend,
  jointScript,
  KEY_PATH,
  kickoffSpend,
  leafSpend,
  output,
  payoutSpend,
  poisonSpend,
  sharedScript,
  staticSpend,
  type Prevout,
} from './spends.js'
import { stockScripts, type StockScripts } from './stock.js'
import type { ClientPath, PathSpec, SiblingOutputs, Spend, TxOutput } from './types.js'

const total = (outputs: readonly TxOutput[]): bigint => outputs.reduce((sum, o) => sum + o.amount, 0n)

function checkSpec(spec: PathSpec): void {
  const clients = spec.keys.length - 1
  checkClientCount(clients)
  earlyWarning(spec.params, clients)
  if (spec.client < 1 || spec.client > clients) {
    throw new FactoryError('bad_parameter', `there is no client ${spec.client} among ${clients}`)
  }
  checkClient(spec.client, spec.self)
  const listed = spec.keys[spec.client]
  if (listed === undefined || !equalBytes(listed, spec.self.key)) {
    throw new FactoryError('bad_proposal', `the LSP lists another key for client ${spec.client} than its own`)
  }
  require32('the poison hash', spec.poisonHash, 'bad_proposal')
}

interface OwnStock {
  readonly scripts: StockScripts
  readonly output: TxOutput
}

class PathBuilder {
  constructor(
    private readonly spec: PathSpec,
    private readonly keys: FactoryKeys,
    private readonly siblings: ReadonlyMap<string, SiblingOutputs>,
    private readonly stock: OwnStock | undefined,
  ) {}

  private siblingsOf(step: { readonly id: string }): SiblingOutputs {
    return this.siblings.get(step.id) ?? []
  }

  /** Outputs of each transaction from the funding to the leaf, derived from the leaf upwards. */
  childOutputs(steps: readonly ChildStep[]): Map<ChildStep, readonly TxOutput[]> {
    const { params, self, funding } = this.spec
    const found = new Map<ChildStep, readonly TxOutput[]>()
    const channel = { amount: self.capacity, script: self.channelScript }
    let own: readonly TxOutput[] = this.stock === undefined ? [channel] : [channel, this.stock.output]
    let spent = 0n
    for (const step of steps.toReversed()) {
      const outputs = mergeOutputs(step, this.siblingsOf(step), own)
      found.set(step, outputs)
      spent = total(outputs) + childOverhead(params, outputs.length)
      own = [{ amount: sat(spent), script: sharedScript(this.keys, step.group) }]
    }
    if (spent !== funding.amount) {
      const sums = `this client's path needs ${spent} sat and the funding output has ${funding.amount}`
      throw badProposal(steps[0]?.id ?? 'the path', sums)
    }
    return found
  }

  child(step: ChildStep, prevout: Prevout, outputs: readonly TxOutput[]): Spend {
    switch (step.kind) {
      case 'static':
        return staticSpend(step.group, prevout, outputs)
      case 'kickoff':
        return kickoffSpend(step.group, prevout, outputs)
      case 'leaf':
        return leafSpend(this.spec.params, step.group, FIRST_STATE, prevout, outputs)
    }
  }

  /** The client's own output of a transaction that pays `prevout` out: all that fee, anchor and siblings leave. */
  private remainder(step: EntriesStep | StockStep, prevout: Prevout, script: Uint8Array): TxOutput[] {
    const siblings = this.siblingsOf(step)
    const lengths = [script, ...siblings.map((o) => o.script)].map((s) => s.length)
    const amount = prevout.amount - payingOverhead(this.spec.params, lengths) - total(siblings)
    if (amount < 0n) throw badProposal(step.id, `the siblings are paid ${-amount} sat more than there is`)
    return mergeOutputs(step, siblings, [{ amount: sat(amount), script }])
  }

  private requirePaid(id: string, paid: bigint, least: bigint): void {
    if (paid < least) throw badProposal(id, `it pays this client ${paid} sat, and must pay at least ${least}`)
  }

  stockSpend(step: StockStep, prevout: Prevout): Spend {
    const { params, self, expiry } = this.spec
    if (this.stock === undefined) throw new FactoryError('internal', `${step.id} without a stock`)
    const { scripts } = this.stock
    const share: TxOutput = { amount: params.stockPerClient, script: self.payoutScript }
    if (step.kind === 'poison') {
      return poisonSpend(step.group, FIRST_STATE, scripts, prevout, mergeOutputs(step, this.siblingsOf(step), [share]))
    }
    const outputs = this.remainder(step, prevout, self.payoutScript)
    const spend = distributionSpend(expiry, step.name, step.group, scripts.keyPath, prevout, outputs)
    this.requirePaid(step.id, output(spend, step.own[0] ?? 0).amount, params.stockPerClient)
    return spend
  }

  entriesSpend(step: EntriesStep, prevout: Prevout): Spend {
    const { params, self, expiry } = this.spec
    const outputs = this.remainder(step, prevout, this.entryScript(step.entry))
    const spend =
      step.kind === 'payout'
        ? payoutSpend(step.name, step.group, prevout, outputs)
        : distributionSpend(expiry, step.name, step.group, KEY_PATH, prevout, outputs)
    this.requirePaid(step.id, output(spend, step.own[0] ?? 0).amount, self.capacity + params.stockPerClient)
    return spend
  }

  private entryScript(entry: Group): Uint8Array {
    return sizeOf(entry) === 1 ? this.spec.self.payoutScript : jointScript(this.keys, entry)
  }
}

/**
 * The path of one client.
 * @param keys to share aggregated keys with later steps; must be those of the spec
 * @throws FactoryError `bad_proposal` naming the transaction when the siblings don't fit the agreed parameters or the client would
 *   not be paid; `bad_parameter`, `bad_amount`, `bad_key`, `early_warning_unpayable`
 */
export function buildPath(spec: PathSpec, keys = new FactoryKeys(spec.keys)): ClientPath {
  checkSpec(spec)
  const { params } = spec
  const position = positionOf(spec.client)
  const shape = shapeOf(params, spec.keys.length - 1)
  const fundingScript = sharedScript(keys, shape.root)
  const route = routeOf(shape, position)
  if (spec.siblings.length !== route.length) {
    throw badProposal('the path', `${spec.siblings.length} lists of siblings instead of ${route.length}`)
  }
  const siblings = new Map<string, SiblingOutputs>()
  for (const [i, step] of route.entries()) {
    const list = spec.siblings[i] ?? []
    checkSiblings(params, step, list)
    siblings.set(step.id, list)
  }
  const group = stockOf(leafAt(shape, position), position)
  const scripts = group && stockScripts(params, keys, group, spec.poisonHash)
  const stock = group && scripts && { scripts, output: { amount: stockAmount(params, group), script: scripts.script } }
  const builder = new PathBuilder(spec, keys, siblings, stock)
  const children = builder.childOutputs(
    route.filter((step) => step.kind === 'static' || step.kind === 'kickoff' || step.kind === 'leaf'),
  )

  const spends: Spend[] = []
  const sharedOutputs = new Map<string, Prevout>()
  const paid: Sat[] = []
  let channel: Prevout | undefined
  let stockOutput: Prevout | undefined
  // Where the next transaction on the way down hangs: a payout always follows the one whose output it spends.
  let next: Prevout = { ...spec.funding, script: fundingScript }
  for (const step of route) {
    const [own = 0, ownStock] = step.own
    switch (step.kind) {
      case 'static':
      case 'kickoff':
      case 'leaf': {
        if (step.kind !== 'leaf') sharedOutputs.set(sharedName(step.group), next)
        const spend = builder.child(step, next, children.get(step) ?? [])
        spends.push(spend)
        next = output(spend, own)
        if (step.kind === 'leaf') {
          channel = next
          if (ownStock !== undefined) stockOutput = output(spend, ownStock)
        }
        break
      }
      case 'poison':
      case 'stockDistribution':
        if (stockOutput === undefined) throw new FactoryError('internal', `${step.id} without a stock`)
        spends.push(builder.stockSpend(step, stockOutput))
        break
      case 'distribution':
      case 'payout': {
        const prevout = step.kind === 'payout' ? next : sharedOutputs.get(step.name)
        if (prevout === undefined) throw new FactoryError('internal', `${step.id} without its output`)
        const spend = builder.entriesSpend(step, prevout)
        spends.push(spend)
        next = output(spend, own)
        if (sizeOf(step.entry) === 1) paid.push(next.amount)
      }
    }
  }
  if (channel === undefined) throw new FactoryError('internal', 'a path without a leaf')
  const coverage = paid.reduce((least, amount) => (amount < least ? amount : least))
  return { fundingScript, spends, channel, coverage }
}
