/**
 * The factory node: machines in the middle, store, host and chain around them. It executes what the machines decide and decides
 * nothing itself. One event at a time: a step and its commit are synchronous, so that no two steps interleave.
 */
import { FactoryError, type Payload } from '@ln-factory/tlv'
import { createClient, createLsp, grantOpenStep, expectsOpen } from '../ceremony/index.js'
import { MIN_USE } from '../ceremony/terms.js'
import { defaultFeeLimits, type FeeLimits } from '../fees/index.js'
import { decideHtlc } from '../htlc/index.js'
import type { Host, HostHandlers, HtlcDecision, HtlcEvent, OpenDecision, OpenRequest } from '../host/port.js'
import { idBytes, type Context, type Effect, type Event, type Step } from '../machine/index.js'
import type { ClientState, LspState } from '../ceremony/index.js'
import { FACTORY_SECRET_LABEL } from '../signing/index.js'
import { encodeState, type FactoryStore, type Role, type StoredLog } from '../store/index.js'
import { planTree } from '../tree/index.js'
import { fromWire } from '../ceremony/terms.js'
import {
  blocks,
  instanceId,
  msat,
  type BlockHeight,
  type Blocks,
  type InstanceId,
  type NodeId,
  type Sat,
} from '../units/index.js'
import { ChainFollower, type ChainEvent } from '../watch/index.js'
import type {
  CreateRequest,
  CreateResult,
  FactoryApi,
  FactoryDetails,
  FactorySummary,
  GatedChannel,
  PathTxSummary,
  PeerSummary,
  PendingInvite,
  Policy,
} from './api.js'
import { FeeBumper } from './bumper.js'
import { execute } from './executor.js'
import { gateOf, granted, shutGate, Unbacked } from './gates.js'
import { advance, clientMachine, lspMachine, revive, stepMachine, type Machine } from './machine.js'
import { Peers } from './peers.js'
import { loadPolicy, savePolicy } from './policy.js'
import { systemSchedule, Timers, type Schedule } from './timers.js'
import { describe, exitPlan, phaseOf, summarize } from './views.js'
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
}

/** Invitations that one unknown LSP may leave waiting for the operator. */
const MAX_PENDING_PER_PEER = 8

export class FactoryNode implements FactoryApi, HostHandlers {
  readonly #machines = new Map<InstanceId, Machine>()
  readonly #peers: Peers
  readonly #timers: Timers
  readonly #watchlist = new Watchlist()
  readonly #waiters = new Waiters()
  readonly #unbacked = new Unbacked()
  readonly #follower: ChainFollower
  readonly #bumper: FeeBumper
  #policy: Policy

