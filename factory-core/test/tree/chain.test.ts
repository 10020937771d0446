import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  ANCHOR,
  buildChain,
  buildPath,
  forSale,
  stocksIn,
  type ChainLink,
  type FactoryTree,
  type Sold,
  type Stock,
  type TreeParams,
} from '../../src/tree/index.js'
import { outPointKey, sat, type Sat } from '../../src/units/index.js'
import { anyCapacities, anyParams, p2wsh, pathSpecOf, ringOf, specOf, treeOf } from './fixtures.js'
import { buildTree } from '../../src/tree/index.js'

const CASES = { numRuns: 25 }
const withStocks = fc
  .tuple(anyParams, anyCapacities(12), fc.integer({ min: 12_000, max: 2_000_000 }))
  .map(([params, capacities, stockPerClient]): FactoryTree => {
    const spec = specOf({ ...params, stockPerClient: sat(stockPerClient) }, capacities)
    return buildTree(spec, ringOf(capacities.length))
  })

/** Sells parts of what is left, at the most `parts.length` times; a part of 1 takes all. */
function sellParts(
  params: TreeParams,
  stock: Stock,
  parts: readonly number[],
): { sold: Sold[]; links: readonly ChainLink[] } {
  const sold: Sold[] = []
  let links: readonly ChainLink[] = []
  for (const [i, part] of parts.entries()) {
    const left = i === 0 ? stock : links.at(-1)?.rest
    const { most, whole } = left === undefined ? { most: undefined, whole: undefined } : forSale(params, left)
    if (whole === undefined) break
    const capacity: Sat =
      part === 1 || most === undefined
        ? whole
        : sat(10_000n + ((most - 10_000n) * BigInt(Math.floor(part * 1000))) / 1000n)
    sold.push({ capacity, channelScript: p2wsh(`sold ${i}`) })
    links = buildChain({ params, stock, sold })
  }
  return { sold, links }
}
const anyParts = fc.array(fc.oneof(fc.double({ min: 0, max: 0.9, noNaN: true }), fc.constant(1)), {
  minLength: 1,
  maxLength: 5,
})
const scenarios = fc.tuple(withStocks, fc.nat(), anyParts).map(([tree, pick, parts]) => {
  const { params } = tree.spec
  const stocks = stocksIn(tree.spends)
  const stock = stocks[pick % stocks.length]
  if (stock === undefined) throw new Error('a tree without stocks')
  return { tree, params, stock, ...sellParts(params, stock, parts) }
})

test('invariant 1: every client of the stock builds the same bytes as the LSP, from its own path', () => {
  fc.assert(
    fc.property(scenarios, ({ tree, params, stock, sold, links }) => {
      expect(links.length).toBeGreaterThan(0)
      for (const participant of stock.poison.signers.slice(1)) {
        const path = buildPath(pathSpecOf(tree, participant), ringOf(tree.spec.clients.length))
        const [own] = stocksIn(path.spends)
        if (own === undefined) throw new Error('a path without its stock')
        expect(own).toEqual(stock)
        expect(buildChain({ params, stock: own, sold })).toEqual(links)
      }
    }),
    CASES,
  )
})

test('invariant 10: what a stock holds goes to channels, rest, anchors and fees at the built-in rate', () => {
  fc.assert(
    fc.property(scenarios, ({ params, stock, sold, links }) => {
      const rate = (vsize: number): bigint => (BigInt(vsize * params.feerate) + 999n) / 1000n
      let left = stock.poison.prevout.amount
      for (const [i, { chain, channel, rest, spends }] of links.entries()) {
        expect(chain.prevout.amount).toBe(left)
        expect(channel.amount).toBe(sold[i]?.capacity)
        expect(channel.outpoint.vout).toBe(0)
        for (const spend of spends) {
          const paid = spend.tx.outputs.reduce((sum, o) => sum + o.amount, 0n)
          expect(spend.prevout.amount).toBe(paid + spend.fee)
          if (spend.class === 'poison') expect(spend.fee).toBeGreaterThanOrEqual(rate(spend.vsize))
          else expect(spend.fee).toBe(rate(spend.vsize))
          expect(spend.tx.outputs.at(-1)).toEqual(ANCHOR)
        }
        left = rest?.poison.prevout.amount ?? sat(0)
      }
    }),
    CASES,
  )
})

