import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeState, encodeState } from '../../src/store/index.js'
import { codeOf } from './conformance.js'

const key = fc.oneof(
  fc.string(),
  fc.constantFrom('$bigint', '$bytes', '$undefined', '$', '$$', '$$bigint', '__proto__', 'constructor', '1', '\ud800'),
)
const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('$bigint', '{"$bytes":"00"}', '12n', '\ud800'))
const { state } = fc.letrec((tie) => ({
  state: fc.oneof(
    { maxDepth: 5 },
    text,
    fc.boolean(),
    fc.constantFrom(null, undefined),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0),
    fc.bigInt(),
    fc.uint8Array(),
    fc.array(tie('state')),
    fc.array(fc.tuple(key, tie('state'))).map((entries) => Object.fromEntries(entries) as unknown),
  ),
}))

describe('state codec', () => {
  it('gives back every state as it was', () => {
    fc.assert(
      fc.property(state, (value) => {
        // Not toStrictEqual: it takes a key called `constructor` for the object's class.
        expect(isDeepStrictEqual(decodeState(encodeState(value)), value)).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })

  it('does not take a look-alike of a tag for the value', () => {
    for (const value of [{ $bigint: '1' }, { $bytes: '00' }, { $undefined: true }, { $$bigint: '1' }]) {
      expect(decodeState(encodeState(value))).toStrictEqual(value)
    }
    const polluted = decodeState('{"__proto__":{"admin":true}}') as { admin?: boolean }
    expect(polluted.admin).toBeUndefined()
  })

  it('invariant 11: refuses a text that it would not have written', () => {
    const bad = [
      '',
      '{',
      ' 1',
      '1e3',
      '-0',
      '1e999',
      '{"a":1,"a":1}',
      '{"$bigint":"01"}',
      '{"$bigint":"0x1"}',
      '{"$bigint":1}',
      '{"$bigint":"1","a":1}',
      '{"$bytes":"0"}',
      '{"$bytes":"AB"}',
      '{"$undefined":false}',
      '{"$other":1}',
      '{"$":1}',
      '['.repeat(100) + ']'.repeat(100),
    ]
    for (const t of bad)
      expect(
        codeOf(() => decodeState(t)),
        t.slice(0, 30),
      ).toBe('store_corrupt')
  })

  it('refuses what is not plain data', () => {
    class Secret {
      readonly k = 1n
    }
    const cycle: unknown[] = []
    cycle.push(cycle)
    const bad = [NaN, Infinity, -0, () => 1, Symbol('s'), new Map(), new Set(), new Date(), new Secret(), cycle]
    for (const value of bad) expect(codeOf(() => encodeState({ value }))).toBe('internal')
  })
})
