import { bytesToHex } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FactoryError } from '@ln-factory/tlv'
import { buildPath, buildTree, decodeTx, DUST } from '../../src/tree/index.js'
import type { FactoryTree, PathSpec, TreeSpec, TxOutput } from '../../src/tree/index.js'
import { blockHeight, blocks, participantIndex, sat, type ParticipantIndex } from '../../src/units/index.js'
import { anyTree, clientsOf, keyOf, p2tr, p2wpkh, p2wsh, pathSpecOf, ringOf, treeOf } from './fixtures.js'

const trees = fc.oneof({ weight: 8, arbitrary: anyTree(24) }, { weight: 1, arbitrary: anyTree(80) })

/** A tree and one of its clients. */
const somebody = trees.chain((tree) =>
  fc.record({ tree: fc.constant(tree), client: fc.constantFrom(...clientsOf(tree)) }),
)

function lspView(tree: FactoryTree, client: ParticipantIndex): unknown {
  const ids = tree.pathIds(client)
  const byId = new Map(tree.spends.map((s) => [s.id, s]))
  return ids.map((id) => byId.get(id))
}

const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof FactoryError) return error.code
    throw error
  }
  return 'accepted'
}

test('invariant 1: a client rebuilds from its siblings, byte for byte, what the LSP built', () => {
  fc.assert(
    fc.property(somebody, ({ tree, client }) => {
      const path = buildPath(pathSpecOf(tree, client))
      expect(path.spends).toEqual(lspView(tree, client))
      expect(path.channel).toEqual(tree.channel(client))
      expect(path.fundingScript).toEqual(tree.fundingScript)
      const self = tree.spec.clients[client - 1]
      expect(path.coverage).toBeGreaterThanOrEqual((self?.capacity ?? 0n) + tree.spec.params.stockPerClient)
    }),
    { numRuns: 40 },
  )
})

test.each([1, 2, 4, 5, 8, 9, 17, 33])('invariant 1: all of %i clients', (clients) => {
  const tree = treeOf(clients)
  for (const client of clientsOf(tree)) {
    expect(buildPath(pathSpecOf(tree, client), ringOf(tree.spec.clients.length)).spends).toEqual(lspView(tree, client))
  }
})

test('a factory of a thousand clients: first, last and middle', () => {
  const tree = treeOf(1000)
  for (const client of [1, 500, 1000].map(participantIndex)) {
    expect(buildPath(pathSpecOf(tree, client), ringOf(1000)).spends).toEqual(lspView(tree, client))
  }
})

test('what a client is told grows with the depth only', () => {
  const told = (clients: number): number => {
    const siblings = treeOf(clients).siblings(participantIndex(1)).flat()
    return siblings.reduce((sum, o) => sum + 9 + o.script.length, 0)
  }
  expect(told(127)).toBeLessThan(5000)
  expect(told(512)).toBeLessThan(7000)
})

/** Any list of siblings with any one of them changed. */
const mutation = somebody.chain(({ tree, client }) => {
  const siblings = tree.siblings(client)
  const places = siblings.flatMap((list, step) => list.map((_, i) => [step, i] as const))
  const deltas = [-1n, 1n, -240n, 240n, -10_000n, 10_000n, 21n * 10n ** 14n]
  return fc.record({
    tree: fc.constant(tree),
    client: fc.constant(client),
    place: places.length === 0 ? fc.constant(undefined) : fc.constantFrom(...places),
    change: fc.oneof(
      fc.constantFrom(...deltas).map((delta) => (o: TxOutput) => {
        const amount = o.amount + delta
        return { ...o, amount: sat(amount < 0n || amount > 21n * 10n ** 14n ? 0n : amount) }
      }),
      fc.constantFrom(p2tr, p2wsh, p2wpkh).map((make) => (o: TxOutput) => ({ ...o, script: make('the LSP') })),
      fc.nat(33).map((at) => (o: TxOutput) => ({
        ...o,
        script: o.script.map((b, i) => (i === at % o.script.length ? b ^ 1 : b)),
      })),
      fc.constantFrom(0, 1, 43).map((length) => (o: TxOutput) => ({ ...o, script: new Uint8Array(length) })),
    ),
  })
})

