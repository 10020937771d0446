/** An update of a leaf as both sides remember it, and the states that the leaf has gone through. */
import type { LeafTerms } from '../tree/index.js'
import type { BlockHeight, Msat, NodeId, Sat, Txid } from '../units/index.js'

/** A state of a leaf: at most one of them will ever be on chain. */
export interface LeafChoice {
  readonly state: number
  /** Of the leaf transaction. */
  readonly txid: Txid
  /** Undefined for the state that the tree was built with. */
  readonly terms: LeafTerms | undefined
  /** Channels on its outputs, by client of the leaf; a client knows its own only. */
  readonly channels: readonly string[]
}

type Seen = Readonly<Record<string, BlockHeight>>

/** The one that is on chain, or else the latest; undefined when the leaf was never updated. */
export const standing = (choices: readonly LeafChoice[], seen: Seen): LeafChoice | undefined =>
  choices.find((c) => seen[c.txid] !== undefined) ?? choices.at(-1)

/** A revoked state is on chain: which. */
export function staleChoice(choices: readonly LeafChoice[], seen: Seen): LeafChoice | undefined {
  const choice = standing(choices, seen)
  return choice === choices.at(-1) ? undefined : choice
}

/** What a client of the leaf has agreed to. */
export interface Agreed {
  readonly balance: Msat
  /** For the payment of the balance over the new channel: SHA-256 of what only the client knows, 64 hex characters. */
  readonly hash: string
  readonly secret: Uint8Array
}

export interface Member {
  readonly agreed: Agreed | undefined
  /** Funding script of the new channel. */
  readonly script: Uint8Array | undefined
  readonly channelId: string | undefined
  /** The balance is in the new channel. */
  readonly paid: boolean
}

/**
 * `draining`: gates shut, HTLCs settle. `opening`, `completing`: new channels on a leaf that is fixed from then on. `paying`: balances
 * go into them. `signing`: may be repeated with fresh nonces. `releasing`: signed; the channels must survive first.
 */
export interface LspUpdate {
  readonly step: 'draining' | 'opening' | 'completing' | 'paying' | 'signing' | 'releasing'
  readonly leaf: number
  readonly state: number
  /** By client of the leaf. */
  readonly capacities: readonly Sat[]
  readonly shares: readonly Sat[]
  readonly members: readonly Member[]
  /** From `completing` on. */
  readonly terms: LeafTerms | undefined
  /** Partial signatures of the leaf may exist: it can't be given up any more. */
  readonly binding: boolean
}

/** An old channel that is given away: paid over, then closed mutually. */
export interface Giving {
  readonly peer: NodeId
  readonly channelId: string
  /** The client has what makes the new state its own, and waits for the payment. */
  readonly payment: { readonly hash: string; readonly secret: Uint8Array } | undefined
  readonly paid: boolean
}

interface Announced {
  readonly state: number
  readonly capacity: Sat
}
interface Promised extends Announced {
  readonly balance: Msat
  /** Of the payment over the new channel. */
  readonly preimage: Uint8Array
  /** Zero-conf was granted to the one open. */
  readonly opened: boolean
}
interface Built extends Promised {
  readonly terms: LeafTerms
  readonly txid: Txid
}

/**
 * `draining`: our gate is shut. `agreed`: the balance was told, open and payment are awaited. `checking`: built; is the new channel what
 * it should be? `proposed`: it is, our nonces are out. `frozen`: our signature of the leaf is out: either state may come now.
 */
export type ClientUpdate =
  | ({ readonly step: 'draining' } & Announced)
  | ({ readonly step: 'agreed' } & Promised)
  | ({ readonly step: 'checking' } & Built)
  | ({ readonly step: 'proposed' | 'frozen'; readonly channelId: string } & Built)

/** The LSP will pay us its side of our old channel. */
export interface Gift {
  readonly channelId: string
  readonly preimage: Uint8Array
}

/** Item key of the preimage that the LSP revealed for a state of our leaf. */
export const revealedItem = (state: number): string => `poison-preimage/${state}`
