/**
 * Decoders against arbitrary bytes and against mutated valid messages: either a `FactoryError` with a `wire_` code, or a value
 * that encodes to the same bytes again once the odd records that nobody knows are left out. Nothing else, ever.
 */
import fc, { type Arbitrary } from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  bytesToHex,
  decodeChannelInFactory,
  decodeFactoryMessage,
  decodePayload,
  describe as describeHex,
  encodeChannelInFactory,
  encodeFactoryMessage,
  encodePayload,
  encodeTlvStream,
  FactoryError,
  findChannelInFactory,
  hexToBytes,
  PayloadKind,
  Reassembler,
  tlvRecords,
} from '../src/index.js'
import { channelInFactoryArb, factoryMessageArb, payloadArb } from './arbitraries.js'
import { load, type VectorFile } from './vectors.js'

const RUNS = { numRuns: 2000 * Number(process.env['LN_FACTORY_FUZZ'] ?? '1') }
const vectorBytes = (file: string): Uint8Array[] => {
  const { valid, invalid } = load(file) as VectorFile
  return [...valid, ...invalid].map(({ hex }) => hexToBytes(hex))
}

/** One change: a byte set, a stretch cut out or repeated, a stretch of anything put in. */
const mutate = (bytes: Uint8Array): Arbitrary<Uint8Array> => {
  const at = fc.nat({ max: Math.max(0, bytes.length - 1) })
  const few = fc.integer({ min: 1, max: 8 })
  return fc.oneof(
    fc.tuple(at, fc.constantFrom(0, 1, 2, 3, 4, 0x7f, 0x80, 0xfc, 0xfd, 0xfe, 0xff)).map(([i, b]) => bytes.with(i, b)),
    fc.tuple(at, fc.nat({ max: 7 })).map(([i, bit]) => bytes.with(i, (bytes[i] ?? 0) ^ (1 << bit))),
    fc.tuple(at, few).map(([i, n]) => Uint8Array.from([...bytes.subarray(0, i), ...bytes.subarray(i + n)])),
    fc.tuple(at, few).map(([i, n]) => Uint8Array.from([...bytes.subarray(0, i + n), ...bytes.subarray(i)])),
    fc
      .tuple(at, fc.uint8Array({ maxLength: 8 }))
      .map(([i, x]) => Uint8Array.from([...bytes.subarray(0, i), ...x, ...bytes.subarray(i)])),
    at.map((i) => bytes.slice(0, i)),
  )
}

const input = (valid: readonly Uint8Array[], arbitrary: Arbitrary<Uint8Array>): Arbitrary<Uint8Array> =>
  fc.oneof(
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
    { weight: 2, arbitrary },
    {
      weight: 5,
      arbitrary: fc
        .oneof(fc.constantFrom(...valid.filter(({ length }) => length > 0)), arbitrary)
        .chain((bytes) => mutate(bytes))
        .chain((bytes) => fc.oneof(fc.constant(bytes), bytes.length > 0 ? mutate(bytes) : fc.constant(bytes))),
    },
  )

/** Every kind that has a number, and its neighbours, with anything behind it. */
const anyKind = fc
  .tuple(
    fc.constantFrom(...Object.values(PayloadKind)),
    fc.integer({ min: -1, max: 1 }),
    fc.uint8Array({ maxLength: 300 }),
  )
  .map(([kind, off, rest]) => Uint8Array.from([((kind + off) >> 8) & 0xff, (kind + off) & 0xff, ...rest]))

/** The value, or undefined when it was refused as it must be. */
function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode()
  } catch (error) {
    expect(error).toBeInstanceOf(FactoryError)
    expect((error as FactoryError).code).toMatch(/^wire_/)
    return undefined
  }
}

const evenOnly = (stream: Uint8Array): Uint8Array =>
  encodeTlvStream([...tlvRecords(stream)].filter(({ type }) => type % 2n === 0n))
const concat = (a: Uint8Array, b: Uint8Array): Uint8Array => Uint8Array.from([...a, ...b])

/** Bytes held by a decoded value: what a hostile sender can make us keep. */
const held = (value: unknown): number => {
  if (value instanceof Uint8Array) return value.length
  if (typeof value === 'object' && value !== null) return Object.values(value).reduce<number>((n, v) => n + held(v), 0)
  return 0
}

