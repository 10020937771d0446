import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bytesToHex } from '@noble/hashes/utils.js'
import { ANCHOR, DUST, isPayoutScript, planTree } from '../../src/tree/index.js'
import type { FactoryTree, Spend } from '../../src/tree/index.js'
import { outPointKey } from '../../src/units/index.js'
import { anyTree, clientsOf, specOf, anyParams, anyCapacities } from './fixtures.js'

const CASES = { numRuns: 25 }
const trees = fc.oneof({ weight: 8, arbitrary: anyTree(24) }, { weight: 1, arbitrary: anyTree(70) })

/** What `script` gets when `spend` confirms and all payouts under it do. */
function paidTo(tree: FactoryTree, spend: Spend, script: Uint8Array): bigint {
  const hex = bytesToHex(script)
  const children = new Map(tree.spends.map((s) => [outPointKey(s.prevout.outpoint), s]))
  const visit = (s: Spend): bigint =>
    s.tx.outputs.reduce((sum, out, vout) => {
      const next = children.get(outPointKey({ txid: s.tx.txid, vout }))
      return sum + (next === undefined ? (bytesToHex(out.script) === hex ? out.amount : 0n) : visit(next))
    }, 0n)
  return visit(spend)
}

test('invariant 10: in every transaction the input is the sum of outputs and fee, and the fee pays the rate', () => {
  fc.assert(
    fc.property(trees, (tree) => {
      for (const spend of tree.spends) {
        const paid = spend.tx.outputs.reduce((sum, o) => sum + o.amount, 0n)
        expect(spend.prevout.amount).toBe(paid + spend.fee)
        expect(spend.fee * 1000n).toBeGreaterThanOrEqual(BigInt(spend.vsize) * BigInt(tree.spec.params.feerate))
        if (spend.class === 'poison') continue
        // To the satoshi: nobody can hide money in a fee.
        expect(spend.fee).toBe((BigInt(spend.vsize * tree.spec.params.feerate) + 999n) / 1000n)
      }
    }),
    CASES,
  )
})

test('every input is an output of the tree or the funding, with its amount and script', () => {
  fc.assert(
    fc.property(trees, (tree) => {
      const outputs = new Map(
        tree.spends.flatMap((s) =>
          s.tx.outputs.map((out, vout) => [outPointKey({ txid: s.tx.txid, vout }), out] as const),
        ),
      )
      outputs.set(outPointKey(tree.spec.funding.outpoint), {
        amount: tree.spec.funding.amount,
        script: tree.fundingScript,
      })
      for (const { prevout } of tree.spends) {
        const { outpoint, ...out } = prevout
        expect(outputs.get(outPointKey(outpoint))).toEqual(out)
      }
    }),
    CASES,
  )
})

test('the anchor is last, nothing else is dust, and every outpoint carries each class once', () => {
  fc.assert(
    fc.property(trees, (tree) => {
      const seen = new Set<string>()
      for (const spend of tree.spends) {
        expect(spend.tx.outputs.at(-1)).toEqual(ANCHOR)
        for (const out of spend.tx.outputs.slice(0, -1)) expect(out.amount).toBeGreaterThanOrEqual(DUST)
        const use = `${outPointKey(spend.prevout.outpoint)} ${spend.class}`
        expect(seen.has(use)).toBe(false)
        seen.add(use)
      }
      expect(new Set(tree.spends.map((s) => s.id)).size).toBe(tree.spends.length)
    }),
    CASES,
  )
})

