/** Finding what is watched in a block. The cost depends on the block alone, however much is watched. */
import { outPointKey, txid, type BlockHeight, type OutPoint, type Txid } from '../units/index.js'
import type { Block } from './block.js'
import type { ChainEvent } from './events.js'

/** A watched thing was seen in a block: the event that says so. */
export type Sighting = Extract<ChainEvent, { kind: 'confirmed' | 'spent' }>

/** What is watched, as one key: a txid, or an outpoint as `outPointKey` writes it. */
export type WatchKey = string

export const keyOf = (thing: Txid | OutPoint): WatchKey => (typeof thing === 'string' ? thing : outPointKey(thing))

export const keyOfSighting = (s: Sighting): WatchKey => keyOf(s.kind === 'confirmed' ? s.txid : s.outpoint)

/** In block order. */
export function findIn(block: Block, height: BlockHeight, watched: { has(key: WatchKey): boolean }): Sighting[] {
  const found: Sighting[] = []
  for (const tx of block.txs) {
    if (watched.has(tx.txid)) found.push({ kind: 'confirmed', txid: tx.txid, height })
    for (const key of tx.spends) {
      if (!watched.has(key)) continue
      // A copy, so that one small transaction does not keep its block in memory.
      found.push({ kind: 'spent', outpoint: outPointOf(key), by: tx.txid, tx: Uint8Array.from(tx.raw), height })
    }
  }
  return found
}

/** The event that takes `s` back. */
export function undo(s: Sighting): ChainEvent {
  return s.kind === 'confirmed'
    ? { kind: 'unconfirmed', txid: s.txid, height: s.height }
    : { kind: 'unspent', outpoint: s.outpoint, by: s.by, height: s.height }
}

/** Of one key: do both say the same? */
export const agree = (a: Sighting, b: Sighting): boolean =>
  a.height === b.height && (a.kind === 'confirmed' || (b.kind === 'spent' && a.by === b.by))

const outPointOf = (key: WatchKey): OutPoint => ({ txid: txid(key.slice(0, 64)), vout: Number(key.slice(65)) })
