/** Which machines want to hear of which transactions and outpoints. The chain follower knows what to look for, not for whom. */
import { outPointKey, type InstanceId, type OutPoint, type Txid } from '../units/index.js'

interface Entry {
  readonly what: Txid | OutPoint
  readonly for: Set<InstanceId>
}

export class Watchlist {
  readonly #by = new Map<string, Entry>()

  add(what: Txid | OutPoint, instance: InstanceId): void {
    const key = keyOf(what)
    const entry = this.#by.get(key) ?? { what, for: new Set() }
    entry.for.add(instance)
    this.#by.set(key, entry)
  }

  of(what: Txid | OutPoint): readonly InstanceId[] {
    return [...(this.#by.get(keyOf(what))?.for ?? [])]
  }

  /** @returns what nobody wants to hear of any more */
  drop(instance: InstanceId): readonly (Txid | OutPoint)[] {
    const orphans: (Txid | OutPoint)[] = []
    for (const [key, entry] of this.#by) {
      if (!entry.for.delete(instance) || entry.for.size > 0) continue
      this.#by.delete(key)
      orphans.push(entry.what)
    }
    return orphans
  }
}

const keyOf = (what: Txid | OutPoint): string => (typeof what === 'string' ? what : outPointKey(what))
