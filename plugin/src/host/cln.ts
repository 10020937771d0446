import { FactoryError } from '@ln-factory/tlv'
import { hex } from '@scure/base'
import { nodeId, sat, toMsat, type BlockHeight, type NodeId, type OutPoint, type Sat } from '@ln-factory/core/units'
import type {
  Anchor,
  BroadcastResult,
  DirectPayments,
  FeeWallet,
  ForwardedFee,
  FundingCheck,
  FundingTx,
  Host,
  HostCaps,
  HostChannel,
  PeerInfo,
} from '@ln-factory/core/host'
import type { HostRpc } from '../rpc/index.js'
import { AddressCodec } from './address.js'
import { ClnAnchor } from './anchor.js'
import type { BitcoindSettings } from './bitcoind-access.js'
import { describeBlip56, detectBlip56 } from './blip56.js'
import { Chain } from './chain.js'
import { Channels } from './channels.js'
import { ClnFeeWallet } from './fee-wallet.js'
import { FundingWallet } from './funding.js'
import { settledForwards } from './forwards.js'
import { checkFunding } from './funding-check.js'
import { Opening } from './opening.js'
import { ClnPayments } from './payments.js'
import { Peers } from './peers.js'
import { getInfo, makeSecret, newAddress, parse } from './replies.js'

/** bLIP-56's message type. */
export const FACTORY_MESSAGE = 32800

/** Asked for `reserve=0sat`, but lightningd never goes under its dust limit. */
const MIN_RESERVE = sat(546)

export interface ClnHostOptions {
  readonly rpc: HostRpc
  /** Directory of the network, where lightningd keeps its database. */
  readonly lightningDir: string
  readonly log: Host['log']
  /** Where bitcoind is, as far as the operator says; the rest is lightningd's own settings. */
  readonly bitcoind?: BitcoindSettings
}

/** Stock Core Lightning as a host of factories. */
export class ClnHost implements Host {
  /** Shared with the hooks, which keep them up to date. */
  readonly index: Channels
  readonly connections: Peers
  readonly log: Host['log']
  readonly feeWallet: FeeWallet
  readonly anchor: Anchor
  readonly direct: DirectPayments
  private readonly chain: Chain
  private readonly funding: FundingWallet
  private readonly opening: Opening

  private constructor(
    private readonly options: ClnHostOptions,
    readonly nodeId: NodeId,
    readonly caps: HostCaps,
    private readonly addresses: AddressCodec,
    network: string,
  ) {
    const { rpc } = options
    this.feeWallet = new ClnFeeWallet(rpc, network, options.bitcoind ?? {})
    this.log = options.log
    this.anchor = new ClnAnchor(rpc)
    this.index = new Channels(rpc)
    this.connections = new Peers(rpc)
    this.direct = new ClnPayments(rpc, this.index)
    this.chain = new Chain(rpc)
    this.funding = new FundingWallet(rpc, addresses, (outpoint) => this.chain.utxo(outpoint))
    this.opening = new Opening(rpc, this.connections, this.index, caps)
  }

  static async create(options: ClnHostOptions): Promise<ClnHost> {
    const info = parse(getInfo, 'getinfo', await options.rpc.call('getinfo'))
    const caps: HostCaps = {
      name: `Core Lightning ${info.version}`,
      minReserve: MIN_RESERVE,
      choosesForwardingChannel: true,
      gatesAllForwards: true,
      pendingOpensPerPeer: 1,
      // lightningd counts back from today's balance to the one at the open when it sees the leaf, and aborts (v26.06:
      // "Unable to sub our_msat - push", in channel_record_open) when that would be negative. A balance can't fall under the
      // reserve, which is 546 sat as we open; so that much may be pushed and not one msat more.
      maxPush: toMsat(MIN_RESERVE),
      dropsChannels: await hasCommand(options.rpc, 'dev-forget-channel'),
      blip56: await detectBlip56(options.rpc),
    }
    if (caps.blip56 !== undefined) options.log('info', describeBlip56(caps.blip56))
    return new ClnHost(options, nodeId(info.id), caps, new AddressCodec(info.network), info.network)
  }

  async deriveSecret(label: string): Promise<Uint8Array> {
    return hex.decode(
      parse(makeSecret, 'makesecret', await this.options.rpc.call('makesecret', { string: label })).secret,
    )
  }

  peers(): Promise<PeerInfo[]> {
    return this.connections.list()
  }

  async send(peer: NodeId, body: Uint8Array): Promise<void> {
    await this.connections.requireFactories(peer)
    const msg = FACTORY_MESSAGE.toString(16) + hex.encode(body)
    try {
      await this.options.rpc.call('sendcustommsg', { node_id: peer, msg })
    } catch (cause) {
      throw new FactoryError('peer_offline', `message to ${peer} was not sent`, undefined, { cause })
    }
  }

  async newScript(): Promise<Uint8Array> {
    const { p2tr } = parse(newAddress, 'newaddr', await this.options.rpc.call('newaddr', { addresstype: 'p2tr' }))
    return this.addresses.decode(p2tr)
  }

  fundingPrepare(script: Uint8Array, amount: Sat): Promise<FundingTx> {
    return this.funding.prepare(script, amount)
  }

  fundingRelease(funding: FundingTx): Promise<void> {
    return this.funding.release(funding)
  }

  fundingBroadcast(funding: FundingTx): Promise<void> {
    return this.funding.broadcast(funding)
  }

  openStart(open: Parameters<Host['openStart']>[0]): Promise<{ script: Uint8Array }> {
    return this.opening.start(open)
  }

  openComplete(open: Parameters<Host['openComplete']>[0]): Promise<{ channelId: string }> {
    return this.opening.complete(open)
  }

  openCancel(peer: NodeId): Promise<void> {
    return this.opening.cancel(peer)
  }

  release(channelId: string): Promise<void> {
    return this.opening.release(channelId)
  }

  drop(peer: NodeId, channelId: string): Promise<void> {
    return this.opening.drop(peer, channelId)
  }

  forceClose(_peer: NodeId, channelId: string): Promise<void> {
    return this.opening.forceClose(channelId)
  }

  channels(): Promise<HostChannel[]> {
    return this.index.list()
  }

  checkFunding(channelId: string): Promise<FundingCheck> {
    return checkFunding(this.options.rpc, this.options.lightningDir, channelId)
  }

  forwards(): Promise<readonly ForwardedFee[]> {
    return settledForwards(this.options.rpc, this.index)
  }

  height(): Promise<BlockHeight> {
    return this.chain.height()
  }

  block(height: BlockHeight): Promise<{ hash: string; raw: Uint8Array } | undefined> {
    return this.chain.block(height)
  }

  utxo(outpoint: OutPoint): Promise<{ amount: Sat; script: Uint8Array } | undefined> {
    return this.chain.utxo(outpoint)
  }

  broadcast(tx: Uint8Array): Promise<BroadcastResult> {
    return this.chain.broadcast(tx)
  }
}

/** Is there such a command, and may we call it? Developer-only commands are there in developer mode alone. */
async function hasCommand(rpc: HostRpc, command: string): Promise<boolean> {
  return rpc.call('help', { command }).then(
    () => true,
    () => false,
  )
}
