import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeField, point } from '../src/field.js'
import {
  bytesToHex,
  decodeBigSize,
  decodeTlvStream,
  encodeBigSize,
  encodeTlvStream,
  FactoryError,
  hexToBytes,
  Reader,
  readable,
  tlvRecords,
  Writer,
} from '../src/index.js'
import { codeOf, load } from './vectors.js'

interface IntegerVector {
  name: string
  hex: string
  decoded?: string
  error?: string
}
interface TlvVector {
  namespace: 'any' | 'n1' | 'n2'
  name: string
  hex: string
  decoded?: Record<string, Record<string, string>>
  error?: string
}

const bigSizes = load('bolt1-bigsize') as { decoding: IntegerVector[]; encoding: IntegerVector[] }
const tlvs = load('bolt1-tlv') as { vectors: TlvVector[] }
const integers = load('bolt1-s64') as { vectors: IntegerVector[] }

describe('BOLT 1 appendix A: BigSize', () => {
  it.each(bigSizes.decoding)('decodes: $name', ({ hex, decoded, error }) => {
    if (error === undefined) expect(decodeBigSize(hexToBytes(hex)).toString()).toBe(decoded)
    else expect(codeOf(() => decodeBigSize(hexToBytes(hex)))).toBe(error)
  })

  it.each(bigSizes.encoding)('encodes: $name', ({ hex, decoded }) => {
    expect(bytesToHex(encodeBigSize(BigInt(decoded ?? '')))).toBe(hex)
  })

  it('has one encoding for each value', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.integer({ min: 0, max: 63 }), (value, shift) => {
        const small = value >> BigInt(shift)
        expect(decodeBigSize(encodeBigSize(small))).toBe(small)
      }),
    )
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 9 }), (bytes) => {
        try {
          expect(encodeBigSize(decodeBigSize(bytes))).toEqual(bytes)
        } catch (error) {
          if (!(error instanceof FactoryError)) throw error
        }
      }),
    )
  })

  it.each([-1n, 2n ** 64n])('refuses to encode %s', (value) => {
    expect(codeOf(() => encodeBigSize(value))).toBe('wire_value')
  })
})

/** The namespaces of appendix B: what each type's value must be made of. */
const namespaces: Record<'n1' | 'n2', Map<bigint, [name: string, read: (r: Reader) => object]>> = {
  n1: new Map([
    [1n, ['tlv1', (r) => ({ amount_msat: r.truncated(8) })]],
    [2n, ['tlv2', (r) => ({ scid: [r.u16() * 256 + r.u8(), r.u16() * 256 + r.u8(), r.u16()].join('x') })]],
    [
      3n,
      ['tlv3', (r) => ({ node_id: decodeField(point, r.bytes(33)), amount_msat_1: r.u64(), amount_msat_2: r.u64() })],
    ],
    [254n, ['tlv4', (r) => ({ cltv_delta: r.u16().toString() })]],
  ]),
  n2: new Map([
    [0n, ['tlv1', (r) => ({ amount_msat: r.truncated(8) })]],
    [11n, ['tlv2', (r) => ({ cltv_expiry: r.truncated(4) })]],
  ]),
}

function decodeIn(namespace: 'n1' | 'n2', stream: Uint8Array): unknown {
  const known = namespaces[namespace]
  return Object.fromEntries(
    [...decodeTlvStream(stream, [...known.keys()])].map(([type, value]) => {
      const [name, read] = known.get(type) ?? expect.fail('a type that was not asked for')
      const reader = new Reader(value)
      const fields = read(reader)
      reader.end()
      return [name, readable(fields)]
    }),
  )
}

describe('BOLT 1 appendix B: TLV streams', () => {
  const cases = tlvs.vectors.flatMap((v) =>
    v.namespace === 'any'
      ? (['n1', 'n2'] as const).map((namespace) => ({ ...v, namespace }))
      : [{ ...v, namespace: v.namespace }],
  )

  it.each(cases)('$namespace 0x$hex: $name', ({ namespace, hex, decoded, error }) => {
    const run = (): unknown => decodeIn(namespace, hexToBytes(hex))
    if (error === undefined) expect(run()).toEqual(decoded)
    else expect(codeOf(run)).toBe(error)
  })

  it('refuses every invalid stream also behind a valid one, and takes a higher valid one', () => {
    const valid = '0100' // n1's tlv1
    for (const { namespace, hex, error } of cases) {
      if (namespace !== 'n1' || hex.startsWith('01') || hex.startsWith('00')) continue
      const run = (): unknown => decodeIn('n1', hexToBytes(valid + hex))
      if (error === undefined) expect(run(), hex).toMatchObject({ tlv1: { amount_msat: '0' } })
      else expect(codeOf(run), hex).toBe(error)
    }
  })

  it('writes what it reads, and only in ascending order', () => {
    const records = fc.uniqueArray(
      fc.record({ type: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), value: fc.uint8Array({ maxLength: 300 }) }),
      { selector: (record) => record.type },
    )
    fc.assert(
      fc.property(records, (unordered) => {
        const ordered = unordered.toSorted((a, b) => (a.type < b.type ? -1 : 1))
        const stream = encodeTlvStream(ordered)
        expect([...tlvRecords(stream)]).toEqual(ordered)
        expect(encodeTlvStream([...tlvRecords(stream)])).toEqual(stream)
        if (ordered.length > 1) expect(codeOf(() => encodeTlvStream(ordered.toReversed()))).toBe('wire_order')
      }),
    )
  })

  it('copies values, so that a reused network buffer cannot change them', () => {
    const buffer = Buffer.from('0101ff', 'hex')
    const [record] = [...tlvRecords(buffer)]
    buffer.fill(0)
    expect(record?.value).toEqual(Uint8Array.of(0xff))
  })
})

describe('BOLT 1 appendix D: s64', () => {
  it.each(integers.vectors)('$name', ({ hex, decoded }) => {
    expect(new Reader(hexToBytes(hex)).s64().toString()).toBe(decoded)
    expect(bytesToHex(new Writer().s64(BigInt(decoded ?? '')).finish())).toBe(hex)
  })
})

describe('integers', () => {
  it.each([
    ['u8', (w: Writer) => w.u8(256)],
    ['u8', (w: Writer) => w.u8(-1)],
    ['u8', (w: Writer) => w.u8(0.5)],
    ['u8', (w: Writer) => w.u8(Number.NaN)],
    ['u16', (w: Writer) => w.u16(65536)],
    ['u32', (w: Writer) => w.u32(2 ** 32)],
    ['u64', (w: Writer) => w.u64(2n ** 64n)],
    ['u64', (w: Writer) => w.u64(-1n)],
    ['s64', (w: Writer) => w.s64(2n ** 63n)],
    ['s64', (w: Writer) => w.s64(-(2n ** 63n) - 1n)],
    ['tu16', (w: Writer) => w.truncated(65536n, 2)],
  ])('%s refuses what it cannot hold', (_, write) => {
    expect(codeOf(() => write(new Writer()))).toBe('wire_value')
  })

  it('truncated integers come back, without leading zeros', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.integer({ min: 0, max: 64 }), (value, shift) => {
        const bytes = new Writer().truncated(value >> BigInt(shift), 8).finish()
        expect(bytes[0]).not.toBe(0)
        expect(new Reader(bytes).truncated(8)).toBe(value >> BigInt(shift))
      }),
    )
  })
})