describe('fuzz', () => {
  it('bLIP-56 bodies', () => {
    let accepted = 0
    fc.assert(
      fc.property(input(vectorBytes('blip56'), factoryMessageArb.map(encodeFactoryMessage)), (bytes) => {
        const m = attempt(() => decodeFactoryMessage(bytes))
        if (m === undefined) return
        expect(held(m)).toBeLessThanOrEqual(bytes.length)
        if (m.kind === 'unknown_odd') return
        accepted++
        expect(encodeFactoryMessage(m)).toEqual(concat(bytes.slice(0, 2), evenOnly(bytes.slice(2))))
      }),
      RUNS,
    )
    expect(accepted).toBeGreaterThan(RUNS.numRuns / 10)
  })

  it('payloads', () => {
    let accepted = 0
    fc.assert(
      fc.property(
        fc.oneof({ weight: 9, arbitrary: input(vectorBytes('payload'), payloadArb.map(encodePayload)) }, anyKind),
        (bytes) => {
          const p = attempt(() => decodePayload(bytes))
          if (p === undefined || p.kind === 'unknown_odd') return
          accepted++
          expect(held(p)).toBeLessThanOrEqual(bytes.length)
          const again = encodePayload(p)
          expect(bytes.slice(0, again.length)).toEqual(again)
          // What encoding left out was a stream of odd records.
          expect(evenOnly(bytes.slice(again.length))).toEqual(new Uint8Array())
        },
      ),
      RUNS,
    )
    expect(accepted).toBeGreaterThan(RUNS.numRuns / 10)
  })

  it('open_channel streams', () => {
    const valid = channelInFactoryArb.map((c) => encodeTlvStream([encodeChannelInFactory(c)]))
    fc.assert(
      fc.property(input(vectorBytes('open-channel'), valid), (bytes) => {
        const found = attempt(() => findChannelInFactory(bytes))
        if (found === undefined) return
        const record = [...tlvRecords(bytes)].find(({ type }) => type === 65600n)
        expect(encodeChannelInFactory(found)).toEqual(record)
        expect(decodeChannelInFactory(encodeChannelInFactory(found).value)).toEqual(found)
      }),
      RUNS,
    )
  })

  it('fragments', () => {
    const header = fc
      .tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 3 }), fc.uint8Array({ maxLength: 12 }))
      .map(([index, total, content]) => Uint8Array.from([0, 0, 0, index, 0, total, ...content]))
    fc.assert(
      fc.property(fc.array(fc.oneof(header, fc.uint8Array({ maxLength: 20 })), { maxLength: 12 }), (parts) => {
        const reassembler = new Reassembler(14)
        const total = parts.reduce((n, { length }) => n + length, 0)
        for (const part of parts) {
          const whole = attempt(() => reassembler.accept(part))
          if (whole !== undefined) expect(whole.length).toBeLessThanOrEqual(total)
        }
      }),
      RUNS,
    )
  })

  it('describe', () => {
    const bytes = fc.oneof(
      input(
        vectorBytes('blip56'),
        factoryMessageArb.map((m) => concat(Uint8Array.of(0x80, 0x20), encodeFactoryMessage(m))),
      ),
      input(vectorBytes('payload'), payloadArb.map(encodePayload)),
    )
    fc.assert(
      fc.property(bytes, (b) => {
        attempt(() => describeHex(bytesToHex(b)))
      }),
      RUNS,
    )
    fc.assert(
      fc.property(fc.string(), (text) => {
        attempt(() => describeHex(text))
      }),
    )
  })
})

describe('round trips', () => {
  it('every bLIP-56 message', () => {
    fc.assert(
      fc.property(factoryMessageArb, (m) => {
        expect(decodeFactoryMessage(encodeFactoryMessage(m))).toEqual(m)
      }),
    )
  })

  it('every payload', () => {
    fc.assert(
      fc.property(payloadArb, (p) => {
        expect(decodePayload(encodePayload(p))).toEqual(p)
      }),
      { numRuns: 500 },
    )
  })
})
