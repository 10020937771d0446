/** The factory node: machines in the middle, store, host and chain around them. This is the side that the host calls. */
import { instanceId, type BlockHeight, type InstanceId, type NodeId } from '../units/index.js'
import { createClient, expectsOpen, expectsSaleOpen, grantOpenStep } from '../ceremony/index.js'
import { decideHtlc } from '../htlc/index.js'
import type {
  HeldDecision,
  HostHandlers,
  HtlcDecision,
  HtlcEvent,
  OpenDecision,
  OpenRequest,
  ReceivedHtlc,
} from '../host/port.js'
import { idBytes } from '../machine/index.js'
import { FACTORY_SECRET_LABEL } from '../signing/index.js'
import { FactoryError, PROTOCOL_ID, type Payload } from '@ln-factory/tlv'
import { MAX_LIVE_FACTORIES, MAX_PENDING_INVITES } from './allowance.js'
import type { GatedChannel } from './api.js'
import { CoverageWatch } from './coverage-watch.js'
import { Engine, type NodeDeps } from './engine.js'
import { expectsHtlc } from './expected.js'
import { channelsBeside, gateOf, granted, shutGate, Unbacked } from './gates.js'
import { clientMachine } from './machine.js'
import { Ladder } from './ladder.js'
import { Operator } from './operator.js'

export class FactoryNode extends Operator implements HostHandlers {
  readonly #unbacked = new Unbacked()
  readonly ladder: Ladder
  readonly #coverage: CoverageWatch

  private constructor(engine: Engine) {
    super(engine)
    this.ladder = new Ladder(engine, this)
    this.#coverage = new CoverageWatch(engine)
  }

  /**
   * Loads every factory and answers what happened meanwhile before anything else (invariant 12).
   * @throws FactoryError `store_corrupt`, `store_version`, `host_failed`
   */
  static async start(deps: NodeDeps): Promise<FactoryNode> {
    const secret = await deps.host.deriveSecret(FACTORY_SECRET_LABEL)
    const engine = new Engine(deps, secret, await deps.host.height())
    engine.load()
    await engine.copies.check()
    const node = new FactoryNode(engine)
    await node.channelsChanged()
    for (const instance of engine.machines.keys()) engine.dispatch(instance, { type: 'resume' })
    await engine.sync()
    await node.#lookAtHtlcs()
    return node
  }

  /** Timers end; the store is the caller's to close. */
  stop(): void {
    this.engine.stop()
  }

  message(peer: NodeId, body: Uint8Array): Promise<void> {
    if (!this.#allowed(peer, body)) return Promise.resolve()
    try {
      const payload = this.engine.peers.receive(peer, body)
      if (payload !== undefined) this.#onPayload(peer, payload)
    } catch (error) {
      // Invariant 11: bad input changes nothing.
      this.engine.warnOf(peer, error)
    }
    return Promise.resolve()
  }

  otherProtocol(peer: NodeId, body: Uint8Array): void {
    if (!this.#allowed(peer, body)) return
    try {
      this.engine.peers.foreign(peer, body)
    } catch (error) {
      this.engine.warnOf(peer, error)
    }
  }

  #allowed(peer: NodeId, body: Uint8Array): boolean {
    const allowed = this.engine.allowances.message(peer, body.length)
    if (!allowed) this.engine.warnOf(peer, new FactoryError('wire_limit', 'more messages than a peer may send'))
    return allowed
  }

  async peerConnected(peer: NodeId): Promise<void> {
    const info = (await this.engine.deps.host.peers()).find((p) => p.id === peer)
    if (info?.connected !== true || !info.factories) return
    this.engine.peers.connected(peer)
    this.ladder.joining.connected(peer)
    this.engine.dispatchAll({ type: 'connected', peer })
  }

  peerDisconnected(peer: NodeId): Promise<void> {
    this.engine.peers.disconnected(peer)
    this.engine.dispatchAll({ type: 'disconnected', peer })
    return Promise.resolve()
  }

  openRequest(request: OpenRequest): OpenDecision {
    for (const [instance, machine] of this.engine.machines) {
      if (
        machine.role !== 'client' ||
        !(expectsOpen(machine.state, request) || expectsSaleOpen(machine.state, request))
      )
        continue
      try {
        this.engine.commit(instance, machine, grantOpenStep(machine.state))
      } catch (error) {
        this.engine.warn(`factory ${instance}: grant`, error)
        return { kind: 'refuse', reason: 'the grant could not be stored' }
      }
      return { kind: 'factory', instance }
    }
    // Of another protocol: another plugin's. Of ours: no ceremony announced it.
    return request.binding?.protocol === PROTOCOL_ID
      ? { kind: 'refuse', reason: 'no factory expects this channel' }
      : { kind: 'ordinary' }
  }

  htlc(event: HtlcEvent): HtlcDecision {
    const decision = this.#decide(event)
    if (decision.kind === 'continue' || event.outChannelId === undefined) return decision
    if (!this.engine.deps.host.caps.choosesForwardingChannel) return decision
    // The host took one of several channels with this client, and not one that may carry it.
    const forwardTo = channelsBeside(this.engine.machines.values(), event.outChannelId).filter(
      (other) => this.#decide({ ...event, outChannelId: other }).kind === 'continue',
    )
    return forwardTo.length === 0 ? decision : { kind: 'continue', forwardTo }
  }

  #decide(event: HtlcEvent): HtlcDecision {
    return decideHtlc({
      event,
      in: this.gated(event.inChannelId),
      out: event.outChannelId === undefined ? undefined : this.gated(event.outChannelId),
    })
  }

