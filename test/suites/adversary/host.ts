/** A node's host: the chain is real, peers and channels live in this process. A hostile host overrides what it likes. */
import { sha256 } from '@noble/hashes/sha2.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import type {
  BroadcastResult,
  FundingCheck,
  FundingTx,
  Host,
  HostCaps,
  HostChannel,
  PeerInfo,
} from '../../../factory-core/src/host/port.js'
import { decodeTx } from '../../../factory-core/src/tree/index.js'
import {
  MAX_MONEY,
  msat,
  sat,
  type BlockHeight,
  type Msat,
  type NodeId,
  type OutPoint,
  type Sat,
} from '../../../factory-core/src/units/index.js'
import type { Arena } from './arena.js'
import { commitment, fundingScriptOf, newKeys, type Channel, type ChannelKeys } from './channel.js'

export class ArenaHost implements Host {
  readonly caps: HostCaps = {
    name: 'arena',
    minReserve: sat(0),
    choosesForwardingChannel: true,
    gatesAllForwards: true,
    pendingOpensPerPeer: 1,
    dropsChannels: true,
    maxPush: msat(MAX_MONEY * 1000n),
  }
  readonly channelsById = new Map<string, Channel>()
  readonly opens = new Map<NodeId, { keys: ChannelKeys; capacity: Sat; push: Msat }>()
  /** Every script at which it was ever paid. */
  readonly scripts: Uint8Array[] = []
  readonly fundings: FundingTx[] = []
  readonly closing = new Set<string>()
  readonly lines: string[] = []

  constructor(
    readonly nodeId: NodeId,
    readonly arena: Arena,
    readonly name: string,
  ) {}

  deriveSecret(label: string): Promise<Uint8Array> {
    return Promise.resolve(sha256(utf8ToBytes(`${this.name}/${label}`)))
  }

  peers(): Promise<PeerInfo[]> {
    return Promise.resolve(
      [...this.arena.hosts.keys()]
        .filter((id) => id !== this.nodeId)
        .map((id) => ({ id, connected: this.arena.areConnected(this.nodeId, id), factories: true })),
    )
  }

  send(peer: NodeId, body: Uint8Array): Promise<void> {
    if (!this.arena.areConnected(this.nodeId, peer)) return Promise.reject(new FactoryError('peer_offline', 'gone'))
    this.arena.post(this.nodeId, peer, body)
    return Promise.resolve()
  }

  /** Nobody can spend from it: what was paid there stays there to be counted. */
  freshScript(): Uint8Array {
    const program = sha256(utf8ToBytes(`${this.name}/script/${this.scripts.length}`))
    const script = Uint8Array.from([0, 20, ...program.subarray(0, 20)])
    this.scripts.push(script)
    return script
  }

  newScript(): Promise<Uint8Array> {
    return Promise.resolve(this.freshScript())
  }

  async fundingPrepare(script: Uint8Array, amount: Sat): Promise<FundingTx> {
    const funding = await this.arena.chain.prepare(script, amount)
    this.fundings.push(funding)
    return funding
  }

  fundingRelease(funding: FundingTx): Promise<void> {
    return this.arena.chain.release(funding)
  }

  fundingBroadcast(funding: FundingTx): Promise<void> {
    return this.arena.chain.launch(funding)
  }

  openStart({ peer, capacity, push }: { peer: NodeId; capacity: Sat; push: Msat }): Promise<{ script: Uint8Array }> {
    const handlers = this.arena.nodes.get(peer)
    if (handlers === undefined || !this.arena.areConnected(this.nodeId, peer))
      return Promise.reject(new FactoryError('peer_offline', `${peer} is gone`))
    if (this.opens.has(peer)) return Promise.reject(new FactoryError('channel_busy', `already opening with ${peer}`))
    const decision = handlers.openRequest({ peer: this.nodeId, capacity, push, channelType: [12, 22, 46, 50] })
    if (decision.kind !== 'factory') return Promise.reject(new FactoryError('host_failed', `${peer}: no zero-conf`))
    const keys = newKeys(`${this.name}>${peer}/${this.arena.counter()}`)
    this.opens.set(peer, { keys, capacity, push })
    return Promise.resolve({ script: fundingScriptOf(keys) })
  }

