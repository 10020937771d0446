/**
 * The engine of a factory node: it executes what the machines decide and decides nothing itself. One event at a time: a step and
 * its commit are synchronous, so that no two steps interleave.
 */
import { FactoryError } from '@ln-factory/tlv'
import type { ClientState, LspState } from '../ceremony/index.js'
import { defaultFeeLimits, type FeeLimits } from '../fees/index.js'
import type { Host } from '../host/port.js'
import type { Context, Effect, Event, OperatorOrder, Step } from '../machine/index.js'
import type { FactoryStore, Role } from '../store/index.js'
import type { LadderConfig } from '../ladder/index.js'
import type { BlockHeight, InstanceId, NodeId } from '../units/index.js'
import { ChainFollower, type ChainEvent } from '../watch/index.js'
import type { Policy } from './api.js'
import { Allowances } from './allowance.js'
import { Anchorage } from './anchorage.js'
import { FeeBumper } from './bumper.js'
import { Copies } from './copies.js'
import { execute } from './executor.js'
import { HeldHtlcs } from './held.js'
import { advance, revive, stepMachine, type Machine } from './machine.js'
import { Peers } from './peers.js'
import { packState } from './persist.js'
import { loadPolicy, savePolicy } from './policy.js'
import { systemSchedule, Timers, type Schedule } from './timers.js'
import { phaseOf } from './views.js'
import { Waiters } from './waiters.js'
import { Watchlist } from './watchlist.js'

export interface NodeDeps {
  readonly host: Host
  readonly store: FactoryStore
  /** Used until the operator changes it at run time. */
  readonly policy: Policy
  /** Cryptographically secure random bytes. */
  readonly entropy: (bytes: number) => Uint8Array
  /** Unix seconds. */
  readonly clock: () => number
  /** Default: the process's own timers. */
  readonly schedule?: Schedule
  /** What the children of tree transactions may cost; default: `defaultFeeLimits`. */
  readonly feeLimits?: FeeLimits
  /** Trees of the ladder's factories, and what goes with them; default: `defaultLadder`. Not stored: options are read at each start. */
  readonly ladder?: Pick<LadderConfig, 'params'>
}

export class Engine {
  readonly machines = new Map<InstanceId, Machine>()
  readonly peers: Peers
  readonly waiters = new Waiters()
  readonly held = new HeldHtlcs()
  readonly bumper: FeeBumper
  readonly copies: Copies
  readonly allowances: Allowances
  readonly #anchorage: Anchorage
  readonly #timers: Timers
  readonly #watchlist = new Watchlist()
  readonly #follower: ChainFollower
  #policy: Policy

