import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FactoryError } from '@ln-factory/tlv'
import { blockHeight, instanceId, txid } from '../../src/units/index.js'
import {
  decodeBundle,
  encodeBundle,
  plainBundle,
  towerLimits,
  type Bundle,
  type Trigger,
} from '../../src/watchtower/index.js'

/** Version 3, one input, one output of 240 sat to an anchor. */
const RAW = Uint8Array.from(
  Buffer.from(
    `03000000000101${'22'.repeat(32)}0100000000fdffffff01f0000000000000000451024e730140${'33'.repeat(64)}00000000`,
    'hex',
  ),
)

const hex32 = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((b) => Buffer.from(b).toString('hex'))
const height = fc.integer({ min: 0, max: 499_999_999 }).map(blockHeight)
const trigger: fc.Arbitrary<Trigger> = fc.oneof(
  height.map((h): Trigger => ({ when: 'height', height: h })),
  hex32.map((id): Trigger => ({ when: 'confirmed', txid: txid(id) })),
  fc
    .tuple(hex32, fc.nat(0xffffffff))
    .map(([id, vout]): Trigger => ({ when: 'spent', outpoint: { txid: txid(id), vout } })),
  fc
    .tuple(hex32, fc.nat(9), hex32)
    .map(([id, vout, by]): Trigger => ({ when: 'spent', outpoint: { txid: txid(id), vout }, by: txid(by) })),
)
const bundle: fc.Arbitrary<Bundle> = fc.record({
  instance: hex32.map(instanceId),
  sequence: fc.nat(),
  since: height,
  until: height,
  responses: fc.array(
    fc.record({
      id: fc.stringMatching(/^[\x21-\x7e]{1,100}$/),
      trigger,
      transactions: fc.array(fc.constant(RAW), { minLength: 1, maxLength: 3 }),
    }),
    { maxLength: 4 },
  ),
})

const refused = (text: string): void => {
  try {
    decodeBundle(text)
  } catch (error) {
    expect(error).toBeInstanceOf(FactoryError)
    return
  }
  throw new Error('decoded')
}

describe('a bundle as text', () => {
  it('comes back as it was', () => {
    fc.assert(
      fc.property(bundle, (b) => {
        const back = decodeBundle(encodeBundle(b))
        const plain = plainBundle(back)
        expect(plain).toEqual(b)
      }),
    )
  })

  it('invariant 11: is refused with any character changed, added or left out, or is another whole bundle', () => {
    fc.assert(
      fc.property(bundle, fc.nat(), fc.constantFrom('', ' ', '0', '"', '}', ',', 'f', '\u0000'), (b, at, put) => {
        const text = encodeBundle(b)
        const i = at % text.length
        const bent = text.slice(0, i) + put + text.slice(i + 1)
        try {
          const back = decodeBundle(bent)
          const plain = plainBundle(back)
          expect(encodeBundle(plain)).toBe(bent)
        } catch (error) {
          expect(error).toBeInstanceOf(FactoryError)
        }
      }),
    )
  })

  it('invariant 11: anything else is refused by a FactoryError', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.json().map((j) => `{"version":1,"responses":${j}}`),
        ),
        refused,
      ),
    )
  })

  it.each<[string, (text: string) => string]>([
    ['another version', (t) => t.replace('"version":1', '"version":2')],
    ['a member more', (t) => t.replace('"version":1', '"version":1,"x":0')],
    ['a member twice', (t) => t.replace('"version":1', '"version":1,"version":1')],
    ['no transactions', (t) => t.replace(/"transactions":\[.*?\]/, '"transactions":[]')],
    ['upper-case hex', (t) => t.replace('ffffff01f0', 'FFFFFF01f0')],
    ['a negative sequence', (t) => t.replace('"sequence":5', '"sequence":-5')],
    ['a trigger of two kinds', (t) => t.replace('{"height":9}', '{"height":9,"confirmed":"' + '22'.repeat(32) + '"}')],
    ['bytes after a transaction', (t) => t.replace('00000000"', '0000000000"')],
  ])('%s is refused', (_name, bend) => {
    const text = encodeBundle({
      instance: instanceId('11'.repeat(32)),
      sequence: 5,
      since: blockHeight(1),
      until: blockHeight(2),
      responses: [{ id: 'leaf:0', trigger: { when: 'height', height: blockHeight(9) }, transactions: [RAW] }],
    })
    decodeBundle(text)
    expect(bend(text)).not.toBe(text)
    refused(bend(text))
  })

  it('is bounded in every direction', () => {
    const one = { id: 'x', trigger: { when: 'height', height: blockHeight(0) } as const, transactions: [RAW] }
    const of = (change: Partial<Bundle>): string =>
      encodeBundle({
        instance: instanceId('11'.repeat(32)),
        sequence: 0,
        since: blockHeight(0),
        until: blockHeight(0),
        responses: [one],
        ...change,
      })
    decodeBundle(of({}))
    refused(of({ responses: Array.from({ length: towerLimits.responses + 1 }, () => one) }))
    refused(
      of({ responses: [{ ...one, transactions: Array.from({ length: towerLimits.transactions + 1 }, () => RAW) }] }),
    )
    refused(of({ responses: [{ ...one, id: 'x'.repeat(101) }] }))
    refused(' '.repeat(towerLimits.bundleBytes + 1))
  })
})
