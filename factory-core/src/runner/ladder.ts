/**
 * Runs the ladder: looks at the node with every block, asks the schedule, and gives the node the orders that follow. What it
 * remembers (its settings, its attempts, when clients are online) is in the store; a restart in the middle of an order leaves
 * the order to the factory's own machine.
 */
import { FactoryError } from '@ln-factory/tlv'
import { isForming } from '../ceremony/index.js'
import {
  checkLadder,
  closedDoor,
  decide,
  defaultLadder,
  failed,
  lifetime,
  look,
  nobody,
  noMemory,
  succeeded,
  tidy,
  type Admission,
  type Decision,
  type LadderConfig,
  type LadderView,
  type Memory,
  type NewClient,
  type Presence,
  type Presences,
  type Room,
  type Wish,
} from '../ladder/index.js'
import { decodeState, encodeState } from '../store/index.js'
import { msat, type InstanceId, type NodeId, type Sat } from '../units/index.js'
import type { CreateRequest } from './api.js'
import type { Engine } from './engine.js'
import { usualFeerate } from './feerate.js'
import { Joining } from './joining.js'
import type { LadderActions, LadderApi, LadderPlan, LadderStatus } from './ladder-api.js'
import { ladderFactories } from './ladder-view.js'

const SETTINGS = 'ladder'
const PRESENCES = 'ladder/presences'
/** Presences are written down every so many blocks. */
const WRITE_EVERY = 6
/** sat per 1000 vB: what is relayed at all. */
const LEAST_FEERATE = 1000

interface Settings extends LadderStatus {
  readonly memory: Memory
}

interface Operation {
  readonly old: InstanceId | undefined
  readonly clients: readonly NodeId[]
}

export class Ladder implements LadderApi {
  readonly joining: Joining
  readonly #operations = new Set<Operation>()
  #settings: Settings
  #presences: Presences
  #looking = false

  constructor(
    private readonly engine: Engine,
    private readonly actions: LadderActions,
  ) {
    const { store } = engine.deps
    const settings = store.setting(SETTINGS)
    const fresh: Settings = { config: defaultLadder, admission: closedDoor, running: false, memory: noMemory }
    const stored = settings === undefined ? fresh : { ...fresh, ...(decodeState(settings) as Partial<Settings>) }
    this.#settings = { ...stored, config: { ...defaultLadder, ...stored.config, ...engine.deps.ladder } }
    const presences = store.setting(PRESENCES)
    this.#presences = presences === undefined ? {} : (decodeState(presences) as Presences)
    this.joining = new Joining(engine, () => this.#settings.admission)
  }

  status(): LadderStatus {
    const { running, config, admission } = this.#settings
    return { running, config, admission }
  }

  configure(config: LadderConfig): void {
    this.#save({ config: checkLadder(config) })
  }

  setAdmission(admission: Admission): void {
    if (admission.minCapacity > admission.maxCapacity)
      throw new FactoryError('bad_parameter', 'the least capacity would be more than the most')
    this.#save({ admission })
  }

  setRunning(running: boolean): void {
    this.#save({ running })
  }

  async plan(): Promise<LadderPlan> {
    const view = await this.#view()
    return { ...this.status(), view, decisions: decide(view) }
  }

  waiting(): Room {
    return this.joining.room
  }

  dismiss(id: NodeId, reason: string): void {
    this.joining.dismiss(id, reason)
  }

  join(lsp: NodeId, capacity: Sat): void {
    this.joining.join(lsp, capacity)
  }

  withdraw(lsp: NodeId): void {
    this.joining.withdraw(lsp)
  }

  wishes(): readonly Wish[] {
    return this.joining.wishes
  }

  /** A new block was told to the machines. Nobody waits for what it sets off. */
  async block(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    try {
      this.joining.settle()
      const view = await this.#view()
      this.#remember(view)
      if (!this.#settings.running) return
      for (const decision of decide(view)) this.#act(decision, view)
    } catch (error) {
      this.engine.warn('ladder', error)
    } finally {
      this.#looking = false
    }
  }

  #act(decision: Decision, view: LadderView): void {
    switch (decision.do) {
      case 'create':
        this.#begin(undefined, decision.clients, decision.reason, () =>
          this.actions.create(this.#terms(decision.clients)),
        )
        return
      case 'rotate': {
        const residents = view.factories.find((f) => f.instance === decision.instance)?.residents ?? []
        const clients = [...residents.filter((r) => decision.clients.includes(r.id)), ...decision.join]
        this.#begin(decision.instance, clients, decision.reason, () =>
          this.actions.rotate({
            instance: decision.instance,
            to: { kind: 'create', ...this.#terms(clients) },
            feerate: view.feerate ?? LEAST_FEERATE,
          }),
        )
        return
      }
      // The factories' own machines see to these, at the heights that the decisions name.
      case 'exit':
      case 'reap':
      case 'wait':
    }
  }

  /** Of a factory of the ladder for these clients. */
  #terms(clients: readonly NewClient[]): CreateRequest {
    const { config } = this.#settings
    return {
      clients: clients.map(({ id, capacity }) => ({ id, capacity, push: msat(0) })),
      lifetime: lifetime(config, clients.length),
      params: config.params,
      stepTimeout: config.stepTimeout,
    }
  }

