/** Zero-conf channels on outpoints that are not on chain: LDK's own opening flow, with the outpoint given by hand. */
import * as ldk from 'lightningdevkit'
import { hex } from '@scure/base'
import { RawTx } from '@scure/btc-signer'
import { sha256 } from '@noble/hashes/sha2.js'
import { FactoryError } from '@ln-factory/tlv'
import { outPointKey, sat, msat, txid, type Msat, type NodeId, type OutPoint, type Sat } from '../units/index.js'
import type { Host, HostHandlers } from '../host/port.js'
import {
  bitsOf,
  channelIdAt,
  channelIdOf,
  keyBytes,
  nodeIdOf,
  outPointOf,
  toChannelId,
  toOutPoint,
  u64,
} from './convert.js'
import type { LdkNode } from './node.js'

/** Milliseconds in which the peer must answer one step of an open. */
const OPEN_TIMEOUT = 30_000
/** static_remotekey and anchors_zero_fee_htlc_tx always; scid_alias and zeroconf if the peer says so. */
const REQUIRED_BITS = [12, 22]
const ALLOWED_BITS = [12, 22, 46, 50]

interface Waiting<T> {
  readonly peer: NodeId
  readonly resolve: (value: T) => void
  readonly reject: (error: FactoryError) => void
}

interface Started {
  readonly peer: NodeId
  readonly script: string
}

/** What LDK did not want, in its words. */
export function apiError(error: ldk.APIError): string {
  if (error instanceof ldk.APIError_APIMisuseError || error instanceof ldk.APIError_ChannelUnavailable) return error.err
  if (error instanceof ldk.APIError_InvalidRoute) return error.err
  return error.constructor.name
}

export class Opening {
  /** By temporary channel id: asked, and not answered by the peer yet. */
  private readonly asked = new Map<string, Waiting<{ script: Uint8Array }>>()
  /** By temporary channel id: agreed, and without outpoint. */
  private readonly started = new Map<string, Started>()
  /** By channel id: the outpoint is given, the peer has not signed yet. */
  private readonly completing = new Map<string, Waiting<undefined>>()
  /** Temporary ids of opens to us that the handler granted. */
  private readonly granted = new Set<string>()

  constructor(private readonly node: LdkNode) {}

  async start(open: { peer: NodeId; capacity: Sat; push: Msat }): Promise<{ script: Uint8Array }> {
    const { node } = this
    node.messages.requireFactories(open.peer)
    const made = node.manager.create_channel(keyBytes(open.peer), open.capacity, open.push, 0n, null, null)
    if (!(made instanceof ldk.Result_ChannelIdAPIErrorZ_OK)) {
      const why = made instanceof ldk.Result_ChannelIdAPIErrorZ_Err ? apiError(made.err) : 'refused'
      throw new FactoryError('host_failed', `channel to ${open.peer}: ${why}`)
    }
    const id = channelIdOf(made.res)
    node.wake()
    return await this.answer(this.asked, id, open.peer)
  }

  async complete(open: Parameters<Host['openComplete']>[0]): Promise<{ channelId: string }> {
    const script = hex.encode(open.script)
    const [temporary] = [...this.started].find(([, s]) => s.peer === open.peer && s.script === script) ?? []
    if (temporary === undefined)
      throw new FactoryError('peer_offline', `no open with ${open.peer} is under way any more`)
    const funding = { txid: txidOf(open.leaf), vout: open.vout }
    const channelId = channelIdAt(funding)
    // The same outpoint twice is a panic.
    if (this.node.records.get(channelId) !== undefined)
      throw new FactoryError('bad_parameter', `there is a channel on ${outPointKey(funding)} already`)
    this.started.delete(temporary)
    this.granted.add(temporary)
    const given = this.node.manager.unsafe_manual_funding_transaction_generated(
      toChannelId(temporary),
      keyBytes(open.peer),
      toOutPoint(funding),
    )
    if (given instanceof ldk.Result_NoneAPIErrorZ_Err)
      throw new FactoryError('host_failed', `channel on ${outPointKey(funding)}: ${apiError(given.err)}`)
    this.node.wake()
    await this.answer(this.completing, channelId, open.peer)
    return { channelId }
  }

  /** All opens with the peer that have no outpoint yet. */
  cancel(peer: NodeId): void {
    for (const [id, waiting] of this.asked)
      if (waiting.peer === peer) this.abandon(id, peer, new FactoryError('aborted', 'the open was cancelled'))
    for (const [id, started] of this.started) if (started.peer === peer) this.abandon(id, peer)
  }

  disconnected(peer: NodeId): void {
    const gone = new FactoryError('peer_offline', `${peer} disconnected during the open`)
    for (const [id, waiting] of this.asked) if (waiting.peer === peer) this.abandon(id, peer, gone)
    for (const [id, started] of this.started) if (started.peer === peer) this.abandon(id, peer)
    for (const [id, waiting] of this.completing) {
      if (waiting.peer !== peer) continue
      this.completing.delete(id)
      waiting.reject(gone)
    }
  }