test('invariant 5: a rest is poisoned and distributed to its clients alone, in equal parts of 1000 sat at least', () => {
  fc.assert(
    fc.property(scenarios, ({ stock, links }) => {
      const scripts = stock.poison.tx.outputs.map((o) => o.script)
      for (const { rest } of links) {
        for (const spend of rest === undefined ? [] : [rest.poison, rest.distribution]) {
          expect(spend.tx.outputs.map((o) => o.script)).toEqual(scripts)
          const amounts = spend.tx.outputs.slice(0, -1).map((o) => o.amount)
          for (const a of amounts) {
            expect(a).toBeGreaterThanOrEqual(1000n)
            expect((amounts[0] ?? 0n) - a).toBeLessThan(BigInt(amounts.length))
          }
        }
      }
    }),
    CASES,
  )
})

test('a rest is the stock over again: script, keys, signers, lock time; and every outpoint carries each class once', () => {
  fc.assert(
    fc.property(scenarios, ({ stock, links }) => {
      const used = new Set(
        [stock.poison, stock.distribution].map((s) => `${outPointKey(s.prevout.outpoint)} ${s.class}`),
      )
      const ids = new Set([stock.poison.id, stock.distribution.id])
      for (const { chain, rest, spends } of links) {
        expect(chain.key).toEqual(stock.distribution.key)
        expect([chain.tx.sequence, chain.tx.lockTime, chain.tx.version]).toEqual([0xfffffffd, 0, 3])
        for (const spend of spends) {
          expect(spend.signers).toEqual(stock.poison.signers)
          const use = `${outPointKey(spend.prevout.outpoint)} ${spend.class}`
          expect(used.has(use)).toBe(false)
          used.add(use)
          expect(ids.has(spend.id)).toBe(false)
          ids.add(spend.id)
        }
        if (rest === undefined) continue
        expect(rest.poison.prevout.outpoint).toEqual({ txid: chain.tx.txid, vout: 1 })
        expect(rest.poison.prevout.script).toEqual(stock.poison.prevout.script)
        expect(rest.poison.key).toEqual(stock.poison.key)
        expect(rest.distribution.key).toEqual(stock.distribution.key)
        expect(rest.distribution.tx.lockTime).toBe(stock.distribution.tx.lockTime)
      }
    }),
    CASES,
  )
})

test('what can be sold: up to the rest that pays everyone, or all; nothing between, nothing after', () => {
  fc.assert(
    fc.property(withStocks, (tree) => {
      const { params } = tree.spec
      const [stock] = stocksIn(tree.spends)
      if (stock === undefined) throw new Error('a tree without stocks')
      const { most, whole } = forSale(params, stock)
      const sell = (...capacities: bigint[]): readonly ChainLink[] =>
        buildChain({ params, stock, sold: capacities.map((c) => ({ capacity: sat(c), channelScript: p2wsh('x') })) })
      if (whole === undefined) return
      expect(sell(whole)[0]?.rest).toBeUndefined()
      expect(() => sell(whole, 10_000n)).toThrow(/nothing is left/)
      expect(() => sell(whole + 1n)).toThrow(/can't be sold/)
      expect(() => sell(whole - 1n)).toThrow(/can't be sold/)
      expect(() => sell(9_999n)).toThrow(/can't be sold/)
      if (most === undefined) return
      expect(sell(most)[0]?.rest).toBeDefined()
      expect(() => sell(most + 1n)).toThrow(/can't be sold/)
    }),
    CASES,
  )
})

test('invariant 11: a script that is no channel is refused', () => {
  const tree = treeOf(2)
  const [stock] = stocksIn(tree.spends)
  if (stock === undefined) throw new Error('no stock')
  const channelScript = Uint8Array.from([0x51, 0x20, ...new Uint8Array(32)])
  expect(() =>
    buildChain({ params: tree.spec.params, stock, sold: [{ capacity: sat(10_000), channelScript }] }),
  ).toThrow(/not P2WSH/)
})
