/**
 * One session of three implementations: ours on both back ends, @scure/btc-signer's and libsecp256k1-zkp's. If any of them
 * computed anything else than the others, there would be no valid signature.
 */
import { createRequire } from 'node:module'
import fc from 'fast-check'
import * as scure from '@scure/btc-signer/musig2.js'
import { describe, expect, it } from 'vitest'
import {
  aggregateKeys,
  aggregateNonces,
  combineOrBlame,
  generateNonce,
  openSession,
  taggedHash,
  verifySchnorr,
  type SecretKey,
  type TweakedAggregate,
} from '../../src/signing/index.js'
import { entropy } from './party.js'
import { backends, bytesOf, keyOf, pick } from './support.js'

const zkpModule = createRequire(import.meta.url)(
  '@vulpemventures/secp256k1-zkp',
) as typeof import('@vulpemventures/secp256k1-zkp')
const zkp = await zkpModule.default()

/** A signer as seen from outside. */
interface Outsider {
  readonly publicKey: Uint8Array
  readonly publicNonce: Uint8Array
  readonly sign: (aggregatedNonce: Uint8Array) => Uint8Array
  /** Does this implementation find somebody's partial signature valid? */
  readonly check: (
    aggregatedNonce: Uint8Array,
    of: { partial: Uint8Array; publicNonce: Uint8Array; publicKey: Uint8Array },
  ) => boolean
}

interface Setting {
  readonly seed: string
  readonly keys: readonly Uint8Array[]
  readonly aggregate: TweakedAggregate
  readonly tweak: Uint8Array
  readonly message: Uint8Array
}

const ours =
  (index: number) =>
  ({ seed, keys, message }: Setting): Outsider => {
    const backend = pick(backends, index)
    const secretKey: SecretKey = keyOf(seed, backend)
    const aggregate = aggregateKeys(keys, backend).taproot(undefined)
    const nonce = generateNonce({ secretKey, aggregate, message, entropy })
    return {
      publicKey: secretKey.publicKey,
      publicNonce: nonce.public,
      sign: (aggregatedNonce) => openSession({ aggregate, message, aggregatedNonce }).sign(nonce.secret, secretKey),
      check: (aggregatedNonce, { partial, publicNonce, publicKey }) =>
        openSession({ aggregate, message, aggregatedNonce }).verifyPartial({
          signature: partial,
          publicNonce,
          publicKey,
        }),
    }
  }

function scureSigner({ seed, keys, aggregate, tweak, message }: Setting): Outsider {
  const secret = bytesOf(seed)
  const publicKey = scure.IndividualPubkey(secret)
  const nonce = scure.nonceGen(publicKey, secret, aggregate.xonly, message)
  const sorted = scure.sortKeys([...keys])
  const session = (aggregatedNonce: Uint8Array): scure.Session =>
    new scure.Session(aggregatedNonce, sorted, message, [tweak], [true])
  return {
    publicKey,
    publicNonce: nonce.public,
    sign: (aggregatedNonce) => session(aggregatedNonce).sign(nonce.secret, secret),
    // Its check wants the nonces of all, of which only the sum and this one matter; see the second test.
    check: () => true,
  }
}

function zkpSigner({ seed, keys, aggregate, tweak, message }: Setting): Outsider {
  const secret = bytesOf(seed)
  const publicKey = keyOf(seed).publicKey
  const { musig } = zkp
  const { aggPubkey, keyaggCache } = musig.pubkeyAgg(scure.sortKeys([...keys]))
  expect(aggPubkey).toEqual(aggregate.source.xonly)
  const tweaked = musig.pubkeyXonlyTweakAdd(keyaggCache, tweak, true)
  expect(tweaked.pubkey.subarray(1)).toEqual(aggregate.xonly)
  const nonce = musig.nonceGen(bytesOf(`zkp ${seed}`), publicKey)
  const session = (aggregatedNonce: Uint8Array): Uint8Array =>
    musig.nonceProcess(aggregatedNonce, message, tweaked.keyaggCache)
  return {
    publicKey,
    publicNonce: nonce.pubNonce,
    sign: (aggregatedNonce) => musig.partialSign(nonce.secNonce, secret, tweaked.keyaggCache, session(aggregatedNonce)),
    check: (aggregatedNonce, { partial, publicNonce, publicKey: of }) =>
      musig.partialVerify(partial, publicNonce, of, tweaked.keyaggCache, session(aggregatedNonce)),
  }
}

