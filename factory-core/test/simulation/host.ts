/** A simulated Lightning node behind the host port: wallet, peers and virtual channels, with every answer delayed by the world. */
import { sha256 } from '@noble/hashes/sha2.js'
import { FactoryError } from '@ln-factory/tlv'
import type {
  Anchor,
  BroadcastResult,
  FundingCheck,
  FundingTx,
  Host,
  HostCaps,
  HostChannel,
  PeerInfo,
  PendingHtlc,
} from '../../src/host/port.js'
import { decodeTx, txidBytes } from '../../src/tree/index.js'
import {
  MAX_MONEY,
  msat,
  outPointKey,
  sat,
  txid,
  type BlockHeight,
  type InstanceId,
  type Msat,
  type NodeId,
  type OutPoint,
  type Sat,
} from '../../src/units/index.js'
import { SimPayments } from './payments.js'
import type { World } from './world.js'

/** `direction` as the acceptor sees it. */
export interface SimHtlc extends PendingHtlc {
  readonly amount?: Msat
}

/** What both ends of a channel share. */
export interface SimChannel {
  readonly channelId: string
  readonly opener: NodeId
  readonly acceptor: NodeId
  readonly funding: OutPoint
  readonly script: Uint8Array
  readonly capacity: Sat
  /** The acceptor's balance. */
  balance: Msat
  htlcs: SimHtlc[]
  released: boolean
}

const RESERVE_BLOCKS = 288
/** msat of our balance that can't be sent: what lightningd keeps back. */
const RESERVE = 546_000n

const text = (s: string): Uint8Array => new TextEncoder().encode(s)
const p2tr = (seed: string): Uint8Array => Uint8Array.from([0x51, 0x20, ...sha256(text(seed))])

/** Survives restarts of the plugin; what does not (pending opens) is cleared by `disconnected`. */
export class SimHost implements Host {
  readonly caps: HostCaps = {
    name: 'simulation',
    minReserve: sat(0),
    choosesForwardingChannel: true,
    gatesAllForwards: true,
    pendingOpensPerPeer: 1,
    dropsChannels: true,
    maxPush: msat(MAX_MONEY * 1000n),
  }
  readonly mine = new Map<string, SimChannel>()
  readonly opens = new Map<NodeId, { script: Uint8Array; capacity: Sat; push: Msat }>()
  /** Until which height a coin is reserved: lapses by itself, as lightningd's reservations do. */
  readonly reserved = new Map<string, number>()
  readonly coins: OutPoint[] = []
  factories = true
  readonly direct = new SimPayments(this)
  /** What the node keeps for the factories. */
  readonly kept = new Map<InstanceId, string>()
  anchor?: Anchor = {
    read: () => this.#later(() => new Map(this.kept)),
    keep: (instance, value) => this.#later(() => void this.kept.set(instance, value)),
  }
  #scripts = 0

  constructor(
    readonly nodeId: NodeId,
    readonly world: World,
    readonly name: string,
  ) {}

  deriveSecret(label: string): Promise<Uint8Array> {
    return Promise.resolve(sha256(text(`${this.name}/${label}`)))
  }

  peers(): Promise<PeerInfo[]> {
    return Promise.resolve(
      [...this.world.hosts.values()]
        .filter((h) => h !== this)
        .map((h) => ({
          id: h.nodeId,
          connected: this.world.areConnected(this.nodeId, h.nodeId),
          factories: h.factories,
        })),
    )
  }

  send(peer: NodeId, body: Uint8Array): Promise<void> {
    if (!this.world.areConnected(this.nodeId, peer)) return Promise.reject(new FactoryError('peer_offline', 'gone'))
    this.world.post(this.nodeId, peer, body)
    return Promise.resolve()
  }

  newScript(): Promise<Uint8Array> {
    return this.#later(() => p2tr(`${this.name}/${this.#scripts++}`))
  }

