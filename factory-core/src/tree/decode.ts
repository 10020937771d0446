/** Transactions as they come from a node: any number of inputs, with or without witness. */
import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import { sat, type OutPoint, type Txid } from '../units/index.js'
import { txidFromBytes } from './tx.js'
import type { TxOutput } from './types.js'

export interface DecodedInput {
  readonly outpoint: OutPoint
  readonly sequence: number
  /** Empty without witness. */
  readonly witness: readonly Uint8Array[]
}

export interface DecodedTx {
  readonly txid: Txid
  readonly version: number
  readonly lockTime: number
  readonly inputs: readonly DecodedInput[]
  readonly outputs: readonly TxOutput[]
}

const bad = (why: string): FactoryError => new FactoryError('bad_parameter', `not a transaction: ${why}`)

class Reader {
  position = 0
  readonly #view: DataView

  constructor(readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  /** Where the next `length` bytes start; they are there. */
  private skip(length: number): number {
    const start = this.position
    if (length > this.bytes.length - start) throw bad('it ends too early')
    this.position += length
    return start
  }

  u8 = (): number => this.#view.getUint8(this.skip(1))
  u16 = (): number => this.#view.getUint16(this.skip(2), true)
  u32 = (): number => this.#view.getUint32(this.skip(4), true)
  u64 = (): bigint => this.#view.getBigUint64(this.skip(8), true)
  take = (length: number): Uint8Array => this.bytes.slice(this.skip(length), this.position)

  /** CompactSize, minimal, below 2^32: no list in a block is longer. */
  size = (): number => {
    const first = this.u8()
    if (first < 0xfd) return first
    if (first === 0xff) throw bad('a list is too long')
    const value = first === 0xfd ? this.u16() : this.u32()
    if (value < (first === 0xfd ? 0xfd : 0x10000)) throw bad('a length is not minimal')
    return value
  }

  list = <T>(item: () => T): T[] => {
    const count = this.size()
    if (count > this.bytes.length) throw bad('a list is longer than the whole')
    return Array.from({ length: count }, item)
  }

  blob = (): Uint8Array => this.take(this.size())
}

/**
 * One whole transaction, legacy or BIP-144.
 * @throws FactoryError `bad_parameter` when the bytes are anything else; `bad_amount` for an impossible amount
 */
export function decodeTx(bytes: Uint8Array): DecodedTx {
  const reader = new Reader(bytes)
  const version = reader.u32()
  const segwit = bytes[4] === 0
  if (segwit && (reader.u8() !== 0 || reader.u8() !== 1)) throw bad('unknown marker')
  const bodyStart = reader.position
  const inputs = reader.list(() => {
    const outpoint = { txid: txidFromBytes(reader.take(32)), vout: reader.u32() }
    reader.blob()
    return { outpoint, sequence: reader.u32() }
  })
  const outputs = reader.list(() => ({ amount: sat(reader.u64()), script: reader.blob() }))
  const body = bytes.subarray(bodyStart, reader.position)
  const witnesses = inputs.map(() => (segwit ? reader.list(reader.blob) : []))
  const lockTime = reader.u32()
  if (reader.position !== bytes.length) throw bad('bytes follow it')
  return {
    txid: txidFromBytes(sha256(sha256(concatBytes(bytes.subarray(0, 4), body, bytes.subarray(-4))))),
    version,
    lockTime,
    inputs: inputs.map((input, i) => ({ ...input, witness: witnesses[i] ?? [] })),
    outputs,
  }
}
