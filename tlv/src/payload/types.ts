/**
 * The ceremony's messages, as they travel inside `factory_piggyback_payload`. Each is
 * `u16 kind | 32 instance_id | fields in this order | tlv_stream` (the stream is for extensions; it's OK to be odd). Even
 * kinds must be understood. Integers are big-endian; a txid travels in internal byte order. Lists carry a u16 count (u8 where
 * said). "LSP" and "client" say who may send.
 *
 * Byte strings are fixed where a length is given. A payload that does not fit one piggyback message travels in fragments
 * (kind 0, `split.ts`). Normative text: docs/protocol.md.
 */

/** Values of `u16 kind`. */
export const PayloadKind = {
  invite: 2,
  accept: 4,
  refuse: 6,
  propose: 8,
  nonces: 10,
  aggregatedNonces: 12,
  partialSignatures: 14,
  signatures: 16,
  stored: 18,
  channelReady: 20,
  fundingBroadcast: 22,
  abort: 24,
  sync: 26,
  closePropose: 28,
  closeNonce: 30,
  closeAggregatedNonce: 32,
  closePartialSignature: 34,
  closeComplete: 36,
  saleRequest: 38,
  saleOffer: 40,
  saleAccept: 42,
  salePropose: 44,
  saleNonces: 46,
  saleAggregatedNonces: 48,
  salePartialSignatures: 50,
  saleSignatures: 52,
  saleStored: 54,
  saleLive: 56,
  saleAbort: 58,
  moveOffer: 68,
  movePart: 70,
  moveReady: 72,
  moveKey: 74,
  moveRefuse: 76,
  assistRequest: 80,
  assistOffer: 82,
  assistRefuse: 84,
  updateInvite: 100,
  updateAccept: 102,
  updatePropose: 104,
  updateNonces: 106,
  updateAggregatedNonces: 108,
  updatePartialSignatures: 110,
  updateStockSignatures: 112,
  updateLeafSignature: 114,
  updateComplete: 116,
  updateStored: 118,
  joinRequest: 120,
  joinAccepted: 122,
  joinRefused: 124,
  joinWithdraw: 126,
  readsChannelInFactory: 141,
} as const

interface Base {
  /** 32 bytes. */
  readonly instanceId: Uint8Array
}

/** Shape and timing of the tree. 23 bytes. */
export interface WireTreeParams {
  readonly arity: number // u8
  readonly fanout: number // u8
  readonly states: number // u8
  readonly step: number // u16 blocks
  readonly confirmationMargin: number // u16 blocks
  readonly safetyMargin: number // u16 blocks
  readonly stockCsv: number // u16 blocks
  readonly stockPerClient: bigint // u64 sat
  readonly feerate: number // u32 sat per 1000 vB
}

/** LSP: an offer. The client answers `accept` or `refuse` within `respondWithin` seconds. */
export interface Invite extends Base {
  readonly kind: 'invite'
  readonly capacity: bigint // u64 sat, of this client's channel
  readonly push: bigint // u64 msat, the client's balance at the start
  readonly expiry: number // u32 block height
  readonly earlyWarning: number // u16 blocks, W
  readonly clients: number // u16, how many are invited
  readonly respondWithin: number // u16 seconds
  readonly params: WireTreeParams
}

/** Client: yes, with its fresh factory key. */
export interface Accept extends Base {
  readonly kind: 'accept'
  readonly factoryKey: Uint8Array // 33
  /** Random; with the node's seed it gives the factory key back, and keeps keys fresh when an instance_id comes twice. */
  readonly keySalt: Uint8Array // 16
  readonly payoutScript: Uint8Array // u8 length, 22..42
}

/** Client: no. */
export interface Refuse extends Base {
  readonly kind: 'refuse'
  readonly reason: string // u8 length, printable UTF-8 (text.ts)
}

export interface WireOutput {
  readonly amount: bigint // u64 sat
  readonly script: Uint8Array // u8 length, 1..42
}

