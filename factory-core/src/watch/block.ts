/**
 * Blocks as bytes, parsed just as far as watching needs: which transactions there are and what they spend. The merkle root is
 * recomputed, so a block that was cut or garbled on its way can't hide a transaction. Proof of work is the node's business.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { Txid } from '../units/index.js'
import { badBlock, Reader } from './reader.js'

export interface BlockTx {
  readonly txid: Txid
  /** What its inputs spend, as `outPointKey` writes it, in input order. */
  readonly spends: readonly string[]
  /** With witness; a view into the block. */
  readonly raw: Uint8Array
}

export interface Block {
  /** Display order, as RPCs print it; so is `previous`. */
  readonly hash: string
  readonly previous: string
  readonly txs: readonly BlockTx[]
}

/** BIP 141: 4,000,000 weight units bound the serialised size too. */
const MAX_BLOCK_BYTES = 4_000_000
const HEADER_BYTES = 80
/** The least that a transaction, an input, an output take: what bounds their counts. */
const MIN_TX_BYTES = 60
const MIN_INPUT_BYTES = 41
const MIN_OUTPUT_BYTES = 9

/** @throws FactoryError `host_failed` when `raw` is not one whole block */
export function parseBlock(raw: Uint8Array): Block {
  if (raw.length > MAX_BLOCK_BYTES) throw badBlock(`${raw.length} bytes`)
  const reader = new Reader(raw)
  const header = reader.take(HEADER_BYTES)
  const txs: BlockTx[] = []
  const ids: Uint8Array[] = []
  for (let left = reader.count(MIN_TX_BYTES); left > 0; left--) {
    const { id, tx } = parseTx(raw, reader)
    ids.push(id)
    txs.push(tx)
  }
  if (reader.left !== 0) throw badBlock('bytes after the last transaction')
  if (displayHex(merkleRoot(ids)) !== displayHex(header.subarray(36, 68))) throw badBlock('wrong merkle root')
  return { hash: displayHex(sha256(sha256(header))), previous: displayHex(header.subarray(4, 36)), txs }
}

function parseTx(block: Uint8Array, reader: Reader): { id: Uint8Array; tx: BlockTx } {
  const start = reader.at
  reader.take(4)
  // A transaction in a block has an input, so a zero here is BIP 144's marker.
  const segwit = reader.peek() === 0
  if (segwit) {
    reader.u8()
    if (reader.u8() !== 1) throw badBlock('unknown transaction flag')
  }
  const body = reader.at
  const spends: string[] = []
  for (let left = reader.count(MIN_INPUT_BYTES); left > 0; left--) {
    const txid = displayHex(reader.take(32))
    spends.push(`${txid}:${reader.u32()}`)
    reader.take(reader.count())
    reader.take(4)
  }
  if (spends.length === 0) throw badBlock('a transaction without inputs')
  for (let left = reader.count(MIN_OUTPUT_BYTES); left > 0; left--) {
    reader.take(8)
    reader.take(reader.count())
  }
  const bodyEnd = reader.at
  if (segwit) skipWitnesses(reader, spends.length)
  const lockTime = reader.take(4)
  // A txid leaves the marker and the witnesses out.
  const id = sha256(
    sha256
      .create()
      .update(block.subarray(start, start + 4))
      .update(block.subarray(body, bodyEnd))
      .update(lockTime)
      .digest(),
  )
  return { id, tx: { txid: displayHex(id) as Txid, spends, raw: block.subarray(start, reader.at) } }
}

function skipWitnesses(reader: Reader, inputs: number): void {
  let items = 0
  for (let input = 0; input < inputs; input++) {
    for (let left = reader.count(); left > 0; left--) {
      reader.take(reader.count())
      items++
    }
  }
  if (items === 0) throw badBlock('a segwit transaction without a witness')
}

function merkleRoot(ids: readonly Uint8Array[]): Uint8Array {
  const [first, ...others] = ids
  if (first === undefined) throw badBlock('no transactions')
  if (others.length === 0) return first
  const parents: Uint8Array[] = []
  for (let i = 0; i < ids.length; i += 2) {
    const left = ids[i] ?? first
    const right = ids[i + 1]
    // The tree doubles a last odd hash; a block that lists such a pair has the root of the block without it (CVE-2012-2459).
    if (right !== undefined && bytesToHex(left) === bytesToHex(right)) throw badBlock('a doubled transaction')
    parents.push(
      sha256(
        sha256
          .create()
          .update(left)
          .update(right ?? left)
          .digest(),
      ),
    )
  }
  return merkleRoot(parents)
}

/** Hashes are printed back to front. A copy is turned round: `slice` of a Buffer would be the block itself. */
const displayHex = (hash: Uint8Array): string => bytesToHex(Uint8Array.from(hash).reverse())
