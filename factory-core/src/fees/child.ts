/**
 * The child: spends a parent's anchor (P2A: anyone may, its witness is empty) and one confirmed coin of the wallet, and pays the
 * rest back. Version 3, as its parent is; far below the 1000 vB that a version 3 child may have (BIP 431).
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import type { WalletCoin } from '../host/port.js'
import { ANCHOR } from '../tree/script.js'
import { DUST } from '../tree/params.js'
import { compactSize, txidBytes, txidFromBytes, u32, withLength } from '../tree/tx.js'
import type { Spend, TxOutput } from '../tree/types.js'
import { sat, type Blocks, type OutPoint, type Sat, type Txid } from '../units/index.js'

/** What must be known of a transaction with an anchor to pay for it. */
export interface Bump {
  readonly anchor: OutPoint
  /** Built in. */
  readonly fee: Sat
  /** vB when signed. */
  readonly vsize: number
  /** Blocks that the plan grants it to confirm. */
  readonly margin: Blocks
}

/** The anchor is the last output of every tree transaction. */
export const bumpOf = ({ tx, fee, vsize }: Pick<Spend, 'tx' | 'fee' | 'vsize'>, margin: Blocks): Bump => ({
  anchor: { txid: tx.txid, vout: tx.outputs.length - 1 },
  fee,
  vsize,
  margin,
})

export interface Child {
  readonly txid: Txid
  /** Legacy serialisation. */
  readonly bytes: Uint8Array
  /** What its inputs spend, in order: the anchor, the coin. */
  readonly prevouts: readonly [TxOutput, TxOutput]
  readonly fee: Sat
}

/** Position of the coin among the inputs. */
export const COIN_INPUT = 1

/** Smallest coin that pays this fee and leaves a change worth having. */
export const leastCoin = (fee: Sat): Sat => sat(fee + DUST - ANCHOR.amount)

/** The smallest coin that is large enough, and the same one again where it can be. */
export function pickCoin(coins: readonly WalletCoin[], fee: Sat, held: WalletCoin | undefined): WalletCoin | undefined {
  const least = leastCoin(fee)
  if (held !== undefined && held.amount >= least) return held
  return coins.filter((c) => c.amount >= least).sort((a, b) => (a.amount < b.amount ? -1 : 1))[0]
}

const SEQUENCE = 0xfffffffd

const input = ({ txid, vout }: OutPoint): Uint8Array =>
  concatBytes(txidBytes(txid), u32(vout), Uint8Array.of(0), u32(SEQUENCE))

function output({ amount, script }: TxOutput): Uint8Array {
  const value = new Uint8Array(8)
  new DataView(value.buffer).setBigUint64(0, amount, true)
  return concatBytes(value, withLength(script))
}

const body = (anchor: OutPoint, coin: OutPoint, change: TxOutput): Uint8Array =>
  concatBytes(compactSize(2), input(anchor), input(coin), compactSize(1), output(change))

/** @throws FactoryError `insufficient_funds` when the coin leaves no change above the dust limit */
export function buildChild(anchor: OutPoint, coin: WalletCoin, change: Uint8Array, fee: Sat): Child {
  if (coin.amount < leastCoin(fee))
    throw new FactoryError('insufficient_funds', `a coin of ${coin.amount} sat doesn't pay a child's fee of ${fee}`)
  const back = { amount: sat(ANCHOR.amount + coin.amount - fee), script: change }
  const bytes = concatBytes(u32(3), body(anchor, coin.outpoint, back), u32(0))
  return {
    txid: txidFromBytes(sha256(sha256(bytes))),
    bytes,
    prevouts: [ANCHOR, { amount: coin.amount, script: coin.script }],
    fee,
  }
}

/** Serialisation of BIP 144: no witness for the anchor, this one for the coin. */
export function finalizeChild(child: Child, witness: readonly Uint8Array[]): Uint8Array {
  const middle = child.bytes.subarray(4, -4)
  const items = concatBytes(Uint8Array.of(0), compactSize(witness.length), ...witness.map(withLength))
  return concatBytes(u32(3), Uint8Array.of(0, 1), middle, items, u32(0))
}
