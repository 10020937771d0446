import { sha256 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FactoryError } from '@ln-factory/tlv'
import {
  advance,
  buildLeafState,
  buildPath,
  leafClients,
  pathInState,
  rebalance,
  treeInStates,
  updatesLeft,
  type LeafStateSpec,
  type LeafTerms,
} from '../../src/tree/index.js'
import type { FactoryTree, Spend } from '../../src/tree/index.js'
import { participantIndex, sat, type Sat } from '../../src/units/index.js'
import { anyTree, clientsOf, p2tr, p2wsh, pathSpecOf, preimageOf, ringOf, treeOf } from './fixtures.js'

const spendOf = (tree: FactoryTree, id: string): Spend => {
  const spend = tree.spends.find((s) => s.id === id)
  if (spend === undefined) throw new Error(`no ${id}`)
  return spend
}

const kickoffOf = (tree: FactoryTree, leaf: number): LeafStateSpec['kickoff'] => {
  const { tx } = spendOf(tree, `kickoff:${leaf}`)
  const [out] = tx.outputs
  if (out === undefined) throw new Error('a kickoff of nothing')
  return { outpoint: { txid: tx.txid, vout: 0 }, ...out }
}

/** The first state as `buildLeafState` is told of it. */
function firstTerms(tree: FactoryTree, leaf: number): LeafTerms {
  const { params, clients } = tree.spec
  const { positions, stocks } = leafClients(params, clients.length, leaf)
  return {
    state: 0,
    poisonHash: sha256(preimageOf(leaf)),
    channels: positions.map((p) => tree.channel(participantIndex(p + 1))),
    shares: stocks.map(() => params.stockPerClient),
  }
}

const specFor = (tree: FactoryTree, leaf: number, terms: LeafTerms): LeafStateSpec => ({
  params: tree.spec.params,
  expiry: tree.spec.expiry,
  keys: ringOf(tree.spec.clients.length),
  leaf,
  kickoff: kickoffOf(tree, leaf),
  terms,
  payoutScript: (position) => tree.spec.clients[position]?.payoutScript,
})

const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof FactoryError) return error.code
    throw error
  }
  return 'accepted'
}

const trees = anyTree(24)
const aLeaf = trees.chain((tree) =>
  fc.record({
    tree: fc.constant(tree),
    leaf: fc.constantFrom(...new Set(clientsOf(tree).map((c) => tree.leafOf(c)))),
  }),
)

/** A leaf, one of its states, and its money put elsewhere. */
const anUpdate = aLeaf.chain(({ tree, leaf }) => {
  const first = firstTerms(tree, leaf)
  const { params, clients } = tree.spec
  const { positions, stocks } = leafClients(params, clients.length, leaf)
  const ofLeaf = stocks.map((list) => list.map((p) => p - (positions[0] ?? 0)))
  return fc
    .record({
      state: fc.integer({ min: 0, max: params.states - 1 }),
      parts: fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: positions.length, maxLength: positions.length }),
    })
    .map(({ state, parts }) => {
      const capacities = first.channels.map((c) => c.amount)
      let wanted: readonly Sat[] = capacities
      // Some of each client's own share moves into its channel; or, without stocks, nothing moves.
      if (stocks.length > 0)
        wanted = capacities.map((c, i) => sat(c + ((params.stockPerClient - 1000n) * BigInt(parts[i] ?? 0)) / 1000n))
      const after = rebalance(ofLeaf, { capacities, shares: first.shares }, wanted)
      const terms: LeafTerms = {
        state,
        poisonHash: sha256(preimageOf(1000 + state)),
        channels: after.capacities.map((amount, i) => ({ amount, script: p2wsh(`state ${state} of ${i}`) })),
        shares: after.shares,
      }
      return { tree, leaf, terms }
    })
})

test('the first state is the one that the tree was built with', () => {
  fc.assert(
    fc.property(aLeaf, ({ tree, leaf }) => {
      const { leaf: spend, stocks } = buildLeafState(specFor(tree, leaf, firstTerms(tree, leaf)))
      const first = spendOf(tree, `leaf:${leaf}`)
      expect(spend).toEqual(first)
      expect(stocks).toEqual(tree.spends.filter((s) => s.prevout.outpoint.txid === first.tx.txid))
    }),
    { numRuns: 40 },
  )
})

