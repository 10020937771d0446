import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { expect, test } from 'vitest'
import type { FactoryTree, TreeParams } from '../../src/tree/index.js'
import { blocks, participantIndex, sat } from '../../src/units/index.js'
import { treeOf } from './fixtures.js'

/** Everything that is signed, in one hash. */
const digest = (tree: FactoryTree): string =>
  bytesToHex(
    sha256(concatBytes(...tree.spends.flatMap((s) => [utf8ToBytes(`${s.id} ${s.signers.join()} `), s.sighash]))),
  ).slice(0, 16)

// Peers of different versions must build the same tree: a change here is a new protocol version.
test.each<[number, Partial<TreeParams>, string]>([
  [1, {}, 'df192b376d6b9c03'],
  [2, {}, '3147cdb5126ba49f'],
  [9, {}, '4cff5336104bde8b'],
  [64, {}, '51bc144abd73bd1f'],
  [127, {}, 'be37bb059d6af5d2'],
  [70, { arity: 3, fanout: 5, stockPerClient: sat(0), feerate: 2345 }, '7c57fd3e0aeb59f8'],
  [
    33,
    { arity: 1, fanout: 2, states: 2, confirmationMargin: blocks(2), safetyMargin: blocks(0), stockCsv: blocks(16) },
    '0332feb5af447db8',
  ],
])('the tree of %i clients with %o is what it always was', (clients, params, expected) => {
  expect(digest(treeOf(clients, params))).toBe(expected)
})

test('the canonical order of a client’s transactions, pinned', () => {
  expect(treeOf(127).pathIds(participantIndex(20))).toEqual([
    'static:0',
    'static:0.0',
    'static:0.0.1',
    'kickoff:4',
    'leaf:4',
    'poison:4.1',
    'dist:stock:4.1',
    'dist:funding',
    'payout:funding/1',
    'dist:0.0',
    'payout:0.0/4',
    'dist:0.0.1',
    'dist:0.0.1.0',
  ])
})