  openComplete(open: Parameters<Host['openComplete']>[0]): Promise<{ channelId: string }> {
    const pending = this.opens.get(open.peer)
    const peer = this.arena.hosts.get(open.peer)
    if (pending === undefined || peer === undefined)
      return Promise.reject(new FactoryError('host_failed', `no open with ${open.peer}`))
    this.opens.delete(open.peer)
    const { txid } = decodeTx(open.leaf)
    const id = Buffer.from(txid, 'hex').reverse()
    id[31] = (id[31] ?? 0) ^ open.vout
    const channel: Channel = {
      channelId: id.toString('hex'),
      opener: this.nodeId,
      acceptor: open.peer,
      funding: { txid, vout: open.vout },
      keys: pending.keys,
      capacity: pending.capacity,
      balance: pending.push,
      htlcs: [],
      released: false,
      openerScript: this.freshScript(),
      acceptorScript: peer.freshScript(),
    }
    this.channelsById.set(channel.channelId, channel)
    peer.channelsById.set(channel.channelId, channel)
    this.arena.soon(() => this.arena.nodes.get(open.peer)?.channelsChanged())
    return Promise.resolve({ channelId: channel.channelId })
  }

  openCancel(peer: NodeId): Promise<void> {
    this.opens.delete(peer)
    return Promise.resolve()
  }

  release(channelId: string): Promise<void> {
    this.channel(channelId).released = true
    return Promise.resolve()
  }

  drop(_peer: NodeId, channelId: string): Promise<void> {
    this.channelsById.delete(channelId)
    return Promise.resolve()
  }

  channel(channelId: string): Channel {
    const channel = this.channelsById.get(channelId)
    if (channel === undefined) throw new FactoryError('host_failed', `no channel ${channelId}`)
    return channel
  }

  async forceClose(_peer: NodeId, channelId: string): Promise<void> {
    this.closing.add(channelId)
    await this.arena.chain.broadcast(commitment(this.channel(channelId)))
  }

  /** As lightningd does: a commitment that has not confirmed is sent again with every block. */
  async rebroadcast(): Promise<void> {
    for (const id of this.closing) {
      const channel = this.channelsById.get(id)
      if (channel !== undefined) await this.arena.chain.broadcast(commitment(channel))
    }
  }

  channels(): Promise<HostChannel[]> {
    return Promise.resolve(
      [...this.channelsById.values()].map((c) => ({
        peer: c.opener === this.nodeId ? c.acceptor : c.opener,
        channelId: c.channelId,
        funding: c.funding,
        capacity: c.capacity,
        ours: c.acceptor === this.nodeId ? c.balance : msat(c.capacity * 1000n - c.balance),
        spendable: msat(0),
        htlcs: c.htlcs,
        state: 'normal',
        onChain: false,
        alias: undefined,
      })),
    )
  }

  checkFunding(channelId: string): Promise<FundingCheck> {
    return Promise.resolve({ result: 'ours', script: fundingScriptOf(this.channel(channelId).keys) })
  }

  height(): Promise<BlockHeight> {
    return this.arena.chain.height()
  }

  block(height: BlockHeight): Promise<{ hash: string; raw: Uint8Array } | undefined> {
    return this.arena.chain.block(height)
  }

  utxo(outpoint: OutPoint): Promise<{ amount: Sat; script: Uint8Array } | undefined> {
    return this.arena.chain.utxo(outpoint)
  }

  broadcast(tx: Uint8Array): Promise<BroadcastResult> {
    return this.arena.chain.broadcast(tx)
  }

  log(level: 'debug' | 'info' | 'warn' | 'error', text: string): void {
    this.lines.push(`${level}: ${text}`)
  }
}
