/**
 * Units as types: a sat is not a msat, a height is not a count of blocks, and a txid is not any other hex string.
 * The constructors check range and form; everything behind them may rely on it.
 */
import { FactoryError } from '@ln-factory/tlv'

declare const brand: unique symbol
type Branded<T, B extends string> = T & { readonly [brand]: B }

/** Satoshi, 0 to 21e14. */
export type Sat = Branded<bigint, 'Sat'>
/** Millisatoshi, 0 to 21e17. */
export type Msat = Branded<bigint, 'Msat'>
/** Absolute block height, below the nLockTime threshold of 500,000,000. */
export type BlockHeight = Branded<number, 'BlockHeight'>
/** A number of blocks. */
export type Blocks = Branded<number, 'Blocks'>
/** Transaction id in display order (big-endian hex, 64 characters), as RPCs print it. */
export type Txid = Branded<string, 'Txid'>
/** Factory instance, 64 hex characters. */
export type InstanceId = Branded<string, 'InstanceId'>
/** Lightning node id: compressed secp256k1 point, 66 hex characters. */
export type NodeId = Branded<string, 'NodeId'>
/** Participant of a factory: 0 is the LSP, 1..N are the clients. */
export type ParticipantIndex = Branded<number, 'ParticipantIndex'>

export interface OutPoint {
  readonly txid: Txid
  readonly vout: number
}

export const MAX_MONEY = 2_100_000_000_000_000n

const bad = (what: string, value: unknown, code: 'bad_parameter' | 'bad_amount' = 'bad_parameter'): FactoryError =>
  new FactoryError(code, `${what}: ${String(value).slice(0, 200)}`)

export function sat(value: bigint | number): Sat {
  const v = typeof value === 'number' && !Number.isSafeInteger(value) ? -1n : BigInt(value)
  if (v < 0n || v > MAX_MONEY) throw bad('not an amount in satoshi', value, 'bad_amount')
  return v as Sat
}

export function msat(value: bigint | number): Msat {
  const v = typeof value === 'number' && !Number.isSafeInteger(value) ? -1n : BigInt(value)
  if (v < 0n || v > MAX_MONEY * 1000n) throw bad('not an amount in millisatoshi', value, 'bad_amount')
  return v as Msat
}

export const toMsat = (s: Sat): Msat => msat(s * 1000n)
/** Whole satoshi in `m`; what is below one satoshi is dropped. */
export const floorSat = (m: Msat): Sat => sat(m / 1000n)
export const sumSat = (values: Iterable<Sat>): Sat => {
  let total = 0n
  for (const v of values) total += v
  return sat(total)
}

export function blockHeight(value: number): BlockHeight {
  if (!Number.isInteger(value) || value < 0 || value >= 500_000_000) throw bad('not a block height', value)
  return value as BlockHeight
}

export function blocks(value: number): Blocks {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) throw bad('not a number of blocks', value)
  return value as Blocks
}

const hexOf = (bytes: number): RegExp => new RegExp(`^[0-9a-f]{${bytes * 2}}$`)
const HEX32 = hexOf(32)
const NODE_ID = /^0[23][0-9a-f]{64}$/

export function txid(value: string): Txid {
  if (!HEX32.test(value)) throw bad('not a txid (64 lower-case hex characters)', value)
  return value as Txid
}

export function instanceId(value: string): InstanceId {
  if (!HEX32.test(value)) throw bad('not an instance_id (64 lower-case hex characters)', value)
  return value as InstanceId
}

export function nodeId(value: string): NodeId {
  if (!NODE_ID.test(value)) throw bad('not a node id (66 lower-case hex characters, 02 or 03 first)', value)
  return value as NodeId
}

export function participantIndex(value: number): ParticipantIndex {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff) throw bad('not a participant index', value)
  return value as ParticipantIndex
}

export const LSP = 0 as ParticipantIndex

export const outPointKey = (o: OutPoint): string => `${o.txid}:${o.vout}`
