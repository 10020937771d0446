/** The vectors published with BIP-327, on both back ends. Errors are compared by what they blame. */
import { bytesToHex } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import {
  aggregateKeysInOrder,
  aggregateNonces,
  isPublicKey,
  parsePublicNonce,
  SecretKey,
  sortKeys,
  taggedHash,
  verifySchnorr,
  type CurveBackend,
  type TweakedAggregate,
} from '../../src/signing/index.js'
import { aggregatePartials, sessionValues, signPartial, verifyPartial } from '../../src/signing/musig.js'
import { nonceGen, publicNonceOf, secretNonce } from '../../src/signing/nonce.js'
import { reduceScalar, scalarBytes } from '../../src/signing/scalar.js'
import { backends, hex, pick, pickAll, refused } from './support.js'
import detSign from './vectors/bip327_det_sign.json' with { type: 'json' }
import keyAgg from './vectors/bip327_key_agg.json' with { type: 'json' }
import keySort from './vectors/bip327_key_sort.json' with { type: 'json' }
import nonceAgg from './vectors/bip327_nonce_agg.json' with { type: 'json' }
import nonceGenVectors from './vectors/bip327_nonce_gen.json' with { type: 'json' }
import sigAgg from './vectors/bip327_sig_agg.json' with { type: 'json' }
import signVerify from './vectors/bip327_sign_verify.json' with { type: 'json' }
import tweakVectors from './vectors/bip327_tweak.json' with { type: 'json' }

const EMPTY = new Uint8Array(0)
const maybe = (text: string | null): Uint8Array | undefined => (text === null ? undefined : hex(text))
const upper = (bytes: Uint8Array): string => bytesToHex(bytes).toUpperCase()

interface ErrorVector {
  readonly type: string
  readonly signer?: number | null
  readonly contrib?: string
  readonly message?: string
}

/** Runs what must fail, and checks that the error blames whom the vector blames. */
function refusedAs(error: ErrorVector, run: () => unknown): void {
  switch (error.contrib ?? error.message) {
    case 'pubkey':
      expect(refused('bad_key', run)).toContain(`participant ${error.signer ?? -1} `)
      break
    case 'pubnonce':
      expect(refused('bad_nonce', run)).toContain(`participant ${error.signer ?? -1} `)
      break
    case 'psig':
      expect(refused('bad_partial_signature', run)).toContain(`participant ${error.signer ?? -1} `)
      break
    case 'aggnonce':
      expect(refused('bad_nonce', run)).toContain('coordinator')
      break
    case 'The tweak must be less than n.':
      expect(refused('bad_parameter', run)).toContain('below the group order')
      break
    case 'The result of tweaking cannot be infinity.':
      expect(refused('bad_parameter', run)).toContain('cancels')
      break
    case "The signer's pubkey must be included in the list of pubkeys.":
      refused('bad_key', run)
      break
    case 'first secnonce value is out of range.':
      refused('bad_nonce', run)
      break
    default:
      throw new Error(`no rule for ${JSON.stringify(error)}`)
  }
}

