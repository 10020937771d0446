/** What the follower reads and what it says. */
import type { Host } from '../host/port.js'
import type { BlockHeight, OutPoint, Txid } from '../units/index.js'

/** The best chain of the host's node. */
export type ChainSource = Pick<Host, 'height' | 'block'>

export type ChainEvent =
  | { readonly kind: 'confirmed'; readonly txid: Txid; readonly height: BlockHeight }
  /** A reorganisation took the transaction out of the block at `height`. */
  | { readonly kind: 'unconfirmed'; readonly txid: Txid; readonly height: BlockHeight }
  | {
      readonly kind: 'spent'
      readonly outpoint: OutPoint
      readonly by: Txid
      /** The spending transaction as it stands in the block, with its witness. */
      readonly tx: Uint8Array
      readonly height: BlockHeight
    }
  /** A reorganisation took the spend by `by` out of the block at `height`. */
  | { readonly kind: 'unspent'; readonly outpoint: OutPoint; readonly by: Txid; readonly height: BlockHeight }
  /** Comes last of a block: everything else about it has been said. Goes back when blocks are read again. */
  | { readonly kind: 'tip'; readonly height: BlockHeight; readonly hash: string }
