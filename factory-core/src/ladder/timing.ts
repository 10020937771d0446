/**
 * When a factory of the ladder must do what. Counted back from its expiry, because that is what the chain enforces; S is the
 * confirmation margin, W the early warning of the old factory, W' that of the one its clients move to.
 */
import { lastInvoiceHeight, latestExpiry } from '../htlc/index.js'
import { earlyWarning } from '../tree/index.js'
import { inDelta } from '../turnover/index.js'
import { blockHeight, blocks, type BlockHeight, type Blocks } from '../units/index.js'
import type { LadderConfig } from './config.js'

/** What bounds the HTLCs of a factory. */
export interface FactoryTimes {
  readonly expiry: BlockHeight
  readonly earlyWarning: Blocks
  readonly confirmationMargin: Blocks
}

/** Blocks for a ceremony and for its funding to be mined, before its confirmations count. */
const FORMING_BLOCKS = 6

/** W of the largest factory that the ladder builds: what a move must be able to pay for. */
export const nextEarlyWarning = (config: LadderConfig): Blocks => earlyWarning(config.params, config.maxClients)

/** Blocks from the decision to build a factory until its channels take payments. */
export const settleBlocks = (config: LadderConfig): Blocks => blocks(FORMING_BLOCKS + config.depth)

/** Distance from now to the expiry of the HTLC over the old factory that moves a balance: `inDelta`. */
export const moveDelta = (times: Pick<FactoryTimes, 'earlyWarning'>, next: Blocks): Blocks =>
  inDelta(times.earlyWarning, next)

/** Last block at which a balance can start to move out: its HTLC must end with the last that the old factory carries. */
export const lastMoveHeight = (times: FactoryTimes, next: Blocks): BlockHeight =>
  blockHeight(Math.max(0, exitHeight(times) - moveDelta(times, next)))

/** Last block at which the next factory can be begun, so that it takes payments before `lastMoveHeight`. */
export const lastStartHeight = (times: FactoryTimes, config: LadderConfig): BlockHeight =>
  blockHeight(Math.max(0, lastMoveHeight(times, nextEarlyWarning(config)) - settleBlocks(config)))

/** First block of the dying period. */
export const dyingHeight = (times: FactoryTimes, config: LadderConfig): BlockHeight =>
  blockHeight(Math.max(0, lastStartHeight(times, config) - config.dyingBlocks))

/** Last block at which the factory can receive a payment for an ordinary invoice. */
export const lastReceiveHeight = (times: FactoryTimes): BlockHeight =>
  lastInvoiceHeight(times.expiry, times.earlyWarning, times.confirmationMargin)

/** Block at which the LSP publishes the paths of those who are still in it: W + S before the distributions are valid. */
export const exitHeight = (times: FactoryTimes): BlockHeight =>
  latestExpiry(times.expiry, times.earlyWarning, times.confirmationMargin)

/** Blocks from a creation to its expiry, for a factory of `clients`, so that it is active and dying for as long as configured. */
export function lifetime(config: LadderConfig, clients: number): Blocks {
  const w = earlyWarning(config.params, clients)
  const ending = moveDelta({ earlyWarning: w }, nextEarlyWarning(config)) + w + config.params.confirmationMargin
  return blocks(config.activeBlocks + config.dyingBlocks + settleBlocks(config) + ending)
}

/** Part of the dying period that `height` is in, from 0; the last one goes on until `lastStartHeight`. */
export interface Slot {
  readonly number: number
  readonly from: BlockHeight
  /** First block after it. */
  readonly until: BlockHeight
  readonly last: boolean
}

export function slotAt(times: FactoryTimes, config: LadderConfig, height: BlockHeight): Slot {
  const start = dyingHeight(times, config)
  const end = lastStartHeight(times, config)
  const width = Math.max(1, Math.floor((end - start) / config.slots))
  const number = Math.min(config.slots - 1, Math.max(0, Math.floor((height - start) / width)))
  const last = number === config.slots - 1
  return {
    number,
    from: blockHeight(start + number * width),
    until: blockHeight(last ? end + 1 : start + (number + 1) * width),
    last,
  }
}
