/**
 * When a tree transaction needs more than the fee that is built into it, and how much its child then pays. A package of one
 * parent and one child is mined, and admitted, by the feerate of both together.
 */
import type { FeerateEstimate, Feerates } from '../host/port.js'
import { sat, type BlockHeight, type Blocks, type Sat } from '../units/index.js'

/** What is on record of the child that was sent last. */
export interface SentChild {
  readonly fee: Sat
  readonly height: BlockHeight
}

export interface BumpSituation {
  readonly height: BlockHeight
  /** Height at which the parent was first tried. */
  readonly since: BlockHeight
  /** Blocks that the plan grants it to confirm. */
  readonly margin: Blocks
  readonly parentFee: Sat
  /** vB */
  readonly parentVsize: number
  /** The mempool does not take it alone, for its fee. */
  readonly refused: boolean
  readonly child: SentChild | undefined
  readonly rates: Feerates
  /** Most that this child may pay. */
  readonly limit: Sat
}

export type BumpDecision =
  | { readonly do: 'wait' }
  /** `capped`: it should pay `wanted`, and pays as much as it may. */
  | { readonly do: 'bump'; readonly fee: Sat; readonly wanted: Sat; readonly capped: boolean }
  /** The limit is below what anyone would take. */
  | { readonly do: 'stuck'; readonly wanted: Sat }

/** vB of a child with a P2WPKH coin and a P2TR change, the largest that is made: what its fee is reckoned for. */
export const CHILD_VSIZE = 163

/** Blocks that one fee is given before a higher one takes its place. */
export const PATIENCE = 2

/** What the network adds to a replaced fee at the least, per vB of the replacement (BIP 125 rule 4 at 1 sat/vB). */
const REPLACEMENT_STEP = BigInt(CHILD_VSIZE)

/** Last height at which it is in time. */
export const bumpDeadline = ({ since, margin }: Pick<BumpSituation, 'since' | 'margin'>): number => since + margin

/** Feerate to be mined within so many blocks: of the longest target that is no longer, or else of the shortest there is. */
export function targetFeerate({ floor, estimates }: Feerates, within: number): number {
  const sorted: readonly FeerateEstimate[] = [...estimates].sort((a, b) => b.blocks - a.blocks)
  const fitting = sorted.find((e) => e.blocks <= within) ?? sorted.at(-1)
  return Math.max(floor, fitting?.feerate ?? 0)
}

/** What the child must pay so that both together pay `feerate` (sat per 1000 vB); 0 when the parent pays enough. */
export function childFee(feerate: number, parentFee: Sat, parentVsize: number): bigint {
  const both = (BigInt(Math.ceil(feerate)) * BigInt(parentVsize + CHILD_VSIZE) + 999n) / 1000n
  const missing = both - parentFee
  return missing > 0n ? missing : 0n
}

/**
 * - Refused alone: a child at once, for the feerate that the deadline asks.
 * - In a mempool: it waits `PATIENCE` blocks, then gets a child.
 * - Every `PATIENCE` blocks without a confirmation the child pays a quarter more, twice as much from the deadline on, or what the
 *   estimates ask if that is more: they may be wrong, and a transaction that is late must not depend on them.
 */
export function decideBump(s: BumpSituation): BumpDecision {
  const left = Math.max(1, bumpDeadline(s) - s.height)
  const own = (Number(s.parentFee) * 1000) / s.parentVsize
  const asked = targetFeerate(s.rates, left)
  const least = max(childFee(s.rates.floor, s.parentFee, s.parentVsize), ownFee(s.rates.floor))
  const target = max(childFee(asked, s.parentFee, s.parentVsize), least)
  if (s.child === undefined) {
    const waited = s.height - s.since
    if (!s.refused && waited < PATIENCE && left > PATIENCE) return { do: 'wait' }
    if (!s.refused && waited < 1) return { do: 'wait' }
    // Patience spent: whatever the estimates say, its own feerate was not enough.
    return withinLimit(max(target, childFee(own * 1.25, s.parentFee, s.parentVsize)), least, s.limit)
  }
  // Gone from the mempool with its child: the same again, or more.
  if (s.refused) return withinLimit(max(target, s.child.fee), least, s.limit)
  const more = s.height < bumpDeadline(s) ? s.child.fee / 4n : s.child.fee
  const step = s.child.fee + max(more, REPLACEMENT_STEP)
  if (target < step && s.height - s.child.height < PATIENCE) return { do: 'wait' }
  return withinLimit(max(target, step), max(least, s.child.fee + REPLACEMENT_STEP), s.limit)
}

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b)
/** A child in a mempool pays the minimum for itself too. */
const ownFee = (floor: number): bigint => (BigInt(Math.ceil(floor)) * BigInt(CHILD_VSIZE) + 999n) / 1000n

function withinLimit(wanted: bigint, least: bigint, limit: Sat): BumpDecision {
  if (wanted <= limit) return { do: 'bump', fee: sat(wanted), wanted: sat(wanted), capped: false }
  if (limit < least) return { do: 'stuck', wanted: sat(wanted) }
  return { do: 'bump', fee: limit, wanted: sat(wanted), capped: true }
}
