import { Reader } from './reader.js'
import { Writer } from './writer.js'

/** @throws `wire_value` unless 0 <= value < 2^64. */
export const encodeBigSize = (value: bigint): Uint8Array => new Writer().bigSize(value).finish()

/**
 * The whole input is one BigSize (BOLT 1 appendix A).
 *
 * @throws `wire_truncated`, `wire_non_minimal`, `wire_length` when bytes follow.
 */
export function decodeBigSize(bytes: Uint8Array): bigint {
  const reader = new Reader(bytes)
  const value = reader.bigSize()
  reader.end()
  return value
}
