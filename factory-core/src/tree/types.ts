/**
 * What the tree builder takes and gives. The LSP builds the whole tree (`buildTree`), a client only its own path
 * (`buildPath`) from its siblings' outputs as opaque scripts and amounts. Both give the same `Spend`s, byte for byte.
 */
import type { BlockHeight, Blocks, OutPoint, ParticipantIndex, Sat, Txid } from '../units/index.js'

/** Shape and timing of a tree; agreed in the invitation, the same for everyone. Bounds: `checkParams`. */
export interface TreeParams {
  /** k: clients that share a stock; a leaf holds up to k^2 channels and k stocks. 1..4, default 2. */
  readonly arity: number
  /** Most outputs of a static node. 2..16, default 4. */
  readonly fanout: number
  /** n: states in the leaf layer, 1..64, default 4. State i has nSequence = step * (n - 1 - i). */
  readonly states: number
  /** nSequence between two states, in blocks. 1..1008, default 144. */
  readonly step: Blocks
  /** S: blocks granted to each level of the tree to confirm. 1..144, default 6. */
  readonly confirmationMargin: Blocks
  /** Blocks kept on top in W. 0..144, default 12. */
  readonly safetyMargin: Blocks
  /** CSV of the LSP's branch of a stock, in blocks. 1..65535, default 432. */
  readonly stockCsv: Blocks
  /** Each client's share of its stock; 0 leaves stocks out. 0 or >= 1000 sat. */
  readonly stockPerClient: Sat
  /** Fee rate built into every tree transaction, sat per 1000 vB. 1000..100000, default 1000. */
  readonly feerate: number
}

/** What the tree must know of one client. */
export interface TreeClient {
  /** Compressed factory key, 33 bytes. */
  readonly key: Uint8Array
  /** Capacity of the client's channel. */
  readonly capacity: Sat
  /** Where distribution and poison pay the client: P2WPKH, P2WSH or P2TR (22 or 34 bytes). */
  readonly payoutScript: Uint8Array
  /** Funding script of the channel: P2WSH, 34 bytes. */
  readonly channelScript: Uint8Array
}

export interface Funding {
  readonly outpoint: OutPoint
  readonly amount: Sat
}

export interface TreeSpec {
  readonly params: TreeParams
  /** Absolute height at which the distributions become valid. */
  readonly expiry: BlockHeight
  readonly lspKey: Uint8Array
  /** Client i of the ceremony (participant i + 1) is at position i. */
  readonly clients: readonly TreeClient[]
  /** SHA-256 of the poison preimage of each leaf, by leaf number. */
  readonly poisonHashes: readonly Uint8Array[]
  readonly funding: Funding
}

export interface TxOutput {
  readonly amount: Sat
  readonly script: Uint8Array
}

/** A transaction without witness; `bytes` is its legacy serialisation. */
export interface UnsignedTx {
  readonly txid: Txid
  readonly bytes: Uint8Array
  readonly version: number
  readonly lockTime: number
  readonly sequence: number
  readonly input: OutPoint
  readonly outputs: readonly TxOutput[]
}

/** DESIGN.md section 4: the classes of signature that an outpoint may carry. */
export type SpendClass = 'child' | 'distribution' | 'poison' | 'cooperative'

export type SpendRole =
  | 'static' // plain fan-out level, spends the funding or a static output
  | 'kickoff' // arity 1, spends a static output (or the funding, when one leaf is all there is)
  | 'leaf' // a state: spends a kickoff output
  | 'chain' // a sale: spends a stock into a new channel and the rest of the stock
  | 'poison' // spends a stock by its hash-locked tapleaf
  | 'distribution' // spends a shared output with nLockTime = expiry
  | 'payout' // fans a distribution's group output out to its clients; no lock time of its own
  | 'close' // spends the funding, pays every balance: the factory ends by consent

/** Which key signs: the aggregate of the signers' keys, tweaked as BIP-341 says, or as it stands (inside a tapleaf). */
export type SpendKey =
  | { readonly path: 'key'; readonly merkleRoot: Uint8Array | undefined }
  | { readonly path: 'script'; readonly leafScript: Uint8Array; readonly controlBlock: Uint8Array }

/** One pre-signed transaction: what is spent, by whom, and the message that is signed. */
export interface Spend {
  /** Unique in the factory, readable, the same for LSP and client; e.g. `static:0.1`, `leaf:3`, `dist:funding`. */
  readonly id: string
  readonly role: SpendRole
  readonly class: SpendClass
  /** State index for a child of a kickoff output, else 0. */
  readonly index: number
  /** Ascending; always includes every client below; the LSP too except in `payout`. */
  readonly signers: readonly ParticipantIndex[]
  readonly prevout: { readonly outpoint: OutPoint } & TxOutput
  readonly tx: UnsignedTx
  /** BIP-341 signature hash, SIGHASH_DEFAULT, 32 bytes. */
  readonly sighash: Uint8Array
  readonly key: SpendKey
  readonly fee: Sat
  /** Virtual size when signed, in vB. */
  readonly vsize: number
}

/** Of one path transaction: every output except the client's own next one and the anchor, in output order. */
export type SiblingOutputs = readonly TxOutput[]

export interface FactoryTree {
  readonly spec: TreeSpec
  /** Funding output script (P2TR, 34 bytes). */
  readonly fundingScript: Uint8Array
  /** Every spend, parents before children. */
  readonly spends: readonly Spend[]
  /** Ids of the spends that `client` signs, in the canonical order that nonces and signatures travel in. */
  pathIds(client: ParticipantIndex): readonly string[]
  /** What `client` must be told to rebuild its path; one entry per path id, in the same order. */
  siblings(client: ParticipantIndex): readonly SiblingOutputs[]
  /** The client's channel output. */
  channel(client: ParticipantIndex): { readonly outpoint: OutPoint } & TxOutput
  leafOf(client: ParticipantIndex): number
}

/** A client's view: the keys of all (they can't be left out: facts/crypto.md), everything else its own. */
export interface PathSpec {
  readonly params: TreeParams
  readonly expiry: BlockHeight
  /** Keys of all participants, LSP first. */
  readonly keys: readonly Uint8Array[]
  readonly client: ParticipantIndex
  readonly self: TreeClient
  /** SHA-256 of the poison preimage of the client's leaf. */
  readonly poisonHash: Uint8Array
  readonly funding: Funding
  readonly siblings: readonly SiblingOutputs[]
}

export interface ClientPath {
  readonly fundingScript: Uint8Array
  /** Canonical order: what `FactoryTree.pathIds` names. */
  readonly spends: readonly Spend[]
  readonly channel: { readonly outpoint: OutPoint } & TxOutput
  /** What the distributions pay this client at the least. */
  readonly coverage: Sat
}

/** What can be known of a tree before keys and outpoints exist. */
export interface TreePlan {
  readonly leaves: number
  /** Transactions from the funding to the channel output. */
  readonly depth: number
  /** W in blocks. */
  readonly earlyWarning: Blocks
  /** Amount of the funding output. */
  readonly fundingAmount: Sat
  /** vB and fees (built in) of one client's exit, tree only; deepest client. */
  readonly exitVsize: number
  readonly exitFee: Sat
}
