/**
 * At every start the store is compared with what the host keeps (`reach.ts`). Factories of which the store is an older copy are found
 * here, and kept from doing what could hurt; all others go on as ever.
 */
import { FactoryError } from '@ln-factory/tlv'
import type { HostChannel } from '../host/port.js'
import { adoptClient, adoptLsp } from '../recover/index.js'
import { RESTORED_SETTING } from '../store/index.js'
import { blockHeight, blocks, type InstanceId, type NodeId } from '../units/index.js'
import type { Anchorage } from './anchorage.js'
import type { GatedChannel, RestoredSummary } from './api.js'
import type { Engine } from './engine.js'
import type { Machine } from './machine.js'
import { decodeKept, encodeKept, isBehind, keptOf, reachOf, type Kept } from './reach.js'
import {
  compare,
  explain,
  holdOf,
  lacksRecords,
  restoredItem,
  storedRestored,
  type Hold,
  type Restored,
} from './restored.js'

/** The host has kept something: from then on a host that keeps nothing has lost it. */
const ANCHORED_SETTING = 'store/anchored'

const UNKNOWN: Restored = { kept: undefined, kinds: [], fork: false, word: 'none' }

export class Copies {
  /** Not among the engine's machines: nothing reaches them. */
  readonly suspended = new Map<InstanceId, Machine>()
  /** The host knows that they are live, and the store does not know them. */
  readonly lost = new Map<InstanceId, Kept>()
  readonly #restored = new Map<InstanceId, Restored>()
  readonly #atLeast = new Map<InstanceId, Kept>()

  constructor(
    readonly engine: Engine,
    readonly anchorage: Anchorage,
  ) {}

