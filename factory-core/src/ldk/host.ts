/**
 * LDK as a host of factories. Not for real money: version 0.1.0 has losses of funds that upstream fixed later.
 *
 * `const host = await LdkHost.open(…)`, then `FactoryNode.start({ host, … })`, then `host.run(factoryNode)`: nothing is said to
 * any peer before the factories are there to judge it.
 */
import * as ldk from 'lightningdevkit'
import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { hex } from '@scure/base'
import { FactoryError } from '@ln-factory/tlv'
import type {
  Anchor,
  BroadcastResult,
  FundingCheck,
  FundingTx,
  Host,
  HostCaps,
  HostChannel,
  HostHandlers,
  PeerInfo,
} from '../host/port.js'
import {
  blockHeight,
  MAX_MONEY,
  msat,
  outPointKey,
  sat,
  type BlockHeight,
  type Msat,
  type NodeId,
  type OutPoint,
  type Sat,
} from '../units/index.js'
import { ldkAnchor } from './anchor.js'
import { words } from './bitcoind.js'
import { listChannels } from './channels.js'
import { Claims } from './claims.js'
import { channelIdOf, keyBytes, someU64, toChannelId } from './convert.js'
import { LdkDirectPayments } from './direct.js'
import { LdkNode, type LdkNodeOptions } from './node.js'
import { apiError, Opening } from './opening.js'
import { Payments, type Gates, type InvoiceRequest } from './payments.js'
import { Sweeper } from './sweep.js'
import type { LdkWallet } from './wallet.js'

export interface LdkHostOptions extends LdkNodeOptions {
  readonly wallet: LdkWallet
}

const CAPS: HostCaps = {
  name: 'LDK 0.1.0',
  minReserve: sat(1000),
  choosesForwardingChannel: false,
  gatesAllForwards: true,
  pendingOpensPerPeer: 4,
  dropsChannels: true,
  maxPush: msat(MAX_MONEY * 1000n),
}

const SECRET_SALT = new TextEncoder().encode('ln-factory/ldk')

export class LdkHost implements Host {
  readonly caps = CAPS
  readonly direct: LdkDirectPayments
  readonly anchor: Anchor
  private readonly opening: Opening
  private readonly payments: Payments
  private readonly sweeper: Sweeper
  private readonly claims: Claims

  private constructor(
    readonly node: LdkNode,
    private readonly wallet: LdkWallet,
  ) {
    this.anchor = ldkAnchor(node.options.storage)
    this.opening = new Opening(node)
    this.payments = new Payments(node)
    this.direct = new LdkDirectPayments(node)
    this.sweeper = new Sweeper(node, wallet)
    this.claims = new Claims(node, wallet)
  }

  /** @throws FactoryError `bad_parameter` (main network), `store_corrupt`, `host_failed` */
  static async open(options: LdkHostOptions): Promise<LdkHost> {
    return new LdkHost(await LdkNode.open(options), options.wallet)
  }

  /** Once, when the handlers are ready. */
  run(handlers: HostHandlers): void {
    const report =
      (what: string) =>
      (error: unknown): void => {
        this.log('error', `${what}: ${words(error)}`)
      }
    this.node.run({
      event: (event) => {
        this.onEvent(event, handlers)
      },
      refuses: (message) => this.payments.refuses(message, handlers),
      openRefused: (peer, id, text) => {
        this.opening.refused(peer, id, text)
      },
      message: (peer, body) => void handlers.message(peer, body).catch(report(`message of ${peer}`)),
      otherProtocol: (peer, body) => handlers.otherProtocol?.(peer, body),
      connected: (peer) => void handlers.peerConnected(peer).catch(report(`connect of ${peer}`)),
      disconnected: (peer) => {
        this.opening.disconnected(peer)
        void handlers.peerDisconnected(peer).catch(report(`disconnect of ${peer}`))
      },
      block: (height) => {
        void this.sweeper.sweep()
        void handlers.block(blockHeight(height)).catch(report(`block ${height}`))
      },
    })
    this.direct.resume(handlers)
  }

  get nodeId(): NodeId {
    return this.node.nodeId
  }

  stop(): Promise<void> {
    return this.node.stop()
  }

  invoice(request: InvoiceRequest, gates: Gates): string {
    return this.payments.invoice(request, gates)
  }

  pay(invoice: string, gates: Gates): Promise<Uint8Array> {
    return this.payments.pay(invoice, gates)
  }

  log(level: 'debug' | 'info' | 'warn' | 'error', text: string): void {
    this.node.options.log(level, text)
  }

  // ---- the port ---------------------------------------------------------------------------------------------------

  deriveSecret(label: string): Promise<Uint8Array> {
    const info = new TextEncoder().encode(label)
    return Promise.resolve(hkdf(sha256, this.node.parts.keys.get_node_secret_key(), SECRET_SALT, info, 32))
  }

  peers(): Promise<PeerInfo[]> {
    return Promise.resolve([...this.node.messages.peers].map(([id, factories]) => ({ id, connected: true, factories })))
  }

  async send(peer: NodeId, body: Uint8Array): Promise<void> {
    await Promise.resolve()
    this.node.messages.send(peer, body)
    this.node.wake()
  }

  newScript(): Promise<Uint8Array> {
    return this.wallet.newScript()
  }

  fundingPrepare(script: Uint8Array, amount: Sat): Promise<FundingTx> {
    return this.wallet.fundingPrepare(script, amount)
  }

  fundingRelease(funding: FundingTx): Promise<void> {
    return this.wallet.fundingRelease(funding)
  }

  fundingBroadcast(funding: FundingTx): Promise<void> {
    return this.wallet.fundingBroadcast(funding)
  }

