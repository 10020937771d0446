/**
 * The host port: what a Lightning node must offer so that a factory can be plugged into it. LDK's traits are the model: the
 * core does no I/O, the host calls `HostHandlers` and executes `Host` calls. Each call says what it owes; what loses
 * funds when it is broken is marked so.
 */
import type { BlockHeight, Blocks, InstanceId, Msat, NodeId, OutPoint, Sat, Txid } from '../units/index.js'

/** Which factory a channel belongs to, as TLV `channel_in_factory` of `open_channel` tells it (bLIP-56). */
export interface FactoryBinding {
  readonly instance: InstanceId
  /** `factory_early_warning_time`, W. */
  readonly earlyWarning: Blocks
}

/** What a node does of bLIP-56 by itself, as far as it says so. */
export interface Blip56Caps {
  /** Opens channels with `channel_in_factory`, and reads it when others do. */
  readonly channelInFactory: boolean
  /** Plays `factory_change_*` when told to. */
  readonly factoryChange: boolean
  /** Tells of any unspent output, not only of its own. */
  readonly checkUtxo: boolean
}

export interface HostCaps {
  /** For messages to people: `Core Lightning v26.06.6`. */
  readonly name: string
  /** Smallest channel reserve that the host can open with. */
  readonly minReserve: Sat
  /** The HTLC decision may name the outgoing channel. */
  readonly choosesForwardingChannel: boolean
  /** Every forward passes `htlc`. Where false, gated channels must be reached by intercept SCIDs. */
  readonly gatesAllForwards: boolean
  readonly pendingOpensPerPeer: number
  /** A channel can be forgotten without its commitment being broadcast. */
  readonly dropsChannels: boolean
  /**
   * Largest balance that may be pushed to this node at an open. LOSES FUNDS when a client takes more: lightningd v26.06 aborts,
   * at every start, once the leaf confirms while the balance is below what was pushed.
   */
  readonly maxPush: Msat
  /** Absent: a stock node, which knows nothing of bLIP-56. */
  readonly blip56?: Blip56Caps | undefined
}

export interface PeerInfo {
  readonly id: NodeId
  readonly connected: boolean
  /** Feature bit 271 (or 270) in its `init`; false while not connected. */
  readonly factories: boolean
}

export type ChannelState = 'opening' | 'normal' | 'closing' | 'closed'

/** An HTLC of a channel that is not settled for good yet. */
export interface PendingHtlc {
  /** `out`: we offered it; `in`: the peer did. */
  readonly direction: 'in' | 'out'
  /** `cltv_expiry`, absolute. */
  readonly expiry: number
  /** An incoming one that we have answered (fulfilled or failed), and whose removal the peer has not confirmed. */
  readonly answered: boolean
}

export interface HostChannel {
  readonly peer: NodeId
  /** BOLT 2 channel_id, 64 hex characters. */
  readonly channelId: string
  readonly funding: OutPoint
  readonly capacity: Sat
  readonly ours: Msat
  /** The most that we can offer in one HTLC now; 0 while the channel takes none. */
  readonly spendable: Msat
  readonly htlcs: readonly PendingHtlc[]
  readonly state: ChannelState
  /** The funding output was seen in a block by the host (false for every healthy factory channel). */
  readonly onChain: boolean
  /** Local alias SCID, for routes. */
  readonly alias: string | undefined
}

/** Is the funding script the 2-of-2 of us and this peer? `unknown`: this host can't tell; `why` says so to the operator. */
export type FundingCheck =
  { readonly result: 'ours'; readonly script: Uint8Array } | { readonly result: 'unknown'; readonly why: string }

export interface BroadcastResult {
  readonly accepted: boolean
  /** The backend's own words when it refused. */
  readonly error: string | undefined
  /** It is in a block already, as far as the backend can tell. */
  readonly confirmed?: boolean
}

export interface FundingTx {
  /** Unsigned PSBT, base64. The host keeps its inputs reserved until `fundingRelease` or broadcast, across restarts. */
  readonly psbt: string
  readonly txid: Txid
  readonly vout: number
  /** What it spends. Absent where a host of before did not say: then its loss to another transaction is not seen. */
  readonly inputs?: readonly OutPoint[]
}

export interface FeerateEstimate {
  readonly blocks: number
  /** sat per 1000 vB. */
  readonly feerate: number
}

export interface Feerates {
  /** What the mempool takes nothing under, now; sat per 1000 vB. */
  readonly floor: number
  /** To be mined within so many blocks; empty while the node has none. */
  readonly estimates: readonly FeerateEstimate[]
}

/** A confirmed output of the host's wallet (P2WPKH or P2TR). */
export interface WalletCoin {
  readonly outpoint: OutPoint
  readonly amount: Sat
  readonly script: Uint8Array
}