test('invariant 1: a changed sibling is refused, or changes what is signed', () => {
  fc.assert(
    fc.property(mutation, ({ tree, client, place, change }) => {
      if (place === undefined) return
      const [step, index] = place
      const spec = pathSpecOf(tree, client)
      const siblings = spec.siblings.map((list, s) => list.map((o, i) => (s === step && i === index ? change(o) : o)))
      const id = tree.pathIds(client)[step]
      const honest = tree.spends.find((s) => s.id === id)
      let path
      try {
        path = buildPath({ ...spec, siblings }, ringOf(tree.spec.clients.length))
      } catch (error) {
        expect(error).toBeInstanceOf(FactoryError)
        expect((error as FactoryError).code).toMatch(/^bad_/)
        return
      }
      const spend = path.spends[step]
      expect(spend?.id).toBe(id)
      expect(spend?.tx.txid).not.toBe(honest?.tx.txid)
      expect(spend?.sighash).not.toEqual(honest?.sighash)
      expect(path.coverage).toBeGreaterThanOrEqual(spec.self.capacity + spec.params.stockPerClient)
    }),
    { numRuns: 100 },
  )
})

describe('a hostile LSP', () => {
  const tree = treeOf(40)
  const client = participantIndex(7)
  const spec = pathSpecOf(tree, client)
  const ids = tree.pathIds(client)
  const changed = (prefix: string, change: (list: readonly TxOutput[]) => readonly TxOutput[]): PathSpec => {
    const step = ids.findIndex((id) => id.startsWith(prefix))
    expect(step).toBeGreaterThanOrEqual(0)
    return { ...spec, siblings: spec.siblings.map((list, s) => (s === step ? change(list) : list)) }
  }
  const grow =
    (delta: bigint) =>
    ([first, ...rest]: readonly TxOutput[]): readonly TxOutput[] =>
      first === undefined ? rest : [{ ...first, amount: sat(first.amount + delta) }, ...rest]
  const refused = (run: PathSpec): string => {
    try {
      buildPath(run)
    } catch (error) {
      if (error instanceof FactoryError) return `${error.code}: ${error.message}`
      throw error
    }
    return 'accepted'
  }

  test.each(['static:', 'leaf:', 'poison:', 'dist:stock', 'dist:funding', 'dist:0.', 'payout:'])(
    'drops or adds a sibling of %s',
    (prefix) => {
      expect(refused(changed(prefix, (list) => list.slice(1)))).toMatch(/^bad_proposal.*siblings? outputs/)
      expect(refused(changed(prefix, (list) => [...list, ...list.slice(0, 1)]))).toMatch(
        /^bad_proposal.*siblings? outputs/,
      )
    },
  )

  test.each(['static:', 'leaf:'])('takes or gives a satoshi in %s', (prefix) => {
    expect(refused(changed(prefix, grow(1n)))).toMatch(/^bad_proposal.*funding output/)
    expect(refused(changed(prefix, grow(-1n)))).toMatch(/^bad_proposal.*funding output/)
  })

  test.each(['dist:funding', 'dist:0.', 'payout:'])('pays others from what is the client’s in %s', (prefix) => {
    expect(refused(changed(prefix, grow(100_000n)))).toMatch(/^bad_proposal.*pay/)
  })

  test('pays others from the client’s share of the stock', () => {
    expect(refused(changed('dist:stock', grow(5_000n)))).toMatch(/^bad_proposal.*pays this client/)
    expect(refused(changed('dist:stock', grow(10n ** 12n)))).toMatch(/^bad_proposal.*more than there is/)
    expect(refused(changed('poison:', grow(1n)))).toMatch(/^bad_proposal.*instead of 20000/)
  })

  test.each(['dist:funding', 'dist:stock'])(
    'pays the client in %s to the satoshi what it must, and not one less',
    (prefix) => {
      const small = treeOf(8)
      const me = pathSpecOf(small, participantIndex(3))
      const least = prefix === 'dist:stock' ? me.params.stockPerClient : me.self.capacity + me.params.stockPerClient
      const step = small.pathIds(me.client).findIndex((id) => id.startsWith(prefix))
      const script = bytesToHex(me.self.payoutScript)
      const paid = buildPath(me).spends[step]?.tx.outputs.find((o) => bytesToHex(o.script) === script)?.amount ?? 0n
      expect(paid).toBeGreaterThan(least)
      const taking = (amount: bigint): PathSpec => ({
        ...me,
        siblings: me.siblings.map((list, s) => (s === step ? grow(amount)(list) : list)),
      })
      expect(refused(taking(paid - least))).toBe('accepted')
      expect(refused(taking(paid - least + 1n))).toMatch(/^bad_proposal.*pays this client/)
    },
  )

  test('moves money between siblings to where it must not be', () => {
    const leaf = ids.findIndex((id) => id.startsWith('leaf:'))
    const shift = (from: number, to: number, amount: bigint) => (list: readonly TxOutput[]) =>
      list.map((o, i) => ({ ...o, amount: sat(o.amount + (i === to ? amount : 0n) - (i === from ? amount : 0n)) }))
    // Three channels and the other stock: the sum stays what it was.
    expect(spec.siblings[leaf]?.length).toBe(4)
    expect(refused(changed('leaf:', shift(3, 0, 1n)))).toMatch(/^bad_proposal.*stock/)
    expect(refused(changed('leaf:', shift(0, 3, 1n)))).toMatch(/^bad_proposal.*stock/)
    expect(refused(changed('leaf:', shift(0, 1, 90_000n)))).toBe('accepted')
    expect(refused(changed('leaf:', shift(0, 1, 90_001n)))).toMatch(/^bad_proposal.*channel of only 9999/)
    const share = spec.params.stockPerClient
    expect(refused(changed('dist:stock', (list) => list.map((o) => ({ ...o, amount: share }))))).toBe('accepted')
    const less = sat(share - 1n)
    expect(refused(changed('dist:stock', (list) => list.map((o) => ({ ...o, amount: less }))))).toMatch(/^bad_proposal/)
  })

  test('hides money in dust, or in scripts that do not relay', () => {
    const set = (out: Partial<TxOutput>) => (list: readonly TxOutput[]) => list.map((o) => ({ ...o, ...out }))
    expect(refused(changed('dist:funding', set({ amount: sat(DUST - 1n) })))).toMatch(/^bad_proposal.*dust/)
    expect(refused(changed('dist:stock', set({ script: Uint8Array.of(0x6a) })))).toMatch(/^bad_proposal/)
    expect(refused(changed('static:', set({ script: p2wsh('x') })))).toMatch(/^bad_proposal.*P2TR/)
    expect(refused(changed('leaf:', set({ script: p2tr('x') })))).toMatch(/^bad_proposal.*P2WSH/)
  })

  test('leaves out a transaction, or adds one', () => {
    expect(refused({ ...spec, siblings: spec.siblings.slice(0, -1) })).toMatch(/^bad_proposal.*lists/)
    expect(refused({ ...spec, siblings: [...spec.siblings, []] })).toMatch(/^bad_proposal.*lists/)
  })

  test('lists another key for the client, the same key twice, or no key at all', () => {
    const keys = (change: (key: Uint8Array, i: number) => Uint8Array): PathSpec => ({
      ...spec,
      keys: spec.keys.map(change),
    })
    expect(refused(keys((k, i) => (i === 7 ? keyOf(999) : k)))).toMatch(/^bad_proposal.*another key/)
    expect(refused(keys((k, i) => (i === 9 ? keyOf(8) : k)))).toMatch(/^bad_key.*8 and 9/)
    expect(refused(keys((k, i) => (i === 9 ? new Uint8Array(33) : k)))).toMatch(/^bad_key.*9/)
    expect(refused(keys((k, i) => (i === 9 ? k.subarray(1) : k)))).toMatch(/^bad_key.*9/)
  })

  test.each<[string, Partial<PathSpec>]>([
    ['another client', { client: participantIndex(8) }],
    ['no client', { client: participantIndex(0) }],
    ['a client that is not there', { client: participantIndex(41) }],
    ['a short poison hash', { poisonHash: new Uint8Array(31) }],
    ['a funding amount that is off by one', { funding: { ...spec.funding, amount: sat(spec.funding.amount + 1n) } }],
    ['fewer participants', { keys: spec.keys.slice(0, 20) }],
    ['nobody', { keys: spec.keys.slice(0, 1) }],
  ])('names %s', (_, change) => {
    expect(codeOf(() => buildPath({ ...spec, ...change }))).toMatch(/^bad_/)
  })

  test.each<[string, Partial<PathSpec>]>([
    ['another expiry', { expiry: blockHeight(800_001) }],
    ['another poison hash', { poisonHash: new Uint8Array(32) }],
    ['a longer wait', { params: { ...spec.params, states: 3 } }],
    ['another CSV', { params: { ...spec.params, stockCsv: blocks(433) } }],
    ['another funding outpoint', { funding: { ...spec.funding, outpoint: { ...spec.funding.outpoint, vout: 0 } } }],
  ])('%s changes what is signed', (_, change) => {
    const honest = new Set(buildPath(spec).spends.map((s) => s.tx.txid))
    const changedIds = buildPath({ ...spec, ...change }).spends.filter((s) => !honest.has(s.tx.txid))
    expect(changedIds.length).toBeGreaterThan(0)
  })
})

