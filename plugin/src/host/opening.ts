import { FactoryError } from '@ln-factory/tlv'
import { hex } from '@scure/base'
import type { Host, HostCaps } from '@ln-factory/core/host'
import type { NodeId, Sat, Txid } from '@ln-factory/core/units'
import { HostRpcError, HostUnansweredError, type HostRpc } from '../rpc/index.js'
import { bindingParams } from './blip56.js'
import type { Channels } from './channels.js'
import type { Peers } from './peers.js'
import { txidOf, unsignedPsbt, withInvalidWitness } from './psbt.js'
import { fundChannelComplete, fundChannelStart, parse } from './replies.js'

/** static_remotekey, anchors_zero_fee_htlc_tx, scid_alias, zeroconf. */
const CHANNEL_TYPE = [12, 22, 46, 50]
/** Milliseconds in which the peer must answer one step of an open. */
const OPEN_TIMEOUT = 30_000
/** Milliseconds that we wait for `close`; it goes on without us. */
const CLOSE_TIMEOUT = 5_000

/** Milliseconds that a peer needs to put an open away. */
const SETTLE = 250

const NOT_CONNECTED = 305
const UNKNOWN_PEER = 306

/** States in which a close is under way that needs nothing more from us. */
const LEAVING = ['AWAITING_UNILATERAL', 'FUNDING_SPEND_SEEN', 'ONCHAIN', 'CLOSINGD_COMPLETE', 'CLOSED']

/**
 * Zero-conf channels on outpoints that are not on chain, by lightningd's own funding flow. Between `complete` and `release` the
 * channel is *withheld*: lightningd deletes it when anything goes wrong, and owes the peer nothing. From `release` on it is a
 * channel like any other.
 */
export class Opening {
  /** Peers whose pending open carries `channel_in_factory`; a pending open dies with this process. */
  private readonly bound = new Set<NodeId>()

  constructor(
    private readonly rpc: HostRpc,
    private readonly peers: Peers,
    private readonly channels: Channels,
    private readonly caps: Pick<HostCaps, 'dropsChannels' | 'blip56'>,
  ) {}

  async start(open: Parameters<Host['openStart']>[0]): Promise<{ script: Uint8Array }> {
    await this.peers.requireFactories(open.peer)
    const binding = this.caps.blip56?.channelInFactory === true ? open.binding : undefined
    this.bound.delete(open.peer)
    if (binding !== undefined) this.bound.add(open.peer)
    const reply = await this.asking(open.peer, 'fundchannel_start', {
      id: open.peer,
      amount: `${open.capacity}sat`,
      push_msat: `${open.push}msat`,
      announce: false,
      mindepth: 0,
      reserve: '0sat',
      channel_type: CHANNEL_TYPE,
      ...(binding === undefined ? {} : bindingParams(binding)),
    })
    const { scriptpubkey, channel_type } = parse(fundChannelStart, 'fundchannel_start', reply)
    if (channel_type.bits.join() !== CHANNEL_TYPE.join()) {
      await this.cancel(open.peer)
      throw new FactoryError('peer_unsupported', `${open.peer} agreed to channel type ${channel_type.bits.join()} only`)
    }
    return { script: hex.decode(scriptpubkey) }
  }

  async complete(open: {
    peer: NodeId
    leaf: Uint8Array
    prevout: { amount: Sat; script: Uint8Array }
    vout: number
  }): Promise<{ channelId: string }> {
    const params = {
      id: open.peer,
      psbt: unsignedPsbt(open.leaf, open.prevout),
      withhold: true,
      ...(this.bound.has(open.peer)
        ? { factory_funding_txid: txidOf(open.leaf), factory_funding_outnum: open.vout }
        : {}),
    }
    const reply = await this.asking(open.peer, 'fundchannel_complete', params).catch(async (error: unknown) => {
      // The caller learns of no channel, so none may be left that was made all the same.
      await this.dropOn(open.peer, txidOf(open.leaf))
      throw error
    })
    return { channelId: parse(fundChannelComplete, 'fundchannel_complete', reply).channel_id }
  }

  async cancel(peer: NodeId): Promise<void> {
    try {
      await this.rpc.call('fundchannel_cancel', { id: peer })
    } catch (error) {
      // Nothing to cancel, peer gone, or too late for it: an open that is complete is dropped, not cancelled.
      if (isRefusal(error)) return
      throw error
    }
    await this.settle(peer)
  }

