/**
 * bLIP-56's change of a channel's funding, as one channel sees it: what it remembers, what it is told, and what it wants done. The
 * draft calls the two parts of a node *base node* (channels) and *plugin* (the factory); here they are `channel` events and
 * `factory` orders, so that the machine serves a host that plays the base node's part itself and one that does not.
 */
import type { FactoryChange, FactoryChangeFunding, FactoryChangeLocked } from '@ln-factory/tlv'
import type { Msat, OutPoint, Sat, Txid } from '../units/index.js'

/** One side's part of a change, as `factory_change_init` or `factory_change_ack` carried it. */
export interface Share {
  /** Satoshi that this side adds, or takes out (below 0). */
  readonly contribution: bigint
  /** 33 bytes. */
  readonly fundingPubkey: Uint8Array
}

export interface Balances {
  /** Main balances, without HTLCs. */
  readonly ours: Msat
  readonly theirs: Msat
}

export type ChangeMessage = FactoryChange | FactoryChangeFunding | FactoryChangeLocked

interface Agreed {
  readonly ours: Share
  readonly theirs: Share
}

/** `ours`: we sent `factory_change_init`. */
export type Initiator = 'ours' | 'theirs'

/** A funding that both sides named, and what the channel holds on it. */
export interface Committed extends Agreed {
  readonly next: OutPoint
  readonly balances: Balances
  readonly nextCapacity: Sat
}

/**
 * idle -> asked | deciding -> naming -> committing -> continuing -> changed -> idle, each with the next funding.
 * Before our `factory_change_funding` has left, a lost connection ends the change; from then on it is remembered.
 */
export type ChangeStage =
  | { readonly stage: 'idle' }
  /** We sent `factory_change_init`. */
  | { readonly stage: 'asked'; readonly ours: Share }
  /** The peer sent `factory_change_init`; the factory looks at it. */
  | { readonly stage: 'deciding'; readonly theirs: Share }
  /** `checked`: the factory has approved of the peer's share. */
  | ({
      readonly stage: 'naming'
      readonly checked: boolean
      readonly sent: OutPoint | undefined
      readonly received: OutPoint | undefined
    } & Agreed)
  /** Our `commitment_signed` has left, the peer's has not come. */
  | ({ readonly stage: 'committing' } & Committed)
  /** Both commitments exist; the factory makes the new state valid. */
  | ({ readonly stage: 'continuing'; readonly sent: boolean; readonly received: boolean } & Committed)
  /** The channel runs on both fundings. */
  | ({ readonly stage: 'changed'; readonly sent: boolean; readonly received: boolean } & Committed)

export interface ChangeBase {
  readonly v: 1
  /** 64 hex characters. A machine is made for channels that were opened with `channel_in_factory`, and for no others. */
  readonly channelId: string
  /** What the channel stands on now. */
  readonly funding: OutPoint
  /** Our key in it, 33 bytes. */
  readonly fundingPubkey: Uint8Array
  readonly capacity: Sat
  /** `channel_ready` has been sent. */
  readonly ready: boolean
  /** `shutdown` has been sent. */
  readonly shutdown: boolean
  /** The last `factory_change_locked` that we sent, and the commitment number at that time. */
  readonly locked: { readonly txid: Txid; readonly commitment: bigint } | undefined
}

export type ChangeState = ChangeBase & ChangeStage

/** Lost with the connection, so never stored. */
export interface ChangeLive {
  /** Who initiated the quiescence of the channel; undefined while it is not quiescent. */
  quiescence: Initiator | undefined
}

/** Facts about the channel at the time of the event. */
export interface ChangeContext {
  readonly balances: Balances
  /** Number of the current commitment. */
  readonly commitment: bigint
}

export type FactoryOrder =
  | { readonly order: 'init'; readonly share: Share; readonly payload: Uint8Array | undefined }
  | { readonly order: 'ack'; readonly share: Share; readonly payload: Uint8Array | undefined }
  /** The peer's `factory_change_init` or `factory_change_ack` is wrong. */
  | { readonly order: 'refuse'; readonly reason: string }
  /** The peer's `factory_change_ack` is right. */
  | { readonly order: 'approve' }
  | { readonly order: 'name'; readonly funding: OutPoint }
  /** The new state of the factory is valid, and on disk. */
  | { readonly order: 'continue' }
  /** The old state of the factory is invalid. */
  | { readonly order: 'lock'; readonly txid: Txid }

export type ChangeEvent =
  | { readonly type: 'message'; readonly message: ChangeMessage }
  | { readonly type: 'factory'; readonly order: FactoryOrder }
  | { readonly type: 'quiescent'; readonly initiator: Initiator }
  | { readonly type: 'channelReady' }
  | { readonly type: 'shutdown' }
  /** A valid `commitment_signed` of the peer that spends this funding. */
  | { readonly type: 'commitmentSigned'; readonly txid: Txid }
  | { readonly type: 'disconnected' }
  /** After `channel_reestablish` in both directions. `next`: the peer's `next_funding_txid`. */
  | { readonly type: 'reestablished'; readonly next: Txid | undefined }

export type ChangeEffect =
  | { readonly do: 'send'; readonly message: ChangeMessage }
  /** Show the peer's share to the factory: it answers with `ack`, `approve` or `refuse`, now or later. */
  | {
      readonly do: 'judge'
      readonly message: FactoryChange['kind']
      readonly share: Share
      readonly payload: Uint8Array | undefined
    }
  /** Ask the factory for `name`, `continue` or `lock`. */
  | { readonly do: 'ask'; readonly order: 'name' | 'continue' | 'lock' }
  /**
   * `commitment_signed` for a commitment that spends `funding` with these balances, at the feerate and number of the current one,
   * with signatures for pending HTLCs and without `batch`. The peer's must not be answered by `revoke_and_ack`.
   */
  | { readonly do: 'commit'; readonly funding: OutPoint; readonly balances: Balances; readonly capacity: Sat }
  /** End the quiescence. From here on every `commitment_signed` is a batch, one for each of these. */
  | { readonly do: 'resume'; readonly fundings: readonly OutPoint[] }
  /** The channel stands on this funding alone; forget the others. */
  | { readonly do: 'switch'; readonly funding: OutPoint; readonly capacity: Sat }
  /** `warning`, then close the connection. */
  | { readonly do: 'warn'; readonly reason: string }

/** `state` is to be on disk before any effect is executed. */
export interface ChangeStep {
  readonly state: ChangeState
  readonly effects: readonly ChangeEffect[]
}
