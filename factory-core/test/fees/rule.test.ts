import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  allowance,
  childFee,
  CHILD_VSIZE,
  decideBump,
  PATIENCE,
  refusedForFee,
  targetFeerate,
  type BumpSituation,
} from '../../src/fees/index.js'
import { blockHeight, blocks, sat } from '../../src/units/index.js'

const feerate = fc.integer({ min: 100, max: 500_000 })
const rates = fc.record({
  floor: feerate,
  estimates: fc.array(fc.record({ blocks: fc.integer({ min: 1, max: 1008 }), feerate }), { maxLength: 5 }),
})
const SINCE = 1000

/** A tree transaction at 1 to 20 sat/vB, some blocks after it was first tried. */
const situation = fc
  .record({
    vsize: fc.integer({ min: 110, max: 900 }),
    own: fc.integer({ min: 1000, max: 20_000 }),
    margin: fc.integer({ min: 1, max: 144 }),
    waited: fc.integer({ min: 0, max: 300 }),
    refused: fc.boolean(),
    child: fc.option(fc.record({ fee: fc.integer({ min: 1, max: 100_000 }), ago: fc.integer({ min: 0, max: 300 }) })),
    rates,
    limit: fc.integer({ min: 0, max: 200_000 }),
  })
  .map(({ vsize, own, margin, waited, refused, child, limit, ...rest }): BumpSituation => ({
    ...rest,
    height: blockHeight(SINCE + waited),
    since: blockHeight(SINCE),
    margin: blocks(margin),
    parentFee: sat(Math.ceil((vsize * own) / 1000)),
    parentVsize: vsize,
    refused,
    child:
      child === null
        ? undefined
        : { fee: sat(child.fee), height: blockHeight(SINCE + Math.max(0, waited - child.ago)) },
    limit: sat(limit),
  }))

describe('the rule for children that pay', () => {
  it('never pays more than the limit, and says what it wanted', () => {
    fc.assert(
      fc.property(situation, (s) => {
        const d = decideBump(s)
        if (d.do === 'wait') return
        if (d.do === 'stuck') expect(d.wanted).toBeGreaterThan(s.limit)
        else {
          expect(d.fee).toBeLessThanOrEqual(s.limit)
          expect(d.fee).toBeLessThanOrEqual(d.wanted)
          expect(d.capped).toBe(d.fee < d.wanted)
        }
      }),
    )
  })

  it("makes nothing that the mempool's minimum refuses, child and package alike", () => {
    fc.assert(
      fc.property(situation, (s) => {
        const d = decideBump(s)
        if (d.do !== 'bump') return
        const both = Number(d.fee + s.parentFee) * 1000
        expect(both).toBeGreaterThanOrEqual(s.rates.floor * (s.parentVsize + CHILD_VSIZE))
        expect(Number(d.fee) * 1000).toBeGreaterThanOrEqual(s.rates.floor * CHILD_VSIZE)
      }),
    )
  })

  it('replaces a child only by one that pays for its own relay on top', () => {
    fc.assert(
      fc.property(situation, (s) => {
        const d = decideBump(s)
        if (d.do !== 'bump' || s.child === undefined) return
        if (s.refused) expect(d.fee >= s.child.fee || d.capped).toBe(true)
        else expect(d.fee).toBeGreaterThanOrEqual(s.child.fee + BigInt(CHILD_VSIZE))
      }),
    )
  })

  it('never waits when the mempool refuses the parent, nor once a child has had its time', () => {
    fc.assert(
      fc.property(situation, (s) => {
        const stale = s.child !== undefined && s.height - s.child.height >= PATIENCE
        const alone = s.child === undefined && s.height - s.since >= PATIENCE
        if (s.refused || stale || alone) expect(decideBump(s).do).not.toBe('wait')
      }),
    )
  })

  it('pays nothing for a transaction that has just gone out', () => {
    fc.assert(
      fc.property(situation, (s) => {
        expect(decideBump({ ...s, refused: false, child: undefined, height: s.since }).do).toBe('wait')
      }),
    )
  })

  it('pays no less when fees rise or the deadline comes nearer', () => {
    fc.assert(
      fc.property(situation, fc.integer({ min: 0, max: 100_000 }), (s, more) => {
        const open = { ...s, limit: sat(1_000_000_000), refused: true }
        const paid = (x: BumpSituation): bigint => {
          const d = decideBump(x)
          return d.do === 'bump' ? d.fee : -1n
        }
        expect(paid({ ...open, rates: { ...open.rates, floor: open.rates.floor + more } })).toBeGreaterThanOrEqual(
          paid(open),
        )
        // Estimates as they should be: sooner is dearer.
        const sane = [2, 6, 12, 100].map((b) => ({ blocks: b, feerate: Math.ceil(40_000 / b) }))
        const calm = { ...open, rates: { floor: 1000, estimates: sane } }
        const later = { ...calm, since: blockHeight(Math.max(0, calm.since - 1)) }
        expect(paid(later)).toBeGreaterThanOrEqual(paid(calm))
      }),
    )
  })

  it.each([
    [144, 1000],
    [6, 5000],
    [5, 20_000],
    [2, 20_000],
    [1, 20_000],
  ])('to confirm within %i blocks it takes %i sat/kvB', (within, expected) => {
    const estimates = [
      { blocks: 2, feerate: 20_000 },
      { blocks: 6, feerate: 5000 },
      { blocks: 100, feerate: 300 },
    ]
    expect(targetFeerate({ floor: 1000, estimates }, within)).toBe(expected)
  })

  it('rounds a fee up, never down', () => {
    expect(childFee(1000, sat(124), 124)).toBe(BigInt(CHILD_VSIZE))
    expect(childFee(1001, sat(124), 124)).toBe(BigInt(CHILD_VSIZE) + 1n)
    expect(childFee(1000, sat(124 + CHILD_VSIZE), 124)).toBe(0n)
  })

  it('allows what is left of the budget, and never less than nothing', () => {
    const limits = { perTransaction: sat(100), perFactory: sat(250) }
    expect(allowance(limits, [])).toBe(100n)
    expect(allowance(limits, [sat(100), sat(90)])).toBe(60n)
    expect(allowance(limits, [sat(200), sat(200)])).toBe(0n)
  })

  it.each([
    ['error code: -26 error message: min relay fee not met, 124 < 620', true],
    ['mempool min fee not met, 124 < 400', true],
    ['bad-txns-inputs-missingorspent', false],
    ['insufficient fee, rejecting replacement', false],
    ['non-BIP68-final', false],
    [undefined, false],
  ])('%s: refused for its fee? %s', (error, expected) => {
    expect(refusedForFee(error)).toBe(expected)
  })
})