describe.each(backends)('BIP-327 vectors on $name', (backend: CurveBackend) => {
  const aggregateTweaked = (keys: Uint8Array[], tweaks: Uint8Array[], modes: readonly boolean[]): TweakedAggregate =>
    tweaks.reduce(
      (aggregate, tweak, i) => aggregate.tweak(tweak, pick(modes, i) ? 'xonly' : 'plain'),
      aggregateKeysInOrder(keys, backend).untweaked(),
    )

  /** `secnonce` as in the vectors: k1 || k2 || public key. */
  const sign = (
    secnonce: Uint8Array,
    secretKey: Uint8Array,
    aggregate: TweakedAggregate,
    aggregatedNonce: Uint8Array,
    message: Uint8Array,
  ): string => {
    const nonce = secretNonce(reduceScalar(secnonce.subarray(0, 32)), reduceScalar(secnonce.subarray(32, 64)), {
      publicKey: secnonce.subarray(64),
      message,
      aggregateKey: aggregate.xonly,
    })
    const values = sessionValues(aggregate, aggregatedNonce, message)
    return upper(signPartial(values, nonce, SecretKey.fromBytes(secretKey, backend)))
  }

  const verify = (
    partial: Uint8Array,
    nonces: Uint8Array[],
    aggregate: TweakedAggregate,
    message: Uint8Array,
    index: number,
  ): boolean => {
    const values = sessionValues(aggregate, aggregateNonces(nonces, [], backend), message)
    const signer = aggregate.source.signer(pick(aggregate.source.keys, index))
    const nonce = parsePublicNonce(pick(nonces, index), backend)
    return signer !== undefined && nonce !== undefined && verifyPartial(values, partial, nonce, signer)
  }

  it('KeySort', () => {
    expect(sortKeys(keySort.pubkeys.map(hex)).map(upper)).toEqual(keySort.sorted_pubkeys)
  })

  it.each(keyAgg.valid_test_cases)('KeyAgg $key_indices', ({ key_indices, expected }) => {
    const keys = pickAll(keyAgg.pubkeys, key_indices).map(hex)
    expect(upper(aggregateKeysInOrder(keys, backend).xonly)).toBe(expected)
  })

  it.each(keyAgg.error_test_cases)('KeyAgg error: $comment', (vector) => {
    const keys = pickAll(keyAgg.pubkeys, vector.key_indices).map(hex)
    const tweaks = pickAll(keyAgg.tweaks, vector.tweak_indices).map(hex)
    refusedAs(vector.error, () => aggregateTweaked(keys, tweaks, vector.is_xonly))
  })

  it.each(nonceGenVectors.test_cases)('NonceGen $expected_pubnonce', (vector) => {
    const publicKey = hex(vector.pk)
    const [k1, k2] = nonceGen({
      random: hex(vector.rand_),
      publicKey,
      secretKey: maybe(vector.sk),
      aggregateKey: maybe(vector.aggpk),
      message: maybe(vector.msg),
      extra: maybe(vector.extra_in),
    })
    expect(upper(scalarBytes(k1)) + upper(scalarBytes(k2)) + upper(publicKey)).toBe(vector.expected_secnonce)
    expect(upper(publicNonceOf(k1, k2, backend))).toBe(vector.expected_pubnonce)
  })

  it.each(nonceAgg.valid_test_cases)('NonceAgg $pnonce_indices', ({ pnonce_indices, expected }) => {
    expect(upper(aggregateNonces(pickAll(nonceAgg.pnonces, pnonce_indices).map(hex), [], backend))).toBe(expected)
  })

  it.each(nonceAgg.error_test_cases)('NonceAgg error: $comment', (vector) => {
    const nonces = pickAll(nonceAgg.pnonces, vector.pnonce_indices).map(hex)
    refusedAs(vector.error, () => aggregateNonces(nonces, [], backend))
  })

  it.each(signVerify.valid_test_cases)('Sign and PartialSigVerify $expected', (vector) => {
    const aggregate = aggregateTweaked(pickAll(signVerify.pubkeys, vector.key_indices).map(hex), [], [])
    const nonces = pickAll(signVerify.pnonces, vector.nonce_indices).map(hex)
    const message = hex(pick(signVerify.msgs, vector.msg_index))
    const aggregatedNonce = aggregateNonces(nonces, [], backend)
    expect(upper(aggregatedNonce)).toBe(pick(signVerify.aggnonces, vector.aggnonce_index))
    const partial = sign(hex(pick(signVerify.secnonces, 0)), hex(signVerify.sk), aggregate, aggregatedNonce, message)
    expect(partial).toBe(vector.expected)
    expect(verify(hex(partial), nonces, aggregate, message, vector.signer_index)).toBe(true)
  })

  it.each(signVerify.sign_error_test_cases)('Sign error: $comment', (vector) => {
    refusedAs(vector.error, () =>
      sign(
        hex(pick(signVerify.secnonces, vector.secnonce_index)),
        hex(signVerify.sk),
        aggregateTweaked(pickAll(signVerify.pubkeys, vector.key_indices).map(hex), [], []),
        hex(pick(signVerify.aggnonces, vector.aggnonce_index)),
        hex(pick(signVerify.msgs, vector.msg_index)),
      ),
    )
  })

  it.each(signVerify.verify_fail_test_cases)('PartialSigVerify refuses: $comment', (vector) => {
    const aggregate = aggregateTweaked(pickAll(signVerify.pubkeys, vector.key_indices).map(hex), [], [])
    const nonces = pickAll(signVerify.pnonces, vector.nonce_indices).map(hex)
    const message = hex(pick(signVerify.msgs, vector.msg_index))
    expect(verify(hex(vector.sig), nonces, aggregate, message, vector.signer_index)).toBe(false)
  })

  it.each(signVerify.verify_error_test_cases)('PartialSigVerify error: $comment', (vector) => {
    refusedAs(vector.error, () => {
      const aggregate = aggregateTweaked(pickAll(signVerify.pubkeys, vector.key_indices).map(hex), [], [])
      const nonces = pickAll(signVerify.pnonces, vector.nonce_indices).map(hex)
      return verify(hex(vector.sig), nonces, aggregate, hex(pick(signVerify.msgs, vector.msg_index)), 0)
    })
  })

  it.each(tweakVectors.valid_test_cases)('tweaks: $comment', (vector) => {
    const aggregate = aggregateTweaked(
      pickAll(tweakVectors.pubkeys, vector.key_indices).map(hex),
      pickAll(tweakVectors.tweaks, vector.tweak_indices).map(hex),
      vector.is_xonly,
    )
    const nonces = pickAll(tweakVectors.pnonces, vector.nonce_indices).map(hex)
    const message = hex(tweakVectors.msg)
    const aggregatedNonce = hex(tweakVectors.aggnonce)
    const partial = sign(hex(tweakVectors.secnonce), hex(tweakVectors.sk), aggregate, aggregatedNonce, message)
    expect(partial).toBe(vector.expected)
    expect(verify(hex(partial), nonces, aggregate, message, vector.signer_index)).toBe(true)
  })

  it.each(tweakVectors.error_test_cases)('tweak error: $comment', (vector) => {
    const keys = pickAll(tweakVectors.pubkeys, vector.key_indices).map(hex)
    const tweaks = pickAll(tweakVectors.tweaks, vector.tweak_indices).map(hex)
    refusedAs(vector.error, () => aggregateTweaked(keys, tweaks, vector.is_xonly))
  })

  const partialsOf = (vector: {
    key_indices: number[]
    tweak_indices: number[]
    is_xonly: boolean[]
    aggnonce: string
    psig_indices: number[]
  }): { aggregate: TweakedAggregate; signature: Uint8Array } => {
    const aggregate = aggregateTweaked(
      pickAll(sigAgg.pubkeys, vector.key_indices).map(hex),
      pickAll(sigAgg.tweaks, vector.tweak_indices).map(hex),
      vector.is_xonly,
    )
    const values = sessionValues(aggregate, hex(vector.aggnonce), hex(sigAgg.msg))
    return { aggregate, signature: aggregatePartials(values, pickAll(sigAgg.psigs, vector.psig_indices).map(hex)) }
  }

  it.each(sigAgg.valid_test_cases)('PartialSigAgg $expected', (vector) => {
    const { aggregate, signature } = partialsOf(vector)
    expect(upper(signature)).toBe(vector.expected)
    const item = { signature, message: hex(sigAgg.msg), publicKey: aggregate.xonly }
    expect(verifySchnorr(item, backend)).toBe(true)
  })

  it.each(sigAgg.error_test_cases)('PartialSigAgg error: $comment', (vector) => {
    refusedAs(vector.error, () => partialsOf(vector))
  })

  // DeterministicSign itself is not offered (a factory's nonces are random), but its vectors exercise Sign.
  const deterministicNonce = (
    rand: string | null,
    aggregate: TweakedAggregate,
    otherNonce: Uint8Array,
    message: Uint8Array,
  ): [bigint, bigint] => {
    const length = new Uint8Array(8)
    length[7] = message.length
    const mask = rand === null ? EMPTY : taggedHash('MuSig/aux', hex(rand))
    const key = hex(detSign.sk).map((byte, i) => byte ^ (mask[i] ?? 0))
    const k = (i: number): bigint =>
      reduceScalar(
        taggedHash('MuSig/deterministic/nonce', key, otherNonce, aggregate.xonly, length, message, Uint8Array.of(i)),
      )
    return [k(0), k(1)]
  }

  it.each(detSign.valid_test_cases)('Sign with the nonce of DeterministicSign $expected', (vector) => {
    const keys = pickAll(detSign.pubkeys, vector.key_indices).map(hex)
    const aggregate = aggregateTweaked(keys, vector.tweaks.map(hex), vector.is_xonly)
    const message = hex(pick(detSign.msgs, vector.msg_index))
    const otherNonce = hex(vector.aggothernonce)
    const [k1, k2] = deterministicNonce(vector.rand, aggregate, otherNonce, message)
    const publicNonce = publicNonceOf(k1, k2, backend)
    expect(upper(publicNonce)).toBe(vector.expected[0])
    const secnonce = Uint8Array.from([...scalarBytes(k1), ...scalarBytes(k2), ...pick(keys, vector.signer_index)])
    const aggregatedNonce = aggregateNonces([publicNonce, otherNonce], [], backend)
    expect(sign(secnonce, hex(detSign.sk), aggregate, aggregatedNonce, message)).toBe(vector.expected[1])
  })

  it.each(detSign.error_test_cases)('DeterministicSign error: $comment', (vector) => {
    const keys = pickAll(detSign.pubkeys, vector.key_indices).map(hex)
    // The aggregated nonce of the others comes first here, as if it were participant 0's.
    const error =
      vector.error.contrib === 'aggothernonce' ? { ...vector.error, contrib: 'pubnonce', signer: 0 } : vector.error
    refusedAs(error, () => {
      const aggregate = aggregateTweaked(keys, vector.tweaks.map(hex), vector.is_xonly)
      const message = hex(pick(detSign.msgs, vector.msg_index))
      const otherNonce = hex(vector.aggothernonce)
      const [k1, k2] = deterministicNonce(vector.rand, aggregate, otherNonce, message)
      const publicKey = SecretKey.fromBytes(hex(detSign.sk), backend).publicKey
      const aggregatedNonce = aggregateNonces([otherNonce, publicNonceOf(k1, k2, backend)], [], backend)
      const secnonce = Uint8Array.from([...scalarBytes(k1), ...scalarBytes(k2), ...publicKey])
      return sign(secnonce, hex(detSign.sk), aggregate, aggregatedNonce, message)
    })
  })

  it('knows a key from what is none', () => {
    expect(isPublicKey(hex(pick(keyAgg.pubkeys, 0)), backend)).toBe(true)
    expect(keyAgg.pubkeys.slice(3, 6).map((key) => isPublicKey(hex(key), backend))).toEqual([false, false, false])
    expect(isPublicKey(hex(pick(keyAgg.pubkeys, 0)).subarray(1), backend)).toBe(false)
  })
})
