/**
 * A dry run: the schedule, played ahead on paper. Everyone who is seen lately is taken to be there when asked, every attempt to
 * succeed, balances to stay as they are; whoever was not seen for a dying period is taken to be gone. So it shows what the ladder
 * costs when nothing goes wrong but the clients that are lost already.
 */
import { COMMITMENT_VSIZE, SWEEP_VSIZE } from '../economics/index.js'
import { exitSteps, planTree } from '../tree/index.js'
import {
  blockHeight,
  instanceId,
  msat,
  participantIndex,
  sat,
  type BlockHeight,
  type InstanceId,
  type NodeId,
  type Sat,
} from '../units/index.js'
import { fundingFor, lockedIn } from './capital.js'
import { succeeded } from './memory.js'
import { decide } from './schedule.js'
import { lifetime, settleBlocks } from './timing.js'
import type { Decision, LadderFactory, LadderView, NewClient, Resident } from './types.js'

/** Funding transaction: one P2TR input, the factory's output and change; each further coin adds 58. vB. */
export const FUNDING_VSIZE = 154
/** What gives an empty factory's funding back: one input, one output, key path. vB. */
export const REAP_VSIZE = 111

export interface ForecastEvent {
  readonly height: BlockHeight
  readonly what: 'create' | 'rotate' | 'exit' | 'reap'
  /** The old factory; undefined for one that the forecast made up itself. */
  readonly instance: InstanceId | undefined
  readonly clients: number
  /** On chain, of all its transactions together; an exit's is the most that it can be. */
  readonly vsize: number
}

export interface Forecast {
  readonly until: BlockHeight
  readonly events: readonly ForecastEvent[]
  /** Our own satoshi in factories, whenever it changes. */
  readonly capital: readonly { readonly height: BlockHeight; readonly own: Sat }[]
  readonly peak: Sat
  readonly vsize: number
}

/** Fewest blocks between two looks: no schedule is finer than that over days. */
const STRIDE = 6

interface Pending {
  readonly ends: number
  readonly old: InstanceId | undefined
  readonly factory: LadderFactory
  readonly clients: readonly Resident[]
}

const isGone = (view: LadderView, id: NodeId): boolean => {
  if (view.online.has(id)) return false
  const lastSeen = view.presences[id]?.lastSeen
  return lastSeen === undefined || view.now - lastSeen > view.config.dyingBlocks * 600
}