test('invariant 1: a client builds what the LSP builds of any state, byte for byte', () => {
  fc.assert(
    fc.property(anUpdate, fc.nat(), ({ tree, leaf, terms }, pick) => {
      const spec = specFor(tree, leaf, terms)
      const whole = buildLeafState(spec)
      const { positions, stocks } = leafClients(tree.spec.params, tree.spec.clients.length, leaf)
      const position = positions[pick % positions.length] ?? 0
      const own = stocks.find((s) => s.includes(position)) ?? []
      const client = participantIndex(position + 1)
      const mine = buildLeafState({
        ...spec,
        payoutScript: (p) => (own.includes(p) ? spec.payoutScript(p) : undefined),
      })
      expect(mine.leaf).toEqual(whole.leaf)
      expect(mine.stocks).toEqual(whole.stocks.filter((s) => s.signers.includes(client)))
      expect(mine.channel(position)).toEqual(whole.channel(position))
      // Both put it in the place of the first state.
      const before = buildPath(pathSpecOf(tree, client), ringOf(tree.spec.clients.length))
      const path = pathInState(before, mine, client)
      const live = treeInStates(tree, new Map([[leaf, whole]]))
      expect(path.channel).toEqual(live.channel(client))
      expect(path.spends.map((s) => s.tx.txid)).toEqual(
        path.spends.map((s) => live.spends.find((l) => l.id === s.id)?.tx.txid),
      )
      expect(path.spends.length).toBe(before.spends.length)
      expect(live.spends.length).toBe(tree.spends.length)
    }),
    { numRuns: 40 },
  )
})

test('invariant 10: of every state, inputs are outputs and fee, and no client owns less than it did', () => {
  fc.assert(
    fc.property(anUpdate, ({ tree, leaf, terms }) => {
      const state = buildLeafState(specFor(tree, leaf, terms))
      for (const { tx, prevout, fee, vsize } of [state.leaf, ...state.stocks]) {
        expect(tx.outputs.reduce<bigint>((sum, o) => sum + o.amount, fee)).toBe(prevout.amount)
        expect(fee).toBeGreaterThanOrEqual((BigInt(vsize) * BigInt(tree.spec.params.feerate)) / 1000n)
      }
      const first = firstTerms(tree, leaf)
      const { params, clients } = tree.spec
      const { stocks, positions } = leafClients(params, clients.length, leaf)
      for (const [number, members] of stocks.entries()) {
        const total = (t: LeafTerms): bigint =>
          members.reduce((sum, p) => sum + (t.channels[p - (positions[0] ?? 0)]?.amount ?? 0n), 0n) +
          (t.shares[number] ?? 0n) * BigInt(members.length)
        expect(total(terms)).toBe(total(first))
        for (const spend of state.stocks.filter((s) => s.id.includes(`${leaf}.${number}`)))
          for (const out of spend.tx.outputs.slice(0, -1))
            expect(out.amount).toBeGreaterThanOrEqual(terms.shares[number] ?? 0n)
      }
    }),
    { numRuns: 40 },
  )
})

test('a later state waits a step less, spends the same output, and shares no other with an earlier one', () => {
  const tree = treeOf(4)
  const { states, step } = tree.spec.params
  const all = Array.from({ length: states }, (_, state) =>
    buildLeafState(specFor(tree, 0, { ...firstTerms(tree, 0), state, poisonHash: sha256(preimageOf(50 + state)) })),
  )
  expect(all.map((s) => s.leaf.tx.sequence)).toEqual(Array.from({ length: states }, (_, i) => step * (states - 1 - i)))
  expect(all.map((s) => s.leaf.index)).toEqual([0, 1, 2, 3])
  expect(new Set(all.map((s) => s.leaf.tx.input.txid)).size).toBe(1)
  expect(new Set(all.map((s) => s.leaf.tx.txid)).size).toBe(states)
  expect(new Set(all.flatMap((s) => [s.leaf, ...s.stocks].map((x) => x.id))).size).toBe(states * 5)
})

