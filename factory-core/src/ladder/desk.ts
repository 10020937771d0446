/** What one look at the ladder can still give away: each client and each satoshi goes to one decision. */
import type { NodeId, Sat } from '../units/index.js'
import { affordable, fundingFor, lockedIn } from './capital.js'
import { together } from './presence.js'
import type { LadderView, NewClient, Resident, Waiting } from './types.js'

export class Desk {
  readonly #free: Set<NodeId>
  #waiting: readonly Waiting[]
  #available: bigint

  constructor(readonly view: LadderView) {
    const { online, busy, memory, height } = view
    this.#free = new Set([...online].filter((id) => !busy.has(id) && (memory.shunned[id] ?? 0) <= height))
    const settled = new Set(view.factories.flatMap((f) => f.residents.map((r) => r.id)))
    this.#waiting = view.waiting.filter((w) => !settled.has(w.id) && !busy.has(w.id))
    this.#available = view.config.budget - lockedIn(view.factories)
  }

  /** Online, and not in a ceremony. */
  isFree(id: NodeId): boolean {
    return this.#free.has(id)
  }

  /** Clients of the waiting room that no decision has taken, whether online or not. */
  get waiting(): readonly Waiting[] {
    return this.#waiting
  }

  /** Satoshi that may still be locked. */
  get available(): bigint {
    return this.#available
  }

  /** What must be left for what is more urgent. */
  setAside(amount: bigint): void {
    this.#available -= amount
  }

  /** Those of `residents` that can move now: at most a factory's worth, and no more than the budget funds. */
  movers(residents: readonly Resident[]): readonly Resident[] {
    const { config, presences } = this.view
    const group = together(
      residents.filter((r) => this.isFree(r.id)),
      config.maxClients,
      presences,
    )
    // Where the budget ends, whoever has most to lose goes first.
    const byBalance = [...group].sort((a, b) => (a.balance < b.balance ? 1 : a.balance > b.balance ? -1 : 0))
    return affordable(config, byBalance, this.#available)
  }

  /** Clients from the waiting room for a factory that has `first` already: those whose hours go together, within room and budget. */
  joiners(first: readonly { readonly capacity: Sat }[]): readonly NewClient[] {
    const { config, presences } = this.view
    const ready = this.#waiting.filter((w) => this.isFree(w.id))
    const group = together(ready, config.maxClients - first.length, presences)
    const all = affordable(config, [...first, ...group], this.#available)
    return group.slice(0, Math.max(0, all.length - first.length)).map(({ id, capacity }) => ({ id, capacity }))
  }

  /** These are taken. */
  take(clients: readonly NewClient[]): void {
    const ids = new Set(clients.map((c) => c.id))
    for (const id of ids) this.#free.delete(id)
    this.#waiting = this.#waiting.filter((w) => !ids.has(w.id))
    this.#available -= fundingFor(this.view.config, clients)
  }
}