  private constructor(
    readonly deps: NodeDeps,
    readonly nodeSecret: Uint8Array,
    private height: BlockHeight,
  ) {
    this.#peers = new Peers(deps.host)
    this.#timers = new Timers((instance, name) => {
      this.#dispatch(instance, { type: 'timer', name })
    }, deps.schedule ?? systemSchedule)
    this.#policy = loadPolicy(deps.store, deps.policy)
    this.#bumper = new FeeBumper({
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

  /**
   * Loads every factory and answers what happened meanwhile before anything else (invariant 12).
   * @throws FactoryError `store_corrupt`, `store_version`, `host_failed`
   */
  static async start(deps: NodeDeps): Promise<FactoryNode> {
    const secret = await deps.host.deriveSecret(FACTORY_SECRET_LABEL)
    const node = new FactoryNode(deps, secret, await deps.host.height())
    for (const stored of deps.store.machines()) node.#machines.set(stored.instance, revive(stored))
    await node.channelsChanged()
    for (const instance of node.#machines.keys()) node.#dispatch(instance, { type: 'resume' })
    await node.#follower.sync()
    await node.#lookAtHtlcs()
    return node
  }

  /** Timers end; the store is the caller's to close. */
  stop(): void {
    this.#timers.stop()
  }

  get nodeId(): NodeId {
    return this.deps.host.nodeId
  }

  // ---- what the host tells ------------------------------------------------------------------------------------------

  message(peer: NodeId, body: Uint8Array): Promise<void> {
    try {
      const payload = this.#peers.receive(peer, body)
      if (payload !== undefined) this.#onPayload(peer, payload)
    } catch (error) {
      // Invariant 11: bad input changes nothing.
      this.#warn(`message from ${peer} ignored`, error)
    }
    return Promise.resolve()
  }

  otherProtocol(peer: NodeId, body: Uint8Array): void {
    try {
      this.#peers.foreign(peer, body)
    } catch (error) {
      this.#warn(`announcement from ${peer} ignored`, error)
    }
  }

  async peerConnected(peer: NodeId): Promise<void> {
    const info = (await this.deps.host.peers()).find((p) => p.id === peer)
    if (info?.connected !== true || !info.factories) return
    this.#peers.connected(peer)
    this.#dispatchAll({ type: 'connected', peer })
  }

  peerDisconnected(peer: NodeId): Promise<void> {
    this.#peers.disconnected(peer)
    this.#dispatchAll({ type: 'disconnected', peer })
    return Promise.resolve()
  }

  openRequest(request: OpenRequest): OpenDecision {
    for (const [instance, machine] of this.#machines) {
      if (machine.role !== 'client' || !expectsOpen(machine.state, request)) continue
      try {
        this.#commit(instance, machine, grantOpenStep(machine.state))
      } catch (error) {
        this.#warn(`factory ${instance}: grant`, error)
        return { kind: 'refuse', reason: 'the grant could not be stored' }
      }
      return { kind: 'factory', instance }
    }
    return { kind: 'ordinary' }
  }

  htlc(event: HtlcEvent): HtlcDecision {
    return decideHtlc({
      event,
      in: this.gated(event.inChannelId),
      out: event.outChannelId === undefined ? undefined : this.gated(event.outChannelId),
    })
  }

  async block(height: BlockHeight): Promise<void> {
    this.height = height
    await this.#follower.sync()
    await this.#lookAtHtlcs()
  }

  async channelsChanged(): Promise<void> {
    const channels = await this.deps.host.channels()
    this.#unbacked.update(channels, new Set(granted(this.#machines.values()).keys()))
    this.#dispatchAll({ type: 'channelsChanged' })
  }

  // ---- what the operator asks ---------------------------------------------------------------------------------------

  async create(request: CreateRequest): Promise<CreateResult> {
    const plan = planTree({ params: request.params, capacities: request.clients.map((c) => c.capacity) })
    checkRequest(request, plan.earlyWarning)
    await this.#checkPeers(request)
    const instance = instanceId(Buffer.from(this.deps.entropy(32)).toString('hex'))
    const step = createLsp(instance, request, this.height)
    this.#found(instance, lspMachine(step.state), step)
    return this.#waiters.wait(instance, (m) => {
      if (m.role !== 'lsp') return undefined
      if (m.state.stage === 'aborted')
        throw new FactoryError(m.state.code, m.state.reason, `factory-show ${instance} tells more.`)
      if (m.state.stage !== 'confirming' && m.state.stage !== 'active') return undefined
      const { txid, vout } = m.state.funding
      return { instance, funding: { txid, vout }, fundingAmount: m.state.fundingAmount }
    })
  }

  async list(): Promise<FactorySummary[]> {
    const channels = await this.deps.host.channels()
    return [...this.#machines].map(([instance, m]) =>
      this.#noticed(summarize(m, this.nodeId, channels, this.#context(instance))),
    )
  }

  async show(instance: InstanceId): Promise<FactoryDetails> {
    const machine = this.#machine(instance)
    return this.#noticed(describe(machine, this.nodeId, await this.deps.host.channels(), this.#context(instance)))
  }

  /** A fee that is missing comes first: it is what the operator can do something about. */
  #noticed<T extends FactorySummary>(summary: T): T {
    return { ...summary, notice: this.#bumper.notice(summary.instance) ?? summary.notice }
  }

  async peers(): Promise<PeerSummary[]> {
    return (await this.deps.host.peers()).map((info) => this.#peers.summary(info))
  }

  invites(): PendingInvite[] {
    return [...this.#machines.values()].flatMap((m) => {
      if (m.role !== 'client' || m.state.stage !== 'invited') return []
      const { instance, lsp, invite, answerBefore } = m.state
      const { capacity, push, clients, expiry, earlyWarning } = invite
      return [
        {
          instance,
          lsp,
          capacity: capacity as Sat,
          push: msat(push),
          clients,
          expiry: expiry as BlockHeight,
          earlyWarning: blocks(earlyWarning),
          params: fromWire(invite.params),
          answerBefore,
        },
      ]
    })
  }

  answer(instance: InstanceId, accept: boolean, reason = 'the operator said no'): Promise<void> {
    return this.#order(instance, { order: 'answer', accept, reason })
  }

  policy(): Policy {
    return this.#policy
  }

  setPolicy(policy: Policy): void {
    savePolicy(this.deps.store, policy)
    this.#policy = policy
  }

  abort(instance: InstanceId, reason: string): Promise<void> {
    return this.#order(instance, { order: 'abort', reason })
  }

  async close(instance: InstanceId, feerate: number): Promise<{ txid: string; fee: Sat; vsize: number; ours: Sat }> {
    this.#machine(instance)
    const script = await this.deps.host.newScript()
    await this.#order(instance, { order: 'close', feerate, script })
    return this.#waiters.wait(
      instance,
      (m) => {
        if (m.role !== 'lsp') return undefined
        if (m.state.stage === 'active' || m.state.stage === 'confirming')
          throw new FactoryError('aborted', m.state.notice ?? 'the close was given up')
        if (m.state.stage !== 'closing') return undefined
        if (m.state.notice !== undefined) throw new FactoryError('aborted', m.state.notice)
        const { close } = m.state
        if (close.step !== 'signed' || !close.accepted) return undefined
        return { txid: close.txid, fee: close.fee, vsize: close.vsize, ours: close.ours }
      },
      this.#machine(instance),
    )
  }

  async exit(instance: InstanceId): Promise<{ transactions: readonly PathTxSummary[]; blocks: Blocks }> {
    await this.#order(instance, { order: 'exit' })
    return exitPlan(this.#machine(instance), this.#context(instance))
  }

  gated(channelId: string): GatedChannel | undefined {
    const gate = gateOf(this.#machines.values(), channelId)
    if (gate !== undefined || this.#unbacked.isOrdinary(channelId)) return gate
    // Not looked at yet, or zero-conf without a factory behind it. Without any grant there is no such thing.
    const [machine] = granted(this.#machines.values()).values()
    return machine === undefined ? undefined : shutGate(machine)
  }

  log(filter: Parameters<FactoryApi['log']>[0]): StoredLog[] {
    return this.deps.store.log(filter)
  }

  /** One look at the channels per block, for all factories: an HTLC near its end takes its channel on chain. */
  async #lookAtHtlcs(): Promise<void> {
    if (![...this.#machines.values()].some((m) => m.state.stage === 'active')) return
    const channels = await this.deps.host.channels()
    this.#dispatchAll({ type: 'channels', channels, height: this.height })
  }

  // ---- the machines -------------------------------------------------------------------------------------------------

  #onPayload(peer: NodeId, payload: Payload): void {
    const instance = instanceId(Buffer.from(payload.instanceId).toString('hex'))
    const machine = this.#machines.get(instance)
    if (machine !== undefined) {
      this.#dispatch(instance, { type: 'message', peer, payload })
      return
    }
    if (payload.kind === 'sync') {
      this.#peers.send(peer, { kind: 'abort', instanceId: payload.instanceId, reason: 'unknown instance' })
      return
    }
    if (payload.kind !== 'invite') return
    const pending = this.invites().filter((i) => i.lsp === peer).length
    if (pending >= MAX_PENDING_PER_PEER) {
      this.#peers.send(peer, {
        kind: 'refuse',
        instanceId: idBytes(instance),
        reason: 'too many invitations are waiting',
      })
      return
    }
    const step = createClient(instance, peer, payload, this.#context(instance))
    this.#found(instance, clientMachine(step.state), step)
  }

  /** A new factory: known when it is on disk, and not at all when it can't be put there. */
  #found(instance: InstanceId, machine: Machine, step: Step<LspState | ClientState>): void {
    this.#machines.set(instance, machine)
    try {
      this.#commit(instance, machine, step)
    } catch (error) {
      this.#machines.delete(instance)
      throw error
    }
  }

  #onChain(event: ChainEvent): void {
    switch (event.kind) {
      case 'confirmed':
        for (const i of this.#watchlist.of(event.txid)) {
          const machine = this.#machines.get(i)
          if (machine !== undefined) this.#bumper.confirmed({ instance: i, role: machine.role }, event.txid)
          this.#dispatch(i, { type: 'confirmed', txid: event.txid, height: event.height })
        }
        return
      case 'unconfirmed':
        for (const i of this.#watchlist.of(event.txid)) this.#dispatch(i, { type: 'unconfirmed', txid: event.txid })
        return
      case 'spent':
        for (const i of this.#watchlist.of(event.outpoint))
          this.#dispatch(i, { type: 'spent', outpoint: event.outpoint, by: event.by, height: event.height })
        return
      case 'unspent':
        return
      case 'tip':
        this.#dispatchAll({ type: 'tip', height: event.height })
    }
  }

  #context(instance: InstanceId): Context {
    const { deps } = this
    return {
      self: this.nodeId,
      nodeSecret: this.nodeSecret,
      entropy: deps.entropy,
      height: this.height,
      now: deps.clock(),
      policy: this.#policy,
      maxPush: deps.host.caps.maxPush,
      item: (key) => deps.store.item(instance, key),
    }
  }

  #machine(instance: InstanceId): Machine {
    const machine = this.#machines.get(instance)
    if (machine === undefined)
      throw new FactoryError(
        'unknown_instance',
        `no factory ${instance}`,
        'factory-list names the factories of this node.',
      )
    return machine
  }

  /** An operator's order: what it throws goes to the operator. */
  #order(instance: InstanceId, order: Extract<Event, { type: 'operator' }>['order']): Promise<void> {
    try {
      const machine = this.#machine(instance)
      this.#commit(instance, machine, stepMachine(machine, { type: 'operator', order }, this.#context(instance)))
      return Promise.resolve()
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #dispatchAll(event: Event): void {
    for (const instance of [...this.#machines.keys()]) this.#dispatch(instance, event)
  }

  #dispatch(instance: InstanceId, event: Event): void {
    const machine = this.#machines.get(instance)
    if (machine === undefined) return
    try {
      this.#commit(instance, machine, stepMachine(machine, event, this.#context(instance)))
    } catch (error) {
      if (error instanceof FactoryError && error.code === 'signing_conflict' && event.type !== 'conflict') {
        this.#dispatch(instance, { type: 'conflict', error: error.message })
        return
      }
      this.#warn(`factory ${instance}: ${event.type}`, error)
    }
  }

  /** Persist, then act. When the store refuses, the step has not happened. */
  #commit(instance: InstanceId, machine: Machine, step: Step<LspState | ClientState>): void {
    const changed = !machine.stored || step.state !== machine.state
    if (machine.role === 'client' && step.state.role === 'client' && !machine.stored && isUnanswered(step.state)) {
      // An invitation is not worth a place on disk before it is accepted: it costs the LSP nothing to ask again.
      machine.state = step.state
      if (step.state.stage !== 'invited') this.#machines.delete(instance)
      if (step.state.stage === 'refused')
        this.deps.host.log('info', `invitation ${instance} from ${step.state.lsp} refused: ${step.state.reason}`)
      this.#run(instance, machine.role, step.effects)
      return
    }
    if (changed || step.records.length + step.items.length + step.log.length > 0) {
      this.deps.store.commit({
        instance,
        role: machine.role,
        state: changed ? encodeState(step.state) : undefined,
        records: step.records,
        items: step.items,
        log: step.log,
      })
    }
    const before = phaseOf(machine)
    advance(machine, step.state)
    const after = phaseOf(machine)
    if (before !== after) this.deps.host.log('info', `factory ${instance} is ${after}`)
    this.#run(instance, machine.role, step.effects)
    this.#waiters.look(instance, machine)
  }

  #run(instance: InstanceId, role: Role, effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.do) {
        case 'send':
          this.#peers.send(effect.peer, effect.payload)
          break
        case 'call':
          void execute(this.deps.host, effect.call, (call) => this.#bumper.send({ instance, role }, call)).then(
            (event) => {
              this.#dispatch(instance, event)
            },
          )
          break
        case 'timer':
          this.#timers.set(instance, effect.name, effect.seconds)
          break
        case 'cancelTimer':
          this.#timers.cancel(instance, effect.name)
          break
        case 'remark':
          this.deps.host.log('info', effect.text)
          break
        case 'watchTx':
          this.#watchlist.add(effect.txid, instance)
          this.#follower.watchTx(effect.txid, effect.since)
          break
        case 'watchOutpoint':
          this.#watchlist.add(effect.outpoint, instance)
          this.#follower.watchOutpoint(effect.outpoint, effect.since)
          break
      }
    }
  }

  async #checkPeers(request: CreateRequest): Promise<void> {
    const peers = new Map((await this.peers()).map((p) => [p.id, p]))
    for (const { id } of request.clients) {
      const peer = peers.get(id)
      if (peer?.connected !== true)
        throw new FactoryError('peer_offline', `${id} is not connected`, 'Connect to it first; it must stay connected.')
      if (peer.protocol === 'other')
        throw new FactoryError('peer_other_protocol', `${id} speaks ${peer.names.join(', ')}, not ln-factory`)
      if (peer.protocol === 'unknown')
        throw new FactoryError(
          'peer_unsupported',
          `${id} has not announced its factory protocols yet`,
          'Try again in a moment.',
        )
      if (peer.protocol === 'none')
        throw new FactoryError('peer_unsupported', `${id} does not offer pluggable channel factories (feature bit 271)`)
    }
  }

  #warn(what: string, error: unknown): void {
    const text = error instanceof Error ? error.message : String(error)
    this.deps.host.log(error instanceof FactoryError ? 'warn' : 'error', `${what}: ${text}`)
  }
}

/** Nothing of ours depends on it yet. */
const isUnanswered = ({ stage }: ClientState): boolean =>
  stage === 'invited' || stage === 'refused' || stage === 'aborted'

/** @throws FactoryError `bad_parameter` */
function checkRequest(request: CreateRequest, earlyWarning: Blocks): void {
  if (!Number.isInteger(request.stepTimeout) || request.stepTimeout < 1 || request.stepTimeout > 0xffff)
    throw new FactoryError('bad_parameter', `a step may take 1 to 65535 seconds, not ${request.stepTimeout}`)
  if (new Set(request.clients.map((c) => c.id)).size !== request.clients.length)
    throw new FactoryError('bad_parameter', 'a client is named twice')
  if (request.lifetime < earlyWarning + MIN_USE)
    throw new FactoryError(
      'bad_parameter',
      `a lifetime of ${request.lifetime} blocks is too short: W is ${earlyWarning}, and ${MIN_USE} blocks of use are the least`,
    )
  for (const c of request.clients)
    if (c.push > c.capacity * 1000n) throw new FactoryError('bad_amount', `the push to ${c.id} exceeds its capacity`)
}
