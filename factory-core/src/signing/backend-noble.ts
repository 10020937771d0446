/** @noble/curves: plain JavaScript, for hosts on which WASM doesn't load. About six times slower than WASM. */
import { mulAddUnsafe, pippenger } from '@noble/curves/abstract/curve.js'
import type { WeierstrassPoint } from '@noble/curves/abstract/weierstrass.js'
import { schnorr, secp256k1 } from '@noble/curves/secp256k1.js'
import { FactoryError } from '@ln-factory/tlv'
import type { CurveBackend, Point } from './backend.js'

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

/** From this many terms on, pippenger's buckets beat a shared doubling chain (measured). */
const BUCKETS_FROM = 24

function combine(terms: readonly (readonly [bigint, Native])[]): Native {
  const scalars = terms.map(([scalar]) => scalar)
  const points = terms.map(([, point]) => point)
  return terms.length < BUCKETS_FROM ? mulAddUnsafe(Curve, points, scalars) : pippenger(Curve, points, scalars)
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
    verifySchnorrBatch: (items) => items.every(verifySchnorr),
    signSchnorr: (message, secretKey, aux) => schnorr.sign(message, secretKey, aux),
  }
}