  #begin(
    old: InstanceId | undefined,
    clients: readonly { readonly id: NodeId }[],
    reason: string,
    start: () => Promise<unknown>,
  ): void {
    const operation: Operation = { old, clients: clients.map((c) => c.id) }
    const known = new Set(this.engine.machines.keys())
    const what = old === undefined ? 'creation' : `rotation of ${old}`
    this.engine.deps.host.log('info', `ladder: ${what}: ${reason}`)
    this.#operations.add(operation)
    start()
      .then(
        () => {
          this.#save({ memory: succeeded(this.#settings.memory, old, this.engine.height) })
        },
        (error: unknown) => {
          const { memory, config } = this.#settings
          this.engine.warn(`ladder: ${what}`, error)
          this.#save({ memory: failed(memory, old, this.engine.height, config, this.#guilty(known, operation)) })
        },
      )
      .catch((error: unknown) => {
        this.engine.warn('ladder', error)
      })
      .finally(() => this.#operations.delete(operation))
  }

  /** By whose fault the factory that `operation` began was given up. */
  #guilty(known: ReadonlySet<InstanceId>, { clients }: Operation): NodeId | undefined {
    for (const [instance, machine] of this.engine.machines) {
      if (known.has(instance) || machine.role !== 'lsp' || machine.state.stage !== 'aborted') continue
      const { guilty } = machine.state
      if (guilty !== undefined && clients.includes(guilty)) return guilty
    }
    return undefined
  }

  async #view(): Promise<LadderView> {
    const { engine } = this
    const { host, clock } = engine.deps
    const [channels, infos, feerate] = await Promise.all([host.channels(), host.peers(), usualFeerate(engine)])
    const peers = infos.map((info) => engine.peers.summary(info))
    const rotating = new Set([...this.#operations].flatMap((o) => o.old ?? []))
    const factories = ladderFactories(engine.machines, channels, rotating)
    const forming = [...engine.machines.values()].flatMap((m) =>
      m.role === 'lsp' && isForming(m.state.stage) ? m.state.clients.map((c) => c.id) : [],
    )
    return {
      config: this.#settings.config,
      height: engine.height,
      now: clock(),
      feerate,
      factories,
      waiting: this.joining.room,
      creating: [...this.#operations].some((o) => o.old === undefined),
      online: new Set(peers.filter((p) => p.connected && p.protocol === 'ours').map((p) => p.id)),
      busy: new Set([...forming, ...[...this.#operations].flatMap((o) => o.clients)]),
      presences: this.#presences,
      memory: this.#settings.memory,
    }
  }

  #remember(view: LadderView): void {
    const ids = [...view.factories.flatMap((f) => f.residents.map((r) => r.id)), ...view.waiting.map((w) => w.id)]
    const next: Record<NodeId, Presence> = {}
    for (const id of new Set(ids)) next[id] = look(this.#presences[id] ?? nobody, view.now, view.online.has(id))
    this.#presences = next
    if (view.height % WRITE_EVERY === 0) this.engine.deps.store.setSetting(PRESENCES, encodeState(next))
    const memory = tidy(this.#settings.memory, new Set(view.factories.map((f) => f.instance)), view.height)
    if (memory !== this.#settings.memory) this.#save({ memory })
  }

  #save(change: Partial<Settings>): void {
    const next = { ...this.#settings, ...change }
    this.engine.deps.store.setSetting(SETTINGS, encodeState(next))
    this.#settings = next
  }
}
