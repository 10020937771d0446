import fc from 'fast-check'
import { schnorr } from '@noble/curves/secp256k1.js'
import { describe, expect, it } from 'vitest'
import {
  adapt,
  aggregateKeys,
  aggregateNonces,
  extractSecret,
  generateNonce,
  openAdaptorSession,
  preSign,
  SecretKey,
  verifyPreSignature,
  type CurveBackend,
} from '../../src/signing/index.js'
import { entropy } from './party.js'
import { backends, bytesOf, keyOf, refused } from './support.js'

/** The same secret's other half: -t, whose point is -T. */
const negated = (point: Uint8Array): Uint8Array => Uint8Array.of((point[0] ?? 0) ^ 1, ...point.subarray(1))
const flip = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))

describe.each(backends)('adaptor signatures on $name', (backend: CurveBackend) => {
  const made = (signer: string, to: string, text = 'sighash', aux = 'aux') => {
    const secretKey = keyOf(signer, backend)
    const secret = keyOf(to, backend)
    const message = bytesOf(text)
    const preSignature = preSign({ secretKey, message, point: secret.publicKey, aux: bytesOf(aux) }, backend)
    const claim = { preSignature, message, publicKey: secretKey.publicKey.subarray(1), point: secret.publicKey }
    return { secret, claim }
  }

  it('adapts to a signature that gives the secret back, whatever the parities', () => {
    const parities = new Set<string>()
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat(), (a, b, c) => {
        const { secret, claim } = made(`signer ${a}`, `secret ${b}`, `message ${c}`)
        expect(verifyPreSignature(claim, backend)).toBe(true)
        const signature = adapt(claim.preSignature, secret, backend)
        expect(schnorr.verify(signature, claim.message, claim.publicKey)).toBe(true)
        const found = extractSecret(claim.preSignature, signature, claim.point, backend)
        expect(SecretKey.fromBytes(found ?? expect.fail(), backend).publicKey).toEqual(secret.publicKey)
        parities.add(`${claim.preSignature[0]} ${claim.point[0]}`)
      }),
      { numRuns: 60 },
    )
    expect(parities.size).toBe(4)
  })

  it('is no signature before it is adapted, nor with another secret', () => {
    const { claim } = made('signer', 'secret')
    const bare = Uint8Array.of(...claim.preSignature.subarray(1))
    expect(schnorr.verify(bare, claim.message, claim.publicKey)).toBe(false)
    const other = adapt(claim.preSignature, keyOf('another', backend), backend)
    expect(schnorr.verify(other, claim.message, claim.publicKey)).toBe(false)
    expect(extractSecret(claim.preSignature, other, claim.point, backend)).toBeUndefined()
  })

  it('refuses another point, its negation, another message, another key', () => {
    for (const to of ['secret', 'odd', 'even', 'more']) {
      const { claim } = made('signer', to)
      expect(verifyPreSignature(claim, backend)).toBe(true)
      for (const wrong of [
        { point: keyOf('another', backend).publicKey },
        { point: negated(claim.point) },
        { message: bytesOf('changed') },
        { publicKey: keyOf('another', backend).publicKey.subarray(1) },
        { preSignature: made('signer', to, 'sighash', 'other aux').claim.preSignature.with(64, 0) },
        { preSignature: negated(claim.preSignature) },
      ]) {
        expect(verifyPreSignature({ ...claim, ...wrong }, backend)).toBe(false)
      }
    }
  })

  it('refuses swapped nonces', () => {
    const one = made('signer', 'secret', 'sighash', 'one').claim
    const two = made('signer', 'secret', 'sighash', 'two').claim
    const mixed = Uint8Array.of(...one.preSignature.subarray(0, 33), ...two.preSignature.subarray(33))
    expect(verifyPreSignature({ ...one, preSignature: mixed }, backend)).toBe(false)
    const signature = adapt(two.preSignature, keyOf('secret', backend), backend)
    expect(extractSecret(one.preSignature, signature, one.point, backend)).toBeUndefined()
  })

  it('refuses every pre-signature with one wrong bit', () => {
    const { claim } = made('signer', 'secret')
    for (let at = 0; at < claim.preSignature.length; at++) {
      expect(verifyPreSignature({ ...claim, preSignature: flip(claim.preSignature, at) }, backend)).toBe(false)
    }
  })

  it('answers false or nothing, and no error, to what is malformed', () => {
    const { secret, claim } = made('signer', 'secret')
    const signature = adapt(claim.preSignature, secret, backend)
    for (const field of ['preSignature', 'message', 'publicKey', 'point'] as const) {
      for (const bytes of [new Uint8Array(0), claim[field].subarray(1), Uint8Array.of(...claim[field], 0)]) {
        expect(verifyPreSignature({ ...claim, [field]: bytes }, backend)).toBe(false)
      }
    }
    const zeroes = Uint8Array.of(...new Uint8Array(33), ...claim.preSignature.subarray(33))
    const large = Uint8Array.of(...claim.preSignature.subarray(0, 33), ...new Uint8Array(32).fill(255))
    for (const preSignature of [zeroes, large, new Uint8Array(64)]) {
      expect(verifyPreSignature({ ...claim, preSignature }, backend)).toBe(false)
      expect(extractSecret(preSignature, signature, claim.point, backend)).toBeUndefined()
      refused('bad_signature', () => adapt(preSignature, secret, backend))
    }
    for (const wrong of [
      new Uint8Array(0),
      signature.subarray(1),
      Uint8Array.of(...signature, 0),
      flip(signature, 0),
    ]) {
      expect(extractSecret(claim.preSignature, wrong, claim.point, backend)).toBeUndefined()
    }
    const bare = Uint8Array.of(...claim.preSignature.subarray(1))
    expect(extractSecret(claim.preSignature, bare, claim.point, backend)).toBeUndefined()
  })

  it('uses another nonce for another message, point, or aux', () => {
    const base = {
      secretKey: keyOf('signer', backend),
      message: bytesOf('m'),
      point: keyOf('p').publicKey,
      aux: bytesOf('x'),
    }
    const nonces = [
      base,
      { ...base, message: bytesOf('n') },
      { ...base, point: keyOf('q').publicKey },
      { ...base, point: negated(base.point) },
      { ...base, aux: bytesOf('y') },
    ].map((request) => Buffer.from(preSign(request, backend).subarray(1, 33)).toString('hex'))
    expect(new Set(nonces).size).toBe(nonces.length)
    refused('bad_key', () => preSign({ ...base, point: new Uint8Array(33) }, backend))
    refused('bad_parameter', () => preSign({ ...base, message: new Uint8Array(31) }, backend))
    refused('bad_parameter', () => preSign({ ...base, aux: new Uint8Array(31) }, backend))
  })

  describe('in a MuSig2 session', () => {
    const session = (signers: number, seed: number, point: Uint8Array) => {
      const message = bytesOf(`message ${seed}`)
      const keys = Array.from({ length: signers }, (_, i) => keyOf(`member ${seed} ${i}`, backend))
      const aggregate = aggregateKeys(
        keys.map((key) => key.publicKey),
        backend,
      ).taproot(seed % 2 === 0 ? undefined : bytesOf('root'))
      const nonces = keys.map((secretKey) => generateNonce({ secretKey, aggregate, message, entropy }))
      const aggregatedNonce = aggregateNonces(
        nonces.map((nonce) => nonce.public),
        [],
        backend,
      )
      const options = { aggregate, message, aggregatedNonce, point }
      return { keys, nonces, options, ours: openAdaptorSession(options) }
    }

    it('gives a pre-signature of the aggregate, whose signature gives the secret back', () => {
      fc.assert(
        fc.property(fc.integer({ min: 1, max: 4 }), fc.nat(), (signers, seed) => {
          const secret = keyOf(`secret ${seed}`, backend)
          const { keys, nonces, options, ours } = session(signers, seed, secret.publicKey)
          const partials = keys.map((key, i) => ours.sign(nonces[i]?.secret ?? expect.fail(), key))
          partials.forEach((signature, i) => {
            const publicKey = keys[i]?.publicKey ?? expect.fail()
            const publicNonce = nonces[i]?.public ?? expect.fail()
            expect(ours.verifyPartial({ signature, publicNonce, publicKey })).toBe(true)
            expect(ours.verifyPartial({ signature: flip(signature, 31), publicNonce, publicKey })).toBe(false)
          })
          const preSignature = ours.combine(partials)
          expect(ours.verify(preSignature)).toBe(true)
          const bare = Uint8Array.of(...preSignature.subarray(1))
          expect(schnorr.verify(bare, options.message, options.aggregate.xonly)).toBe(false)
          const signature = adapt(preSignature, secret, backend)
          expect(schnorr.verify(signature, options.message, options.aggregate.xonly)).toBe(true)
          const found = extractSecret(preSignature, signature, secret.publicKey, backend)
          expect(SecretKey.fromBytes(found ?? expect.fail(), backend).publicKey).toEqual(secret.publicKey)
        }),
        { numRuns: 30 },
      )
    })

    it('fails when one signer meant another point, another message, or swapped nonces', () => {
      const point = keyOf('secret', backend).publicKey
      for (const change of [
        { point: keyOf('another', backend).publicKey },
        { point: negated(point) },
        { aggregatedNonce: session(2, 8, point).options.aggregatedNonce },
      ]) {
        const { keys, nonces, options, ours } = session(2, 7, point)
        const astray = openAdaptorSession({ ...options, ...change })
        const [a, b] = keys.map((key, i) => (i === 0 ? ours : astray).sign(nonces[i]?.secret ?? expect.fail(), key))
        if (a === undefined || b === undefined) throw new Error('two signers')
        const publicKey = keys[1]?.publicKey ?? expect.fail()
        expect(ours.verifyPartial({ signature: b, publicNonce: nonces[1]?.public ?? expect.fail(), publicKey })).toBe(
          false,
        )
        expect(ours.verify(ours.combine([a, b]))).toBe(false)
      }
    })

    it('uses a nonce once, and refuses what is no point or no nonce', () => {
      const { keys, nonces, options, ours } = session(2, 9, keyOf('secret', backend).publicKey)
      const key = keys[0] ?? expect.fail()
      const nonce = nonces[0]?.secret ?? expect.fail()
      ours.sign(nonce, key)
      refused('nonce_consumed', () => ours.sign(nonce, key))
      refused('bad_key', () => openAdaptorSession({ ...options, point: new Uint8Array(33) }))
      refused('bad_nonce', () => openAdaptorSession({ ...options, aggregatedNonce: new Uint8Array(65) }))
    })
  })
})
