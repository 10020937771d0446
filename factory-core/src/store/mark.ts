/**
 * How far an instance has come in signing, in a few bytes that can be kept outside of the store: an old copy of the store is told
 * from the current one by it (DESIGN.md invariant 8).
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { outPointKey } from '../units/index.js'
import type { SignRecord } from './port.js'

/** `state`: children of a kickoff output, one per state. */
export type MarkKind = SignRecord['class'] | 'state'

export interface SignMark {
  /** Records, by kind; what is left out is 0. */
  readonly counts: Readonly<Partial<Record<MarkKind, number>>>
  /** Chain of hashes over the records in their order, 64 hex characters: two logs that forked differ in it. */
  readonly head: string
}

export const markKind = (record: SignRecord): MarkKind => (record.rule === 'increasing' ? 'state' : record.class)

export function markOf(records: readonly SignRecord[]): SignMark {
  const counts: Partial<Record<MarkKind, number>> = {}
  let head: Uint8Array = new Uint8Array(32)
  for (const record of records) {
    const kind = markKind(record)
    counts[kind] = (counts[kind] ?? 0) + 1
    const line = `${outPointKey(record.outpoint)}/${record.class}/${record.rule}/${record.index}/`
    head = sha256(concatBytes(head, utf8ToBytes(line), record.sighash))
  }
  return { counts, head: bytesToHex(head) }
}

/**
 * What `kept` says was signed and `records` don't have. Undefined when nothing is missing: the records begin with those that the
 * mark was made of. `fork`: they are as many, or more, and others.
 */
export function missing(
  kept: SignMark,
  records: readonly SignRecord[],
): { readonly kinds: readonly MarkKind[]; readonly fork: boolean } | undefined {
  const total = Object.values(kept.counts).reduce((sum, n) => sum + n, 0)
  if (markOf(records.slice(0, total)).head === kept.head) return undefined
  const { counts } = markOf(records)
  const kinds = (Object.keys(kept.counts) as MarkKind[]).filter((k) => (kept.counts[k] ?? 0) > (counts[k] ?? 0))
  return { kinds, fork: records.length >= total }
}
