/** Which machines want to hear of which transactions and outpoints. The chain follower knows what to look for, not for whom. */
import { outPointKey, type InstanceId, type OutPoint, type Txid } from '../units/index.js'

export class Watchlist {
  readonly #by = new Map<string, Set<InstanceId>>()

  add(what: Txid | OutPoint, instance: InstanceId): void {
    const key = keyOf(what)
    const set = this.#by.get(key)
    if (set === undefined) this.#by.set(key, new Set([instance]))
    else set.add(instance)
  }

  of(what: Txid | OutPoint): readonly InstanceId[] {
    return [...(this.#by.get(keyOf(what)) ?? [])]
  }
}

const keyOf = (what: Txid | OutPoint): string => (typeof what === 'string' ? what : outPointKey(what))