test('invariant 5: a distribution pays each client below its capacity and its share or more, and nobody else', () => {
  fc.assert(
    fc.property(trees, (tree) => {
      const { clients, params } = tree.spec
      const payouts = new Set(clients.map((c) => bytesToHex(c.payoutScript)))
      const joint = new Set(tree.spends.filter((s) => s.role === 'payout').map((s) => outPointKey(s.prevout.outpoint)))
      for (const spend of tree.spends) {
        if (spend.role !== 'distribution' && spend.role !== 'payout' && spend.role !== 'poison') continue
        for (const [vout, out] of spend.tx.outputs.slice(0, -1).entries()) {
          const known = payouts.has(bytesToHex(out.script)) || joint.has(outPointKey({ txid: spend.tx.txid, vout }))
          expect(known).toBe(true)
        }
        for (const participant of spend.signers) {
          const client = clients[participant - 1]
          if (client === undefined) continue
          const paid = paidTo(tree, spend, client.payoutScript)
          if (spend.role === 'poison') expect(paid).toBe(params.stockPerClient)
          else if (spend.id.startsWith('dist:stock')) expect(paid).toBeGreaterThanOrEqual(params.stockPerClient)
          else expect(paid).toBeGreaterThanOrEqual(client.capacity + params.stockPerClient)
        }
      }
    }),
    CASES,
  )
})

test('every shared output has its distribution, every stock its poison, and no kickoff output either', () => {
  fc.assert(
    fc.property(trees, (tree) => {
      const classesOf = new Map<string, string[]>()
      for (const s of tree.spends) {
        const key = outPointKey(s.prevout.outpoint)
        classesOf.set(key, [...(classesOf.get(key) ?? []), s.class].sort())
      }
      const both = ['child', 'distribution']
      expect(classesOf.get(outPointKey(tree.spec.funding.outpoint))).toEqual(both)
      for (const spend of tree.spends) {
        for (const [vout, out] of spend.tx.outputs.slice(0, -1).entries()) {
          const classes = classesOf.get(outPointKey({ txid: spend.tx.txid, vout }))
          if (spend.role === 'static') expect(classes).toEqual(both)
          else if (spend.role === 'kickoff') expect(classes).toEqual(['child'])
          else if (spend.role === 'leaf') {
            const channel = out.script[0] === 0
            expect(classes).toEqual(channel ? undefined : ['distribution', 'poison'])
          } else expect(classes).toEqual(isPayoutScript(out.script) && classes === undefined ? undefined : ['child'])
        }
      }
    }),
    CASES,
  )
})

test('each client signs what lies between the funding and itself, the LSP everything but payouts', () => {
  fc.assert(
    fc.property(trees, (tree) => {
      const signed = new Map<number, string[]>()
      for (const spend of tree.spends) {
        expect(spend.signers[0] === 0).toBe(spend.role !== 'payout')
        expect(spend.signers).toEqual([...spend.signers].sort((a, b) => a - b))
        for (const s of spend.signers) signed.set(s, [...(signed.get(s) ?? []), spend.id])
      }
      for (const c of clientsOf(tree)) expect([...tree.pathIds(c)].sort()).toEqual((signed.get(c) ?? []).sort())
    }),
    CASES,
  )
})

test('channels hold their capacity on the script that the node gave', () => {
  fc.assert(
    fc.property(trees, (tree) => {
      const outpoints = clientsOf(tree).map((c) => {
        const channel = tree.channel(c)
        const client = tree.spec.clients[c - 1]
        expect(channel.amount).toBe(client?.capacity)
        expect(channel.script).toEqual(client?.channelScript)
        return outPointKey(channel.outpoint)
      })
      expect(new Set(outpoints).size).toBe(outpoints.length)
    }),
    CASES,
  )
})

test('sequences and lock times: the leaf waits for its states, distributions for the expiry, nothing else', () => {
  fc.assert(
    fc.property(trees, (tree) => {
      const { step, states } = tree.spec.params
      for (const { tx, role } of tree.spends) {
        expect(tx.version).toBe(3)
        expect(tx.sequence).toBe(role === 'leaf' ? step * (states - 1) : 0xfffffffd)
        expect(tx.lockTime).toBe(role === 'distribution' ? tree.spec.expiry : 0)
      }
    }),
    CASES,
  )
})

test('planned funding is what the tree needs, whatever the payout scripts are; a satoshi off is refused', () => {
  fc.assert(
    fc.property(anyParams, anyCapacities(40), (params, capacities) => {
      const spec = specOf(params, capacities)
      expect(spec.funding.amount).toBe(planTree({ params, capacities }).fundingAmount)
    }),
    CASES,
  )
})