const implementations: ((setting: Setting) => Outsider)[] = [ours(0), ours(1), scureSigner, zkpSigner]

function signers(kinds: readonly number[], seed: string): { setting: Setting; all: Outsider[] } {
  const seeds = kinds.map((_, i) => `${seed} ${i}`)
  const keys = seeds.map((each) => keyOf(each).publicKey)
  const source = aggregateKeys(keys)
  const message = bytesOf(`message ${seed}`)
  const setting = {
    seed,
    keys,
    aggregate: source.taproot(undefined),
    tweak: taggedHash('TapTweak', source.xonly),
    message,
  }
  return { setting, all: kinds.map((kind, i) => pick(implementations, kind)({ ...setting, seed: pick(seeds, i) })) }
}

describe('MuSig2 of three implementations', () => {
  it("sign together, and find each other's partial signatures valid", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 6 }).map((extra) => [0, 1, 2, 3, ...extra]),
        fc.string(),
        (kinds, seed) => {
          const { setting, all } = signers(kinds, seed)
          const nonces = all.map(({ publicNonce }) => publicNonce)
          const aggregatedNonce = aggregateNonces(nonces)
          expect(scure.nonceAggregate(nonces)).toEqual(aggregatedNonce)
          expect(zkp.musig.nonceAgg(nonces)).toEqual(aggregatedNonce)
          const partials = all.map((signer) => signer.sign(aggregatedNonce))
          for (const checker of all) {
            for (const [i, { publicNonce, publicKey }] of all.entries()) {
              expect(checker.check(aggregatedNonce, { partial: pick(partials, i), publicNonce, publicKey })).toBe(true)
            }
          }
          const session = openSession({ aggregate: setting.aggregate, message: setting.message, aggregatedNonce })
          const result = combineOrBlame({
            session,
            partials: all.map(({ publicNonce, publicKey }, signer) => ({
              signer,
              signature: pick(partials, signer),
              publicNonce,
              publicKey,
            })),
          })
          expect(result.ok).toBe(true)
          const sorted = scure.sortKeys([...setting.keys])
          const theirs = new scure.Session(aggregatedNonce, sorted, setting.message, [setting.tweak], [true])
          const signature = theirs.partialSigAgg(partials)
          expect(result).toEqual({ ok: true, signature })
          const item = { signature, message: setting.message, publicKey: setting.aggregate.xonly }
          for (const backend of backends) expect(verifySchnorr(item, backend)).toBe(true)
          expect(zkp.ecc.verifySchnorr(setting.message, setting.aggregate.xonly, signature)).toBe(true)
        },
      ),
      { numRuns: 6 },
    )
  })

  it('agree on which partial signatures are wrong', () => {
    const { setting, all } = signers([0, 1, 2, 3], 'wrong')
    const nonces = all.map(({ publicNonce }) => publicNonce)
    const aggregatedNonce = aggregateNonces(nonces)
    const sorted = scure.sortKeys([...setting.keys])
    const order = sorted.map((key) => all.findIndex(({ publicKey }) => Buffer.compare(publicKey, key) === 0))
    const theirs = new scure.Session(aggregatedNonce, sorted, setting.message, [setting.tweak], [true])
    for (const [i, { publicNonce, publicKey, sign }] of all.entries()) {
      const partial = sign(aggregatedNonce)
      const crooked = partial.map((byte, at) => (at === 31 ? byte ^ 1 : byte))
      for (const [candidate, valid] of [
        [partial, true],
        [crooked, false],
      ] as const) {
        for (const checker of [pick(all, 0), pick(all, 1), pick(all, 3)]) {
          expect(checker.check(aggregatedNonce, { partial: candidate, publicNonce, publicKey })).toBe(valid)
        }
        const inOrder = order.map((index) => pick(nonces, index))
        expect(theirs.partialSigVerify(candidate, inOrder, order.indexOf(i))).toBe(valid)
      }
    }
  })
})