  refused(peer: NodeId, temporaryId: string, words: string): void {
    this.started.delete(temporaryId)
    const waiting = this.asked.get(temporaryId)
    this.asked.delete(temporaryId)
    waiting?.reject(new FactoryError('host_failed', `${peer} refused the channel: ${words}`))
  }

  onFundingGenerationReady(event: ldk.Event_FundingGenerationReady): void {
    const id = channelIdOf(event.temporary_channel_id)
    const waiting = this.asked.get(id)
    this.asked.delete(id)
    if (waiting === undefined) return this.abandon(id, nodeIdOf(event.counterparty_node_id))
    const script = Uint8Array.from(event.output_script)
    this.started.set(id, { peer: waiting.peer, script: hex.encode(script) })
    waiting.resolve({ script })
  }

  onBroadcastSafe(event: ldk.Event_FundingTxBroadcastSafe): void {
    const id = channelIdOf(event.channel_id)
    this.completing.get(id)?.resolve(undefined)
    this.completing.delete(id)
  }

  onClosed(event: ldk.Event_ChannelClosed): void {
    const id = channelIdOf(event.channel_id)
    const error = new FactoryError('host_failed', 'the channel was given up during its open')
    this.started.delete(id)
    for (const waiting of [this.asked.get(id), this.completing.get(id)]) waiting?.reject(error)
    this.asked.delete(id)
    this.completing.delete(id)
  }

  /** @returns true when a factory's open was granted */
  onRequest(event: ldk.Event_OpenChannelRequest, handlers: HostHandlers): void {
    const peer = nodeIdOf(event.counterparty_node_id)
    const id = channelIdOf(event.temporary_channel_id)
    const { channel_negotiation_type: funds } = event
    const channelType = bitsOf(event.channel_type.le_flags())
    const push = funds instanceof ldk.InboundChannelFunds_PushMsat ? u64(funds.push_msat) : 0n
    const capacity = sat(u64(event.funding_satoshis))
    const decision = handlers.openRequest({ peer, capacity, push: msat(push), channelType })
    const key = keyBytes(peer)
    if (decision.kind === 'refuse') return this.refuse(id, peer, decision.reason)
    if (decision.kind === 'ordinary') {
      this.node.manager.accept_inbound_channel(event.temporary_channel_id, key, 0n)
      return
    }
    // LDK accepts types without anchors, too.
    const fits =
      REQUIRED_BITS.every((b) => channelType.includes(b)) && channelType.every((b) => ALLOWED_BITS.includes(b))
    if (!fits) return this.refuse(id, peer, `a factory channel has another channel type than ${channelType.join()}`)
    if (event.is_announced) return this.refuse(id, peer, 'a factory channel is not announced')
    this.granted.add(id)
    this.node.manager.accept_inbound_channel_from_trusted_peer_0conf(event.temporary_channel_id, key, 0n)
  }

  /** The funding is agreed: from here on there is a channel. In the same commit as its monitor. */
  onPending(event: ldk.Event_ChannelPending): void {
    const funding: OutPoint = outPointOf(event.funding_txo)
    const channelId = channelIdOf(event.channel_id)
    const details = this.node.manager.list_channels().find((c) => channelIdOf(c.get_channel_id()) === channelId)
    const former = event.former_temporary_channel_id
    this.node.records.put({
      channelId,
      peer: nodeIdOf(event.counterparty_node_id),
      funding,
      capacity: u64(details?.get_channel_value_satoshis() ?? 0n),
      script: this.node.scripts.get(outPointKey(funding)) ?? '',
      factory: this.granted.delete(channelIdOf(former)),
      released: false,
      state: 'live',
      last: 0n,
      confirmed: undefined,
    })
    this.node.scripts.delete(outPointKey(funding))
  }

  private refuse(id: string, peer: NodeId, reason: string): void {
    this.node.manager.force_close_without_broadcasting_txn(toChannelId(id), keyBytes(peer), reason)
  }

  private abandon(id: string, peer: NodeId, error?: FactoryError): void {
    const waiting = this.asked.get(id)
    this.asked.delete(id)
    this.started.delete(id)
    this.refuse(id, peer, 'the open was cancelled')
    this.node.wake()
    if (error !== undefined) waiting?.reject(error)
  }

  private answer<T>(map: Map<string, Waiting<T>>, id: string, peer: NodeId): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        map.delete(id)
        this.refuse(id, peer, 'no answer in time')
        this.node.wake()
        reject(new FactoryError('peer_silent', `${peer} did not answer the open of a channel`))
      }, OPEN_TIMEOUT)
      map.set(id, {
        peer,
        resolve: (value) => {
          clearTimeout(timer)
          resolve(value)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      })
    })
  }
}

/** Of a legacy serialisation, as the port gives leaves. */
function txidOf(leaf: Uint8Array): OutPoint['txid'] {
  const { version, inputs, outputs, lockTime } = RawTx.decode(leaf)
  const stripped = RawTx.encode({ version, segwitFlag: false, inputs, outputs, witnesses: [], lockTime })
  return txid(hex.encode(sha256(sha256(stripped)).reverse()))
}
