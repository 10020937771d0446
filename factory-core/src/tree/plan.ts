/** What can be told of a tree before keys and outpoints exist: its amounts, its depth, and what leaving it costs. */
import { sat, type ParticipantIndex, type Sat } from '../units/index.js'
import { childVsize, leafOutputs, TreeAmounts } from './amounts.js'
import { checkCapacity } from './checks.js'
import { checkClientCount, checkParams, earlyWarning, treeDepth } from './params.js'
import { positionOf } from './participants.js'
import { routeOf, type ChildStep } from './route.js'
import { shapeOf, type Shape } from './shape.js'
import { feeFor } from './tx.js'
import type { SpendRole, TreeParams, TreePlan } from './types.js'

/** One transaction of an exit. */
export interface ExitStep {
  readonly id: string
  readonly role: Extract<SpendRole, 'static' | 'kickoff' | 'leaf'>
  /** Virtual size when signed, in vB. */
  readonly vsize: number
  /** Built-in fee, paid from the funding output. */
  readonly fee: Sat
}

const outputsOf = (step: ChildStep): number => {
  switch (step.kind) {
    case 'static':
      return step.group.children.length
    case 'kickoff':
      return 1
    case 'leaf':
      return leafOutputs(step.group)
  }
}

function stepsOf(shape: Shape, params: TreeParams, position: number): ExitStep[] {
  return routeOf(shape, position).flatMap((step) => {
    if (step.kind !== 'static' && step.kind !== 'kickoff' && step.kind !== 'leaf') return []
    const vsize = childVsize(outputsOf(step))
    return [{ id: step.id, role: step.kind, vsize, fee: sat(feeFor(vsize, params.feerate)) }]
  })
}

/**
 * The tree's transactions that `client` publishes to leave alone, top-down; its commitment and sweeps come after them.
 * @throws FactoryError `bad_parameter`
 */
export function exitSteps(params: TreeParams, clients: number, client: ParticipantIndex): readonly ExitStep[] {
  checkParams(params)
  checkClientCount(clients)
  const position = positionOf(client)
  return stepsOf(shapeOf(params, clients), params, position)
}

/**
 * @param plan capacities by client, in the order of the ceremony
 * @throws FactoryError `bad_parameter`, `bad_amount` naming the client, `early_warning_unpayable`
 */
export function planTree(plan: { readonly params: TreeParams; readonly capacities: readonly Sat[] }): TreePlan {
  const { params, capacities } = plan
  const clients = capacities.length
  checkClientCount(clients)
  const w = earlyWarning(params, clients)
  for (const [i, capacity] of capacities.entries()) checkCapacity(i + 1, capacity)
  const shape = shapeOf(params, clients)
  const exits = shape.leaves.map((leaf) => {
    const steps = stepsOf(shape, params, leaf.from)
    return { vsize: steps.reduce((sum, s) => sum + s.vsize, 0), fee: steps.reduce((sum, s) => sum + s.fee, 0n) }
  })
  const dearest = exits.reduce((a, b) => (b.vsize > a.vsize ? b : a))
  return {
    leaves: shape.leaves.length,
    depth: treeDepth(params, clients),
    earlyWarning: w,
    fundingAmount: new TreeAmounts(params, capacities).into(shape.root),
    exitVsize: dearest.vsize,
    exitFee: sat(dearest.fee),
  }
}