/** LSP: everything a client needs to rebuild its path (core `tree/`). */
export interface Propose extends Base {
  readonly kind: 'propose'
  readonly clientIndex: number // u16, 1..N
  readonly fundingTxid: Uint8Array // 32, internal byte order
  readonly fundingVout: number // u16
  readonly fundingAmount: bigint // u64 sat
  readonly channelScript: Uint8Array // 34, P2WSH
  readonly poisonHash: Uint8Array // 32
  readonly keys: readonly Uint8Array[] // u16 count 2..2001, 33 each, LSP first
  /** Per path transaction, the outputs that are not the client's own. */
  readonly siblings: readonly (readonly WireOutput[])[] // u16 count 1..64 of u8 counts 0..64
}

/** Client: one public nonce per path transaction. */
export interface Nonces extends Base {
  readonly kind: 'nonces'
  readonly nonces: readonly Uint8Array[] // u16 count 1..64, 66 each
}

/** LSP: the aggregate of all signers' nonces, per path transaction. */
export interface AggregatedNonces extends Base {
  readonly kind: 'aggregated_nonces'
  readonly nonces: readonly Uint8Array[] // u16 count 1..64, 66 each
}

/** Client. */
export interface PartialSignatures extends Base {
  readonly kind: 'partial_signatures'
  readonly signatures: readonly Uint8Array[] // u16 count 1..64, 32 each
}

/** LSP: final BIP-340 signatures. */
export interface Signatures extends Base {
  readonly kind: 'signatures'
  readonly signatures: readonly Uint8Array[] // u16 count 1..64, 64 each
}

/** Client: all signatures verified and on disk. */
export interface Stored extends Base {
  readonly kind: 'stored'
}

/** Client: the channel exists on the agreed outpoint, with the agreed amount and script. */
export interface ChannelReady extends Base {
  readonly kind: 'channel_ready'
  readonly channelId: Uint8Array // 32
}

/** LSP: the funding transaction is signed and broadcast. */
export interface FundingBroadcast extends Base {
  readonly kind: 'funding_broadcast'
}

/** Either side, before the funding is broadcast (creation) or before a partial signature is given (closing). */
export interface Abort extends Base {
  readonly kind: 'abort'
  readonly reason: string // u16 length 0..1024, printable UTF-8
}

/** Either side on (re)connection, per live instance: where I stand. */
export interface Sync extends Base {
  readonly kind: 'sync'
  /** Name of the sender's stage, see `ceremony/`. u8 length, 1 at least, printable UTF-8. */
  readonly stage: string
}

/** LSP: close the factory in one transaction that pays everyone. */
export interface ClosePropose extends Base {
  readonly kind: 'close_propose'
  /** The client's balance as the LSP sees it. */
  readonly balance: bigint // u64 msat
  readonly lockTime: number // u32
  readonly outputs: readonly WireOutput[] // u16 count 1..2001; all outputs, in order
}

/** Client: balance agreed and frozen; its nonce for the funding output. */
export interface CloseNonce extends Base {
  readonly kind: 'close_nonce'
  readonly nonce: Uint8Array // 66
}

export interface CloseAggregatedNonce extends Base {
  readonly kind: 'close_aggregated_nonce'
  readonly nonce: Uint8Array // 66
}

export interface ClosePartialSignature extends Base {
  readonly kind: 'close_partial_signature'
  readonly signature: Uint8Array // 32
}

/** LSP: the final signature; the close is broadcast. */
export interface CloseComplete extends Base {
  readonly kind: 'close_complete'
  readonly signature: Uint8Array // 64
}

/** Client: sell me a channel. */
export interface SaleRequest extends Base {
  readonly kind: 'sale_request'
  readonly capacity: bigint // u64 sat
  readonly maxPrice: bigint // u64 msat
}

