/** A ladder played block by block: what the schedule decides is done, and succeeds, fails or takes long as the test says. */
import {
  decide,
  exitHeight,
  lastMoveHeight,
  nextEarlyWarning,
  failed,
  fundingFor,
  lastStartHeight,
  lifetime,
  locked,
  look,
  nobody,
  noMemory,
  succeeded,
  type Decision,
  type LadderConfig,
  type LadderFactory,
  type LadderView,
  type Memory,
  type NewClient,
  type Presence,
  type Resident,
  type Waiting,
} from '../../src/ladder/index.js'
import { earlyWarning } from '../../src/tree/index.js'
import {
  blockHeight,
  blocks,
  instanceId,
  msat,
  nodeId,
  sat,
  type InstanceId,
  type NodeId,
} from '../../src/units/index.js'

export const client = (n: number): NodeId => nodeId(`02${n.toString(16).padStart(64, '0')}`)

export const config: LadderConfig = {
  activeBlocks: blocks(60),
  dyingBlocks: blocks(36),
  slots: 3,
  factories: 4,
  minClients: 2,
  maxClients: 5,
  patience: blocks(12),
  budget: sat(100_000_000),
  maxFeerate: 10_000,
  urgentFeerate: 50_000,
  retryFirst: blocks(2),
  retryMost: blocks(8),
  params: {
    arity: 2,
    fanout: 4,
    states: 2,
    step: blocks(1),
    confirmationMargin: blocks(1),
    safetyMargin: blocks(0),
    stockCsv: blocks(144),
    stockPerClient: sat(1000),
    feerate: 1000,
  },
  depth: 1,
  stepTimeout: 10,
}

interface Operation {
  readonly old: InstanceId | undefined
  readonly next: InstanceId
  readonly clients: readonly NewClient[]
  readonly ends: number
  readonly outcome: Outcome
}

/** How an operation ends: after so many blocks, well or by whose fault. */
export type Outcome =
  | { readonly result: 'well'; readonly blocks: number }
  | { readonly result: 'badly'; readonly blocks: number; readonly guilty: NodeId | undefined }

interface Factory {
  readonly instance: InstanceId
  phase: LadderFactory['phase']
  readonly expiry: number
  readonly earlyWarning: number
  readonly createdAt: number
  readonly fundingAmount: bigint
  readonly places: number
  residents: Resident[]
}

export interface Left {
  readonly id: NodeId
  readonly instance: InstanceId
  readonly at: number
  readonly balance: bigint
}

/** msat that a client is paid when it has its first channel. */
export const PAID = 1_000_000

export class World {
  height = 1000
  memory: Memory = noMemory
  factories: Factory[] = []
  waiting: Waiting[] = []
  operations: Operation[] = []
  /** Clients left on chain. */
  readonly left: Left[] = []
  readonly created: { readonly at: number; readonly clients: readonly NodeId[] }[] = []
  readonly rotated: { readonly at: number; readonly instance: InstanceId; readonly clients: readonly NodeId[] }[] = []
  reaped = 0
  #next = 1
  #presences: Record<NodeId, Presence> = {}

  constructor(
    readonly config: LadderConfig,
    readonly isOnline: (id: NodeId, height: number) => boolean,
    readonly outcome: (decision: Decision, height: number) => Outcome = () => ({ result: 'well', blocks: 1 }),
    readonly feerate: (height: number) => number | undefined = () => 1000,
  ) {}

  get now(): number {
    return this.height * 600
  }

  get everybody(): NodeId[] {
    return [
      ...new Set([...this.waiting.map((w) => w.id), ...this.factories.flatMap((f) => f.residents.map((r) => r.id))]),
    ]
  }

  join(id: NodeId, capacity = 100_000): void {
    this.waiting.push({ id, capacity: sat(capacity), since: blockHeight(this.height) })
  }

