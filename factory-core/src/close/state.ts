/** A cooperative close as both sides remember it. One set of amounts, ever: what was proposed is proposed again after a restart. */
import type { TxOutput } from '../tree/types.js'
import type { BlockHeight, Sat, Txid } from '../units/index.js'

/**
 * `draining`: no new HTLC gets in, the last ones settle. `proposed`: outputs are fixed; signing may be repeated with fresh nonces.
 * `signed`: the final transaction is on disk and broadcast until it confirms.
 */
export type LspClose =
  | { readonly step: 'draining'; readonly feerate: number; readonly script: Uint8Array }
  | {
      readonly step: 'proposed'
      /** msat, by client. */
      readonly balances: readonly bigint[]
      readonly outputs: readonly TxOutput[]
      readonly fee: Sat
      readonly ours: Sat
      /** An aggregated nonce has left: partial signatures may exist, and only these amounts can ever be signed. */
      readonly binding: boolean
    }
  | SignedLspClose

export interface SignedLspClose {
  readonly step: 'signed'
  readonly txid: Txid
  readonly fee: Sat
  readonly ours: Sat
  readonly vsize: number
  /** The chain's mempool took it. */
  readonly accepted: boolean
  /** Of the close. */
  readonly confirmedAt: BlockHeight | undefined
}

interface Proposal {
  /** msat. */
  readonly balance: bigint
  readonly outputs: readonly TxOutput[]
  readonly lockTime: number
}

/**
 * `checking`: the gate is shut, our balance is being compared. `agreed`: our nonce is out. `signed`: our partial signature is out:
 * these amounts, or none, whatever happens later.
 */
export type ClientClose =
  ({ readonly step: 'checking' } & Proposal) | ({ readonly step: 'agreed' } & Proposal) | SignedClose

/** `confirmedAt`: of the close. */
export type SignedClose = {
  readonly step: 'signed'
  readonly txid: Txid
  readonly confirmedAt: BlockHeight | undefined
} & Proposal

/** Item key of the final, signed close. */
export const CLOSE_TX_ITEM = 'close/tx'

/** Id that `buildClose` gives its spend. */
export const CLOSE_SPEND_ID = 'close'
