import fc from 'fast-check'
import { schnorr } from '@noble/curves/secp256k1.js'
import { describe, expect, it } from 'vitest'
import { aggregateKeys, signAlone, wholeKey, type CurveBackend } from '../../src/signing/index.js'
import { backends, bytesOf, keyOf, refused } from './support.js'

describe.each(backends)('all keys in one hand on $name', (backend: CurveBackend) => {
  const names = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'), { minLength: 1, maxLength: 9 })
  const root = fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 }), { nil: undefined })

  it('signs for the output key of any set, repeated keys and either parity included', () => {
    fc.assert(
      fc.property(names, root, fc.uint8Array({ minLength: 32, maxLength: 32 }), (list, merkleRoot, sighash) => {
        const secretKeys = list.map((name) => keyOf(name, backend))
        const signature = signAlone({ secretKeys, merkleRoot, sighash, aux: bytesOf('aux') }, backend)
        const output = aggregateKeys(
          secretKeys.map((key) => key.publicKey),
          backend,
        ).taproot(merkleRoot)
        expect(schnorr.verify(signature, sighash, output.xonly)).toBe(true)
      }),
      { numRuns: 40 },
    )
  })

  it('holds the scalar of the aggregate itself, under any tweaks', () => {
    fc.assert(
      fc.property(names, fc.array(fc.tuple(fc.integer({ min: 1 }), fc.boolean()), { maxLength: 3 }), (list, tweaks) => {
        const keys = list.map((name) => keyOf(name, backend))
        const plain = aggregateKeys(
          keys.map((key) => key.publicKey),
          backend,
        ).untweaked()
        const tweaked = tweaks.reduce(
          (aggregate, [seed, xonly]) => aggregate.tweak(bytesOf(`tweak ${seed}`), xonly ? 'xonly' : 'plain'),
          plain,
        )
        expect(wholeKey(tweaked, keys).publicKey).toEqual(backend.compress(tweaked.point))
      }),
      { numRuns: 40 },
    )
  })

  it('refuses a key too few, too many, or foreign', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => keyOf(name, backend))
    if (a === undefined || b === undefined || c === undefined) throw new Error('three keys')
    const aggregate = aggregateKeys([a.publicKey, b.publicKey], backend).taproot(undefined)
    expect(wholeKey(aggregate, [b, a]).publicKey).toEqual(backend.compress(aggregate.point))
    for (const wrong of [[a], [a, b, b], [a, c], [a, b, c], []]) refused('bad_key', () => wholeKey(aggregate, wrong))
  })

  it('refuses a root or a sighash of a wrong length, and no keys', () => {
    const secretKeys = [keyOf('a', backend)]
    const good = { secretKeys, merkleRoot: undefined, sighash: bytesOf('sighash'), aux: bytesOf('aux') }
    refused('bad_parameter', () => signAlone({ ...good, merkleRoot: new Uint8Array(31) }, backend))
    refused('bad_parameter', () => signAlone({ ...good, sighash: new Uint8Array(31) }, backend))
    refused('bad_parameter', () => signAlone({ ...good, secretKeys: [] }, backend))
  })
})
