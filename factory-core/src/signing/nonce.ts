/**
 * Secret nonces. Two signatures over different messages (or with different aggregated nonces) made with one secret nonce
 * give the secret key away, so that a nonce here signs at most once, and only what it was made for.
 */
import { equalBytes } from '@noble/curves/utils.js'
import { concatBytes } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import type { CurveBackend } from './backend.js'
import { tagHasher } from './hash.js'
import type { TweakedAggregate } from './keyagg.js'
import { mod, reduceScalar, scalarBytes } from './scalar.js'
import { secretBytes, type SecretKey } from './secret-key.js'

const hashAux = tagHasher('MuSig/aux')
const hashNonce = tagHasher('MuSig/nonce')

/** Arguments of BIP-327's NonceGen; what is undefined is an optional argument left out. */
export interface NonceGenArgs {
  /** rand', 32 fresh random bytes. */
  readonly random: Uint8Array
  readonly publicKey: Uint8Array
  readonly secretKey: Uint8Array | undefined
  /** x-only. */
  readonly aggregateKey: Uint8Array | undefined
  readonly message: Uint8Array | undefined
  readonly extra: Uint8Array | undefined
}

const EMPTY = new Uint8Array(0)

function uint(value: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  new DataView(bytes.buffer).setUint32(length - 4, value)
  return bytes
}

/** k1 and k2 of BIP-327's NonceGen. */
export function nonceGen(args: NonceGenArgs): [k1: bigint, k2: bigint] {
  const { random, publicKey, secretKey, message } = args
  const aggregateKey = args.aggregateKey ?? EMPTY
  const extra = args.extra ?? EMPTY
  let rand = random
  if (secretKey !== undefined) rand = hashAux(random).map((byte, i) => byte ^ (secretKey[i] ?? 0))
  const scalar = (index: number): bigint =>
    reduceScalar(
      hashNonce(
        rand,
        Uint8Array.of(publicKey.length),
        publicKey,
        Uint8Array.of(aggregateKey.length),
        aggregateKey,
        message === undefined ? Uint8Array.of(0) : concatBytes(Uint8Array.of(1), uint(message.length, 8), message),
        uint(extra.length, 4),
        extra,
        Uint8Array.of(index),
      ),
    )
  return [scalar(0), scalar(1)]
}

/** cbytes(k1*G) || cbytes(k2*G), 66 bytes. */
export const publicNonceOf = (k1: bigint, k2: bigint, backend: CurveBackend): Uint8Array =>
  concatBytes(backend.compress(backend.multiplySecret(k1)), backend.compress(backend.multiplySecret(k2)))

/** What a nonce was made for. */
export interface NoncePurpose {
  readonly publicKey: Uint8Array
  readonly message: Uint8Array
  readonly aggregateKey: Uint8Array
}

/** s = ±(k1 + b*k2) + addend mod n; minus when the final nonce has an odd y. */
export interface NonceResponse {
  readonly coefficient: bigint
  readonly negate: boolean
  readonly addend: bigint
}

/**
 * Uses a nonce up. Not exported by `index.ts`: only a session can answer with a nonce, and k1 and k2 never leave this file.
 * @throws FactoryError `nonce_consumed` the second time; `bad_nonce` when it was made for something else (it stays unused)
 */
export let respond: (nonce: SecretNonce, purpose: NoncePurpose, response: NonceResponse) => bigint

/** A nonce of given scalars, 1..n-1. Not exported by `index.ts`: outside of this folder nonces come from `generateNonce`. */
export let secretNonce: (k1: bigint, k2: bigint, purpose: NoncePurpose) => SecretNonce

/** A secret nonce: opaque, not serialisable, good for one signature. Lives in memory only and dies with the process. */
export class SecretNonce {
  readonly #k1: Uint8Array
  readonly #k2: Uint8Array
  readonly #purpose: NoncePurpose
  #consumed = false