/** LSP: this channel, at this price. */
export interface SaleOffer extends Base {
  readonly kind: 'sale_offer'
  readonly capacity: bigint // u64 sat
  readonly price: bigint // u64 msat
  /** W of the new channel. */
  readonly earlyWarning: number // u16 blocks
}

/** Client: agreed. */
export interface SaleAccept extends Base {
  readonly kind: 'sale_accept'
  readonly capacity: bigint // u64 sat
  readonly price: bigint // u64 msat
  /** SHA-256 of what the client reveals when it has stored every signature. */
  readonly paymentHash: Uint8Array // 32
}

/** LSP, to every client of the stock: what the next chain transaction is made of. */
export interface SalePropose extends Base {
  readonly kind: 'sale_propose'
  readonly number: number // u16, 1 for the first sale of the stock
  readonly buyer: number // u16, participant index
  readonly capacity: bigint // u64 sat
  readonly channelScript: Uint8Array // 34, P2WSH
  /** BOLT 4 `payment_secret` for the HTLC of the price; zero for all but the buyer. */
  readonly paymentSecret: Uint8Array // 32
}

interface OfChain extends Base {
  /** Of the chain transaction that was built from the proposal. */
  readonly chainTxid: Uint8Array // 32, internal byte order
}

/** Client: one public nonce per transaction: chain, then distribution and poison of the rest if there is one. */
export interface SaleNonces extends OfChain {
  readonly kind: 'sale_nonces'
  readonly nonces: readonly Uint8Array[] // u8 count 1..3, 66 each
}

/** LSP. */
export interface SaleAggregatedNonces extends OfChain {
  readonly kind: 'sale_aggregated_nonces'
  readonly nonces: readonly Uint8Array[] // u8 count 1..3, 66 each
}

/** Client. */
export interface SalePartialSignatures extends OfChain {
  readonly kind: 'sale_partial_signatures'
  readonly signatures: readonly Uint8Array[] // u8 count 1..3, 32 each
}

/** LSP: final BIP-340 signatures. */
export interface SaleSignatures extends OfChain {
  readonly kind: 'sale_signatures'
  readonly signatures: readonly Uint8Array[] // u8 count 1..3, 64 each
}

/** Client: all signatures verified and on disk. */
export interface SaleStored extends OfChain {
  readonly kind: 'sale_stored'
  /** The buyer's preimage; empty from the others. */
  readonly preimage: readonly Uint8Array[] // u8 count 0..1, 32 each
}

/** LSP, to the buyer: paid, and the channel is open for HTLCs. */
export interface SaleLive extends OfChain {
  readonly kind: 'sale_live'
}

/** Either side, before a partial signature is given. `chainTxid` is zero before there is a proposal, or when it can't be built. */
export interface SaleAbort extends OfChain {
  readonly kind: 'sale_abort'
  readonly reason: string // u16 length 0..1024, printable UTF-8
}

/** Client: an output on chain for its balance, please. Asked again with the same `hash`, it is the same request. */
export interface AssistRequest extends Base {
  readonly kind: 'assist_request'
  readonly key: Uint8Array // 33, fresh: signs the claim
  readonly hash: Uint8Array // 32, SHA-256 of what the claim reveals
  readonly payoutScript: Uint8Array // u8 length, 22..42: where the claim pays
  readonly amount: bigint // u64 msat that it will pay for it over its factory channel
  readonly feerate: number // u32 sat per 1000 vB of the claim, and of what the LSP is paid for
}

/** LSP: the output, and its pre-signatures for the claim, encrypted to the client's factory key. */
export interface AssistOffer extends Base {
  readonly kind: 'assist_offer'
  readonly hash: Uint8Array // 32, of the request
  readonly key: Uint8Array // 33, fresh
  readonly fundingTxid: Uint8Array // 32, internal byte order
  readonly fundingVout: number // u16
  readonly amount: bigint // u64 sat, of the output
  readonly timeout: number // u32 block height from which the LSP may take the output back
  readonly htlcExpiry: number // u32 block height, the least `cltv_expiry` of the client's HTLC
  readonly paymentSecret: Uint8Array // 32, BOLT 4
  /** One for each feerate of the claim, the lowest first. */
  readonly preSignatures: readonly Uint8Array[] // u8 count 1..16, 65 each
}

