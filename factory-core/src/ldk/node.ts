/**
 * A Lightning node on LDK: state, chain, peers and time. Order is what keeps its money: handle events, collect what the
 * manager wants to say, store everything in one commit, and only then speak.
 */
import * as ldk from 'lightningdevkit'
import { hex } from '@scure/base'
import { FactoryError } from '@ln-factory/tlv'
import type { Host } from '../host/port.js'
import { outPointKey, type NodeId } from '../units/index.js'
import { Bitcoin, words, type BitcoindRpc } from './bitcoind.js'
import { Broadcaster } from './broadcast.js'
import { keyBytes, nodeIdOf, outPointOf } from './convert.js'
import { dated } from './dated.js'
import { ChannelGate, type GateOwner } from './gate.js'
import { Messages, type MessageEvents } from './messages.js'
import { assemble, takeEvents, type Parts } from './parts.js'
import { Records } from './records.js'
import { Refusals } from './refusal.js'
import { corrupt, MANAGER, MONITOR, openManager, readMonitors } from './state.js'
import type { LdkStorage } from './storage.js'
import { ChainSync } from './sync.js'
import { Tcp, type TcpOwner } from './tcp.js'
import { ldkNetwork, loadLdk, type LdkNetwork } from './wasm.js'

export interface LdkNodeOptions {
  readonly network: LdkNetwork
  /** 32 bytes: the node's keys, and all secrets of its factories. */
  readonly seed: Uint8Array
  readonly storage: LdkStorage
  readonly bitcoind: BitcoindRpc
  readonly log: Host['log']
  /** Milliseconds between looks at bitcoind's tip. */
  readonly pollInterval?: number
}

/** What the node hands on. */
export interface NodeOwner extends Pick<GateOwner, 'refuses' | 'openRefused'>, MessageEvents {
  /** In the same commit as what follows from it. Must not await. */
  event(event: ldk.Event): void
  block(height: number): void
}

const SEED_BYTES = 32
/** Milliseconds, as LDK's documentation asks. */
const MANAGER_TICK = 60_000
const PEERS_TICK = 10_000
const REBROADCAST = 30_000
/** Rounds of events that one wake may take; what is left waits for the next. */
const MAX_ROUNDS = 50

export class LdkNode implements TcpOwner {
  readonly nodeId: NodeId
  readonly peers: ldk.PeerManager
  readonly messages: Messages
  readonly sync: ChainSync
  readonly tcp: Tcp
  /** Scripts of fundings whose monitor was made in this run, by outpoint. */
  readonly scripts = new Map<string, string>()
  private readonly gate: ChannelGate
  private readonly broadcaster: Broadcaster
  private readonly refusals: Refusals
  private readonly timers: NodeJS.Timeout[] = []
  private owner: NodeOwner | undefined
  private scheduled = false
  private stopped = false

  private constructor(
    readonly options: LdkNodeOptions,
    readonly bitcoin: Bitcoin,
    readonly parts: Parts,
    readonly manager: ldk.ChannelManager,
    readonly records: Records,
    private readonly writes: Map<string, Uint8Array | undefined>,
  ) {
    this.nodeId = nodeIdOf(manager.get_our_node_id())
    this.sync = new ChainSync(bitcoin, parts, manager, records)
    this.broadcaster = new Broadcaster(bitcoin, records, options.log)
    const active = (): NodeOwner => {
      if (this.owner === undefined) throw new FactoryError('wrong_state', 'the node does not run yet')
      return this.owner
    }
    this.refusals = new Refusals(options.storage, writes, parts.keys.get_node_secret_key())
    this.gate = new ChannelGate(manager, this.refusals, {
      refuses: (message) => active().refuses(message),
      openRefused: (peer, id, text) => {
        active().openRefused(peer, id, text)
      },
      dated: (event) => dated(event, parts.keys.as_NodeSigner()),
      isFactory: (id) => records.get(id)?.factory === true,
      isDropped: (id) => records.get(id)?.state === 'dropped',
      hasFactoryWith: (peer) => [...records.all()].some((r) => r.factory && r.peer === peer && r.state === 'live'),
      log: options.log,
    })
    // Callbacks come from inside LDK: what they start must wait until it has returned.
    const later = (act: (owner: NodeOwner) => void): void => {
      setImmediate(() => {
        if (!this.stopped) act(active())
      })
    }
    this.messages = new Messages({
      message: (peer, body) => later((o) => o.message(peer, body)),
      otherProtocol: (peer, body) => later((o) => o.otherProtocol(peer, body)),
      connected: (peer) => later((o) => o.connected(peer)),
      disconnected: (peer) => later((o) => o.disconnected(peer)),
    })
    const ignore = ldk.IgnoringMessageHandler.constructor_new()
    this.peers = ldk.PeerManager.constructor_new(
      this.gate.handler,
      ignore.as_RoutingMessageHandler(),
      ignore.as_OnionMessageHandler(),
      this.messages.handler,
      Math.floor(Date.now() / 1000),
      parts.keys.as_EntropySource().get_secure_random_bytes(),
      parts.logger,
      parts.keys.as_NodeSigner(),
    )
    this.tcp = new Tcp(this)
  }