  constructor(
    readonly deps: NodeDeps,
    readonly nodeSecret: Uint8Array,
    public height: BlockHeight,
  ) {
    this.peers = new Peers(deps.host)
    this.allowances = new Allowances(deps.clock)
    this.#timers = new Timers((instance, name) => {
      this.dispatch(instance, { type: 'timer', name })
    }, deps.schedule ?? systemSchedule)
    this.#anchorage = new Anchorage(deps.host.anchor, deps.schedule ?? systemSchedule, (text) => {
      deps.host.log('error', text)
    })
    this.copies = new Copies(this, this.#anchorage)
    this.#policy = loadPolicy(deps.store, deps.policy)
    this.bumper = new FeeBumper({
      host: deps.host,
      store: deps.store,
      limits: deps.feeLimits ?? defaultFeeLimits,
      height: () => this.height,
    })
    this.#follower = new ChainFollower(deps.host, deps.store, (event) => {
      this.#onChain(event)
      return Promise.resolve()
    })
  }

  get nodeId(): NodeId {
    return this.deps.host.nodeId
  }

  get policy(): Policy {
    return this.#policy
  }

  set policy(policy: Policy) {
    savePolicy(this.deps.store, policy)
    this.#policy = policy
  }

  /** @throws FactoryError `store_corrupt`, `store_version` */
  load(): void {
    for (const stored of this.deps.store.machines()) this.machines.set(stored.instance, revive(stored, this.deps.store))
  }

  /** Follow the chain to its tip; what was seen is told to the machines. */
  sync(): Promise<void> {
    return this.#follower.sync()
  }

  /** Timers end; the store is the caller's to close. */
  stop(): void {
    this.#timers.stop()
    this.#anchorage.stop()
  }

  /** @throws FactoryError `unknown_instance` */
  machine(instance: InstanceId): Machine {
    const machine = this.machines.get(instance)
    const notice = machine === undefined ? this.copies.notice(instance) : undefined
    if (notice !== undefined) throw new FactoryError('restored', notice)
    if (machine === undefined)
      throw new FactoryError(
        'unknown_instance',
        `no factory ${instance}`,
        'factory-list names the factories of this node.',
      )
    return machine
  }

  context(instance: InstanceId): Context {
    const { deps } = this
    return {
      self: this.nodeId,
      nodeSecret: this.nodeSecret,
      entropy: deps.entropy,
      height: this.height,
      now: deps.clock(),
      policy: this.#policy,
      maxPush: deps.host.caps.maxPush,
      choosesForwardingChannel: deps.host.caps.choosesForwardingChannel,
      blip56: deps.host.caps.blip56,
      sealed: deps.store.isSealed(instance),
      item: (key) => deps.store.item(instance, key),
      factory: (other) => this.machines.get(other)?.state,
      connected: (peer) => this.peers.isConnected(peer),
    }
  }

  /** A new factory: known when it is on disk, and not at all when it can't be put there. */
  found(instance: InstanceId, machine: Machine, step: Step<LspState | ClientState>): void {
    this.machines.set(instance, machine)
    try {
      this.commit(instance, machine, step)
    } catch (error) {
      this.machines.delete(instance)
      throw error
    }
  }

  /** An operator's order: what it throws goes to the operator. */
  order(instance: InstanceId, order: OperatorOrder): Promise<void> {
    try {
      const machine = this.machine(instance)
      this.commit(instance, machine, stepMachine(machine, { type: 'operator', order }, this.context(instance)))
      return Promise.resolve()
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)))
    }
  }

  dispatchAll(event: Event): void {
    for (const instance of [...this.machines.keys()]) this.dispatch(instance, event)
  }

  dispatch(instance: InstanceId, event: Event): void {
    const machine = this.machines.get(instance)
    if (machine === undefined) return
    try {
      this.commit(instance, machine, stepMachine(machine, event, this.context(instance)))
    } catch (error) {
      if (error instanceof FactoryError && error.code === 'signing_conflict' && event.type !== 'conflict') {
        this.dispatch(instance, { type: 'conflict', error: error.message })
        return
      }
      this.warn(`factory ${instance}: ${event.type}`, error)
    }
  }

  /** Persist, then act. When the store refuses, the step has not happened. */
  commit(instance: InstanceId, machine: Machine, step: Step<LspState | ClientState>): void {
    const changed = !machine.stored || step.state !== machine.state
    if (machine.role === 'client' && step.state.role === 'client' && !machine.stored && isUnanswered(step.state)) {
      // An invitation is not worth a place on disk before it is accepted: it costs the LSP nothing to ask again.
      machine.state = step.state
      if (step.state.stage !== 'invited') this.machines.delete(instance)
      if (step.state.stage === 'refused')
        this.deps.host.log('info', `invitation ${instance} from ${step.state.lsp} refused: ${step.state.reason}`)
      this.#run(instance, machine.role, step.effects)
      return
    }
    const packed = changed ? packState(step.state, machine.packed ? machine.state : undefined) : undefined
    if (packed !== undefined || step.records.length + step.items.length + step.log.length > 0) {
      this.deps.store.commit({
        instance,
        role: machine.role,
        state: packed?.text,
        records: step.records,
        items: packed === undefined ? step.items : [...step.items, ...packed.items],
        log: step.log,
      })
    }
    const before = phaseOf(machine)
    advance(machine, step.state)
    machine.packed ||= packed !== undefined
    const after = phaseOf(machine)
    if (before !== after) this.deps.host.log('info', `factory ${instance} is ${after}`)
    if (before !== after || step.records.length > 0) this.copies.keep(instance, machine)
    this.#run(instance, machine.role, step.effects)
    this.waiters.look(instance, machine)
  }

  /** Of what a peer sent, so often as it is allowed to fill the log. */
  warnOf(peer: NodeId, error: unknown): void {
    const line = this.allowances.line(peer, `message from ${peer} ignored`)
    if (line !== undefined) this.warn(line, error)
  }

  warn(what: string, error: unknown): void {
    const text = error instanceof Error ? error.message : String(error)
    this.deps.host.log(error instanceof FactoryError ? 'warn' : 'error', `${what}: ${text}`)
  }

  #onChain(event: ChainEvent): void {
    switch (event.kind) {
      case 'confirmed':
        for (const i of this.#watchlist.of(event.txid)) {
          const machine = this.machines.get(i)
          if (machine !== undefined) this.bumper.confirmed({ instance: i, role: machine.role }, event.txid)
          this.dispatch(i, { type: 'confirmed', txid: event.txid, height: event.height })
        }
        return
      case 'unconfirmed':
        for (const i of this.#watchlist.of(event.txid)) this.dispatch(i, { type: 'unconfirmed', txid: event.txid })
        return
      case 'spent':
        for (const i of this.#watchlist.of(event.outpoint)) {
          const { outpoint, by, tx, height } = event
          this.dispatch(i, { type: 'spent', outpoint, by, tx, height })
        }
        return
      case 'unspent':
        for (const i of this.#watchlist.of(event.outpoint))
          this.dispatch(i, { type: 'unspent', outpoint: event.outpoint, by: event.by })
        return
      case 'tip':
        this.dispatchAll({ type: 'tip', height: event.height })
    }
  }

  #run(instance: InstanceId, role: Role, effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.do) {
        case 'send':
          this.#anchorage.leave(instance, () => {
            this.peers.send(effect.peer, effect.payload)
          })
          break
        case 'call':
          this.#anchorage.leave(instance, () => {
            void execute(this.deps.host, effect.call, (call) => this.bumper.send({ instance, role }, call)).then(
              (event) => {
                this.dispatch(instance, event)
              },
            )
          })
          break
        case 'timer':
          this.#timers.set(instance, effect.name, effect.seconds)
          break
        case 'cancelTimer':
          this.#timers.cancel(instance, effect.name)
          break
        case 'remark':
          if (this.allowances.remark()) this.deps.host.log('info', effect.text)
          break
        case 'watchTx':
          this.#watchlist.add(effect.txid, instance)
          this.#follower.watchTx(effect.txid, effect.since)
          break
        case 'watchOutpoint':
          this.#watchlist.add(effect.outpoint, instance)
          this.#follower.watchOutpoint(effect.outpoint, effect.since)
          break
        case 'unwatch':
          for (const what of this.#watchlist.drop(instance)) this.#follower.unwatch(what)
          break
        case 'answerHtlc':
          this.#anchorage.leave(instance, () => {
            this.held.answer(effect.htlc, effect.decision)
          })
          break
      }
    }
  }
}

/** Nothing of ours depends on it yet. */
const isUnanswered = ({ stage }: ClientState): boolean =>
  stage === 'invited' || stage === 'refused' || stage === 'aborted'