/** LSP: not now, or not any more. Client: the offer is not taken. */
export interface AssistRefuse extends Base {
  readonly kind: 'assist_refuse'
  readonly hash: Uint8Array // 32, of the request
  readonly reason: string // u8 length, printable UTF-8
}

/** LSP: your leaf gets a new state, and your channel this capacity. */
export interface UpdateInvite extends Base {
  readonly kind: 'update_invite'
  readonly state: number // u8, index of the new state
  readonly capacity: bigint // u64 sat
  readonly respondWithin: number // u16 seconds
}

/** Client: gate shut, no HTLC left. */
export interface UpdateAccept extends Base {
  readonly kind: 'update_accept'
  readonly balance: bigint // u64 msat
  /** SHA-256 of what the client reveals to take its balance over the new channel. */
  readonly paymentHash: Uint8Array // 32
  readonly paymentSecret: Uint8Array // 32, BOLT 4
}

export interface WireChannel {
  readonly capacity: bigint // u64 sat
  readonly script: Uint8Array // 34, P2WSH
}

/** LSP: the new state. */
export interface UpdatePropose extends Base {
  readonly kind: 'update_propose'
  readonly state: number // u8
  readonly poisonHash: Uint8Array // 32
  /** By client of the leaf. */
  readonly channels: readonly WireChannel[] // u8 count 1..16
  /** sat for each client, by stock. */
  readonly shares: readonly bigint[] // u8 count 0..4, u64 sat each
}

interface OfLeaf extends Base {
  /** Of the leaf transaction that was built from the proposal. */
  readonly leafTxid: Uint8Array // 32, internal byte order
}

/** Client: one public nonce per transaction: poison and distribution of its stock if there is one, then the leaf. */
export interface UpdateNonces extends OfLeaf {
  readonly kind: 'update_nonces'
  readonly nonces: readonly Uint8Array[] // u8 count 1..3, 66 each
}

/** LSP. */
export interface UpdateAggregatedNonces extends OfLeaf {
  readonly kind: 'update_aggregated_nonces'
  readonly nonces: readonly Uint8Array[] // u8 count 1..3, 66 each
}

/** Client: for its stock alone. */
export interface UpdatePartialSignatures extends OfLeaf {
  readonly kind: 'update_partial_signatures'
  readonly signatures: readonly Uint8Array[] // u8 count 0..2, 32 each
}

/** LSP: final BIP-340 signatures of what spends the stock. */
export interface UpdateStockSignatures extends OfLeaf {
  readonly kind: 'update_stock_signatures'
  readonly signatures: readonly Uint8Array[] // u8 count 0..2, 64 each
}

/** Client: what spends its stock is verified and on disk; its partial signature of the leaf. */
export interface UpdateLeafSignature extends OfLeaf {
  readonly kind: 'update_leaf_signature'
  readonly signature: Uint8Array // 32
}

/** LSP: the leaf's final signature, and what makes the poison of the state before valid. */
export interface UpdateComplete extends OfLeaf {
  readonly kind: 'update_complete'
  readonly signature: Uint8Array // 64
  readonly preimage: Uint8Array // 32
}

/** Client: the new state is on disk; the LSP's side of the old channel may come. */
export interface UpdateStored extends OfLeaf {
  readonly kind: 'update_stored'
  readonly paymentHash: Uint8Array // 32
  readonly paymentSecret: Uint8Array // 32, BOLT 4
}

/**
 * Client: I want a channel in one of your factories. Here, and in the answers, `instanceId` is no factory's: it names the request, 32
 * random bytes that the client made.
 */