/** @param ahead how many blocks */
export function forecast(view: LadderView, ahead: number): Forecast {
  const { config } = view
  const until = blockHeight(view.height + ahead)
  const everybody = [...view.factories.flatMap((f) => f.residents.map((r) => r.id)), ...view.waiting.map((w) => w.id)]
  const online = new Set(everybody.filter((id) => !isGone(view, id)))
  const invented = new Set<InstanceId>()
  const events: ForecastEvent[] = []
  const capital: { height: BlockHeight; own: Sat }[] = []
  let { factories, waiting, memory } = view
  let pending: Pending[] = []
  // What is under way now is taken to be done.
  factories = factories.map((f) => ({
    ...f,
    rotating: false,
    phase: f.phase === 'building' ? 'open' : f.phase,
    residents: f.residents.filter((r) => !r.underway || !online.has(r.id)),
  }))

  const note = (height: BlockHeight): void => {
    const own = lockedIn(factories)
    if (capital.at(-1)?.own !== own) capital.push({ height, own })
  }
  const known = (instance: InstanceId): InstanceId | undefined => (invented.has(instance) ? undefined : instance)
  const replace = (instance: InstanceId, change: Partial<LadderFactory>): void => {
    factories = factories.map((f) => (f.instance === instance ? { ...f, ...change } : f))
  }

  const begin = (
    height: BlockHeight,
    old: LadderFactory | undefined,
    movers: readonly Resident[],
    join: readonly NewClient[],
  ): void => {
    const clients = [...movers, ...join.map((j) => ({ ...j, balance: msat(0), underway: false }))]
    const instance = instanceId((invented.size + 1).toString(16).padStart(64, 'f'))
    invented.add(instance)
    const factory: LadderFactory = {
      instance,
      phase: 'building',
      expiry: blockHeight(height + lifetime(config, clients.length)),
      earlyWarning: planTree({ params: config.params, capacities: clients.map((c) => c.capacity) }).earlyWarning,
      confirmationMargin: config.params.confirmationMargin,
      createdAt: height,
      fundingAmount: fundingFor(config, clients),
      places: clients.length,
      residents: [],
      rotating: false,
      reapable: true,
    }
    factories = [...factories, factory]
    pending.push({ ends: height + settleBlocks(config), old: old?.instance, factory, clients })
    if (old !== undefined) replace(old.instance, { rotating: true })
    const joined = new Set(join.map((j) => j.id))
    waiting = waiting.filter((w) => !joined.has(w.id))
    events.push({
      height,
      what: old === undefined ? 'create' : 'rotate',
      instance: old === undefined ? undefined : known(old.instance),
      clients: clients.length,
      vsize: FUNDING_VSIZE,
    })
  }

  const end = (height: BlockHeight, { old, factory, clients }: Pending): void => {
    replace(factory.instance, { phase: 'open', residents: clients })
    memory = succeeded(memory, old, height)
    const before = factories.find((f) => f.instance === old)
    if (before === undefined) return
    const moved = new Set(clients.map((c) => c.id))
    replace(before.instance, { rotating: false, residents: before.residents.filter((r) => !moved.has(r.id)) })
  }

  const act = (height: BlockHeight, decision: Decision): void => {
    if (decision.do === 'create') {
      begin(height, undefined, [], decision.clients)
      return
    }
    if (decision.do === 'wait') return
    const factory = factories.find((f) => f.instance === decision.instance)
    if (factory === undefined) return
    if (decision.do === 'rotate') {
      const movers = factory.residents.filter((r) => decision.clients.includes(r.id))
      begin(height, factory, movers, decision.join)
      return
    }
    if (decision.do === 'exit' && height < decision.by) return
    factories = factories.filter((f) => f !== factory)
    const { residents, instance } = factory
    events.push({
      height,
      what: decision.do,
      instance: known(instance),
      clients: residents.length,
      vsize: decision.do === 'reap' ? REAP_VSIZE : exitVsize(view, factory),
    })
  }

  note(view.height)
  let height = view.height
  while (height <= until) {
    for (const p of pending.filter((one) => one.ends <= height)) end(height, p)
    pending = pending.filter((p) => p.ends > height)
    const now = view.now + (height - view.height) * 600
    const busy = new Set(pending.flatMap((p) => p.clients.map((c) => c.id)))
    const creating = pending.some((p) => p.old === undefined)
    const decisions = decide({ ...view, height, now, factories, waiting, creating, online, busy, memory })
    for (const decision of decisions) act(height, decision)
    note(height)
    const next = [...decisions.map(dueAt), ...pending.map((p) => p.ends)].reduce((a, b) => Math.min(a, b), until + 1)
    height = blockHeight(Math.max(next, Math.min(height + STRIDE, until + 1)))
  }
  return {
    until,
    events,
    capital,
    peak: capital.reduce((most, c) => (c.own > most ? c.own : most), sat(0)),
    vsize: events.reduce((sum, e) => sum + e.vsize, 0),
  }
}

function dueAt(decision: Decision): number {
  if (decision.do === 'wait') return decision.until
  return decision.do === 'exit' ? decision.by : 0
}

/**
 * Whoever is left on chain takes the whole factory there: what the LSP has in the channels of those who moved is in the same tree, and
 * from the expiry on the distributions would give it away. vB, the most that it can be.
 */
function exitVsize({ config }: LadderView, { places }: LadderFactory): number {
  const tree = new Map<string, number>()
  for (let i = 1; i <= places; i += 1)
    for (const step of exitSteps(config.params, places, participantIndex(i))) tree.set(step.id, step.vsize)
  const transactions = [...tree.values()].reduce((sum, vsize) => sum + vsize, 0)
  return transactions + places * (COMMITMENT_VSIZE + SWEEP_VSIZE)
}

/** Fees of so many vB, in sat. @param feerate sat per 1000 vB */
export const feesAt = (vsize: number, feerate: number): Sat => sat(Math.ceil((vsize * feerate) / 1000))