  view(): LadderView {
    const everybody = this.everybody
    const online = new Set(everybody.filter((id) => this.isOnline(id, this.height)))
    for (const id of everybody) this.#presences[id] = look(this.#presences[id] ?? nobody, this.now, online.has(id))
    return {
      config: this.config,
      height: blockHeight(this.height),
      now: this.now,
      feerate: this.feerate(this.height),
      factories: this.factories.map((f) => ({
        instance: f.instance,
        phase: f.phase,
        expiry: blockHeight(f.expiry),
        earlyWarning: blocks(f.earlyWarning),
        confirmationMargin: this.config.params.confirmationMargin,
        createdAt: blockHeight(f.createdAt),
        fundingAmount: sat(f.fundingAmount),
        places: f.places,
        residents: f.residents,
        reapable: true,
        rotating: this.operations.some((o) => o.old === f.instance),
      })),
      waiting: this.waiting,
      creating: this.operations.some((o) => o.old === undefined),
      online,
      busy: new Set(this.operations.flatMap((o) => o.clients.map((c) => c.id))),
      presences: this.#presences,
      memory: this.memory,
    }
  }

  /** One block: what is due ends, the schedule is asked, and what it says is begun. */
  step(): { view: LadderView; decisions: readonly Decision[] } {
    this.height += 1
    for (const op of this.operations.filter((o) => o.ends <= this.height)) this.#end(op)
    this.#move()
    const view = this.view()
    const decisions = decide(view)
    for (const decision of decisions) this.#act(decision)
    return { view, decisions }
  }

  #act(decision: Decision): void {
    switch (decision.do) {
      case 'create':
        this.#begin(undefined, decision.clients, this.outcome(decision, this.height))
        return
      case 'rotate': {
        const old = this.#factory(decision.instance)
        const movers = old.residents.filter((r) => decision.clients.includes(r.id))
        const clients = [...movers.map(({ id, capacity }) => ({ id, capacity })), ...decision.join]
        this.#begin(old.instance, clients, this.outcome(decision, this.height))
        return
      }
      case 'exit': {
        if (this.height < decision.by) return
        const factory = this.#factory(decision.instance)
        for (const { id, balance } of factory.residents)
          this.left.push({ id, instance: factory.instance, at: this.height, balance })
        this.factories = this.factories.filter((f) => f !== factory)
        return
      }
      case 'reap':
        this.factories = this.factories.filter((f) => f.instance !== decision.instance)
        this.reaped += 1
        return
      case 'wait':
    }
  }

  #begin(old: InstanceId | undefined, clients: readonly NewClient[], outcome: Outcome): void {
    const next = instanceId((this.#next++).toString(16).padStart(64, '0'))
    this.operations.push({ old, next, clients, ends: this.height + outcome.blocks, outcome })
    this.factories.push({
      instance: next,
      phase: 'building',
      expiry: this.height + lifetime(this.config, clients.length),
      earlyWarning: earlyWarning(this.config.params, clients.length),
      createdAt: this.height,
      fundingAmount: fundingFor(this.config, clients),
      places: clients.length,
      residents: [],
    })
  }

  #end({ old, next, clients, outcome }: Operation): void {
    this.operations = this.operations.filter((o) => o.next !== next)
    const height = blockHeight(this.height)
    if (outcome.result === 'badly') {
      this.memory = failed(this.memory, old, height, this.config, outcome.guilty)
      this.factories = this.factories.filter((f) => f.instance !== next)
      return
    }
    this.memory = succeeded(this.memory, old, height)
    const ids = clients.map((c) => c.id)
    const before = old === undefined ? undefined : this.#factory(old)
    if (before !== undefined) {
      before.residents = before.residents.map((r) => (ids.includes(r.id) ? { ...r, underway: true } : r))
      this.rotated.push({ at: this.height, instance: before.instance, clients: ids })
    } else this.created.push({ at: this.height, clients: ids })
    const factory = this.#factory(next)
    factory.phase = 'open'
    // A client is paid once, when it has its first channel; after that its balance only moves.
    const movers = new Set(before?.residents.map((r) => r.id))
    factory.residents = clients.map((c) => ({ ...c, balance: msat(movers.has(c.id) ? 0 : PAID), underway: false }))
    this.waiting = this.waiting.filter((w) => !ids.includes(w.id))
  }

  /** Whoever has a place in the next factory moves when it is there, and not after the last block at which it can. */
  #move(): void {
    for (const factory of this.factories) {
      const times = {
        expiry: blockHeight(factory.expiry),
        earlyWarning: blocks(factory.earlyWarning),
        confirmationMargin: this.config.params.confirmationMargin,
      }
      if (this.height > lastMoveHeight(times, nextEarlyWarning(this.config))) continue
      factory.residents = factory.residents.flatMap((r) => {
        if (!r.underway || !this.isOnline(r.id, this.height)) return [r]
        const next = this.factories.find(
          (f) => f.createdAt > factory.createdAt && f.residents.some((o) => o.id === r.id),
        )
        // Its place there is gone again.
        if (next === undefined) return [{ ...r, underway: false }]
        next.residents = next.residents.map((o) => (o.id === r.id ? { ...o, balance: msat(o.balance + r.balance) } : o))
        return []
      })
    }
  }

  #factory(instance: InstanceId): Factory {
    const factory = this.factories.find((f) => f.instance === instance)
    if (factory === undefined) throw new Error(`the schedule names ${instance}, which is not there`)
    return factory
  }
}