  fundingPrepare(script: Uint8Array, amount: Sat): Promise<FundingTx> {
    return this.#later(() => {
      const coin = this.coins.find((c) => !this.isReserved(c) && this.world.chain.coin(c) !== undefined)
      const held = coin === undefined ? undefined : this.world.chain.coin(coin)
      if (coin === undefined || held === undefined || held.amount < amount)
        throw new FactoryError('insufficient_funds', 'no coin is large enough')
      this.reserved.set(outPointKey(coin), this.world.chain.height + RESERVE_BLOCKS)
      const raw = spend(coin, [
        { amount: sat(held.amount - amount - 200n), script: p2tr(`${this.name}/change`) },
        { amount, script },
      ])
      return { psbt: Buffer.from(raw).toString('base64'), txid: decodeTx(raw).txid, vout: 1, inputs: [coin] }
    })
  }

  /** The coin goes into another transaction, as another wallet with the same seed would have it. */
  spendElsewhere(coin: OutPoint): void {
    const amount = this.world.chain.coin(coin)?.amount ?? sat(0)
    this.world.chain.broadcast(spend(coin, [{ amount, script: p2tr(`${this.name}/elsewhere`) }]))
  }

  isReserved(coin: OutPoint): boolean {
    return (this.reserved.get(outPointKey(coin)) ?? 0) > this.world.chain.height
  }

  fundingRelease(funding: FundingTx): Promise<void> {
    return this.#later(() => {
      for (const input of decodeTx(Buffer.from(funding.psbt, 'base64')).inputs)
        this.reserved.delete(outPointKey(input.outpoint))
    })
  }

  fundingBroadcast(funding: FundingTx): Promise<void> {
    return this.#later(() => {
      const result = this.world.chain.broadcast(Uint8Array.from(Buffer.from(funding.psbt, 'base64')))
      if (!result.accepted) throw new FactoryError('host_failed', result.error ?? 'refused')
    })
  }

  openStart(open: Parameters<Host['openStart']>[0]): Promise<{ script: Uint8Array }> {
    return this.#later(() => {
      const peer = this.world.hosts.get(open.peer)
      const handlers = this.world.nodes.get(open.peer)
      if (peer === undefined || handlers === undefined || !this.world.areConnected(this.nodeId, open.peer))
        throw new FactoryError('peer_offline', `${open.peer} is gone`)
      if (this.opens.has(open.peer)) throw new FactoryError('channel_busy', `already opening with ${open.peer}`)
      const { capacity, push } = open
      const decision = handlers.openRequest({ peer: this.nodeId, capacity, push, channelType: [12, 22, 46, 50] })
      if (decision.kind !== 'factory') throw new FactoryError('host_failed', `${open.peer} did not grant zero-conf`)
      const script = Uint8Array.from([0, 32, ...sha256(this.world.entropy(32))])
      this.opens.set(open.peer, { script, capacity, push })
      return { script }
    })
  }

  openComplete(open: Parameters<Host['openComplete']>[0]): Promise<{ channelId: string }> {
    return this.#later(() => {
      const pending = this.opens.get(open.peer)
      if (pending === undefined || !this.world.areConnected(this.nodeId, open.peer))
        throw new FactoryError('host_failed', `no open with ${open.peer}`)
      this.opens.delete(open.peer)
      const leaf = decodeTx(open.leaf)
      const output = leaf.outputs[open.vout]
      if (output?.amount !== pending.capacity || Buffer.compare(output.script, pending.script) !== 0)
        throw new FactoryError('host_failed', 'the leaf does not pay the channel')
      const id = txidBytes(leaf.txid)
      id[31] = (id[31] ?? 0) ^ open.vout
      const channel: SimChannel = {
        channelId: Buffer.from(id).toString('hex'),
        opener: this.nodeId,
        acceptor: open.peer,
        funding: { txid: leaf.txid, vout: open.vout },
        script: pending.script,
        capacity: pending.capacity,
        balance: pending.push,
        htlcs: [],
        released: false,
      }
      this.mine.set(channel.channelId, channel)
      this.world.hosts.get(open.peer)?.mine.set(channel.channelId, channel)
      this.world.later(() => this.world.nodes.get(open.peer)?.channelsChanged())
      return { channelId: channel.channelId }
    })
  }

  openCancel(peer: NodeId): Promise<void> {
    return this.#later(() => void this.opens.delete(peer))
  }

  release(channelId: string): Promise<void> {
    return this.#later(() => {
      const channel = this.mine.get(channelId)
      if (channel === undefined) throw new FactoryError('host_failed', `no channel ${channelId}`)
      channel.released = true
    })
  }

  drop(_peer: NodeId, channelId: string): Promise<void> {
    return this.#later(() => void this.mine.delete(channelId))
  }

  forceClose(_peer: NodeId, channelId: string): Promise<void> {
    return this.#later(() => {
      const channel = this.mine.get(channelId)
      if (channel === undefined) throw new FactoryError('host_failed', `no channel ${channelId}`)
      const balance =
        this.nodeId === channel.acceptor ? channel.balance / 1000n : channel.capacity - channel.balance / 1000n
      const result = this.world.chain.broadcast(
        spend(channel.funding, [{ amount: sat(balance), script: p2tr(`${this.name}/swept`) }]),
      )
      if (!result.accepted) throw new FactoryError('host_failed', result.error ?? 'refused')
    })
  }

  channels(): Promise<HostChannel[]> {
    return this.#later(() => this.#list())
  }

  #list(): HostChannel[] {
    return [...this.mine.values()].map((c) => ({
      peer: c.opener === this.nodeId ? c.acceptor : c.opener,
      channelId: c.channelId,
      funding: c.funding,
      capacity: c.capacity,
      ours: c.acceptor === this.nodeId ? c.balance : msat(c.capacity * 1000n - c.balance),
      spendable: this.spendable(c),
      htlcs: c.htlcs.map((h) =>
        this.nodeId === c.acceptor ? h : { ...h, direction: h.direction === 'in' ? 'out' : 'in' },
      ),
      state: 'normal',
      onChain: this.world.chain.coin(c.funding)?.height !== undefined,
      alias: undefined,
    }))
  }

  /** What we can offer in one HTLC: our balance less what is offered already. */
  spendable(c: SimChannel): Msat {
    const ours = c.acceptor === this.nodeId ? c.balance : c.capacity * 1000n - c.balance
    const direction = c.acceptor === this.nodeId ? 'out' : 'in'
    const offered = c.htlcs.filter((h) => h.direction === direction).reduce((sum, h) => sum + (h.amount ?? 0n), 0n)
    const left = ours - offered - RESERVE
    return msat(left > 0n ? left : 0n)
  }

  checkFunding(channelId: string): Promise<FundingCheck> {
    return this.#later(() => {
      const script = this.mine.get(channelId)?.script
      return script === undefined ? { result: 'unknown', why: 'no such channel' } : { result: 'ours', script }
    })
  }

  height(): Promise<BlockHeight> {
    return Promise.resolve(this.world.chain.height)
  }

  block(height: BlockHeight): Promise<{ hash: string; raw: Uint8Array } | undefined> {
    return Promise.resolve(this.world.chain.block(height))
  }

  utxo(outpoint: OutPoint): Promise<{ amount: Sat; script: Uint8Array } | undefined> {
    return this.#later(() => this.world.chain.coin(outpoint))
  }

  broadcast(tx: Uint8Array): Promise<BroadcastResult> {
    return this.#later(() => this.world.chain.broadcast(tx))
  }

  log(level: 'debug' | 'info' | 'warn' | 'error', line: string): void {
    this.world.lines.push(`${this.name} ${level}: ${line}`)
  }

  #later<T>(act: () => T): Promise<T> {
    return this.world.answer(this.nodeId, act)
  }
}

/** A transaction of one input, serialised without witness. */
function spend(outpoint: OutPoint, outputs: readonly { amount: Sat; script: Uint8Array }[]): Uint8Array {
  const u32 = (n: number): Buffer => {
    const b = Buffer.alloc(4)
    b.writeUInt32LE(n)
    return b
  }
  const u64 = (n: bigint): Buffer => {
    const b = Buffer.alloc(8)
    b.writeBigUInt64LE(n)
    return b
  }
  return Uint8Array.from(
    Buffer.concat([
      u32(2),
      Uint8Array.of(1),
      txidBytes(txid(outpoint.txid)),
      u32(outpoint.vout),
      Uint8Array.of(0),
      u32(0xfffffffd),
      Uint8Array.of(outputs.length),
      ...outputs.flatMap((o) => [u64(o.amount), Uint8Array.of(o.script.length), o.script]),
      u32(0),
    ]),
  )
}
