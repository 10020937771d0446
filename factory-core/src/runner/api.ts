/**
 * What an operator can ask of a factory node, on any host. A host's commands (Core Lightning: `factory-*`) are thin shells
 * around it. Every method throws only FactoryError.
 */
import type { TreeParams } from '../tree/types.js'
import type { Blocks, BlockHeight, InstanceId, Msat, NodeId, OutPoint, Sat } from '../units/index.js'
import type { Bundle } from '../watchtower/format.js'
import type { StoredLog } from '../store/port.js'
import type { FactoryEconomics } from './economics.js'
import type { LadderApi } from './ladder-api.js'

/** Where a factory stands, as people see it; the machines' own stages are finer (`stage`). */
export type Phase =
  | 'forming' // ceremony under way, nothing on chain
  | 'confirming' // funding broadcast, not deep enough
  | 'active'
  | 'closing' // cooperative close under way or unconfirmed
  | 'closed'
  | 'exiting' // this node publishes its path
  | 'exited'
  | 'aborted' // nothing was ever on chain

export interface CreateRequest {
  readonly clients: readonly { readonly id: NodeId; readonly capacity: Sat; readonly push: Msat }[]
  /** Blocks from now to the expiry; refused under W + 144. */
  readonly lifetime: Blocks
  readonly params: TreeParams
  /** Seconds that a client may take for one step. */
  readonly stepTimeout: number
}

export interface CreateResult {
  readonly instance: InstanceId
  readonly funding: OutPoint
  readonly fundingAmount: Sat
}

export interface SaleResult {
  readonly channelId: string
  readonly capacity: Sat
  readonly price: Msat
}

/** Where the clients of a factory go before it expires. */
export interface RotateRequest {
  readonly instance: InstanceId
  /**
   * `create`: a new factory for those of the old one's clients that are connected and still in it, each with its old capacity, unless
   * `clients` says otherwise (waiting clients may be among them). `existing`: one that has been created.
   */
  readonly to:
    | {
        readonly kind: 'create'
        readonly clients?: CreateRequest['clients'] | undefined
        readonly lifetime: Blocks
        /** Default: those of the old factory. */
        readonly params?: TreeParams | undefined
        readonly stepTimeout: number
      }
    | { readonly kind: 'existing'; readonly instance: InstanceId }
  /** sat per 1000 vB, of the transaction that takes the old factory's coins back. */
  readonly feerate: number
}

export interface RotateResult {
  /** Of the new factory. */
  readonly instance: InstanceId
  /** Clients of the old factory that have a channel in it. */
  readonly moving: readonly NodeId[]
}

/** `moving`: its balance is on the way. `moved`: it has left, and its key is ours. `keyless`: it has left, without its key. */
export interface MoveSummary {
  readonly peer: NodeId
  readonly to: InstanceId
  readonly stage: 'moving' | 'moved' | 'keyless'
  /** Parts that are done. */
  readonly parts: number
}

export interface ChannelSummary {
  readonly peer: NodeId
  readonly channelId: string | undefined
  readonly capacity: Sat
  /** Our balance; undefined while the channel does not exist. */
  readonly ours: Msat | undefined
  readonly outpoint: OutPoint | undefined
  /** Out of a stock: its place in the chain, and whether it is paid for. */
  readonly bought?: { readonly depth: number; readonly live: boolean }
}

export interface FactorySummary {
  readonly instance: InstanceId
  readonly role: 'lsp' | 'client'
  readonly phase: Phase
  /** The machine's stage, for experts. */
  readonly stage: string
  readonly lsp: NodeId
  readonly clients: number
  readonly funding: OutPoint | undefined
  readonly fundingAmount: Sat | undefined
  readonly expiry: BlockHeight
  readonly earlyWarning: Blocks
  readonly channels: readonly ChannelSummary[]
  /** Balances that go to other factories. */
  readonly moves: readonly MoveSummary[]
  /** Something on chain that should be impossible. Comes before any `notice`. */
  readonly alarm: string | undefined
  /** Why it was aborted, or what the operator must know now. */
  readonly notice: string | undefined
}

export interface PathTxSummary {
  readonly id: string
  readonly role: string
  readonly class: string
  readonly txid: string
  readonly vsize: number
  readonly fee: Sat
  readonly amount: Sat
  readonly sequence: number
  readonly lockTime: number
  readonly signed: boolean
  /** Height of the block that holds it, while we watch it. */
  readonly confirmed: BlockHeight | undefined
}

