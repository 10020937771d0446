/** A factory whose records on this disk are older than what was done: what is known to be missing, and what is not done for it. */
import { decodeState, encodeState, missing, type FactoryStore, type MarkKind } from '../store/index.js'
import type { InstanceId } from '../units/index.js'
import type { Machine } from './machine.js'
import { decodeKept, isBehind, reachOf } from './reach.js'

export interface Restored {
  /** What the host keeps of it, as it was when it was compared; undefined when the host keeps nothing: anything may be missing. */
  readonly kept: string | undefined
  /** What was signed and is not on record here. */
  readonly kinds: readonly MarkKind[]
  /** The records here are others than those that the host knows of: anything may be missing. */
  readonly fork: boolean
  /** The operator's word, asked for when it is not known what is missing. */
  readonly word: 'none' | 'exit' | 'use'
}

/**
 * `suspended`: nothing is done at all, because it may be wrong. `shut`: it may be left and is followed on chain, but takes no HTLC:
 * a balance may be frozen by a signature that we don't know. `sealed`: in use; signs nothing new. All of them sign nothing.
 */
export type Hold = 'suspended' | 'shut' | 'sealed'

const ITEM = 'restored'

export function restoredItem(restored: Restored): { readonly key: string; readonly value: Uint8Array } {
  return { key: ITEM, value: Uint8Array.from(Buffer.from(encodeState(restored))) }
}

export function storedRestored(store: Pick<FactoryStore, 'item'>, instance: InstanceId): Restored | undefined {
  const bytes = store.item(instance, ITEM)
  return bytes === undefined ? undefined : (decodeState(Buffer.from(bytes).toString()) as Restored)
}

/** Undefined when the store has everything that the host knows of. @throws FactoryError `store_version` */
export function compare(
  kept: string,
  machine: Machine,
  store: Pick<FactoryStore, 'signed'>,
  instance: InstanceId,
): Restored | undefined {
  const mark = decodeKept(kept)
  const lack = missing(mark, store.signed(instance))
  if (lack !== undefined) return { kept, ...lack, word: 'none' }
  return isBehind(reachOf(machine), mark.reach) ? { kept, kinds: [], fork: false, word: 'none' } : undefined
}

/** Records are missing, or may be. */
export const lacksRecords = ({ kept, kinds, fork }: Restored): boolean => kept === undefined || fork || kinds.length > 0

export function holdOf(restored: Restored, machine: Machine): Hold {
  const { kept, kinds, fork, word } = restored
  if (kept === undefined) return word === 'none' ? 'suspended' : word === 'exit' ? 'shut' : 'sealed'
  // A later state of our leaf may exist: to publish ours could cost what it is worth.
  if (fork || kinds.includes('state')) return 'suspended'
  const ours = reachOf(machine)
  // The path is not complete, or this would have been adopted.
  if (ours === 'forming') return 'suspended'
  if (kinds.includes('cooperative') || isBehind(ours, decodeKept(kept).reach)) return 'shut'
  return 'sealed'
}

/** For people. */
export function explain({ kept, kinds, fork }: Restored): string {
  if (kept === undefined) return 'this database is a copy, and the node keeps nothing that tells how old it is'
  if (fork) return 'this database is another one than the node knows: its records parted from the known ones'
  if (kinds.length > 0)
    return `this database is older than the factory: signatures of ${kinds.join(', ')} are missing in it`
  return 'this database is older than the factory'
}
