/**
 * A MuSig2 session (BIP-327) whose result is a pre-signature for a point T (`adaptor.ts`): T is added to the aggregated nonce before
 * anything is derived from it, so that nonce coefficient and challenge both commit to it, and the signers do what they always do.
 */
import { concatBytes } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import { verifyPreSignature } from './adaptor.js'
import type { SecretNonce } from './nonce.js'
import { parseAggregatedNonce } from './public-nonce.js'
import type { SecretKey } from './secret-key.js'
import { openSession, type PartialSignature, type Session, type SessionOptions } from './session.js'

export interface AdaptorSessionOptions extends SessionOptions {
  /** T, compressed, 33 bytes. */
  readonly point: Uint8Array
}

export class AdaptorSession {
  readonly point: Uint8Array
  readonly #session: Session

  /** Use `openAdaptorSession`. */
  constructor({ aggregate, message, aggregatedNonce, point }: AdaptorSessionOptions) {
    const { backend } = aggregate.source
    const adaptor = backend.parse(point)
    if (adaptor === undefined)
      throw new FactoryError('bad_key', 'an adaptor point is a compressed curve point (33 bytes)')
    const pair = parseAggregatedNonce(aggregatedNonce, backend)
    if (pair === undefined) {
      throw new FactoryError('bad_nonce', 'the aggregated nonce of the coordinator is not two curve points (66 bytes)')
    }
    const first = backend.compress(backend.sum([pair.first, adaptor]))
    this.point = Uint8Array.from(point)
    this.#session = openSession({
      aggregate,
      message,
      aggregatedNonce: concatBytes(first, aggregatedNonce.subarray(33)),
    })
  }

  /** Our partial pre-signature, 32 bytes; uses `nonce` up. @throws as `Session.sign` */
  sign(nonce: SecretNonce, secretKey: SecretKey): Uint8Array {
    return this.#session.sign(nonce, secretKey)
  }

  /** Is this what its signer owes? */
  verifyPartial(partial: PartialSignature): boolean {
    return this.#session.verifyPartial(partial)
  }

  /** The pre-signature, 65 bytes, **not verified**. @throws as `Session.combine` */
  combine(partials: readonly Uint8Array[]): Uint8Array {
    return concatBytes(this.#session.finalNonce, this.#session.combine(partials).subarray(32))
  }

  /** Will the secret of `point` make it a signature of this session's message by its aggregate key? */
  verify(preSignature: Uint8Array): boolean {
    const { aggregate, message } = this.#session
    return verifyPreSignature(
      { preSignature, message, publicKey: aggregate.xonly, point: this.point },
      aggregate.source.backend,
    )
  }
}

/** @throws FactoryError `bad_key` when `point` is no point; else as `openSession` */
export const openAdaptorSession = (options: AdaptorSessionOptions): AdaptorSession => new AdaptorSession(options)