/** What a host offers so that a transaction whose fee was fixed when it was signed confirms at today's feerates. */
export interface FeeWallet {
  feerates(): Promise<Feerates>
  /** Confirmed, native segwit, and reserved for nobody. */
  coins(): Promise<WalletCoin[]>
  /** For this caller alone, for about a day, across restarts. False when somebody has it, or it is spent. */
  reserve(coin: WalletCoin): Promise<boolean>
  /** Ours again, for longer. False when it is spent. */
  renew(coin: WalletCoin): Promise<boolean>
  /** Idempotent. */
  release(coin: WalletCoin): Promise<void>
  /**
   * Witness of one input, which spends a coin of the wallet. Owes: signs that input and no other. The others' outputs are given
   * in full, as BIP 341 signs them too.
   * @param tx legacy serialisation
   */
  sign(
    tx: Uint8Array,
    prevouts: readonly { readonly amount: Sat; readonly script: Uint8Array }[],
    input: number,
  ): Promise<Uint8Array[]>
  /** A parent that the mempool refuses for its fee, and its child, as one package. */
  submitPackage(parent: Uint8Array, child: Uint8Array): Promise<BroadcastResult>
}

/** One payment, one hop, over one channel. */
export interface DirectPayment {
  readonly peer: NodeId
  readonly channelId: string
  /** SHA-256 of the preimage, 64 hex characters. */
  readonly hash: string
  readonly amount: Msat
  /** `payment_secret` (BOLT 4), from the payee's `expect`. */
  readonly secret: Uint8Array
  /** Blocks from now to `cltv_expiry`. 0: too late to begin; only one that is under way, or has ended, is told of. */
  readonly delta: number
}

/** What a host offers so that balances move between two channels of the same peers, HTLC against HTLC. */
export interface DirectPayments {
  /**
   * The peer will pay this hash, in one HTLC over one of our channels. It comes as `HostHandlers.received`. Idempotent.
   * @returns `payment_secret`, 32 bytes, which the payer must be told
   */
  expect(hash: string, amount: Msat): Promise<Uint8Array>
  /**
   * Owes: never pays a hash twice. One that is under way (also from before a restart) is waited for, one that succeeded is answered.
   * Rejects only when nothing of it is under way any more, and may then be called again.
   * @returns the preimage, 32 bytes
   * @throws FactoryError `payment_failed`
   */
  pay(payment: DirectPayment): Promise<Uint8Array>
}

/** A payment that this node forwarded, and what it earned. */
export interface ForwardedFee {
  readonly inChannelId: string
  readonly outChannelId: string
  readonly fee: Msat
}

/**
 * A few bytes for each factory that the host keeps with its own state, outside of our store: an older copy of the store under a
 * living node is found out by them (DESIGN.md invariant 8).
 */
export interface Anchor {
  /** Everything that is kept, by instance. */
  read(): Promise<ReadonlyMap<InstanceId, string>>
  /**
   * Replaces what is kept for the instance. Owes: durable when it resolves.
   * @param value at most 1000 printable ASCII characters
   * @throws FactoryError `host_failed`, also when somebody else wrote since we read
   */
  keep(instance: InstanceId, value: string): Promise<void>
}

export interface Host {
  readonly nodeId: NodeId
  readonly caps: HostCaps
  /** Absent: transactions go out with the fee that is built into them, and no other. */
  readonly feeWallet?: FeeWallet
  /** Absent: an old copy of the store can't be told from the current one. */
  readonly anchor?: Anchor
  /** Absent: balances can't move to another factory over this host. */
  readonly direct?: DirectPayments
  /** All that succeeded, as far as the node remembers. Absent: this host can't tell what routing earned. */
  forwards?(): Promise<readonly ForwardedFee[]>
  /** 32 bytes, the same for the same seed and label, for ever: factory keys are derived from it. */
  deriveSecret(label: string): Promise<Uint8Array>
  peers(): Promise<PeerInfo[]>
  /** Body of a Lightning message of type 32800 (without the type). May reject when the peer is gone; never queues. */
  send(peer: NodeId, body: Uint8Array): Promise<void>

  /** A new receiving script of the host's wallet (witness program). */
  newScript(): Promise<Uint8Array>
  /** An unsigned transaction with this output, its inputs reserved. Its txid must not change by signing. @throws `insufficient_funds` */
  fundingPrepare(script: Uint8Array, amount: Sat): Promise<FundingTx>
  /** Free the inputs. Idempotent. */
  fundingRelease(funding: FundingTx): Promise<void>
  /** Sign and broadcast. Owes: refuses when signing changed the txid. Idempotent: a transaction already known is success. */
  fundingBroadcast(funding: FundingTx): Promise<void>

