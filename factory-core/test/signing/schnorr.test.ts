import { describe, expect, it } from 'vitest'
import {
  SecretKey,
  signSchnorr,
  verifySchnorr,
  verifySchnorrBatch,
  type CurveBackend,
  type SchnorrItem,
} from '../../src/signing/index.js'
import { N } from '../../src/signing/scalar.js'
import { backends, bytesOf, hex, keyOf, pick, refused } from './support.js'
import vectors from './vectors/bip340.json' with { type: 'json' }

describe.each(backends)('BIP-340 on $name', (backend: CurveBackend) => {
  const item = (vector: (typeof vectors)[number]): SchnorrItem => ({
    signature: hex(vector.signature),
    message: hex(vector.message),
    publicKey: hex(vector.publicKey),
  })
  const sighashes = vectors.filter(({ message }) => message.length === 64)

  it.each(sighashes)('vector $index verifies as it should: $valid $comment', (vector) => {
    expect(verifySchnorr(item(vector), backend)).toBe(vector.valid)
    expect(verifySchnorrBatch([item(vector)], backend)).toBe(vector.valid)
  })

  it.each(sighashes.filter(({ secretKey }) => secretKey !== null))('vector $index signs', (vector) => {
    const secretKey = SecretKey.fromBytes(hex(vector.secretKey ?? ''), backend)
    const signature = signSchnorr({ secretKey, message: hex(vector.message), aux: hex(vector.aux ?? '') }, backend)
    expect(signature).toEqual(hex(vector.signature))
  })

  it.each(vectors.filter(({ message }) => message.length !== 64))(
    'vector $index, whose message is no sighash, is refused',
    (vector) => {
      expect(verifySchnorr(item(vector), backend)).toBe(false)
      expect(verifySchnorrBatch([item(vector)], backend)).toBe(false)
      const secretKey = SecretKey.fromBytes(hex(vector.secretKey ?? ''), backend)
      refused('bad_parameter', () =>
        signSchnorr({ secretKey, message: hex(vector.message), aux: hex(vector.aux ?? '') }, backend),
      )
    },
  )

  const batch = Array.from({ length: 6 }, (_, i): SchnorrItem => {
    const secretKey = keyOf(`batch ${i}`, backend)
    const message = bytesOf(`message ${i}`)
    const signature = signSchnorr({ secretKey, message, aux: bytesOf('aux') }, backend)
    return { signature, message, publicKey: secretKey.publicKey.subarray(1) }
  })

  it('verifies a batch, and an empty one', () => {
    expect(verifySchnorrBatch(batch, backend)).toBe(true)
    expect(verifySchnorrBatch([], backend)).toBe(true)
  })

  it('refuses a batch with one wrong bit anywhere', () => {
    for (const [index, good] of batch.entries()) {
      for (const field of ['signature', 'message', 'publicKey'] as const) {
        const bytes = Uint8Array.from(good[field])
        bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
        expect(verifySchnorrBatch(batch.with(index, { ...good, [field]: bytes }), backend)).toBe(false)
      }
    }
  })

  it('refuses errors that cancel each other in a plain sum', () => {
    const shift = (original: SchnorrItem, by: bigint): SchnorrItem => {
      const s = (BigInt(`0x${Buffer.from(original.signature.subarray(32)).toString('hex')}`) + by + N) % N
      const signature = Uint8Array.from(original.signature)
      signature.set(Buffer.from(s.toString(16).padStart(64, '0'), 'hex'), 32)
      return { ...original, signature }
    }
    const crooked = [shift(pick(batch, 0), 5n), shift(pick(batch, 1), -5n)]
    expect(verifySchnorrBatch(crooked, backend)).toBe(false)
  })

  it('answers false, and no error, to malformed input', () => {
    const good = pick(batch, 0)
    for (const field of ['signature', 'message', 'publicKey'] as const) {
      for (const bytes of [new Uint8Array(0), good[field].subarray(1), Uint8Array.of(...good[field], 0)]) {
        expect(verifySchnorr({ ...good, [field]: bytes }, backend)).toBe(false)
        expect(verifySchnorrBatch([{ ...good, [field]: bytes }], backend)).toBe(false)
      }
    }
  })
})
