/**
 * All secret keys of an aggregate in one hand: its secret scalar, and one ordinary BIP-340 signature by it. This is what a key
 * turnover is for: an LSP that holds every key of a factory spends its outputs without anybody else being there.
 */
import { FactoryError } from '@ln-factory/tlv'
import type { CurveBackend } from './backend.js'
import { defaultBackend } from './backend-select.js'
import { aggregateKeys, type TweakedAggregate } from './keyagg.js'
import { mod, reduceScalar, scalarBytes } from './scalar.js'
import { signSchnorr } from './schnorr.js'
import { secretBytes, SecretKey } from './secret-key.js'

/**
 * gacc * sum of coefficient_i * d_i + tacc: the scalar whose point is the tweaked aggregate (BIP-327, KeyAgg and ApplyTweak).
 * @param secretKeys one for each key of the aggregate, in any order; a key that comes twice in the aggregate comes twice here
 * @throws FactoryError `bad_key` when they are not the keys of this aggregate
 */
export function wholeKey(aggregate: TweakedAggregate, secretKeys: readonly SecretKey[]): SecretKey {
  const { source, sign, offset, point } = aggregate
  const { backend } = source
  let sum = 0n
  for (const key of secretKeys) {
    const signer = source.signer(key.publicKey)
    if (signer === undefined) throw new FactoryError('bad_key', 'a secret key that is not of this aggregate')
    sum += signer.coefficient * reduceScalar(secretBytes(key))
  }
  const scalar = mod(sign * mod(sum) + offset)
  // A key too few or too many gives another point; 0 would be infinity, which no aggregate is.
  if (scalar === 0n || !backend.equal(backend.multiplySecret(scalar), point)) {
    throw new FactoryError(
      'bad_key',
      'these are not all the secret keys of this aggregate, each as often as it is in it',
    )
  }
  const bytes = scalarBytes(scalar)
  const key = SecretKey.fromBytes(bytes, backend)
  bytes.fill(0)
  return key
}

export interface LoneSignature {
  /** Of every participant, in any order. */
  readonly secretKeys: readonly SecretKey[]
  /** Of the P2TR output whose internal key the participants' aggregate is: 32 bytes; undefined without scripts. */
  readonly merkleRoot: Uint8Array | undefined
  /** 32 bytes. */
  readonly sighash: Uint8Array
  /** 32 random bytes. */
  readonly aux: Uint8Array
}

/**
 * The key-path signature of a P2TR output, 64 bytes, by one party that knows every participant's secret key.
 * @throws FactoryError `bad_parameter` on wrong lengths or without keys
 */
export function signAlone(
  { secretKeys, merkleRoot, sighash, aux }: LoneSignature,
  backend: CurveBackend = defaultBackend(),
): Uint8Array {
  const keys = secretKeys.map((key) => key.publicKey)
  const whole = wholeKey(aggregateKeys(keys, backend).taproot(merkleRoot), secretKeys)
  try {
    return signSchnorr({ secretKey: whole, message: sighash, aux }, backend)
  } finally {
    whole.wipe()
  }
}
