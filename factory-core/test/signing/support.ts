/** What several signing tests share. */
import * as tiny from 'tiny-secp256k1'
import { hexToBytes } from '@noble/hashes/utils.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { expect } from 'vitest'
import { FactoryError, type ErrorCode } from '@ln-factory/tlv'
import { nobleBackend, SecretKey, tinyBackend, type CurveBackend } from '../../src/signing/index.js'

export const backends: readonly CurveBackend[] = [tinyBackend(tiny), nobleBackend()]

export const hex = (text: string): Uint8Array => hexToBytes(text.toLowerCase())

export function pick<T>(list: readonly T[], index: number): T {
  const item = list[index]
  if (item === undefined) throw new Error(`no item ${index}`)
  return item
}

export const pickAll = <T>(list: readonly T[], indices: readonly number[]): T[] => indices.map((i) => pick(list, i))

/** Asserts that `run` throws a FactoryError with this code, and returns its text. */
export function refused(code: ErrorCode, run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    expect(error.code).toBe(code)
    return error.message
  }
  throw new Error(`expected ${code}, nothing was thrown`)
}

/** Repeatable bytes that look random. */
export const bytesOf = (seed: string): Uint8Array => sha256(new TextEncoder().encode(seed))

export const keyOf = (seed: string, backend?: CurveBackend): SecretKey => SecretKey.fromBytes(bytesOf(seed), backend)
