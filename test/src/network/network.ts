import { Bitcoind, type BitcoindOptions } from './bitcoind.js'
import { Lightningd, type LightningdOptions } from './lightningd.js'
import { until } from './wait.js'

export type NodeOptions = Omit<LightningdOptions, 'bitcoind' | 'alias'>

/** An ordinary channel on the chain, not one of a factory. */
export interface OrdinaryChannel {
  readonly scid: string
  readonly channelId: string
  readonly txid: string
}

/** Confirmations after which a channel may be announced (BOLT 7). */
const ANNOUNCE_DEPTH = 6

/** One bitcoind and the lightningds on it, by name. */
export class Network {
  private readonly nodes = new Map<string, Lightningd>()

  private constructor(readonly bitcoind: Bitcoind) {}

  /** A bitcoind alone; add the nodes with `add`. */
  static async start(options: BitcoindOptions = {}): Promise<Network> {
    return new Network(await Bitcoind.start(options))
  }

  /** Starts nodes at the same time; returns them in the order of their names. */
  async add(names: readonly string[], options: NodeOptions = {}): Promise<Lightningd[]> {
    const started = await Promise.allSettled(
      names.map(async (alias) => {
        if (this.nodes.has(alias)) throw new Error(`there is a node called ${alias} already`)
        const node = await Lightningd.start({ ...options, bitcoind: this.bitcoind, alias })
        this.nodes.set(alias, node)
      }),
    )
    for (const result of started) if (result.status === 'rejected') throw result.reason
    return names.map((name) => this.node(name))
  }

  /** @throws Error when no node has that name */
  node(name: string): Lightningd {
    const node = this.nodes.get(name)
    if (node === undefined) throw new Error(`no node is called ${name}`)
    return node
  }

  get all(): readonly Lightningd[] {
    return [...this.nodes.values()]
  }

  /** Mines, and waits until every running node has seen it. */
  async mine(blocks: number): Promise<void> {
    await this.bitcoind.mine(blocks)
    await this.synced()
  }

  async synced(): Promise<void> {
    await Promise.all(this.all.filter((node) => node.running).map((node) => node.synced()))
  }

  /** Gives a node's own wallet a confirmed output of this many satoshi. */
  async fund(node: Lightningd, sats: number): Promise<void> {
    const { bech32 } = await node.call('newaddr', { addresstype: 'bech32' })
    if (bech32 === undefined) throw new Error(`${node.alias} gave no address`)
    const txid = await this.bitcoind.fund(bech32, sats)
    await this.mine(1)
    await until(
      async () => {
        const { outputs } = await node.call('listfunds')
        return outputs.some((output) => output.txid === txid && output.status === 'confirmed')
      },
      { what: `${node.alias} to see its ${sats} sat` },
    )
  }

  /**
   * Opens an ordinary announced channel from a's wallet (fund it first), mines it to CHANNELD_NORMAL, and waits until
   * both ends have the other's gossip, so that either can be paid over it.
   */
  async openChannel(a: Lightningd, b: Lightningd, sats: number): Promise<OrdinaryChannel> {
    await a.connect(b)
    const { txid, channel_id: channelId } = await a.call('fundchannel', { id: b.id, amount: sats })
    await this.bitcoind.waitForMempool([txid])
    await this.mine(ANNOUNCE_DEPTH)
    const scid = await until(
      async () => {
        const [ours, theirs] = await Promise.all([channelOf(a, channelId), channelOf(b, channelId)])
        if (ours?.state !== 'CHANNELD_NORMAL' || theirs?.state !== 'CHANNELD_NORMAL') return undefined
        return ours.short_channel_id
      },
      { what: `the channel of ${a.alias} and ${b.alias} to be normal` },
    )
    await this.gossiped(scid, [a, b])
    return { scid, channelId, txid }
  }

  /** Waits until these nodes know both directions of a channel. Without `developer` that takes minutes. */
  async gossiped(scid: string, nodes: readonly Lightningd[]): Promise<void> {
    for (const node of nodes) {
      await until(
        async () => {
          const { channels } = await node.call('listchannels', { short_channel_id: scid })
          return channels.filter((channel) => channel.active).length === 2
        },
        { what: `${node.alias} to hear of channel ${scid}`, seconds: 300 },
      )
    }
  }

  /** Waits until no HTLC is left on any channel: only then are the balances that are listed final on both sides. */
  async settled(): Promise<void> {
    for (const node of this.all.filter((each) => each.running)) {
      await until(
        async () => {
          const { channels } = await node.call('listpeerchannels')
          return channels.every((channel) => channel.htlcs.length === 0)
        },
        { what: `the HTLCs of ${node.alias} to settle` },
      )
    }
  }

  /** Ends every process and removes all data. Safe to call again, and from a failed test's clean-up. */
  async stop(): Promise<void> {
    await Promise.all(this.all.map((node) => node.dispose()))
    await this.bitcoind.stop()
  }
}

export async function channelOf(node: Lightningd, channelId: string) {
  const { channels } = await node.call('listpeerchannels')
  return channels.find((channel) => channel.channel_id === channelId)
}