  received(htlc: ReceivedHtlc): Promise<HeldDecision> | undefined {
    for (const [instance, machine] of this.engine.machines) {
      if (!expectsHtlc(machine, htlc, this.engine.machines)) continue
      const held = this.engine.held.hold(htlc)
      this.engine.dispatch(instance, { type: 'htlcReceived', htlc })
      return held
    }
    return undefined
  }

  async block(height: BlockHeight): Promise<void> {
    this.engine.height = height
    await this.engine.sync()
    await this.#lookAtHtlcs()
    void this.ladder.block()
  }

  async channelsChanged(): Promise<void> {
    const channels = await this.engine.deps.host.channels()
    const peers = [...granted(this.engine.machines.values()).keys(), ...this.engine.copies.suspects(channels)]
    this.#unbacked.update(channels, new Set(peers))
    this.engine.dispatchAll({ type: 'channelsChanged' })
  }

  gated(channelId: string): GatedChannel | undefined {
    const { machines, copies } = this.engine
    const gate = gateOf(machines.values(), channelId) ?? gateOf(copies.suspended.values(), channelId)
    if (gate !== undefined && copies.hold(gate.instance) !== undefined && copies.hold(gate.instance) !== 'sealed')
      return { ...gate, gate: 'shut' }
    if (gate !== undefined || this.#unbacked.isOrdinary(channelId)) return gate
    // Not looked at yet, or zero-conf without a factory behind it. Without any grant there is no such thing.
    const [machine] = granted(machines.values()).values()
    return machine === undefined ? copies.shutGate() : shutGate(machine)
  }

  /** One look at the channels per block, for all factories: an HTLC near its end takes its channel on chain. */
  async #lookAtHtlcs(): Promise<void> {
    const { machines, height } = this.engine
    if (![...machines.values()].some((m) => m.state.stage === 'active')) return
    const channels = await this.engine.deps.host.channels()
    this.engine.dispatchAll({ type: 'channels', channels, height })
    this.#coverage.look(channels)
  }

  #onPayload(peer: NodeId, payload: Payload): void {
    const { machines, peers, copies } = this.engine
    if (this.ladder.joining.message(peer, payload)) return
    const instance: InstanceId = instanceId(Buffer.from(payload.instanceId).toString('hex'))
    if (machines.has(instance)) {
      this.engine.dispatch(instance, { type: 'message', peer, payload })
      return
    }
    // A factory that we have forgotten, or half of it: nothing we could say would be right.
    if (copies.suspended.has(instance) || copies.lost.has(instance)) return
    if (payload.kind === 'sync') {
      peers.send(peer, { kind: 'abort', instanceId: payload.instanceId, reason: 'unknown instance' })
      return
    }
    if (payload.kind !== 'invite') return
    const reason = this.#tooMany(peer)
    if (reason !== undefined) {
      peers.send(peer, { kind: 'refuse', instanceId: idBytes(instance), reason })
      return
    }
    const policy = this.ladder.joining.policyFor(peer, instance, payload.capacity)
    const step = createClient(instance, peer, payload, { ...this.engine.context(instance), policy })
    this.engine.found(instance, clientMachine(step.state), step)
  }
  /** Why another invitation of this LSP is refused unseen. */
  #tooMany(lsp: NodeId): string | undefined {
    if (!this.engine.allowances.invitation(lsp)) return 'too many invitations'
    let [waiting, live] = [0, 0]
    for (const { role, state } of this.engine.machines.values()) {
      if (role !== 'client' || state.lsp !== lsp) continue
      if (state.stage === 'invited') waiting++
      if (!ENDED.has(state.stage)) live++
    }
    if (waiting >= MAX_PENDING_INVITES) return 'too many invitations are waiting'
    if (live >= MAX_LIVE_FACTORIES) return 'too many factories'
    return undefined
  }
}

/** Stages in which nothing of a factory is left to do. */
const ENDED: ReadonlySet<string> = new Set(['closed', 'refused', 'aborted', 'settled'])