/** What a block has spent of what the factory shares, and what that means. */
export interface SightingSummary {
  readonly outpoint: OutPoint
  readonly by: string
  readonly height: BlockHeight
  readonly sight: string
  /** Of the transaction, where it is one of the factory's. */
  readonly id: string | undefined
}

export interface FactoryDetails extends FactorySummary {
  readonly sightings: readonly SightingSummary[]
  readonly params: TreeParams
  /** The transactions we hold: all of the tree (LSP) or our path (client). */
  readonly transactions: readonly PathTxSummary[]
  readonly exit: {
    readonly transactions: number
    readonly vsize: number
    /** Built into the transactions: paid already. */
    readonly fee: Sat
    /** Blocks from the decision to the channel output on chain, at the most. */
    readonly blocks: Blocks
  }
  /** What the distributions pay us at the least (client). */
  readonly coverage: Sat | undefined
  readonly assists: readonly AssistSummary[]
  /** Last block at which a HTLC may be added. */
  readonly lastHtlcHeight: BlockHeight
  /** What this node does next by itself, in one sentence. */
  readonly next: string
}

/** Selling liquidity. */
export interface SalePolicy {
  /** LSP: answers requests of clients. Off, only the operator sells. */
  readonly sells: boolean
  /** LSP: for every channel. */
  readonly base: Msat
  /** LSP: msat per 1,000,000 sat of capacity and 1000 blocks that are left of the factory. */
  readonly rate: Msat
  readonly min: Sat
  readonly max: Sat
  /** LSP: these clients are refused. */
  readonly deny: readonly NodeId[]
  /** Client: the most that is paid for a channel that an accepted LSP offers unasked. */
  readonly unaskedPrice: Msat
}

/** A client that leaves, or has left, with the LSP's help. */
export interface AssistSummary {
  readonly client: NodeId
  /** LSP: preparing, offered, funding, claimed, returned, unclaimed. Client: looking, asked, paying, claiming. */
  readonly step: string
  /** The LSP's output, once it is agreed. */
  readonly output: { readonly outpoint: OutPoint; readonly amount: Sat; readonly timeout: BlockHeight } | undefined
}

export interface AssistResult {
  readonly outpoint: OutPoint
  /** Of the LSP's output. */
  readonly amount: Sat
  /** All that is lost of the balance, when the claim confirms at the feerate that was asked for. */
  readonly fee: Sat
  /** The claim must be confirmed before. */
  readonly timeout: BlockHeight
}

/** Consent of a client's operator. */
export interface Policy {
  /** LSPs whose invitations are answered automatically, within the limits. Others are kept for `answer`. */
  readonly autoAccept: readonly NodeId[]
  readonly minCapacity: Sat
  readonly maxCapacity: Sat
  /** Blocks from now to the expiry. */
  readonly minLifetime: Blocks
  readonly maxLifetime: Blocks
  readonly maxEarlyWarning: Blocks
  readonly maxClients: number
  /** sat per 1000 vB built into the tree. */
  readonly maxFeerate: number
  /** Confirmations of the funding before HTLCs flow. */
  readonly minDepth: number
  readonly sales: SalePolicy
}

export interface PendingInvite {
  readonly instance: InstanceId
  readonly lsp: NodeId
  readonly capacity: Sat
  readonly push: Msat
  readonly clients: number
  readonly expiry: BlockHeight
  readonly earlyWarning: Blocks
  readonly params: TreeParams
  /** Unix seconds. */
  readonly answerBefore: number
}

export interface PeerSummary {
  readonly id: NodeId
  readonly connected: boolean
  /** `ours`: speaks our protocol; `other`: another factory protocol (named); `none`: no factories; `unknown`: not announced yet. */
  readonly protocol: 'ours' | 'other' | 'none' | 'unknown'
  readonly names: readonly string[]
}

/** One of our channels as the HTLC rules see it. */
export interface GatedChannel {
  readonly instance: InstanceId
  readonly role: 'lsp' | 'client'
  /** `shut`: not confirmed, frozen by a close, or exiting. */
  readonly gate: 'open' | 'shut'
  readonly earlyWarning: Blocks
  readonly expiry: BlockHeight
  readonly confirmationMargin: Blocks
}