  /** Once, before any machine hears of anything. @throws FactoryError `host_failed`, `store_version` */
  async check(): Promise<void> {
    const { machines } = this.engine
    const { store } = this.engine.deps
    const kept = await this.anchorage.read()
    const copied = store.setting(RESTORED_SETTING) === 'yes'
    const blind = copied || (kept?.size === 0 && store.setting(ANCHORED_SETTING) !== undefined)
    for (const [instance, value] of kept ?? []) this.#atLeast.set(instance, decodeKept(value))
    for (const [instance, machine] of [...machines]) {
      const value = kept?.get(instance)
      const before = storedRestored(store, instance)
      const unknown = before ?? (blind && reachOf(machine) !== 'over' ? UNKNOWN : undefined)
      const found = value === undefined ? unknown : compare(value, machine, store, instance)
      if (found !== undefined) this.#hold(instance, machine, { ...found, word: wordFor(found, before) }, before)
      if (!this.#restored.has(instance)) this.keep(instance, machine)
    }
    for (const [instance, mark] of this.#atLeast)
      if (mark.reach === 'live' && !machines.has(instance) && !this.suspended.has(instance)) {
        this.lost.set(instance, mark)
        this.engine.deps.host.log('error', `factory ${instance} is live and not in this database: it is an old copy`)
      }
    if (kept !== undefined && kept.size > 0) store.setSetting(ANCHORED_SETTING, 'yes')
    if (copied) store.setSetting(RESTORED_SETTING, 'seen')
  }

  /** How far it is now is to be kept by the host before anything more of it leaves. */
  keep(instance: InstanceId, machine: Machine): void {
    // What is kept of a factory whose records are missing here knows more than we.
    if (this.anchorage.anchor === undefined || this.#restored.has(instance)) return
    const now = keptOf(machine, this.engine.deps.store.signed(instance))
    const before = this.#atLeast.get(instance)
    if (before === undefined && now.reach !== 'live' && Object.keys(now.counts).length === 0) return
    const kept = before !== undefined && isBehind(now.reach, before.reach) ? { ...now, reach: before.reach } : now
    this.#atLeast.set(instance, kept)
    this.anchorage.keep(instance, encodeKept(kept))
  }

  hold(instance: InstanceId): Hold | undefined {
    const restored = this.#restored.get(instance)
    const machine = this.engine.machines.get(instance) ?? this.suspended.get(instance)
    return restored === undefined || machine === undefined ? undefined : holdOf(restored, machine)
  }

  /** What the operator must know, if anything. */
  notice(instance: InstanceId): string | undefined {
    const restored = this.#restored.get(instance)
    return restored === undefined ? undefined : `${explain(restored)}; ${WHAT[this.hold(instance) ?? 'sealed']}`
  }

  summaries(): RestoredSummary[] {
    const restored = [...this.#restored].flatMap(([instance, r]): RestoredSummary[] => {
      const machine = this.engine.machines.get(instance) ?? this.suspended.get(instance)
      if (machine === undefined) return []
      const lsp = machine.role === 'client' ? machine.state.lsp : undefined
      const missing = r.kept === undefined || r.fork ? ('unknown' as const) : r.kinds
      return [{ instance, role: machine.role, lsp, hold: holdOf(r, machine), missing, why: explain(r) }]
    })
    const lost = [...this.lost].map(([instance, { role, lsp }]): RestoredSummary => ({
      instance,
      role,
      lsp,
      hold: 'lost',
      missing: 'unknown',
      why: 'this node has a part in it, and this database has nothing of it',
    }))
    return [...restored, ...lost]
  }

  /**
   * The operator's word for a factory of which nothing is known: it may be left (`exit`), or used too (`use`).
   * @throws FactoryError `wrong_state`
   */
  reconcile(instance: InstanceId, word: 'exit' | 'use'): void {
    const restored = this.#restored.get(instance)
    const machine = this.engine.machines.get(instance) ?? this.suspended.get(instance)
    if (restored === undefined || machine === undefined)
      throw new FactoryError('wrong_state', `nothing is held back for factory ${instance}`)
    if (restored.kept !== undefined)
      throw new FactoryError(
        'wrong_state',
        `what is missing for factory ${instance} is known: ${explain(restored)}`,
        'factory-recover may bring it back; no word of yours can.',
      )
    this.#put(instance, machine, { ...restored, word })
    this.#release(instance, machine)
  }

  /**
   * Whom a channel without confirmations may belong to because of a factory that we have forgotten: it takes no HTLC.
   */
  suspects(channels: readonly HostChannel[]): NodeId[] {
    const held = [...this.suspended.values()].flatMap((m) =>
      m.role === 'lsp' ? m.state.clients.map((c) => c.id) : [m.state.lsp],
    )
    const lost = [...this.lost.values()].flatMap(({ lsp }) => lsp ?? channels.map((c) => c.peer))
    return [...held, ...lost]
  }

  /** For a channel that may belong to a factory that we have forgotten. */
  shutGate(): GatedChannel | undefined {
    const [instance] = [...this.lost.keys(), ...this.suspended.keys()]
    if (instance === undefined) return undefined
    return {
      instance,
      role: 'client',
      gate: 'shut',
      earlyWarning: blocks(0),
      expiry: blockHeight(0),
      confirmationMargin: blocks(0),
    }
  }

  #hold(instance: InstanceId, machine: Machine, found: Restored, before: Restored | undefined): void {
    if (found.kept !== undefined && !lacksRecords(found) && reachOf(machine) === 'forming') {
      const context = this.engine.context(instance)
      const step = machine.role === 'lsp' ? adoptLsp(machine.state, context) : adoptClient(machine.state, context)
      if (step !== undefined) return this.engine.commit(instance, machine, step)
    }
    if (before === undefined || before.kept !== found.kept) {
      this.#put(instance, machine, found)
      this.engine.deps.host.log('error', `factory ${instance}: ${explain(found)}`)
    } else this.#restored.set(instance, found)
    if (holdOf(found, machine) === 'suspended') {
      this.engine.machines.delete(instance)
      this.suspended.set(instance, machine)
    } else if (lacksRecords(found)) this.engine.deps.store.seal(instance)
  }

  #put(instance: InstanceId, machine: Machine, restored: Restored): void {
    this.#restored.set(instance, restored)
    const text = `${explain(restored)}; ${WHAT[holdOf(restored, machine)]}`
    this.engine.deps.store.commit({
      instance,
      role: machine.role,
      records: [],
      items: [restoredItem(restored)],
      log: [{ kind: 'warning', text }],
    })
  }

  /** Back among the living, signing nothing. */
  #release(instance: InstanceId, machine: Machine): void {
    this.engine.deps.store.seal(instance)
    if (!this.suspended.delete(instance)) return
    this.engine.machines.set(instance, machine)
    this.engine.dispatch(instance, { type: 'resume' })
  }
}

/** What the operator said of the same finding. */
const wordFor = (found: Restored, before: Restored | undefined): Restored['word'] =>
  before !== undefined && before.kept === found.kept ? before.word : 'none'

const WHAT: Readonly<Record<Hold, string>> = {
  suspended: 'nothing is done for it until it is recovered (factory-restore tells more)',
  shut: 'it takes no HTLC and signs nothing, and can be left',
  sealed: 'it is in use, and signs nothing new',
}
