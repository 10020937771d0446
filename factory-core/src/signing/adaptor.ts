/**
 * Adaptor signatures on BIP-340: a pre-signature, encrypted to a point T = t*G, that only t turns into a signature. Whoever holds
 * the pre-signature then learns t from the signature. Both ways are exact: no other signature can come of it, and no other t.
 *
 * A pre-signature is R || s' (65 bytes): R = k*G + T compressed, with its parity, and s' = g*k + e*d, where g = -1 when R has an odd
 * y and e is the BIP-340 challenge of R's x. The signature is x(R) || s' + g*t. T is a point as it stands, never x-only: the
 * secret that comes out is t and not its negation.
 */
import { equalBytes } from '@noble/curves/utils.js'
import { concatBytes } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import type { CurveBackend, Point } from './backend.js'
import { defaultBackend } from './backend-select.js'
import { tagHasher } from './hash.js'
import { mod, parseScalar, reduceScalar, scalarBytes } from './scalar.js'
import { secretBytes, type SecretKey } from './secret-key.js'

const hashAux = tagHasher('ln-factory/adaptor/aux')
const hashNonce = tagHasher('ln-factory/adaptor/nonce')
const hashChallenge = tagHasher('BIP0340/challenge')

/** Bytes of a pre-signature. */
export const PRE_SIGNATURE_SIZE = 65

interface Parsed {
  /** x(R). */
  readonly x: Uint8Array
  readonly nonce: Point
  /** g: 1, or n-1 when R has an odd y. */
  readonly sign: bigint
  /** s'. */
  readonly s: bigint
}

function parse(preSignature: Uint8Array, backend: CurveBackend): Parsed | undefined {
  if (preSignature.length !== PRE_SIGNATURE_SIZE) return undefined
  const nonce = backend.parse(preSignature.subarray(0, 33))
  const s = parseScalar(preSignature.subarray(33))
  if (nonce === undefined || s === undefined) return undefined
  return { x: preSignature.subarray(1, 33), nonce, sign: backend.hasEvenY(nonce) ? 1n : mod(-1n), s }
}

function requirePoint(point: Uint8Array, backend: CurveBackend): Point {
  const parsed = backend.parse(point)
  if (parsed === undefined) throw new FactoryError('bad_key', 'an adaptor point is a compressed curve point (33 bytes)')
  return parsed
}

export interface PreSignRequest {
  readonly secretKey: SecretKey
  /** Sighash, 32 bytes. */
  readonly message: Uint8Array
  /** T, compressed, 33 bytes. */
  readonly point: Uint8Array
  /** 32 random bytes. */
  readonly aux: Uint8Array
}

/**
 * A pre-signature by one key, 65 bytes. The nonce is derived from key, message, point and `aux`, so that it never serves for two of
 * them, even with a broken source of randomness.
 * @throws FactoryError `bad_key` when `point` is no point; `bad_parameter` on wrong lengths
 */
export function preSign(
  { secretKey, message, point, aux }: PreSignRequest,
  backend: CurveBackend = defaultBackend(),
): Uint8Array {
  if (message.length !== 32) throw new FactoryError('bad_parameter', `a sighash has 32 bytes, not ${message.length}`)
  if (aux.length !== 32) throw new FactoryError('bad_parameter', `aux has 32 bytes, not ${aux.length}`)
  const adaptor = requirePoint(point, backend)
  const secret = secretBytes(secretKey)
  const xonly = secretKey.publicKey.subarray(1)
  const d = secretKey.publicKey[0] === 2 ? reduceScalar(secret) : mod(-reduceScalar(secret))
  const mask = hashAux(aux)
  const k = reduceScalar(
    hashNonce(
      secret.map((byte, i) => byte ^ (mask[i] ?? 0)),
      xonly,
      point,
      message,
    ),
  )
  const nonce = k === 0n ? backend.infinity : backend.sum([backend.multiplySecret(k), adaptor])
  // About once in 2^255: a nonce of zero, or one that is T's own negation.
  if (k === 0n || nonce.isInfinity)
    throw new FactoryError('internal', 'no nonce for this pre-signature: use another aux')
  const bytes = backend.compress(nonce)
  const e = reduceScalar(hashChallenge(bytes.subarray(1), xonly, message))
  return concatBytes(bytes, scalarBytes(mod((backend.hasEvenY(nonce) ? k : -k) + e * d)))
}

export interface PreSignatureClaim {
  /** 65 bytes. */
  readonly preSignature: Uint8Array
  /** Sighash, 32 bytes. */
  readonly message: Uint8Array
  /** x-only, 32 bytes: what the finished signature will verify against. */
  readonly publicKey: Uint8Array
  /** T, compressed, 33 bytes. */
  readonly point: Uint8Array
}

/**
 * Will t, and only t, make this a signature of `message` by `publicKey`? s'*G = g*(R - T) + e*P. False for anything malformed, too.
 */
export function verifyPreSignature(
  { preSignature, message, publicKey, point }: PreSignatureClaim,
  backend: CurveBackend = defaultBackend(),
): boolean {
  const parsed = parse(preSignature, backend)
  const adaptor = backend.parse(point)
  const key = publicKey.length === 32 ? backend.parse(concatBytes(Uint8Array.of(2), publicKey)) : undefined
  if (parsed === undefined || adaptor === undefined || key === undefined || message.length !== 32) return false
  const e = reduceScalar(hashChallenge(parsed.x, publicKey, message))
  const expected = backend.combine([
    [parsed.sign, parsed.nonce],
    [mod(-parsed.sign), adaptor],
    [e, key],
  ])
  return backend.equal(backend.combine([[parsed.s, backend.generator]]), expected)
}

/**
 * The signature, 64 bytes: what a verified pre-signature and its secret give. Which point it was made for can't be seen from
 * the pre-signature: verify before.
 * @throws FactoryError `bad_signature` when the pre-signature is malformed
 */
export function adapt(
  preSignature: Uint8Array,
  secret: SecretKey,
  backend: CurveBackend = defaultBackend(),
): Uint8Array {
  const parsed = parse(preSignature, backend)
  if (parsed === undefined)
    throw new FactoryError('bad_signature', 'a pre-signature is a curve point and a scalar (65 bytes)')
  return concatBytes(parsed.x, scalarBytes(mod(parsed.s + parsed.sign * reduceScalar(secretBytes(secret)))))
}

/**
 * t, 32 bytes, from a pre-signature and the signature that came of it. Undefined when `signature` is not the one that this pre-signature
 * and the secret of `point` give: what is returned is always the secret key of `point`.
 * @param point T, compressed, 33 bytes
 */
export function extractSecret(
  preSignature: Uint8Array,
  signature: Uint8Array,
  point: Uint8Array,
  backend: CurveBackend = defaultBackend(),
): Uint8Array | undefined {
  const parsed = parse(preSignature, backend)
  if (parsed === undefined || signature.length !== 64) return undefined
  const s = parseScalar(signature.subarray(32))
  if (s === undefined || !equalBytes(signature.subarray(0, 32), parsed.x)) return undefined
  const t = mod(parsed.sign * mod(s - parsed.s))
  if (t === 0n || !equalBytes(backend.compress(backend.multiplySecret(t)), point)) return undefined
  return scalarBytes(t)
}
