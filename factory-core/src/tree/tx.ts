/** Transactions with one input: their bytes, txid, signature hash (BIP-341) and size. Every one that a factory signs is such. */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, hexToBytes } from '@noble/hashes/utils.js'
import { tagHasher } from '../signing/index.js'
import { txid, type OutPoint, type Txid } from '../units/index.js'
import { CONTROL_BLOCK_LENGTH, POISON_SCRIPT_LENGTH, tapLeafHash } from './script.js'
import type { SpendKey, TxOutput, UnsignedTx } from './types.js'

const hash256 = (bytes: Uint8Array): Uint8Array => sha256(sha256(bytes))
const hashTapSighash = tagHasher('TapSighash')

export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}

function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, value, true)
  return bytes
}

/** Bitcoin's CompactSize, for counts and lengths below 65536. */
export function compactSize(value: number): Uint8Array {
  if (value < 0xfd) return Uint8Array.of(value)
  if (value > 0xffff) throw new RangeError(`no transaction of a factory has a list of ${value}`)
  return Uint8Array.of(0xfd, value & 0xff, value >> 8)
}

export const withLength = (bytes: Uint8Array): Uint8Array => concatBytes(compactSize(bytes.length), bytes)

/** A txid in internal byte order, as transactions and our messages carry it. */
export const txidBytes = (id: Txid): Uint8Array => hexToBytes(id).reverse()
/** @throws FactoryError `bad_parameter` unless `bytes` are 32 */
export const txidFromBytes = (bytes: Uint8Array): Txid => txid(bytesToHex(Uint8Array.from(bytes).reverse()))

const outPointBytes = (o: OutPoint): Uint8Array => concatBytes(txidBytes(o.txid), u32(o.vout))
const outputBytes = (o: TxOutput): Uint8Array => concatBytes(u64(o.amount), withLength(o.script))

export interface TxFields {
  readonly version: number
  readonly lockTime: number
  readonly sequence: number
  readonly input: OutPoint
  readonly outputs: readonly TxOutput[]
}

const inputBytes = (tx: TxFields): Uint8Array =>
  concatBytes(Uint8Array.of(1), outPointBytes(tx.input), Uint8Array.of(0), u32(tx.sequence))
const outputsBytes = (tx: TxFields): Uint8Array =>
  concatBytes(compactSize(tx.outputs.length), ...tx.outputs.map(outputBytes))

export function unsignedTx(fields: TxFields): UnsignedTx {
  const bytes = concatBytes(u32(fields.version), inputBytes(fields), outputsBytes(fields), u32(fields.lockTime))
  return { ...fields, bytes, txid: txidFromBytes(hash256(bytes)) }
}

/** Serialisation of BIP-144 with this witness. */
export const withWitness = (tx: UnsignedTx, witness: readonly Uint8Array[]): Uint8Array =>
  concatBytes(
    u32(tx.version),
    Uint8Array.of(0, 1),
    inputBytes(tx),
    outputsBytes(tx),
    compactSize(witness.length),
    ...witness.map(withLength),
    u32(tx.lockTime),
  )

/** BIP-341 signature hash with SIGHASH_DEFAULT, and BIP-342's extension for a script path. 32 bytes. */
export function signatureHash(tx: TxFields, prevout: TxOutput, key: SpendKey): Uint8Array {
  const common = [
    Uint8Array.of(0, 0), // epoch, hash_type
    u32(tx.version),
    u32(tx.lockTime),
    sha256(outPointBytes(tx.input)),
    sha256(u64(prevout.amount)),
    sha256(withLength(prevout.script)),
    sha256(u32(tx.sequence)),
    sha256(concatBytes(...tx.outputs.map(outputBytes))),
    Uint8Array.of(key.path === 'key' ? 0 : 2), // spend_type: no annex
    u32(0), // input_index
  ]
  if (key.path === 'key') return hashTapSighash(...common)
  return hashTapSighash(...common, tapLeafHash(key.leafScript), Uint8Array.of(0), u32(0xffffffff))
}

const SIGNATURE = 64
const PREIMAGE = 32

/** Lengths of the witness items of a key path spend: one BIP-340 signature, without sighash byte. */
export const KEY_WITNESS: readonly number[] = [SIGNATURE]
/** Lengths of the witness items of a poison: signature, preimage, script, control block. */
export const POISON_WITNESS: readonly number[] = [SIGNATURE, PREIMAGE, POISON_SCRIPT_LENGTH, CONTROL_BLOCK_LENGTH]

/** vB of a transaction with outputs of these script lengths, signed with a witness of these item lengths. */
export function signedVsize(scriptLengths: readonly number[], witness: readonly number[]): number {
  const fixed = 4 + 1 + 41 + compactSize(scriptLengths.length).length + 4
  const base = scriptLengths.reduce((sum, length) => sum + 8 + compactSize(length).length + length, fixed)
  const extra = witness.reduce((sum, length) => sum + compactSize(length).length + length, 2 + 1)
  return Math.ceil((4 * base + extra) / 4)
}

/** Fee in sat that pays `feerate` (sat per 1000 vB) for `vsize` vB, rounded up. */
export const feeFor = (vsize: number, feerate: number): bigint => (BigInt(vsize) * BigInt(feerate) + 999n) / 1000n
