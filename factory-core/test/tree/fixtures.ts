import { sha256 } from '@noble/hashes/sha2.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { buildTree, defaultParams, FactoryKeys, planTree } from '../../src/tree/index.js'
import type { FactoryTree, PathSpec, TreeClient, TreeParams, TreeSpec } from '../../src/tree/index.js'
import {
  blockHeight,
  blocks,
  participantIndex,
  sat,
  txid,
  type ParticipantIndex,
  type Sat,
} from '../../src/units/index.js'

const hash = (label: string): Uint8Array => sha256(utf8ToBytes(label))
const secrets = new Map<number, Uint8Array>()
/** Secret and public key of a participant; the same in every test. */
export function secretOf(index: number): Uint8Array {
  let secret = secrets.get(index)
  if (secret === undefined) secrets.set(index, (secret = hash(`participant ${index}`)))
  return secret
}
const publics = new Map<number, Uint8Array>()
export function keyOf(index: number): Uint8Array {
  let key = publics.get(index)
  if (key === undefined) publics.set(index, (key = secp256k1.getPublicKey(secretOf(index), true)))
  return key
}

const rings = new Map<number, FactoryKeys>()
/** Keys of the LSP and so many clients, aggregated once for all tests of a file. */
export function ringOf(clients: number): FactoryKeys {
  let ring = rings.get(clients)
  if (ring === undefined)
    rings.set(clients, (ring = new FactoryKeys(Array.from({ length: clients + 1 }, (_, i) => keyOf(i)))))
  return ring
}

export const preimageOf = (leaf: number): Uint8Array => hash(`preimage ${leaf}`)
export const p2wsh = (label: string): Uint8Array => concatBytes(Uint8Array.of(0, 32), hash(label))
export const p2wpkh = (label: string): Uint8Array => concatBytes(Uint8Array.of(0, 20), hash(label).subarray(0, 20))
export const p2tr = (label: string): Uint8Array => concatBytes(Uint8Array.of(0x51, 32), hash(label))
const payoutKinds = [p2wpkh, p2wsh, p2tr]

export const client = (index: number, capacity: Sat): TreeClient => ({
  key: keyOf(index),
  capacity,
  payoutScript: (payoutKinds[index % 3] ?? p2tr)(`payout ${index}`),
  channelScript: p2wsh(`channel ${index}`),
})

export function specOf(params: TreeParams, capacities: readonly Sat[]): TreeSpec {
  const plan = planTree({ params, capacities })
  return {
    params,
    expiry: blockHeight(800_000),
    lspKey: keyOf(0),
    clients: capacities.map((capacity, i) => client(i + 1, capacity)),
    poisonHashes: Array.from({ length: plan.leaves }, (_, leaf) => sha256(preimageOf(leaf))),
    funding: { outpoint: { txid: txid('ab'.repeat(32)), vout: 1 }, amount: plan.fundingAmount },
  }
}

export const evenly = (clients: number, capacity = 100_000): Sat[] =>
  Array.from({ length: clients }, () => sat(capacity))
export const treeOf = (clients: number, params: Partial<TreeParams> = {}): FactoryTree =>
  buildTree(specOf({ ...defaultParams, ...params }, evenly(clients)), ringOf(clients))

/** What the LSP sends a client. */
export function pathSpecOf(tree: FactoryTree, participant: ParticipantIndex): PathSpec {
  const { params, expiry, lspKey, clients, poisonHashes, funding } = tree.spec
  const self = clients[participant - 1]
  const poisonHash = poisonHashes[tree.leafOf(participant)]
  if (self === undefined || poisonHash === undefined) throw new Error(`no client ${participant}`)
  const keys = [lspKey, ...clients.map((c) => c.key)]
  return { params, expiry, keys, client: participant, self, poisonHash, funding, siblings: tree.siblings(participant) }
}

export const clientsOf = (tree: FactoryTree): ParticipantIndex[] =>
  tree.spec.clients.map((_, i) => participantIndex(i + 1))

/** Parameters whose W is payable for any number of clients. */
export const anyParams: fc.Arbitrary<TreeParams> = fc
  .record({
    arity: fc.integer({ min: 1, max: 4 }),
    fanout: fc.integer({ min: 2, max: 16 }),
    states: fc.integer({ min: 1, max: 4 }),
    step: fc.integer({ min: 1, max: 144 }),
    confirmationMargin: fc.integer({ min: 1, max: 8 }),
    safetyMargin: fc.integer({ min: 0, max: 20 }),
    stockCsv: fc.oneof(fc.integer({ min: 36, max: 0xffff }), fc.constantFrom(127, 128, 255, 256, 0x7fff, 0x8000)),
    stockPerClient: fc.oneof(fc.constant(0), fc.integer({ min: 1000, max: 10_000_000 })),
    feerate: fc.oneof(fc.integer({ min: 1000, max: 3000 }), fc.constant(100_000)),
  })
  .map((p) => ({
    ...p,
    step: blocks(p.step),
    confirmationMargin: blocks(p.confirmationMargin),
    safetyMargin: blocks(p.safetyMargin),
    stockCsv: blocks(p.stockCsv),
    stockPerClient: sat(p.stockPerClient),
  }))

export const anyCapacities = (maxClients: number): fc.Arbitrary<Sat[]> =>
  fc
    .array(fc.oneof(fc.integer({ min: 10_000, max: 2_000_000 }), fc.constant(10_000)), {
      minLength: 1,
      maxLength: maxClients,
      size: 'max',
    })
    .map((list) => list.map((c) => sat(c)))

export const anyTree = (maxClients: number): fc.Arbitrary<FactoryTree> =>
  fc
    .tuple(anyParams, anyCapacities(maxClients))
    .map(([params, capacities]) => buildTree(specOf(params, capacities), ringOf(capacities.length)))