  openStart(open: { peer: NodeId; capacity: Sat; push: Msat }): Promise<{ script: Uint8Array }> {
    return this.opening.start(open)
  }

  openComplete(open: Parameters<Host['openComplete']>[0]): Promise<{ channelId: string }> {
    return this.opening.complete(open)
  }

  openCancel(peer: NodeId): Promise<void> {
    this.opening.cancel(peer)
    return Promise.resolve()
  }

  /** LDK keeps a channel from the moment that it exists: all that is left is to know that it may not be dropped lightly. */
  release(channelId: string): Promise<void> {
    const record = this.node.records.get(channelId)
    if (record === undefined || record.state !== 'live')
      return Promise.reject(new FactoryError('host_failed', `LDK has no channel ${channelId} any more`))
    this.node.records.change(channelId, { released: true })
    this.node.wake()
    return Promise.resolve()
  }

  drop(peer: NodeId, channelId: string): Promise<void> {
    const record = this.node.records.get(channelId)
    if (record === undefined || record.state === 'dropped') return Promise.resolve()
    // First: LDK's `error` to the peer, and its monitor's last update, must find it dropped.
    this.node.records.change(channelId, { state: 'dropped' })
    this.node.manager.force_close_without_broadcasting_txn(toChannelId(channelId), keyBytes(peer), 'dropped')
    this.node.forget(outPointKey(record.funding))
    this.node.wake()
    return Promise.resolve()
  }

  forceClose(peer: NodeId, channelId: string): Promise<void> {
    const record = this.node.records.get(channelId)
    if (record?.state !== 'live') return Promise.resolve()
    const last = listChannels(this.node).find((c) => c.channelId === channelId)?.ours
    const closed = this.node.manager.force_close_broadcasting_latest_txn(
      toChannelId(channelId),
      keyBytes(peer),
      'leaving the factory',
    )
    if (closed instanceof ldk.Result_NoneAPIErrorZ_Err)
      return Promise.reject(new FactoryError('host_failed', `channel ${channelId}: ${apiError(closed.err)}`))
    this.node.records.change(channelId, { state: 'closing', last: last ?? 0n })
    this.node.wake()
    return Promise.resolve()
  }

  channels(): Promise<HostChannel[]> {
    return Promise.resolve(listChannels(this.node))
  }

  checkFunding(channelId: string): Promise<FundingCheck> {
    const script = this.node.records.get(channelId)?.script ?? ''
    return Promise.resolve(
      script === ''
        ? { result: 'unknown', why: `LDK has no channel ${channelId}` }
        : { result: 'ours', script: hex.decode(script) },
    )
  }

  height(): Promise<BlockHeight> {
    return Promise.resolve(blockHeight(this.node.sync.tip.height))
  }

  async block(height: BlockHeight): Promise<{ hash: string; raw: Uint8Array } | undefined> {
    const hash = await this.node.bitcoin.hashAt(height)
    return hash === undefined ? undefined : { hash, raw: await this.node.bitcoin.rawBlock(hash) }
  }

  utxo(outpoint: OutPoint): Promise<{ amount: Sat; script: Uint8Array } | undefined> {
    return this.node.bitcoin.utxo(outpoint)
  }

  broadcast(tx: Uint8Array): Promise<BroadcastResult> {
    return this.node.bitcoin.broadcast(tx)
  }

  // ---- what LDK tells ---------------------------------------------------------------------------------------------

  private onEvent(event: ldk.Event, handlers: HostHandlers): void {
    if (event instanceof ldk.Event_OpenChannelRequest) this.opening.onRequest(event, handlers)
    else if (event instanceof ldk.Event_FundingGenerationReady) this.opening.onFundingGenerationReady(event)
    else if (event instanceof ldk.Event_FundingTxBroadcastSafe) this.opening.onBroadcastSafe(event)
    else if (event instanceof ldk.Event_ChannelPending) this.opening.onPending(event)
    else if (event instanceof ldk.Event_PendingHTLCsForwardable) this.node.manager.process_pending_htlc_forwards()
    else if (event instanceof ldk.Event_PaymentClaimable) {
      if (!this.direct.onClaimable(event, handlers)) this.payments.onClaimable(event, handlers)
    } else if (event instanceof ldk.Event_PaymentSent) {
      this.direct.onSent(event)
      this.payments.onSent(event)
    } else if (event instanceof ldk.Event_PaymentFailed) {
      this.direct.onFailed(event)
      this.payments.onFailed(event)
    } else if (event instanceof ldk.Event_SpendableOutputs) this.sweeper.outputs(event.outputs)
    else if (event instanceof ldk.Event_BumpTransaction) this.onBump(event.bump_transaction)
    else if (event instanceof ldk.Event_ChannelClosed) this.onClosed(event)
    if (
      event instanceof ldk.Event_ChannelPending ||
      event instanceof ldk.Event_ChannelReady ||
      event instanceof ldk.Event_ChannelClosed
    )
      setImmediate(() => void handlers.channelsChanged())
  }

  private onClosed(event: ldk.Event_ChannelClosed): void {
    this.opening.onClosed(event)
    const channelId = channelIdOf(event.channel_id)
    if (this.node.records.get(channelId)?.state === 'live')
      this.node.records.change(channelId, { state: 'closing', last: someU64(event.last_local_balance_msat) ?? 0n })
  }

  /** At the floor feerate a commitment relays alone. LDK asks again at every block until it confirms. */
  private onBump(event: ldk.BumpTransactionEvent): void {
    if (event instanceof ldk.BumpTransactionEvent_ChannelClose)
      void this.node.broadcast([Uint8Array.from(event.commitment_tx)])
    else if (event instanceof ldk.BumpTransactionEvent_HTLCResolution) void this.claims.resolve(event)
  }
}
