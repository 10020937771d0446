/** What the operator decides about the ladder. Everything that the schedule does follows from this and from what it sees. */
import { FactoryError } from '@ln-factory/tlv'
import { checkParams, defaultParams, earlyWarning, MAX_CLIENTS, type TreeParams } from '../tree/index.js'
import { blocks, sat, type Blocks, type Sat } from '../units/index.js'

export interface LadderConfig {
  /** Blocks from the creation until a factory's clients begin to move. */
  readonly activeBlocks: Blocks
  /** Blocks in which they move to the next factory: its dying period. */
  readonly dyingBlocks: Blocks
  /** Equal parts of the dying period. A client that misses the construction time of one gets the next. */
  readonly slots: number
  /** Most factories that new clients may make the ladder grow to; their creations are spread over `activeBlocks`. */
  readonly factories: number
  /** New clients wait until so many are there together, … */
  readonly minClients: number
  /** Most clients of one factory. */
  readonly maxClients: number
  /** … or until one of them has waited so many blocks. */
  readonly patience: Blocks
  /** Most of our own satoshi that may be locked in factories: a new one is not funded when it would be more. */
  readonly budget: Sat
  /** sat per 1000 vB: above it nothing is created, and nothing rotated before its last slot. */
  readonly maxFeerate: number
  /** The same limit in the last slot, after which clients must be left on chain, which costs more. */
  readonly urgentFeerate: number
  /** Pause after a failed attempt: doubled with each failure in a row. */
  readonly retryFirst: Blocks
  readonly retryMost: Blocks
  /** Of the factories that the ladder builds. */
  readonly params: TreeParams
  /** Confirmations that the clients ask of a new factory before it takes payments. */
  readonly depth: number
  /** Seconds for one step of a ceremony. */
  readonly stepTimeout: number
}

/** A day at ten minutes a block. */
export const DAY: Blocks = blocks(144)

/** 30 days active and 3 days dying, one factory a day: what the construction's author proposes. */
export const defaultLadder: LadderConfig = {
  activeBlocks: blocks(30 * DAY),
  dyingBlocks: blocks(3 * DAY),
  slots: 3,
  factories: 33,
  minClients: 4,
  maxClients: 64,
  patience: DAY,
  budget: sat(100_000_000),
  maxFeerate: 20_000,
  urgentFeerate: 100_000,
  retryFirst: blocks(3),
  retryMost: blocks(36),
  params: defaultParams,
  depth: 6,
  stepTimeout: 120,
}

function within(name: keyof LadderConfig, value: number, low: number, high: number): void {
  if (!Number.isInteger(value) || value < low || value > high)
    throw new FactoryError('bad_parameter', `${name} is ${value}, and must be a whole number from ${low} to ${high}`)
}

/** @throws FactoryError `bad_parameter` naming the value that is out of bounds; `early_warning_unpayable` */
export function checkLadder(config: LadderConfig): LadderConfig {
  within('activeBlocks', config.activeBlocks, 1, 26_280)
  within('dyingBlocks', config.dyingBlocks, 1, 4320)
  within('slots', config.slots, 1, Math.min(100, config.dyingBlocks))
  within('factories', config.factories, 1, 1000)
  within('maxClients', config.maxClients, 1, MAX_CLIENTS)
  within('minClients', config.minClients, 1, config.maxClients)
  within('patience', config.patience, 0, 26_280)
  within('maxFeerate', config.maxFeerate, 1000, 10_000_000)
  within('urgentFeerate', config.urgentFeerate, config.maxFeerate, 10_000_000)
  within('retryFirst', config.retryFirst, 1, 1008)
  within('retryMost', config.retryMost, config.retryFirst, 1008)
  within('depth', config.depth, 1, 144)
  within('stepTimeout', config.stepTimeout, 1, 0xffff)
  sat(config.budget)
  checkParams(config.params)
  earlyWarning(config.params, config.maxClients)
  return config
}
