import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FactoryError } from '@ln-factory/tlv'
import { checkParams, defaultParams, earlyWarning, exitSteps, MAX_CLIENTS, planTree } from '../../src/tree/index.js'
import type { TreeParams } from '../../src/tree/index.js'
import { blocks, participantIndex, sat } from '../../src/units/index.js'
import { anyParams, evenly, treeOf } from './fixtures.js'

const outcome = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof FactoryError) return `${error.code}: ${error.message}`
    throw error
  }
  return 'accepted'
}

test('the defaults are in bounds, and W is payable: 480 blocks at most up to the largest factory', () => {
  expect(() => {
    checkParams(defaultParams)
  }).not.toThrow()
  const w = [1, 4, 5, 8, 16, 17, 64, 127, 128, 256, 257, 512, 1000].map((n) => [n, earlyWarning(defaultParams, n)])
  expect(Object.fromEntries(w)).toEqual({
    ...{ 1: 456, 4: 456, 5: 462, 8: 462, 16: 462, 17: 468, 64: 468 },
    ...{ 127: 474, 128: 474, 256: 474, 257: 480, 512: 480, 1000: 480 },
  })
})

test('W is the wait of the first state, a margin per level and the safety margin', () => {
  fc.assert(
    fc.property(anyParams, fc.integer({ min: 1, max: 300 }), (params, clients) => {
      const plan = planTree({ params, capacities: evenly(clients) })
      const longest = Math.max(
        ...Array.from({ length: clients }, (_, i) => exitSteps(params, clients, participantIndex(i + 1)).length),
      )
      expect(plan.depth).toBe(longest)
      const { step, states, confirmationMargin, safetyMargin } = params
      expect(plan.earlyWarning).toBe(step * (states - 1) + longest * confirmationMargin + safetyMargin)
    }),
    { numRuns: 30 },
  )
})

test('a W that payers can not route with is refused, and the hint says what to change', () => {
  const tooLong = (change: Partial<TreeParams>, clients = 8): FactoryError | undefined => {
    try {
      planTree({ params: { ...defaultParams, ...change }, capacities: evenly(clients) })
    } catch (error) {
      if (error instanceof FactoryError) return error
    }
    return undefined
  }
  expect(tooLong({ states: 5 })).toMatchObject({ code: 'early_warning_unpayable', hint: 'lower step or states' })
  expect(tooLong({ states: 64 })?.code).toBe('early_warning_unpayable')
  const margins = { states: 2, confirmationMargin: blocks(100), stockCsv: blocks(2000) }
  expect(tooLong(margins, 72)?.hint).toMatch(/confirmationMargin.*fanout/)
  // Exactly 600 passes, 601 doesn't: 432 + 3 * 52 + 12.
  expect(tooLong({ confirmationMargin: blocks(52) })).toBeUndefined()
  expect(tooLong({ confirmationMargin: blocks(52), safetyMargin: blocks(13) })?.code).toBe('early_warning_unpayable')
})

test.each<[keyof TreeParams, number[], number[]]>([
  ['arity', [0, 5, 1.5, NaN, -1], [1, 4]],
  ['fanout', [1, 17, 2.5, Infinity], [2, 16]],
  ['states', [0, 65], [1, 64]],
  ['step', [0, 1009], [1, 1008]],
  ['confirmationMargin', [0, 145], [1, 144]],
  ['safetyMargin', [-1, 145], [0, 144]],
  ['stockCsv', [0, 65536, 23], [24, 65535]],
  ['feerate', [999, 100_001, 0, 1000.5], [1000, 100_000]],
])('bounds of %s', (name, wrong, right) => {
  for (const value of wrong) {
    expect(
      outcome(() => {
        checkParams({ ...defaultParams, [name]: value })
      }),
    ).toMatch(new RegExp(`^bad_parameter: ${name}`))
  }
  for (const value of right) {
    // Long margins need a long CSV.
    const stockCsv = name === 'stockCsv' ? defaultParams.stockCsv : blocks(0xffff)
    expect(
      outcome(() => {
        checkParams({ ...defaultParams, stockCsv, [name]: value })
      }),
    ).toBe('accepted')
  }
})

test('stocks: none, or a share that is worth claiming', () => {
  for (const share of [1, 999]) {
    expect(
      outcome(() => {
        checkParams({ ...defaultParams, stockPerClient: sat(share) })
      }),
    ).toMatch(/^bad_parameter: stockPerClient/)
  }
  for (const share of [0, 1000]) {
    expect(
      outcome(() => {
        checkParams({ ...defaultParams, stockPerClient: sat(share) })
      }),
    ).toBe('accepted')
  }
})

test('numbers of clients and capacities out of bounds are refused', () => {
  const plan = (capacities: readonly number[]): string =>
    outcome(() => planTree({ params: defaultParams, capacities: capacities.map((c) => sat(c)) }))
  expect(plan([])).toMatch(/^bad_parameter/)
  expect(plan(Array.from({ length: MAX_CLIENTS + 1 }, () => 10_000))).toMatch(/^bad_parameter/)
  expect(plan([10_000, 9_999])).toMatch(/^bad_amount.*client 2/)
  expect(plan([2_000_000_000_000_000, 2_000_000_000_000_000])).toMatch(/^bad_amount/)
  expect(plan([10_000])).toBe('accepted')
})

test('what an exit is planned to cost is what the tree’s transactions cost', () => {
  for (const clients of [1, 3, 8, 23, 70]) {
    const tree = treeOf(clients)
    const costs = tree.spec.clients.map((_, i) => {
      const client = participantIndex(i + 1)
      const steps = exitSteps(tree.spec.params, clients, client)
      const spends = steps.map(({ id }) => tree.spends.find((s) => s.id === id))
      expect(spends.map((s) => s?.role)).toEqual(steps.map((s) => s.role))
      expect(spends.map((s) => s?.vsize)).toEqual(steps.map((s) => s.vsize))
      expect(spends.map((s) => s?.fee)).toEqual(steps.map((s) => s.fee))
      return steps.reduce((sum, s) => sum + s.vsize, 0)
    })
    const plan = planTree({ params: defaultParams, capacities: evenly(clients) })
    expect(plan.exitVsize).toBe(Math.max(...costs))
    expect(plan.leaves).toBe(new Set(tree.spec.clients.map((_, i) => tree.leafOf(participantIndex(i + 1)))).size)
  }
})

test('sizes of the default tree, in vB: kickoff 124, leaf of four 339, the exit of one client of eight', () => {
  const steps = exitSteps(defaultParams, 8, participantIndex(1))
  expect(steps.map((s) => [s.role, s.vsize])).toEqual([
    ['static', 167],
    ['kickoff', 124],
    ['leaf', 339],
  ])
})