  /**
   * Ask `peer` to open a zero-conf private anchors channel; returns the funding script (P2WSH). Cancelled by a disconnect.
   * `binding` is given when the peer's node reads `channel_in_factory`; a host that can't send it opens without.
   */
  openStart(open: {
    peer: NodeId
    capacity: Sat
    push: Msat
    binding?: FactoryBinding | undefined
  }): Promise<{ script: Uint8Array }>
  /**
   * Complete it on an outpoint that is not on chain. Owes: never broadcasts anything; an abort before `release` leaves no
   * claim of the peer on us.
   */
  openComplete(open: {
    peer: NodeId
    /** Legacy serialisation of the unsigned leaf. */
    leaf: Uint8Array
    /** What the leaf's input spends. */
    prevout: { amount: Sat; script: Uint8Array }
    vout: number
    script: Uint8Array
    capacity: Sat
  }): Promise<{ channelId: string }>
  /** Forget a started open. Idempotent. */
  openCancel(peer: NodeId): Promise<void>
  /** The channel must survive from now on: called before the funding is broadcast. LOSES FUNDS when skipped. Idempotent. */
  release(channelId: string): Promise<void>
  /** Forget a channel whose funding can never appear (aborted before funding, or closed cooperatively). Best effort, idempotent. */
  drop(peer: NodeId, channelId: string): Promise<void>
  /** Start a unilateral close. The host re-sends its commitment until it confirms. Idempotent. */
  forceClose(peer: NodeId, channelId: string): Promise<void>
  channels(): Promise<HostChannel[]>
  checkFunding(channelId: string): Promise<FundingCheck>

  height(): Promise<BlockHeight>
  /** Raw block of the best chain, or undefined when the height is not there yet. */
  block(height: BlockHeight): Promise<{ hash: string; raw: Uint8Array } | undefined>
  /** Unspent output (mempool included). */
  utxo(outpoint: OutPoint): Promise<{ amount: Sat; script: Uint8Array } | undefined>
  broadcast(tx: Uint8Array): Promise<BroadcastResult>
  log(level: 'debug' | 'info' | 'warn' | 'error', text: string): void
}

/** A peer wants to open a channel to us. */
export interface OpenRequest {
  readonly peer: NodeId
  readonly capacity: Sat
  readonly push: Msat
  /** channel_type bits of the open, ascending; undefined when the peer sent none. */
  readonly channelType: readonly number[] | undefined
  /** TLV `channel_in_factory`, from hosts that read it. `protocol`: 64 hex characters. */
  readonly binding?: { readonly protocol: string; readonly instance: string; readonly earlyWarning: number } | undefined
}

export type OpenDecision =
  /** Announced by a ceremony: zero confirmations, reserve as low as the host can. */
  | { readonly kind: 'factory'; readonly instance: InstanceId }
  /** Not ours: the host does what it always does, and never grants zero-conf on our word. */
  | { readonly kind: 'ordinary' }
  | { readonly kind: 'refuse'; readonly reason: string }

/** An HTLC that was offered to us, before anything is done with it. */
export interface HtlcEvent {
  /** Channel it came in on. */
  readonly inChannelId: string
  /** Channel it should leave by; undefined when we are the payee. */
  readonly outChannelId: string | undefined
  readonly amountIn: Msat
  readonly amountOut: Msat | undefined
  readonly cltvIn: number
  readonly cltvOut: number | undefined
  readonly height: BlockHeight
}

/** `failure` is a BOLT 4 failure message in hex (code first), `reason` goes to the log. */
export type HtlcDecision =
  /**
   * `forwardTo`: not over the channel that the host took, but over one of these to the same peer; only where the host can
   * (`choosesForwardingChannel`). It takes the one that the payer named, else the first, of those that can carry the amount now.
   */
  | { readonly kind: 'continue'; readonly forwardTo?: readonly string[] }
  | { readonly kind: 'fail'; readonly failure: string; readonly reason: string }

/** An HTLC that pays us, alone or as the last hop of a route. */
export interface ReceivedHtlc {
  /** Unique in this node, the same when the host tells it again. */
  readonly id: string
  readonly channelId: string
  /** 64 hex characters. */
  readonly hash: string
  readonly amount: Msat
  /** `cltv_expiry`, absolute. */
  readonly expiry: number
}

/** `failure` as in `HtlcDecision`. */
export type HeldDecision =
  | { readonly kind: 'settle'; readonly preimage: Uint8Array }
  | { readonly kind: 'fail'; readonly failure: string; readonly reason: string }

/** What the host calls. All are idempotent: hosts repeat events after a restart. */
export interface HostHandlers {
  message(peer: NodeId, body: Uint8Array): Promise<void>
  peerConnected(peer: NodeId): Promise<void>
  peerDisconnected(peer: NodeId): Promise<void>
  openRequest(request: OpenRequest): OpenDecision
  htlc(event: HtlcEvent): HtlcDecision
  /**
   * Asked first for every HTLC that pays us; undefined: nobody waits for it, and `htlc` decides. Else it is held until the promise
   * is settled, which may take until its expiry. Owes: asks again after a restart.
   */
  received?(htlc: ReceivedHtlc): Promise<HeldDecision> | undefined
  block(height: BlockHeight): Promise<void>
  /** A channel appeared or changed its state; the handler looks at `channels()` itself. */
  channelsChanged(): Promise<void>
  /** A peer announced another factory protocol, on that protocol's own message type: shown to people, never answered. */
  otherProtocol?(peer: NodeId, body: Uint8Array): void
}