  private constructor(k1: bigint, k2: bigint, purpose: NoncePurpose) {
    this.#k1 = scalarBytes(k1)
    this.#k2 = scalarBytes(k2)
    // Copies: what a nonce is for can't be changed through a buffer that somebody else holds.
    this.#purpose = {
      publicKey: Uint8Array.from(purpose.publicKey),
      message: Uint8Array.from(purpose.message),
      aggregateKey: Uint8Array.from(purpose.aggregateKey),
    }
  }

  static {
    secretNonce = (k1, k2, purpose) => {
      if (k1 === 0n || k2 === 0n) throw new FactoryError('bad_nonce', 'a secret nonce of zero')
      return new SecretNonce(k1, k2, purpose)
    }
    respond = (nonce, purpose, { coefficient, negate, addend }) => {
      nonce.#check(purpose)
      const k = reduceScalar(nonce.#k1) + coefficient * reduceScalar(nonce.#k2)
      nonce.discard()
      return mod((negate ? -k : k) + addend)
    }
  }

  get consumed(): boolean {
    return this.#consumed
  }

  /** Overwrites the nonce, for a session that will not be signed. Idempotent. */
  discard(): void {
    this.#consumed = true
    this.#k1.fill(0)
    this.#k2.fill(0)
  }

  #check(purpose: NoncePurpose): void {
    if (this.#consumed) throw new FactoryError('nonce_consumed', 'this secret nonce has been used or discarded')
    const mine = this.#purpose
    if (!equalBytes(mine.publicKey, purpose.publicKey)) {
      throw new FactoryError('bad_nonce', 'this secret nonce was made for another key')
    }
    if (!equalBytes(mine.aggregateKey, purpose.aggregateKey)) {
      throw new FactoryError('bad_nonce', 'this secret nonce was made for another aggregate key')
    }
    if (!equalBytes(mine.message, purpose.message)) {
      throw new FactoryError('bad_nonce', 'this secret nonce was made for another message')
    }
  }

  toJSON(): undefined {
    return undefined
  }

  toString(): string {
    return '[SecretNonce]'
  }
}

export interface NonceRequest {
  readonly secretKey: SecretKey
  readonly aggregate: TweakedAggregate
  /** The sighash that will be signed, 32 bytes. */
  readonly message: Uint8Array
  /** 32 bytes from a cryptographic random number generator, fresh on every call. */
  readonly entropy: () => Uint8Array
  /** BIP-327's extra_in. */
  readonly extra?: Uint8Array
}

export interface GeneratedNonce {
  readonly secret: SecretNonce
  /** 66 bytes, to be sent. */
  readonly public: Uint8Array
}

/**
 * BIP-327 NonceGen with key, aggregate and message mixed in, bound to all three.
 * @throws FactoryError `bad_key` when the key is not in the aggregate; `bad_parameter` on a message that is not 32 bytes, or
 *   on entropy that is not 32 bytes or all zero
 */
export function generateNonce(request: NonceRequest): GeneratedNonce {
  const { secretKey, aggregate, extra } = request
  const { publicKey } = secretKey
  const { backend } = aggregate.source
  const message = Uint8Array.from(request.message)
  if (message.length !== 32) throw new FactoryError('bad_parameter', `a sighash has 32 bytes, not ${message.length}`)
  if (aggregate.source.signer(publicKey) === undefined) {
    throw new FactoryError('bad_key', 'our key is not one of the keys of this aggregate')
  }
  const random = request.entropy()
  if (random.length !== 32 || random.every((byte) => byte === 0)) {
    throw new FactoryError('bad_parameter', 'the source of entropy is broken: it must give 32 random bytes')
  }
  const purpose = { publicKey, message, aggregateKey: aggregate.xonly }
  const [k1, k2] = nonceGen({ random, ...purpose, secretKey: secretBytes(secretKey), extra })
  return { secret: secretNonce(k1, k2, purpose), public: publicNonceOf(k1, k2, backend) }
}
