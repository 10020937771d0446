/** One MuSig2 signature (BIP-327): an aggregate key, a sighash, and the aggregated nonce of its signers. */
import { FactoryError } from '@ln-factory/tlv'
import type { TweakedAggregate } from './keyagg.js'
import { aggregatePartials, sessionValues, signPartial, verifyPartial, type SessionValues } from './musig.js'
import type { SecretNonce } from './nonce.js'
import { parsePublicNonce, type PublicNonce } from './public-nonce.js'
import type { SecretKey } from './secret-key.js'

export interface SessionOptions {
  readonly aggregate: TweakedAggregate
  /** Sighash, 32 bytes. */
  readonly message: Uint8Array
  /** 66 bytes. */
  readonly aggregatedNonce: Uint8Array
}

export interface PartialSignature {
  /** 32 bytes. */
  readonly signature: Uint8Array
  /** The nonce that this signer sent, 66 bytes. */
  readonly publicNonce: Uint8Array | PublicNonce
  readonly publicKey: Uint8Array
}

export class Session {
  readonly aggregate: TweakedAggregate
  readonly message: Uint8Array
  readonly aggregatedNonce: Uint8Array
  readonly #values: SessionValues

  /** Use `openSession`. */
  constructor({ aggregate, message, aggregatedNonce }: SessionOptions) {
    if (message.length !== 32) throw new FactoryError('bad_parameter', `a sighash has 32 bytes, not ${message.length}`)
    this.aggregate = aggregate
    this.message = Uint8Array.from(message)
    this.aggregatedNonce = Uint8Array.from(aggregatedNonce)
    this.#values = sessionValues(aggregate, this.aggregatedNonce, this.message)
  }

  /** R, compressed, 33 bytes: with the parity that the signature itself doesn't carry. */
  get finalNonce(): Uint8Array {
    return this.aggregate.source.backend.compress(this.#values.finalNonce)
  }

  /**
   * Our partial signature, 32 bytes; uses `nonce` up. Like libsecp256k1 it doesn't verify its own result: a wrong one
   * reveals nothing, since the nonce is gone, and fails when the final signature is verified.
   * @throws FactoryError `nonce_consumed`; `bad_nonce` when the nonce was made for another key, message or aggregate;
   *   `bad_key` when our key is not in the aggregate. The nonce is untouched by the last two.
   */
  sign(nonce: SecretNonce, secretKey: SecretKey): Uint8Array {
    return signPartial(this.#values, nonce, secretKey)
  }

  /** Is this what its signer owes? False for a nonce that is malformed and for a key outside the aggregate, too. */
  verifyPartial({ signature, publicNonce, publicKey }: PartialSignature): boolean {
    const { source } = this.aggregate
    const signer = source.signer(publicKey)
    const nonce = publicNonce instanceof Uint8Array ? parsePublicNonce(publicNonce, source.backend) : publicNonce
    return signer !== undefined && nonce !== undefined && verifyPartial(this.#values, signature, nonce, signer)
  }

  /**
   * The sum of all partial signatures: a BIP-340 signature, 64 bytes, **not verified** (see `combineOrBlame`).
   * @throws FactoryError `bad_partial_signature` naming the position of one that is out of range; `bad_parameter` when
   *   there is not one for each signer
   */
  combine(partials: readonly Uint8Array[]): Uint8Array {
    const { length } = this.aggregate.source.keys
    if (partials.length !== length) {
      throw new FactoryError('bad_parameter', `${partials.length} partial signatures of ${length} signers`)
    }
    return aggregatePartials(this.#values, partials)
  }

  /** Does a final signature (64 bytes) sign this session's message with its aggregate key? */
  verify(signature: Uint8Array): boolean {
    const { aggregate, message } = this
    return aggregate.source.backend.verifySchnorr({ signature, message, publicKey: aggregate.xonly })
  }
}

/** @throws FactoryError `bad_nonce` when the aggregated nonce is malformed; `bad_parameter` on a message not of 32 bytes */
export const openSession = (options: SessionOptions): Session => new Session(options)