  /**
   * Loads what is stored, or makes a new node at bitcoind's tip, and follows the chain up to now. Nothing is sent before `run`.
   * @throws FactoryError `bad_parameter` (main network), `store_corrupt`
   */
  static async open(options: LdkNodeOptions): Promise<LdkNode> {
    const network = ldkNetwork(options.network)
    if (options.seed.length !== SEED_BYTES) throw new FactoryError('bad_parameter', 'the seed of a node has 32 bytes')
    await loadLdk()
    const writes = new Map<string, Uint8Array | undefined>()
    const bitcoin = new Bitcoin(options.bitcoind)
    const records = new Records(Records.stored(options.storage), writes)
    let broadcast: (txs: readonly Uint8Array[]) => void = () => undefined
    let seen: (funding: ldk.OutPoint, monitor: ldk.ChannelMonitor) => void = () => undefined
    const key = (funding: ldk.OutPoint): string => outPointKey(outPointOf(funding))
    const parts = assemble({
      network,
      seed: options.seed,
      log: (level, text) => {
        options.log(level === 'error' ? 'warn' : 'debug', text)
      },
      broadcast: (txs) => {
        broadcast(txs)
      },
      persist: (funding, monitor) => {
        // A dropped channel's monitor would come back with every update of its close.
        if (records.atFunding(key(funding))?.state === 'dropped') return
        writes.set(MONITOR + key(funding), Uint8Array.from(monitor.write()))
        seen(funding, monitor)
      },
      archive: (funding) => {
        writes.set(MONITOR + key(funding), undefined)
      },
    })
    const tip = await bitcoin.tip()
    const monitors = readMonitors(options.storage, parts)
    const manager = openManager(options.storage, parts, network, tip, monitors.values())
    const node = new LdkNode(options, bitcoin, parts, manager, records, writes)
    broadcast = (txs) => void node.broadcast(txs)
    seen = (funding, monitor) => {
      node.scripts.set(key(funding), hex.encode(monitor.get_funding_txo().get_b()))
    }
    await node.sync.rewind()
    const watch = parts.chain.as_Watch()
    for (const { outpoint, monitor } of monitors.values()) {
      await node.sync.catchUp(monitor)
      if (!watch.watch_channel(outpoint, monitor).is_ok()) throw corrupt('a channel is stored twice')
    }
    await node.sync.sync()
    return node
  }

  /** From here on events flow, blocks are followed, and peers may connect. */
  run(owner: NodeOwner): void {
    this.owner = owner
    const every = (ms: number, act: () => void): void => {
      this.timers.push(setInterval(act, ms))
    }
    every(MANAGER_TICK, () => {
      this.manager.timer_tick_occurred()
      this.wake()
    })
    every(PEERS_TICK, () => {
      this.peers.timer_tick_occurred()
      this.wake()
    })
    every(REBROADCAST, () => {
      this.parts.chain.rebroadcast_pending_claims()
      this.wake()
    })
    every(this.options.pollInterval ?? 1000, () => void this.follow())
    this.wake()
  }

  /** Look at bitcoind now. Never rejects: the next look tries again. */
  async follow(): Promise<void> {
    const before = this.sync.tip.hash
    try {
      await this.sync.sync()
    } catch (error) {
      this.options.log('warn', `bitcoind: ${words(error)}`)
    }
    if (this.stopped || this.sync.tip.hash === before) return
    this.refusals.prune(this.manager.list_channels())
    this.wake()
    this.owner?.block(this.sync.tip.height)
  }

  get running(): boolean {
    return this.owner !== undefined && !this.stopped
  }

  wake(): void {
    if (this.scheduled || this.stopped || this.owner === undefined) return
    this.scheduled = true
    setImmediate(() => {
      this.scheduled = false
      if (!this.stopped) this.turn()
    })
  }

  /** Kept with the next commit. */
  set(key: string, value: Uint8Array | undefined): void {
    this.writes.set(key, value)
    this.wake()
  }

  /** The channel is as if it had never been: its monitor too. */
  forget(funding: string): void {
    this.set(MONITOR + funding, undefined)
  }

  /** @throws FactoryError `peer_offline` */
  async connect(peer: NodeId, host: string, port: number): Promise<void> {
    await this.tcp.connect(keyBytes(peer), host, port).catch((cause: unknown) => {
      throw new FactoryError('peer_offline', `${peer} can't be reached at ${host}:${port}`, undefined, { cause })
    })
    this.wake()
  }

  disconnect(peer: NodeId): void {
    this.peers.disconnect_by_node_id(keyBytes(peer))
    this.wake()
  }

  /** Idempotent; also of a node that has stopped by itself. */
  async stop(): Promise<void> {
    if (this.running) this.turn()
    this.halt()
    await this.tcp.close()
    this.options.storage.close()
  }

  /** Send what LDK wants sent, as far as it can be used. Never rejects. */
  broadcast(txs: readonly Uint8Array[]): Promise<void> {
    return this.broadcaster.broadcast(txs)
  }

  private turn(): void {
    try {
      let more = true
      for (let round = 0; more && round < MAX_ROUNDS; round++) {
        more = this.handleEvents()
        this.gate.collect()
      }
      this.commit()
      this.peers.process_events()
      if (more) this.wake()
    } catch (error) {
      // A state that can't be stored must not be acted on: this node says nothing more.
      this.options.log('error', `the LDK node stops: ${words(error)}`)
      this.halt()
      void this.tcp.close()
    }
  }

  /** @returns whether there were any */
  private handleEvents(): boolean {
    const events = takeEvents(this.manager, this.parts)
    for (const event of events) {
      try {
        this.owner?.event(event)
      } catch (error) {
        this.options.log('error', `event of LDK: ${words(error)}`)
      }
    }
    return events.length > 0
  }

  private commit(): void {
    const moved = this.manager.get_and_clear_needs_persistence()
    if (!moved && this.writes.size === 0) return
    this.writes.set(MANAGER, Uint8Array.from(this.manager.write()))
    this.options.storage.commit(this.writes)
    this.writes.clear()
  }

  private halt(): void {
    this.stopped = true
    for (const timer of this.timers) clearInterval(timer)
  }
}
