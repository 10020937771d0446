/** @noble/curves: plain JavaScript, for hosts on which WASM doesn't load. About six times slower than WASM. */
import { mulAddUnsafe } from '@noble/curves/abstract/curve.js'
import type { WeierstrassPoint } from '@noble/curves/abstract/weierstrass.js'
import { schnorr, secp256k1 } from '@noble/curves/secp256k1.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import type { CurveBackend, Point, SchnorrItem } from './backend.js'
import { tagHasher } from './hash.js'
import { mod, N, parseScalar, reduceScalar } from './scalar.js'

type Native = WeierstrassPoint<bigint>

const Curve = secp256k1.Point

class NoblePoint implements Point {
  constructor(readonly native: Native) {}

  get isInfinity(): boolean {
    return this.native.is0()
  }
}

function raw(point: Point): Native {
  if (point instanceof NoblePoint) return point.native
  throw new FactoryError('internal', 'a curve point of another back end')
}

/**
 * Sum of scalar * point. One or two multiplications are quickest by the library's methods, which halve the scalars; more
 * of them share one doubling chain. (Pippenger's buckets pay off from about 250 terms on, which no signer set has.)
 */
function combine(terms: readonly (readonly [bigint, Native])[]): Native {
  let total = Curve.ZERO
  const rest: (readonly [bigint, Native])[] = []
  for (const [scalar, point] of terms) {
    if (scalar === 1n) total = total.add(point)
    else if (scalar === N - 1n) total = total.subtract(point)
    else if (point === Curve.BASE)
      total = total.add(point.multiplyUnsafe(scalar)) // from its table
    else rest.push([scalar, point])
  }
  const [first, second] = rest
  if (first === undefined) return total
  if (second === undefined) return total.add(first[1].multiplyUnsafe(first[0]))
  if (rest.length === 2) return total.add(first[1].mulAddUnsafe(first[0], second[1], second[0]))
  return total.add(
    mulAddUnsafe(
      Curve,
      rest.map(([, point]) => point),
      rest.map(([scalar]) => scalar),
    ),
  )
}

const hashChallenge = tagHasher('BIP0340/challenge')

/** The even point of an x coordinate. */
function lift(x: Uint8Array): Native | undefined {
  try {
    return Curve.fromBytes(concatBytes(Uint8Array.of(2), x))
  } catch {
    return undefined
  }
}

/**
 * BIP-340's batch verification: a random combination of all equations is one sum. The factors come from a hash of the
 * whole batch, so that nobody can choose signatures to fit them.
 */
function verifyBatch(items: readonly SchnorrItem[]): boolean {
  const seed = sha256(concatBytes(...items.flatMap((item) => [item.signature, item.message, item.publicKey])))
  const terms: [bigint, Native][] = []
  let total = 0n
  for (const [index, { signature, message, publicKey }] of items.entries()) {
    if (signature.length !== 64 || message.length !== 32 || publicKey.length !== 32) return false
    const r = signature.subarray(0, 32)
    const nonce = lift(r)
    const key = lift(publicKey)
    const s = parseScalar(signature.subarray(32))
    if (nonce === undefined || key === undefined || s === undefined) return false
    const factor = reduceScalar(
      sha256(concatBytes(seed, Uint8Array.of(index >>> 24, index >>> 16, index >>> 8, index))),
    )
    terms.push([factor, nonce], [mod(factor * reduceScalar(hashChallenge(r, publicKey, message))), key])
    total += factor * s
  }
  return combine([...terms, [mod(-total), Curve.BASE]]).is0()
}

export function nobleBackend(): CurveBackend {
  const verifySchnorr: CurveBackend['verifySchnorr'] = ({ signature, message, publicKey }) => {
    if (signature.length !== 64 || message.length !== 32 || publicKey.length !== 32) return false
    return schnorr.verify(signature, message, publicKey)
  }

  return {
    name: '@noble/curves',
    infinity: new NoblePoint(Curve.ZERO),
    generator: new NoblePoint(Curve.BASE),
    multiplySecret: (secret) => new NoblePoint(Curve.BASE.multiply(secret)),
    combine: (terms) => new NoblePoint(combine(terms.map(([scalar, point]) => [scalar, raw(point)]))),
    sum: (points) => new NoblePoint(points.reduce((total, point) => total.add(raw(point)), Curve.ZERO)),
    negate: (point) => new NoblePoint(raw(point).negate()),
    equal: (a, b) => raw(a).equals(raw(b)),
    hasEvenY(point) {
      const native = raw(point)
      return !native.is0() && (native.y & 1n) === 0n
    },
    parse(bytes) {
      if (bytes.length !== 33) return undefined
      try {
        return new NoblePoint(Curve.fromBytes(bytes))
      } catch {
        return undefined
      }
    },
    compress(point) {
      const native = raw(point)
      return native.is0() ? new Uint8Array(33) : native.toBytes(true)
    },
    verifySchnorr,
    verifySchnorrBatch: verifyBatch,
    signSchnorr: (message, secretKey, aux) => schnorr.sign(message, secretKey, aux),
  }
}