describe('what a state may not be', () => {
  const tree = treeOf(4)
  const terms = { ...firstTerms(tree, 0), state: 1 }
  const refused = (change: Partial<LeafTerms>): string =>
    codeOf(() => buildLeafState(specFor(tree, 0, { ...terms, ...change })))
  const channels = (change: (i: number) => { amount?: Sat; script?: Uint8Array }): Partial<LeafTerms> => ({
    channels: terms.channels.map((c, i) => ({ amount: c.amount, script: c.script, ...change(i) })),
  })

  test.each<[string, Partial<LeafTerms>, string]>([
    ['a state beyond the last', { state: 4 }, 'bad_proposal'],
    ['half a state', { state: 1.5 }, 'bad_proposal'],
    ['a short poison hash', { poisonHash: new Uint8Array(31) }, 'bad_proposal'],
    ['a channel less', { channels: terms.channels.slice(1) }, 'bad_proposal'],
    ['a stock less', { shares: terms.shares.slice(1) }, 'bad_proposal'],
    ['a share of dust', { shares: terms.shares.map(() => sat(999)) }, 'bad_proposal'],
    ['a satoshi more', channels((i) => (i === 0 ? { amount: sat(100_001) } : {})), 'bad_amount'],
    ['a satoshi less', channels((i) => (i === 3 ? { amount: sat(99_999) } : {})), 'bad_amount'],
    ['a tiny channel', channels((i) => (i === 1 ? { amount: sat(9_999) } : {})), 'bad_amount'],
    ['a channel that is none', channels((i) => (i === 2 ? { script: p2tr('the LSP') } : {})), 'bad_proposal'],
  ])('%s', (_, change, code) => {
    expect(refused(change)).toBe(code)
  })

  test('as it is, it is accepted', () => {
    expect(refused({})).toBe('accepted')
  })
})

describe('stocks pay for the channels of their own clients', () => {
  const before = { capacities: [100_000, 100_000, 100_000].map(sat), shares: [20_000, 20_000].map(sat) }
  const stocks = [[0, 1], [2]]

  test('what does not divide goes to the last channel of the stock', () => {
    expect(rebalance(stocks, before, [110_001, 100_000, 90_000].map(sat))).toEqual({
      capacities: [110_001, 100_001, 90_000].map(sat),
      shares: [14_999, 30_000].map(sat),
    })
  })

  test('no stock pays for another, and none is emptied', () => {
    expect(codeOf(() => rebalance(stocks, before, [138_001, 100_000, 100_000].map(sat)))).toBe('insufficient_funds')
    expect(codeOf(() => rebalance(stocks, before, [138_000, 100_000, 100_000].map(sat)))).toBe('accepted')
    expect(codeOf(() => rebalance([], { ...before, shares: [] }, [100_001, 100_000, 100_000].map(sat)))).toBe(
      'insufficient_funds',
    )
  })
})

describe('the odometer', () => {
  const layers = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 })

  test('goes through every combination once, in order, the lowest layer first', () => {
    fc.assert(
      fc.property(layers, (states) => {
        const seen: string[] = []
        let at: readonly number[] | undefined = states.map(() => 0)
        const total = states.reduce((product, n) => product * n, 1)
        while (at !== undefined) {
          expect(updatesLeft(states, at)).toBe(total - 1 - seen.length)
          seen.push(at.join())
          const next = advance(states, at)
          if (next !== undefined) {
            const layer = next.findIndex((n, i) => n !== at?.[i])
            expect(next[layer]).toBe((at[layer] ?? 0) + 1)
            expect(next.slice(layer + 1).every((n) => n === 0)).toBe(true)
          }
          at = next
        }
        expect(new Set(seen).size).toBe(total)
        expect(seen.length).toBe(total)
      }),
    )
  })

  test.each([
    [[4], [4]],
    [[4], [-1]],
    [[4, 4], [1]],
    [[4], [0.5]],
  ])('states %j are never at %j', (states, at) => {
    expect(codeOf(() => advance(states, at))).toBe('bad_parameter')
    expect(codeOf(() => updatesLeft(states, at))).toBe('bad_parameter')
  })
})
