/** TLV streams, BOLT 1 "Type-Length-Value Format". */
import { FactoryError } from './error.js'
import { Reader } from './reader.js'
import { Writer } from './writer.js'

export interface TlvRecord {
  readonly type: bigint
  readonly value: Uint8Array
}

/** @throws `wire_order` unless types ascend strictly: the canonical order is the only one. */
export function encodeTlvStream(records: readonly TlvRecord[]): Uint8Array {
  const writer = new Writer()
  let last = -1n
  for (const { type, value } of records) {
    if (type <= last) throw new FactoryError('wire_order', `TLV ${type.toString()} after ${last.toString()}`)
    last = type
    writer.bigSize(type).bigSize(BigInt(value.length)).bytes(value)
  }
  return writer.finish()
}

/**
 * The records of a stream one by one, in any namespace: form and order are checked, meaning is not.
 *
 * @throws `wire_truncated`, `wire_non_minimal`, `wire_order` (also for a type that comes twice).
 */
export function* tlvRecords(bytes: Uint8Array): Generator<TlvRecord, void, undefined> {
  const reader = new Reader(bytes)
  let last = -1n
  while (reader.left > 0) {
    const type = reader.bigSize()
    if (type <= last) throw new FactoryError('wire_order', `TLV ${type.toString()} after ${last.toString()}`)
    last = type
    const length = reader.bigSize()
    if (length > BigInt(reader.left)) {
      throw new FactoryError(
        'wire_truncated',
        `TLV ${type.toString()} declares ${length.toString()} bytes, ${reader.left} are left`,
      )
    }
    yield { type, value: reader.bytes(Number(length)) }
  }
}

/**
 * The records of a stream whose types are `known`. Unknown odd records are dropped: it's OK to be odd.
 *
 * @throws `wire_unknown_even`, and what `tlvRecords` throws.
 */
export function decodeTlvStream(bytes: Uint8Array, known: readonly bigint[]): ReadonlyMap<bigint, Uint8Array> {
  const found = new Map<bigint, Uint8Array>()
  for (const { type, value } of tlvRecords(bytes)) {
    if (known.includes(type)) found.set(type, value)
    else if (type % 2n === 0n) throw new FactoryError('wire_unknown_even', `unknown even TLV ${type.toString()}`)
  }
  return found
}
