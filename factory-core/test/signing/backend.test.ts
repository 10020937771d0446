import * as tiny from 'tiny-secp256k1'
import fc from 'fast-check'
import { bytesToHex } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import {
  aggregateKeys,
  backendChoice,
  defaultBackend,
  nobleBackend,
  selectBackend,
  tinyBackend,
  type CurveBackend,
  type Point,
} from '../../src/signing/index.js'
import { N } from '../../src/signing/scalar.js'
import { backends, bytesOf, keyOf, refused } from './support.js'

const [wasm, noble] = [tinyBackend(tiny), nobleBackend()]

describe('which back end', () => {
  it('is WASM where it loads', () => {
    expect(backendChoice()).toMatchObject({ fallback: undefined })
    expect(defaultBackend().name).toBe('tiny-secp256k1')
  })

  it('is noble where WASM does not load, and says why', async () => {
    const choice = await selectBackend(() => Promise.reject(new Error('no WebAssembly here')))
    expect(choice.backend.name).toBe('@noble/curves')
    expect(choice.fallback).toBe('no WebAssembly here')
  })

  it.each<[string, Partial<typeof tiny>]>([
    ['adds', { pointAdd: (a) => a }],
    ['multiplies', { pointFromScalar: () => tiny.pointFromScalar(new Uint8Array(32).fill(1), false) }],
    ['verifies', { verifySchnorr: () => true }],
  ])('is noble where WASM %s wrongly', async (_, broken) => {
    const choice = await selectBackend(() => Promise.resolve({ ...tiny, ...broken }))
    expect(choice.backend.name).toBe('@noble/curves')
    expect(choice.fallback).toContain('wrongly')
  })

  it('takes no point of the other', () => {
    refused('internal', () => wasm.sum([wasm.generator, noble.generator]))
    refused('internal', () => noble.sum([wasm.generator, noble.generator]))
  })
})

const scalar = fc.oneof(fc.constantFrom(0n, 1n, 2n, N - 2n, N - 1n, N >> 1n), fc.bigInt({ min: 0n, max: N - 1n }))
/** Terms over small multiples of G, so that sums often cancel on the way. */
const terms = fc.array(fc.tuple(scalar, fc.integer({ min: -3, max: 3 })), { maxLength: 6 })

const point = (backend: CurveBackend, factor: number): Point => {
  const size = backend.combine([[BigInt(Math.abs(factor)), backend.generator]])
  return factor < 0 ? backend.negate(size) : size
}

describe('both back ends', () => {
  it('agree on every sum, and with the integers', () => {
    fc.assert(
      fc.property(terms, (list) => {
        const [a, b] = [wasm, noble].map((backend) =>
          backend.combine(list.map(([k, factor]) => [k, point(backend, factor)] as const)),
        )
        const total = list.reduce((sum, [k, factor]) => (sum + k * BigInt(factor)) % N, 0n)
        const expected = wasm.combine([[(total + N) % N, wasm.generator]])
        expect(a && bytesToHex(wasm.compress(a))).toBe(bytesToHex(wasm.compress(expected)))
        expect(b && bytesToHex(noble.compress(b))).toBe(bytesToHex(wasm.compress(expected)))
      }),
      { numRuns: 150 },
    )
  })

  it.each(backends)('$name knows infinity', (backend) => {
    const { generator: g, infinity } = backend
    expect(infinity.isInfinity).toBe(true)
    expect(backend.sum([]).isInfinity).toBe(true)
    expect(backend.sum([g, backend.negate(g)]).isInfinity).toBe(true)
    expect(backend.equal(backend.sum([g, backend.negate(g), g]), g)).toBe(true)
    expect(backend.combine([[0n, g]]).isInfinity).toBe(true)
    expect(backend.negate(infinity).isInfinity).toBe(true)
    expect(backend.equal(infinity, backend.sum([]))).toBe(true)
    expect(backend.equal(infinity, g)).toBe(false)
    expect(backend.equal(g, infinity)).toBe(false)
    expect(backend.compress(infinity)).toEqual(new Uint8Array(33))
    expect(backend.parse(new Uint8Array(33))).toBeUndefined()
  })

  it.each(backends)('$name parses compressed points only', (backend) => {
    const { publicKey } = keyOf('a')
    const parsed = backend.parse(publicKey)
    expect(parsed && backend.compress(parsed)).toEqual(publicKey)
    expect(parsed && backend.hasEvenY(parsed)).toBe(publicKey[0] === 2)
    expect(backend.parse(tiny.pointCompress(publicKey, false))).toBeUndefined()
    expect(backend.parse(publicKey.subarray(1))).toBeUndefined()
    for (const prefix of [0, 1, 4, 5, 6, 7]) {
      expect(backend.parse(Uint8Array.of(prefix, ...publicKey.subarray(1)))).toBeUndefined()
    }
  })

  // Errors thrown inside tiny-secp256k1's WASM leak its stack; a peer could send as many bad points as it likes.
  it('WASM is not worn out by invalid input', () => {
    const offCurve = Uint8Array.of(2, ...new Uint8Array(31), 5)
    const item = { signature: bytesOf('s'), message: bytesOf('m'), publicKey: offCurve.subarray(1) }
    const signature = new Uint8Array(64).fill(1)
    for (let i = 0; i < 5000; i++) {
      if (wasm.parse(offCurve) !== undefined) throw new Error('parsed a point off the curve')
      if (wasm.verifySchnorr({ ...item, signature })) throw new Error('verified a key off the curve')
    }
    expect(wasm.compress(wasm.generator)).toEqual(wasm.compress(wasm.multiplySecret(1n)))
  })

  it('aggregate alike', () => {
    const keys = ['a', 'b', 'c', 'a'].map((name) => keyOf(name).publicKey)
    expect(aggregateKeys(keys, wasm).xonly).toEqual(aggregateKeys(keys, noble).xonly)
  })
})