export interface JoinRequest extends Base {
  readonly kind: 'join_request'
  readonly capacity: bigint // u64 sat, of the channel
}

/** LSP: it waits. */
export interface JoinAccepted extends Base {
  readonly kind: 'join_accepted'
  readonly place: number // u16, 1 is the first
  readonly waiting: number // u16, how many wait
}

/** LSP: it does not wait, or not any more. */
export interface JoinRefused extends Base {
  readonly kind: 'join_refused'
  readonly reason: string // u8 length, printable UTF-8
}

/** Client: not any more. */
export interface JoinWithdraw extends Base {
  readonly kind: 'join_withdraw'
}

/** Client, before `accept`: its node reads TLV 65600 of `open_channel`, so it may be opened to with it. Odd: a hint that may be lost. */
export interface ReadsChannelInFactory extends Base {
  readonly kind: 'reads_channel_in_factory'
}

/** LSP, on the old factory's instance: your balance can move to your channel in the new one. Repeated until it has. */
export interface MoveOffer extends Base {
  readonly kind: 'move_offer'
  /** Of the new factory. */
  readonly newInstance: Uint8Array // 32
  /** What we can pay over the new channel in one HTLC now. */
  readonly most: bigint // u64 msat
}

/**
 * Client: the next part of its balance. It will pay `amountIn` over the old channel, when the LSP is ready, and takes `amountOut`
 * over the new one for the same hash. Both are equal except in the last part, whose preimage is the client's factory key, and whose
 * `amountOut` is all that the old channel holds for the client, also what it can't spend.
 */
export interface MovePart extends Base {
  readonly kind: 'move_part'
  readonly newInstance: Uint8Array // 32
  readonly index: number // u16, from 0
  readonly last: number // u8, 0 or 1
  readonly hash: Uint8Array // 32
  readonly amountIn: bigint // u64 msat
  readonly amountOut: bigint // u64 msat
  /** `payment_secret` for the HTLC over the new channel. */
  readonly secret: Uint8Array // 32
}

/** LSP: pay `amountIn` now; nothing to pay when it is 0. */
export interface MoveReady extends Base {
  readonly kind: 'move_ready'
  readonly index: number // u16
  /** `payment_secret` for the HTLC over the old channel. */
  readonly secret: Uint8Array // 32
}

/** Client: its factory key, when nothing was left that could be paid for it. */
export interface MoveKey extends Base {
  readonly kind: 'move_key'
  readonly key: Uint8Array // 32
}

/** LSP: not this part, not now. */
export interface MoveRefuse extends Base {
  readonly kind: 'move_refuse'
  readonly index: number // u16
  readonly reason: string // u8 length, printable UTF-8
}

export type Payload =
  | Invite
  | Accept
  | Refuse
  | Propose
  | Nonces
  | AggregatedNonces
  | PartialSignatures
  | Signatures
  | Stored
  | ChannelReady
  | FundingBroadcast
  | Abort
  | Sync
  | ClosePropose
  | CloseNonce
  | CloseAggregatedNonce
  | ClosePartialSignature
  | CloseComplete
  | SaleRequest
  | SaleOffer
  | SaleAccept
  | SalePropose
  | SaleNonces
  | SaleAggregatedNonces
  | SalePartialSignatures
  | SaleSignatures
  | SaleStored
  | SaleLive
  | SaleAbort
  | AssistRequest
  | AssistOffer
  | AssistRefuse
  | UpdateInvite
  | UpdateAccept
  | UpdatePropose
  | UpdateNonces
  | UpdateAggregatedNonces
  | UpdatePartialSignatures
  | UpdateStockSignatures
  | UpdateLeafSignature
  | UpdateComplete
  | UpdateStored
  | JoinRequest
  | JoinAccepted
  | JoinRefused
  | JoinWithdraw
  | ReadsChannelInFactory
  | MoveOffer
  | MovePart
  | MoveReady
  | MoveKey
  | MoveRefuse
