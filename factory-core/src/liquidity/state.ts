/** Sales of liquidity as both sides remember them. A state that was stored before there were any has none. */
import type { ErrorCode } from '@ln-factory/tlv'
import type { Sold } from '../tree/index.js'
import type { Msat, NodeId, OutPoint, ParticipantIndex, Sat } from '../units/index.js'

/** One link of a stock's chain. */
export interface Link extends Sold {
  /** Name of the stock (`stockName`). */
  readonly stock: string
  readonly buyer: ParticipantIndex
}

/** Why the last sale with a client was given up. */
export interface Failure {
  readonly buyer: ParticipantIndex
  readonly code: ErrorCode
  readonly reason: string
}

/** What the buyer's HTLC looks like: 64 hex characters, and BOLT 4's `payment_secret`; undefined when nothing is to be paid. */
export interface SalePayment {
  readonly hash: string
  readonly secret: Uint8Array | undefined
}

interface SaleTerms {
  readonly stock: string
  readonly buyer: ParticipantIndex
  readonly capacity: Sat
  readonly price: Msat
}

/**
 * `offered`: the buyer has been told the price. `opening`: the host asks for the channel's script. `proposed`: the chain transaction is
 * fixed and its channel is being completed; given up for free. `binding`: an aggregated nonce has left, partial signatures may exist:
 * this child of the stock or none, ever.
 */
export type LspUnsigned =
  | ({ readonly step: 'offered' } & SaleTerms)
  | ({
      readonly step: 'opening'
      readonly payment: SalePayment
      readonly channelScript: Uint8Array | undefined
    } & SaleTerms)
  | ({ readonly step: 'proposed'; readonly completed: boolean } & LspProposed)
  | ({ readonly step: 'binding' } & LspProposed)

export interface LspProposed extends SaleTerms, Link {
  readonly payment: SalePayment
  readonly channelId: string
}

/**
 * Signed by all, on disk: from here on the channel is a claim on the factory. `live` once the price is paid.
 */
export interface LspSigned extends LspProposed {
  readonly step: 'signed'
  /** Who has every signature on disk. */
  readonly stored: readonly ParticipantIndex[]
  /** The buyer's. */
  readonly preimage: Uint8Array | undefined
  readonly live: boolean
}

export interface LspSales {
  /** In the order of the chains. */
  readonly signed: readonly LspSigned[]
  /** One for each stock at the most. */
  readonly pending: readonly LspUnsigned[]
  /** Channels of sales that were given up, as far as they may exist: no HTLC enters them. */
  readonly strays: readonly string[]
  /** The last one of each buyer. */
  readonly failures: readonly Failure[]
}

export const noLspSales: LspSales = { signed: [], pending: [], strays: [], failures: [] }

/** What we pay for a channel, and how. */
export interface Purchase {
  readonly price: Msat
  /** With the node's seed it gives the preimage back. */
  readonly salt: Uint8Array
  /** Where the HTLC goes; undefined when nothing is to be paid. */
  readonly pay: { readonly secret: Uint8Array; readonly channelId: string } | undefined
}

/** A link that we have signed with all, and hold the signatures of. */
export interface ClientLink extends Link {
  readonly channelId: string
  /** Ours. */
  readonly bought: (Purchase & { /** The LSP says that it is paid. */ readonly live: boolean }) | undefined
}

/** A channel that we want, until it is proposed. */
export type Wish =
  | { readonly step: 'asked'; readonly capacity: Sat; readonly maxPrice: Msat }
  | {
      readonly step: 'accepted'
      readonly capacity: Sat
      readonly price: Msat
      readonly salt: Uint8Array
      /** Zero-conf was granted to the one open that was announced. */
      readonly opened: boolean
    }

/**
 * The next sale of our stock, to us or to another. `checking`: the channel that we buy is being looked at. `agreed`: our nonces are
 * out. `signed`: our partial signatures are out: this child of the stock or none, ever.
 */
export interface ClientPending {
  readonly step: 'checking' | 'agreed' | 'signed'
  readonly link: Link
  readonly channelId: string
  readonly bought: Purchase | undefined
}

export interface ClientSales {
  /** Of our stock, in order. */
  readonly chain: readonly ClientLink[]
  readonly wish: Wish | undefined
  readonly pending: ClientPending | undefined
  /** Channels of purchases that were given up. */
  readonly strays: readonly string[]
  readonly failure: { readonly code: ErrorCode; readonly reason: string } | undefined
  /** Bought channels whose unilateral close was ordered. */
  readonly closing: readonly string[]
  /** Our channels, the first one too, that are spent or can't appear any more: `txid:vout`. */
  readonly spent: readonly string[]
}

export const noClientSales: ClientSales = {
  chain: [],
  wish: undefined,
  pending: undefined,
  strays: [],
  failure: undefined,
  closing: [],
  spent: [],
}

/** A channel of ours that is backed by signatures on disk. */
export interface OwnChannel {
  readonly peer: NodeId
  readonly channelId: string
  readonly outpoint: OutPoint
  /** Chain transactions between the leaf and it; 0 for the one that the factory started with. */
  readonly depth: number
}
