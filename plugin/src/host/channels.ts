import { msat, nodeId, sat, txid } from '@ln-factory/core/units'
import type { ChannelState, HostChannel } from '@ln-factory/core/host'
import type { HostRpc } from '../rpc/index.js'
import { parse, peerChannels, type PeerChannel } from './replies.js'

const STATES: Readonly<Record<string, ChannelState>> = {
  CHANNELD_NORMAL: 'normal',
  CHANNELD_AWAITING_SPLICE: 'normal',
  CHANNELD_SHUTTING_DOWN: 'closing',
  CLOSINGD_SIGEXCHANGE: 'closing',
  CLOSINGD_COMPLETE: 'closing',
  AWAITING_UNILATERAL: 'closing',
  FUNDING_SPEND_SEEN: 'closing',
  ONCHAIN: 'closing',
  CLOSED: 'closed',
}

function toHostChannel(c: PeerChannel): HostChannel | undefined {
  const { channel_id, funding_txid, funding_outnum, total_msat, to_us_msat } = c
  if (channel_id === undefined || funding_txid === undefined || funding_outnum === undefined) return undefined
  if (total_msat === undefined || to_us_msat === undefined) return undefined
  return {
    peer: nodeId(c.peer_id),
    channelId: channel_id,
    funding: { txid: txid(funding_txid), vout: funding_outnum },
    capacity: sat(Math.floor(total_msat / 1000)),
    ours: msat(to_us_msat),
    spendable: msat(c.spendable_msat ?? 0),
    htlcs: (c.htlcs ?? []).map((h) => ({
      direction: h.direction,
      expiry: h.expiry,
      // SENT_REMOVE_HTLC and what follows: our fulfil or fail is on its way into the commitments.
      answered: h.direction === 'in' && h.state.includes('_REMOVE_'),
    })),
    // What is left are the states before NORMAL (openingd, dualopend, awaiting lock-in).
    state: STATES[c.state] ?? 'opening',
    // A real scid is given once the funding output is in a block; the closing states name what the watch has seen.
    onChain: c.short_channel_id !== undefined || c.state === 'FUNDING_SPEND_SEEN' || c.state === 'ONCHAIN',
    alias: c.alias?.local,
  }
}

/** Our channels, and the index from the scids of hooks to channel ids. */
export class Channels {
  private byScid = new Map<string, string>()

  constructor(private readonly rpc: HostRpc) {}

  async raw(): Promise<PeerChannel[]> {
    const { channels } = parse(peerChannels, 'listpeerchannels', await this.rpc.call('listpeerchannels'))
    const byScid = new Map<string, string>()
    for (const c of channels) {
      if (c.channel_id === undefined) continue
      if (c.short_channel_id !== undefined) byScid.set(c.short_channel_id, c.channel_id)
      if (c.alias?.local !== undefined) byScid.set(c.alias.local, c.channel_id)
    }
    this.byScid = byScid
    return channels
  }

  async list(): Promise<HostChannel[]> {
    return (await this.raw()).flatMap((c) => toHostChannel(c) ?? [])
  }

  async find(channelId: string): Promise<PeerChannel | undefined> {
    return (await this.raw()).find((c) => c.channel_id === channelId)
  }

  /** Channel ids by short channel id and by local alias. */
  async shortIds(): Promise<ReadonlyMap<string, string>> {
    await this.raw()
    return this.byScid
  }

  /** Channel with this short channel id or local alias. Aliases never change; an unknown one is looked up. */
  async byShortId(scid: string): Promise<string | undefined> {
    const known = this.byScid.get(scid)
    if (known !== undefined) return known
    await this.raw()
    return this.byScid.get(scid)
  }
}
