/** What a tree costs: the size of the tree, one client's way out of it, and what the LSP puts in on top of the capacities. */
import { ANCHOR, defaultParams, exitSteps, planTree } from '@ln-factory/core/tree'
import { participantIndex } from '@ln-factory/core/units'
import { CAPACITY } from './ceremony.js'

export interface ExitResult {
  readonly clients: number
  readonly earlyWarning: number
  readonly depth: number
  /** Of the client with the longest way. */
  readonly transactions: number
  readonly vsize: number
  /** Built in; sat. */
  readonly fee: bigint
  /** In the funding output beyond capacities and shares of the stocks: fees and anchors of all transactions. sat. */
  readonly overhead: bigint
}

/** Amount of every transaction's anchor, sat. */
export const ANCHOR_AMOUNT = ANCHOR.amount

export function planExit(clients: number): ExitResult {
  const plan = planTree({ params: defaultParams, capacities: Array.from({ length: clients }, () => CAPACITY) })
  const steps = Array.from({ length: clients }, (_, i) => exitSteps(defaultParams, clients, participantIndex(i + 1)))
  return {
    clients,
    earlyWarning: plan.earlyWarning,
    depth: plan.depth,
    transactions: Math.max(...steps.map((s) => s.length)),
    vsize: plan.exitVsize,
    fee: plan.exitFee,
    overhead: plan.fundingAmount - BigInt(clients) * (CAPACITY + defaultParams.stockPerClient),
  }
}