/** A factory of which this node's database is an older copy. */
export interface RestoredSummary {
  readonly instance: InstanceId
  readonly role: 'lsp' | 'client'
  /** Who may give a client its path back. */
  readonly lsp: NodeId | undefined
  /**
   * `lost`: the database has nothing of it. `suspended`: nothing is done. `shut`: no HTLC, signs nothing, can be left. `sealed`: in
   * use, signs nothing new.
   */
  readonly hold: 'lost' | 'suspended' | 'shut' | 'sealed'
  /** Which signatures of ours are not on record. */
  readonly missing: 'unknown' | readonly string[]
  /** One sentence. */
  readonly why: string
}

export interface FactoryApi {
  readonly nodeId: NodeId
  readonly ladder: LadderApi
  /** Resolves when the funding is broadcast. @throws `aborted`, `peer_*`, `insufficient_funds`, `early_warning_unpayable`, … */
  create(request: CreateRequest): Promise<CreateResult>
  list(): Promise<FactorySummary[]>
  show(instance: InstanceId): Promise<FactoryDetails>
  peers(): Promise<PeerSummary[]>
  invites(): PendingInvite[]
  /** Accept or refuse a pending invitation. */
  answer(instance: InstanceId, accept: boolean, reason?: string): Promise<void>
  policy(): Policy
  setPolicy(policy: Policy): void
  /** Give up a factory that is still forming. */
  abort(instance: InstanceId, reason: string): Promise<void>
  /** LSP: one transaction that pays everyone its balance. Resolves when it is broadcast. `feerate`: sat per 1000 vB. */
  close(instance: InstanceId, feerate: number): Promise<{ txid: string; fee: Sat; vsize: number; ours: Sat }>
  /**
   * LSP: the clients' balances move to another factory, each for its owner's factory key; when all have left, one transaction takes the
   * coins back. Answers when the new factory's funding is broadcast; what follows goes on by itself, also after restarts.
   */
  rotate(request: RotateRequest): Promise<RotateResult>
  /**
   * Leave alone: a client publishes its path and closes its channel unilaterally; the LSP publishes the whole tree, closes every
   * channel, and takes its stocks back. Level by level, each when the one above is confirmed. Returns the plan.
   */
  exit(instance: InstanceId): Promise<{ transactions: readonly PathTxSummary[]; blocks: Blocks }>
  /** Client: buy a channel out of our stock for `maxPrice` at the most. Resolves when HTLCs may enter it. */
  buy(instance: InstanceId, capacity: Sat, maxPrice: Msat): Promise<SaleResult>
  /** LSP: sell a client a channel; without a price it is what the policy says. Resolves when it is paid and open. */
  sell(instance: InstanceId, client: NodeId, capacity: Sat, price?: Msat): Promise<SaleResult>
  /**
   * Client: take the balance to the chain with the LSP's help, in one transaction. Resolves when the LSP's output is agreed and
   * being paid for; the rest happens by itself. `feerate`: sat per 1000 vB, default what the host estimates. `maxFee`: default three
   * times what it costs at that feerate.
   * @throws FactoryError `wrong_state`, `peer_offline`, `bad_parameter`; `aborted` with the reason why it was given up
   */
  assist(
    instance: InstanceId,
    request: { readonly feerate?: number | undefined; readonly maxFee?: Sat | undefined },
  ): Promise<AssistResult>
  /** The factory's channels that are live on this node, for invoices and payments. */
  gated(channelId: string): GatedChannel | undefined
  /** For a watchtower: everything that must be answered on chain, finished. Its `sequence` grows with every change. */
  bundle(instance: InstanceId): Bundle
  /** Costs, earnings and coverage of one factory, or of all that had a funding. */
  economics(instance?: InstanceId): Promise<FactoryEconomics[]>
  /** Factories that are held back because the database was found, or said, to be an old copy. */
  restored(): RestoredSummary[]
  /**
   * Where nothing is known of what is missing: it may be left (`exit`), or take HTLCs too (`use`). Never signs again either way.
   * LOSES FUNDS when a close of it was signed that the database does not know of, and `use` is said.
   * @throws `wrong_state`
   */
  reconcile(instance: InstanceId, word: 'exit' | 'use'): Promise<void>
  log(filter: {
    instance?: InstanceId | undefined
    after?: number | undefined
    limit?: number | undefined
  }): StoredLog[]
}