  /**
   * A peer that has not put away the last open yet refuses the next one, and hangs up. Its pong comes after it has seen the end
   * of that open; then it needs a moment.
   */
  private async settle(peer: NodeId): Promise<void> {
    await ignoringRefusal(this.rpc.call('ping', { id: peer }, { timeout: CLOSE_TIMEOUT }))
    await new Promise((resolve) => setTimeout(resolve, SETTLE))
  }

  /**
   * Clears `withheld`. The only call that does is `sendpsbt` of the funding transaction, and it must never see the signed leaf,
   * which lightningd would broadcast at every start. It gets one that no node will ever accept; all channels of the same
   * leaf are released with it.
   */
  async release(channelId: string): Promise<void> {
    const before = await this.channels.find(channelId)
    if (before === undefined) throw gone(channelId)
    if (before.funding?.withheld !== true) return
    if (before.funding.psbt === undefined)
      throw new FactoryError('host_failed', `channel ${channelId} has no funding PSBT to release`)
    // lightningd stores first and broadcasts then; the broadcast fails, as it must.
    await ignoringRefusal(this.rpc.call('sendpsbt', { psbt: withInvalidWitness(before.funding.psbt) }))
    const after = await this.channels.find(channelId)
    if (after === undefined) throw gone(channelId)
    if (after.funding?.withheld === true)
      throw new FactoryError('host_failed', `channel ${channelId} is still withheld`)
  }

  async drop(peer: NodeId, channelId: string): Promise<void> {
    const channel = await this.channels.find(channelId)
    if (channel === undefined) return
    if (this.caps.dropsChannels) {
      await ignoringRefusal(this.rpc.call('dev-forget-channel', { id: peer, channel_id: channelId, force: true }))
      return
    }
    if (LEAVING.includes(channel.state)) return
    // A withheld channel is deleted by it. Another one can't be forgotten by a stock node: at least no payment uses it any
    // more. Never unilateral (0): there is nothing that a commitment could spend.
    await ignoringRefusal(this.rpc.call('close', { id: channelId, unilateraltimeout: 0 }, { timeout: CLOSE_TIMEOUT }))
  }

  async forceClose(channelId: string): Promise<void> {
    const channel = await this.channels.find(channelId)
    if (channel === undefined || LEAVING.includes(channel.state)) return
    // A peer that is there gets one second to close mutually, which is cheaper for both; then it is unilateral.
    await this.rpc
      .call('close', { id: channelId, unilateraltimeout: 1 }, { timeout: CLOSE_TIMEOUT })
      .catch((error: unknown) => {
        if (!(error instanceof HostUnansweredError)) throw error
      })
  }

  private async dropOn(peer: NodeId, leaf: Txid): Promise<void> {
    const left = (await this.channels.raw()).find((c) => c.peer_id === peer && c.funding_txid === leaf)
    if (left?.channel_id !== undefined) await this.drop(peer, left.channel_id)
  }

  /** A call that waits for the peer. */
  private async asking(peer: NodeId, method: string, params: object): Promise<unknown> {
    try {
      return await this.rpc.call(method, params, { timeout: OPEN_TIMEOUT })
    } catch (error) {
      if (error instanceof HostUnansweredError) {
        await this.cancel(peer)
        throw new FactoryError('peer_silent', `${peer} did not answer ${method}`, undefined, { cause: error })
      }
      if (!(error instanceof HostRpcError)) throw error
      if (error.rpcCode === NOT_CONNECTED || error.rpcCode === UNKNOWN_PEER)
        throw new FactoryError('peer_offline', `${peer} is not connected`, undefined, { cause: error })
      if (/already funding|in progress|simultaneous opens/i.test(error.rpcMessage))
        throw new FactoryError('channel_busy', `${peer}: ${error.rpcMessage}`, undefined, { cause: error })
      await this.settle(peer)
      throw error
    }
  }
}

const isRefusal = (error: unknown): boolean => error instanceof HostRpcError || error instanceof HostUnansweredError

async function ignoringRefusal(call: Promise<unknown>): Promise<void> {
  await call.catch((error: unknown) => {
    if (!isRefusal(error)) throw error
  })
}

const gone = (channelId: string): FactoryError =>
  new FactoryError('host_failed', `lightningd has no channel ${channelId} any more`)
