/**
 * libsecp256k1 compiled to WASM. Points are kept uncompressed, so that no operation has to take a square root again. The
 * library has no infinity (it answers null), hence it is handled here.
 *
 * An error that the library throws out of its WASM code doesn't unwind the WASM stack: some three thousand of them break it
 * for the rest of the process, and a peer can send as many bad points as it likes. So bytes from outside are asked about
 * (`isXOnlyPoint`, `isPointCompressed`) before they are used; only `parse`, of which a ceremony is full, spares itself the
 * question until it has met a few bad points.
 */
import { equalBytes, bytesToNumberBE, numberToBytesBE } from '@noble/curves/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import type { CurveBackend, Point } from './backend.js'
import { N, parseScalar, scalarBytes } from './scalar.js'

export type TinySecp256k1 = typeof import('tiny-secp256k1')

/** The field prime. */
const P = 2n ** 256n - 2n ** 32n - 977n

/** 65 bytes with the prefix 04; undefined is infinity. */
class TinyPoint implements Point {
  constructor(readonly bytes: Uint8Array | undefined) {}

  get isInfinity(): boolean {
    return this.bytes === undefined
  }
}

/** Errors that `parse` lets the library throw before it starts to ask first; a fiftieth of what the stack holds. */
const MOST_THROWN = 64
let thrown = 0

const INFINITY = new TinyPoint(undefined)

function raw(point: Point): Uint8Array | undefined {
  if (point instanceof TinyPoint) return point.bytes
  throw new FactoryError('internal', 'a curve point of another back end')
}

const isOdd = (bytes: Uint8Array): boolean => ((bytes.at(-1) ?? 0) & 1) === 1

function flipY(bytes: Uint8Array): Uint8Array {
  const flipped = Uint8Array.from(bytes)
  flipped.set(numberToBytesBE(P - bytesToNumberBE(bytes.subarray(33)), 32), 33)
  return flipped
}

export function tinyBackend(tiny: TinySecp256k1): CurveBackend {
  const made = (bytes: Uint8Array | null): TinyPoint => (bytes === null ? INFINITY : new TinyPoint(bytes))

  const add = (a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined => {
    if (a === undefined) return b
    if (b === undefined) return a
    return tiny.pointAdd(a, b, false) ?? undefined
  }

  const baseMultiply = (scalar: bigint): TinyPoint => made(tiny.pointFromScalar(scalarBytes(scalar), false))

  const generator = baseMultiply(1n)

  /** scalar * point, skipping what needs no multiplication; G has a table of its own in the library. */
  const multiply = (scalar: bigint, point: Uint8Array | undefined): Uint8Array | undefined => {
    if (scalar === 0n || point === undefined) return undefined
    if (scalar === 1n) return point
    if (scalar === N - 1n) return flipY(point)
    if (point === generator.bytes) return baseMultiply(scalar).bytes
    return tiny.pointMultiply(point, scalarBytes(scalar), false) ?? undefined
  }

  const verifySchnorr: CurveBackend['verifySchnorr'] = ({ signature, message, publicKey }) => {
    if (message.length !== 32 || signature.length !== 64 || !tiny.isXOnlyPoint(publicKey)) return false
    if (parseScalar(signature.subarray(32)) === undefined || parseScalar(signature.subarray(0, 32)) === undefined) {
      return false // r is below p, not n; that it lies between the two happens once in 2^128
    }
    return tiny.verifySchnorr(message, publicKey, signature)
  }

  return {
    name: 'tiny-secp256k1',
    infinity: INFINITY,
    generator,
    multiplySecret: baseMultiply,
    combine(terms) {
      let total: Uint8Array | undefined
      for (const [scalar, point] of terms) total = add(total, multiply(scalar, raw(point)))
      return new TinyPoint(total)
    },
    sum(points) {
      let total: Uint8Array | undefined
      for (const point of points) total = add(total, raw(point))
      return new TinyPoint(total)
    },
    negate(point) {
      const bytes = raw(point)
      return bytes === undefined ? INFINITY : new TinyPoint(flipY(bytes))
    },
    equal(a, b) {
      const [x, y] = [raw(a), raw(b)]
      return x === undefined || y === undefined ? x === y : equalBytes(x, y)
    },
    hasEvenY(point) {
      const bytes = raw(point)
      return bytes !== undefined && !isOdd(bytes)
    },
    parse(bytes) {
      // The library also takes 65-byte keys here, which BIP-327 doesn't.
      if (bytes.length !== 33 || (thrown >= MOST_THROWN && !tiny.isPointCompressed(bytes))) return undefined
      try {
        return new TinyPoint(tiny.pointCompress(bytes, false))
      } catch (cause) {
        thrown++
        if (!tiny.isPointCompressed(bytes)) return undefined
        throw new FactoryError('internal', 'libsecp256k1 failed on a valid point', undefined, { cause })
      }
    },
    compress(point) {
      const compressed = new Uint8Array(33)
      const bytes = raw(point)
      if (bytes === undefined) return compressed
      compressed[0] = isOdd(bytes) ? 3 : 2
      compressed.set(bytes.subarray(1, 33), 1)
      return compressed
    },
    verifySchnorr,
    // Adding up a batch would take two multiplications for each item; verifying it takes the library less.
    verifySchnorrBatch: (items) => items.every(verifySchnorr),
    signSchnorr: (message, secretKey, aux) => tiny.signSchnorr(message, secretKey, aux),
  }
}
