import fc from 'fast-check'
import { expect, test } from 'vitest'
import { entriesOf, holds, levelsFor, shapeOf, sizeOf, type Group, type TreeGroup } from '../../src/tree/shape.js'
import { defaultParams } from '../../src/tree/index.js'
import { anyParams } from './fixtures.js'

const clientCount = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 1000 }))
const height = (group: TreeGroup): number => (group.kind === 'leaf' ? 0 : 1 + Math.max(...group.children.map(height)))
const ranges = (groups: readonly Group[]): [number, number][] => groups.map((g) => [g.from, g.to])

/** `groups` cover `whole` in order, without gap or overlap. */
function expectPartition(whole: Group, groups: readonly Group[]): void {
  let next = whole.from
  for (const group of groups) {
    expect(group.from).toBe(next)
    expect(group.to).toBeGreaterThan(group.from)
    next = group.to
  }
  expect(next).toBe(whole.to)
}

function everyGroup(group: Group): Group[] {
  return [group, ...group.children.flatMap(everyGroup)]
}

test('every group divides into its children without gap or overlap, down to single clients', () => {
  fc.assert(
    fc.property(anyParams, clientCount, (params, clients) => {
      const { root } = shapeOf(params, clients)
      expect([root.from, root.to]).toEqual([0, clients])
      for (const group of everyGroup(root)) {
        if (group.children.length === 0) expect(sizeOf(group)).toBe(1)
        else expectPartition(group, group.children)
      }
    }),
    { numRuns: 60 },
  )
})

test('leaves are as few as k^2 clients each allow, and their sizes differ by one at most', () => {
  fc.assert(
    fc.property(anyParams, clientCount, (params, clients) => {
      const { leaves } = shapeOf(params, clients)
      const sizes = leaves.map(sizeOf)
      expect(leaves.length).toBe(Math.ceil(clients / params.arity ** 2))
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
      expect(Math.max(...sizes)).toBeLessThanOrEqual(params.arity ** 2)
      expect(leaves.map((l) => l.number)).toEqual(leaves.map((_, i) => i))
    }),
    { numRuns: 100 },
  )
})

test('a stock is shared by k clients at most; without a share there is none', () => {
  fc.assert(
    fc.property(anyParams, clientCount, (params, clients) => {
      for (const leaf of shapeOf(params, clients).leaves) {
        if (params.stockPerClient === 0n) {
          expect(leaf.stocks).toEqual([])
          continue
        }
        expect(leaf.stocks.length).toBe(Math.ceil(sizeOf(leaf) / params.arity))
        expectPartition(leaf, leaf.stocks)
        expect(Math.max(...leaf.stocks.map(sizeOf))).toBeLessThanOrEqual(params.arity)
      }
    }),
    { numRuns: 100 },
  )
})

test('static levels are as few as the fan-out allows, and none stands over a single leaf', () => {
  fc.assert(
    fc.property(anyParams, clientCount, (params, clients) => {
      const { root, leaves } = shapeOf(params, clients)
      expect(height(root)).toBe(levelsFor(leaves.length, params.fanout))
      expect(params.fanout ** height(root)).toBeGreaterThanOrEqual(leaves.length)
      if (height(root) > 0) expect(params.fanout ** (height(root) - 1)).toBeLessThan(leaves.length)
      for (const group of everyGroup(root)) {
        if (!('kind' in group) || group.kind !== 'static') continue
        expect(group.children.length).toBeGreaterThanOrEqual(2)
        expect(group.children.length).toBeLessThanOrEqual(params.fanout)
      }
    }),
    { numRuns: 100 },
  )
})

test('a distribution pays at most 16 entries, which are all of the clients once', () => {
  fc.assert(
    fc.property(anyParams, clientCount, (params, clients) => {
      for (const group of everyGroup(shapeOf(params, clients).root)) {
        const entries = entriesOf(group)
        expect(entries.length).toBeLessThanOrEqual(16)
        expectPartition(group, entries)
        if (sizeOf(group) > 1) expect(entries.length).toBeGreaterThan(1)
      }
    }),
    { numRuns: 60 },
  )
})

test('shapes that peers must agree on, pinned', () => {
  const nine = shapeOf(defaultParams, 9)
  expect(ranges(nine.leaves)).toEqual([
    [0, 3],
    [3, 6],
    [6, 9],
  ])
  expect(nine.leaves.map((l) => ranges(l.stocks))).toEqual([
    [
      [0, 2],
      [2, 3],
    ],
    [
      [3, 5],
      [5, 6],
    ],
    [
      [6, 8],
      [8, 9],
    ],
  ])
  expect(nine.root.children.length).toBe(3)
  const many = shapeOf(defaultParams, 127)
  expect(many.leaves.length).toBe(32)
  expect(many.root.children.map(sizeOf)).toEqual([64, 63])
  expect(entriesOf(many.root).map(sizeOf)).toEqual([16, 16, 16, 16, 16, 16, 16, 15])
  expect(holds(many.root, 126)).toBe(true)
  expect(holds(many.root, 127)).toBe(false)
})