describe('invariant 11: the LSP’s own mistakes', () => {
  const { spec } = treeOf(5)
  const [first, ...others] = spec.clients
  const withFirst = (change: Partial<(typeof spec.clients)[number]>): TreeSpec => ({
    ...spec,
    clients: first === undefined ? [] : [{ ...first, ...change }, ...others],
  })
  test.each<[string, TreeSpec, string]>([
    ['no clients', { ...spec, clients: [] }, 'bad_parameter'],
    [
      'a funding amount that is off by one',
      { ...spec, funding: { ...spec.funding, amount: sat(spec.funding.amount - 1n) } },
      'bad_amount',
    ],
    [
      'a satoshi too many',
      { ...spec, funding: { ...spec.funding, amount: sat(spec.funding.amount + 1n) } },
      'bad_amount',
    ],
    ['a channel too small', withFirst({ capacity: sat(9_999) }), 'bad_amount'],
    ['a channel script that is not P2WSH', withFirst({ channelScript: p2tr('x') }), 'bad_parameter'],
    [
      'a payout script of a future witness version',
      withFirst({ payoutScript: Uint8Array.from([0x52, 32, ...new Uint8Array(32)]) }),
      'bad_parameter',
    ],
    ['the same key twice', withFirst({ key: keyOf(2) }), 'bad_key'],
    ['the LSP’s key for a client', withFirst({ key: keyOf(0) }), 'bad_key'],
    ['a key that is no point', withFirst({ key: new Uint8Array(33).fill(2, 0, 1) }), 'bad_key'],
    ['a poison hash too many', { ...spec, poisonHashes: [...spec.poisonHashes, new Uint8Array(32)] }, 'bad_parameter'],
    [
      'a poison hash of 20 bytes',
      { ...spec, poisonHashes: spec.poisonHashes.map((h) => h.subarray(12)) },
      'bad_parameter',
    ],
  ])('%s', (_, wrong, code) => {
    expect(codeOf(() => buildTree(wrong))).toBe(code)
  })

  test('a client that is not there', () => {
    const tree = treeOf(5)
    for (const index of [0, 6]) {
      expect(codeOf(() => tree.pathIds(participantIndex(index)))).toBe('bad_parameter')
      expect(codeOf(() => tree.channel(participantIndex(index)))).toBe('bad_parameter')
    }
  })

  test('the bytes of every spend decode to what it says', () => {
    for (const { tx } of treeOf(9).spends) {
      const decoded = decodeTx(tx.bytes)
      expect(decoded.txid).toBe(tx.txid)
      expect(decoded.outputs).toEqual(tx.outputs)
      expect(decoded.inputs).toEqual([{ outpoint: tx.input, sequence: tx.sequence, witness: [] }])
    }
  })
})