/** What must hold of every look, whatever happens; throws a sentence. */
export function checkLook(view: LadderView, decisions: readonly Decision[]): void {
  const say = (bad: boolean, text: string): void => {
    if (bad) throw new Error(`at height ${view.height}: ${text}`)
  }
  const named = new Set<NodeId>()
  const factories = new Map(view.factories.map((f) => [f.instance, f]))
  let own = view.factories.reduce((sum, f) => sum + locked(f), 0n)
  const begun = new Set<InstanceId>()
  for (const d of decisions) {
    if (d.do === 'create' || d.do === 'rotate') {
      const old = d.do === 'rotate' ? factories.get(d.instance) : undefined
      const movers = d.do === 'rotate' ? d.clients : []
      if (d.do === 'rotate') {
        say(old === undefined || old.phase !== 'open' || old.rotating, 'rotates what can not be rotated')
        say(begun.has(d.instance), 'rotates a factory twice')
        begun.add(d.instance)
        if (old !== undefined) say(view.height > lastStartHeight(old, view.config), 'rotates too late')
        say(movers.length === 0, 'rotates nobody')
      }
      const joiners = d.do === 'create' ? d.clients : d.join
      for (const j of joiners)
        say(!view.waiting.some((w) => w.id === j.id && w.capacity === j.capacity), `${j.id} does not wait for that`)
      for (const id of movers) say(old?.residents.every((r) => r.id !== id) !== false, `${id} is not in the old one`)
      const ids = [...movers, ...joiners.map((j) => j.id)]
      for (const id of ids) {
        say(named.has(id), `${id} is named twice`)
        say(!view.online.has(id) || view.busy.has(id), `${id} can't take part`)
        named.add(id)
      }
      const moving = old?.residents.filter((r) => movers.includes(r.id)) ?? []
      own += fundingFor(view.config, [...moving, ...joiners])
      say(ids.length > view.config.maxClients, 'a factory too large')
      say(own > view.config.budget, `locks ${own} sat, over the budget`)
      const limit = d.do === 'create' ? view.config.maxFeerate : view.config.urgentFeerate
      say(view.feerate !== undefined && view.feerate > limit, 'pays too much')
    }
    if (d.do === 'exit') {
      const f = factories.get(d.instance)
      say(f === undefined, 'leaves what is not there')
      if (f === undefined) continue
      say(d.by !== exitHeight(f), 'leaves at the wrong height')
      say(view.height <= lastStartHeight(f, view.config), 'gives up too early')
    }
    if (d.do === 'wait') say(d.until <= view.height, 'waits for the past')
    if (d.do === 'reap') say(factories.get(d.instance)?.residents.length !== 0, 'reaps what is not empty')
  }
  // Every open factory is in exactly one decision.
  for (const f of view.factories.filter((one) => one.phase === 'open'))
    say(decisions.filter((d) => 'instance' in d && d.instance === f.instance).length !== 1, `${f.instance} forgotten`)
}
