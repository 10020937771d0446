/**
 * Bounds of the tree's parameters. They keep every transaction standard, every sum exact, and W payable: senders cap the
 * whole route (LDK at 1008 blocks), so a factory with a longer exit could not be paid over.
 */
import { FactoryError } from '@ln-factory/tlv'
import { blocks, sat, type Blocks, type Sat } from '../units/index.js'
import { levelsFor, leafCount } from './shape.js'
import type { TreeParams } from './types.js'

/** Most clients of one factory: the list of keys must fit one Lightning message with room to spare. */
export const MAX_CLIENTS = 1000
/** Smallest channel. Below it a commitment's reserve, anchors and fee leave nothing worth having. */
export const MIN_CAPACITY: Sat = sat(10_000)
/** No output that a party owns may be smaller: the dust limit of P2TR and P2WSH (330 sat) covers P2WPKH (294 sat). */
export const DUST: Sat = sat(330)
/** Largest W that senders can be expected to pay over. */
export const MAX_EARLY_WARNING: Blocks = blocks(600)
/** A share of a stock below this would cost more to claim than it is worth. */
export const MIN_STOCK_SHARE = 1000n

/** At 127 clients W is 474 blocks. */
export const defaultParams: TreeParams = {
  arity: 2,
  fanout: 4,
  states: 4,
  step: blocks(144),
  confirmationMargin: blocks(6),
  safetyMargin: blocks(12),
  stockCsv: blocks(432),
  stockPerClient: sat(20_000),
  feerate: 1000,
}

const within = (name: keyof TreeParams, value: number, low: number, high: number): void => {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new FactoryError('bad_parameter', `${name} is ${value}, and must be a whole number from ${low} to ${high}`)
  }
}

/** @throws FactoryError `bad_parameter` naming the parameter that is out of bounds */
export function checkParams(params: TreeParams): void {
  within('arity', params.arity, 1, 4)
  within('fanout', params.fanout, 2, 16)
  within('states', params.states, 1, 64)
  within('step', params.step, 1, 1008)
  within('confirmationMargin', params.confirmationMargin, 1, 144)
  within('safetyMargin', params.safetyMargin, 0, 144)
  within('stockCsv', params.stockCsv, 1, 0xffff)
  within('feerate', params.feerate, 1000, 100_000)
  if (params.stockPerClient === 0n) return
  if (params.stockPerClient < MIN_STOCK_SHARE) {
    throw new FactoryError(
      'bad_parameter',
      `stockPerClient is ${params.stockPerClient} sat, and must be 0 (no stocks) or at least ${MIN_STOCK_SHARE}`,
    )
  }
  sat(params.stockPerClient)
  // A sale and, after it, the poison must both confirm before the LSP's own branch of the stock opens.
  const least = 2 * params.confirmationMargin + params.safetyMargin
  if (params.stockCsv < least) {
    throw new FactoryError(
      'bad_parameter',
      `stockCsv is ${params.stockCsv} blocks, and must be at least 2 * confirmationMargin + safetyMargin = ${least}`,
    )
  }
}

/** @throws FactoryError `bad_parameter` */
export function checkClientCount(clients: number): void {
  if (!Number.isInteger(clients) || clients < 1 || clients > MAX_CLIENTS) {
    throw new FactoryError('bad_parameter', `a factory has 1 to ${MAX_CLIENTS} clients, not ${clients}`)
  }
}

/** Transactions from the funding output to the channel output of the deepest client: static levels, kickoff, leaf. */
export const treeDepth = (params: TreeParams, clients: number): number =>
  levelsFor(leafCount(params.arity, clients), params.fanout) + 2

/**
 * W in blocks: how long before an HTLC's expiry the exit must start, so that the deepest client's channel output is
 * confirmed in time even when the first leaf state is the one to publish.
 * @throws FactoryError `early_warning_unpayable` above `MAX_EARLY_WARNING`; `bad_parameter`
 */
export function earlyWarning(params: TreeParams, clients: number): Blocks {
  checkParams(params)
  checkClientCount(clients)
  const { step, states, confirmationMargin, safetyMargin } = params
  const delay = step * (states - 1)
  const confirmations = treeDepth(params, clients) * confirmationMargin
  const w = delay + confirmations + safetyMargin
  if (w > MAX_EARLY_WARNING) {
    const parts = `${delay} for the states, ${confirmations} for confirmations, ${safetyMargin} of safety`
    throw new FactoryError(
      'early_warning_unpayable',
      `W is ${w} blocks (${parts}); payers can't route with more than ${MAX_EARLY_WARNING}`,
      delay > MAX_EARLY_WARNING / 2
        ? 'lower step or states'
        : 'lower confirmationMargin or safetyMargin, or raise fanout',
    )
  }
  return blocks(w)
}
