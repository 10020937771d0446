/** BIP-327's session arithmetic: GetSessionValues, Sign, PartialSigVerify, PartialSigAgg; messages of any length. */
import { concatBytes } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import type { Point } from './backend.js'
import { tagHasher } from './hash.js'
import type { Signer, TweakedAggregate } from './keyagg.js'
import { respond, type SecretNonce } from './nonce.js'
import { parseAggregatedNonce, type NoncePair } from './public-nonce.js'
import { mod, parseScalar, reduceScalar, scalarBytes } from './scalar.js'
import { secretBytes, type SecretKey } from './secret-key.js'

const hashNonceCoefficient = tagHasher('MuSig/noncecoef')
const hashChallenge = tagHasher('BIP0340/challenge')

export interface SessionValues {
  readonly aggregate: TweakedAggregate
  readonly message: Uint8Array
  /** b. */
  readonly nonceCoefficient: bigint
  /** R. */
  readonly finalNonce: Point
  readonly finalNonceIsOdd: boolean
  /** e. */
  readonly challenge: bigint
  /** g: 1, or n-1 when the output key has an odd y. */
  readonly outputSign: bigint
}

/** @throws FactoryError `bad_nonce`: the aggregated nonce is malformed, which is the coordinator's fault */
export function sessionValues(
  aggregate: TweakedAggregate,
  aggregatedNonce: Uint8Array,
  message: Uint8Array,
): SessionValues {
  const { backend } = aggregate.source
  const pair = parseAggregatedNonce(aggregatedNonce, backend)
  if (pair === undefined) {
    throw new FactoryError('bad_nonce', 'the aggregated nonce of the coordinator is not two curve points (66 bytes)')
  }
  const b = reduceScalar(hashNonceCoefficient(aggregatedNonce, aggregate.xonly, message))
  const sum = backend.combine([
    [1n, pair.first],
    [b, pair.second],
  ])
  // A dishonest signer can make the sum infinity; with G in its place the session fails and names that signer (BIP-327,
  // "Dealing with Infinity in Nonce Aggregation").
  const finalNonce = sum.isInfinity ? backend.generator : sum
  return {
    aggregate,
    message,
    nonceCoefficient: b,
    finalNonce,
    finalNonceIsOdd: !backend.hasEvenY(finalNonce),
    challenge: reduceScalar(hashChallenge(backend.compress(finalNonce).subarray(1), aggregate.xonly, message)),
    outputSign: backend.hasEvenY(aggregate.point) ? 1n : mod(-1n),
  }
}

/** e*a*g*gacc: what multiplies a signer's secret key in its partial signature. */
const keyFactor = (values: SessionValues, signer: Signer): bigint =>
  mod(mod(values.challenge * signer.coefficient) * mod(values.outputSign * values.aggregate.sign))

/** Sign. @throws as `Session.sign` */
export function signPartial(values: SessionValues, nonce: SecretNonce, secretKey: SecretKey): Uint8Array {
  const { aggregate, message } = values
  const { publicKey } = secretKey
  const signer = aggregate.source.signer(publicKey)
  if (signer === undefined) throw new FactoryError('bad_key', 'our key is not one of the keys of this aggregate')
  const secret = reduceScalar(secretBytes(secretKey))
  const s = respond(
    nonce,
    { publicKey, message, aggregateKey: aggregate.xonly },
    {
      coefficient: values.nonceCoefficient,
      negate: values.finalNonceIsOdd,
      addend: mod(keyFactor(values, signer) * secret),
    },
  )
  return scalarBytes(s)
}

/** PartialSigVerifyInternal: s*G = ±(R1 + b*R2) + e*a*g*gacc*P. */
export function verifyPartial(values: SessionValues, signature: Uint8Array, nonce: NoncePair, signer: Signer): boolean {
  const { backend } = values.aggregate.source
  const s = parseScalar(signature)
  if (s === undefined) return false
  const sign = values.finalNonceIsOdd ? mod(-1n) : 1n
  const expected = backend.combine([
    [sign, nonce.first],
    [mod(sign * values.nonceCoefficient), nonce.second],
    [keyFactor(values, signer), signer.point],
  ])
  return backend.equal(backend.combine([[s, backend.generator]]), expected)
}

/**
 * PartialSigAgg: the BIP-340 signature, 64 bytes, not verified.
 * @throws FactoryError `bad_partial_signature` naming the position of the first one out of range
 */
export function aggregatePartials(values: SessionValues, partials: readonly Uint8Array[]): Uint8Array {
  const { backend } = values.aggregate.source
  let s = values.challenge * mod(values.outputSign * values.aggregate.offset)
  for (const [index, partial] of partials.entries()) {
    const scalar = parseScalar(partial)
    if (scalar === undefined) {
      throw new FactoryError('bad_partial_signature', `the partial signature of participant ${index} is out of range`)
    }
    s += scalar
  }
  return concatBytes(backend.compress(values.finalNonce).subarray(1), scalarBytes(mod(s)))
}
