import { poisonHash } from '@ln-factory/core/signing'
import { buildLeafState, defaultParams, finalize } from '@ln-factory/core/tree'
import type { LeafState, Spend, TreeParams } from '@ln-factory/core/tree'
import { blocks, sat } from '@ln-factory/core/units'
import { bytesToHex, concatBytes } from '@noble/hashes/utils.js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Bitcoind, satOfBtc } from '../src/network/index.js'
import { describeWithBitcoind } from './gate.js'
import { at, fundTree, hash, sign, type FundedTree } from './tree/funded.js'

const PARAMS: TreeParams = {
  ...defaultParams,
  states: 4,
  step: blocks(4),
  confirmationMargin: blocks(1),
  safetyMargin: blocks(0),
  stockCsv: blocks(12),
}
const CLIENTS = 4

/** A leaf of four clients with all of its states signed: each moved 1000 sat of every share into its channels. */
interface Updated {
  readonly factory: FundedTree
  readonly states: readonly LeafState[]
  readonly preimages: readonly Uint8Array[]
}

describeWithBitcoind('the states of a leaf on a real bitcoind', () => {
  let bitcoind: Bitcoind
  beforeAll(async () => {
    bitcoind = await Bitcoind.start()
  })
  afterAll(() => bitcoind.stop())

  async function updated(name: string): Promise<Updated> {
    const factory = await fundTree(bitcoind, PARAMS, { name, clients: CLIENTS, lifetime: 100 })
    const kickoff = factory.spend('kickoff:0')
    const [out] = kickoff.tx.outputs
    if (out === undefined) throw new Error('a kickoff of nothing')
    const { clients, expiry } = factory.tree.spec
    const preimages = Array.from({ length: PARAMS.states }, (_, i) => hash(`${name} preimage ${i}`))
    const states = preimages.map((preimage, state) =>
      buildLeafState({
        params: PARAMS,
        expiry,
        keys: factory.keys,
        leaf: 0,
        kickoff: { outpoint: { txid: kickoff.tx.txid, vout: 0 }, ...out },
        terms: {
          state,
          poisonHash: poisonHash(preimage),
          channels: clients.map((c, i) => ({
            amount: sat(c.capacity + BigInt(state) * 1000n),
            script: concatBytes(Uint8Array.of(0, 32), hash(`${name} channel ${i} of state ${state}`)),
          })),
          shares: [1, 2].map(() => sat(PARAMS.stockPerClient - BigInt(state) * 1000n)),
        },
        payoutScript: (position) => clients[position]?.payoutScript,
      }),
    )
    await confirm(factory, kickoff)
    return { factory, states, preimages }
  }

  const verdict = async (raw: string): Promise<string> => {
    const { allowed, 'reject-reason': reason } = at(await bitcoind.call('testmempoolaccept', [[raw]]), 0)
    return allowed === true ? 'accepted' : (reason ?? 'no reason')
  }
  const raw = (factory: FundedTree, spend: Spend, preimage?: Uint8Array): string =>
    bytesToHex(finalize(spend, sign(factory, spend), preimage))
  const confirm = async (factory: FundedTree, spend: Spend, preimage?: Uint8Array): Promise<void> => {
    const tx = raw(factory, spend, preimage)
    expect({ id: spend.id, verdict: await verdict(tx) }).toEqual({ id: spend.id, verdict: 'accepted' })
    await bitcoind.call('sendrawtransaction', [tx])
    await bitcoind.mine(1)
    expect(await bitcoind.confirmations(spend.tx.txid)).toBe(1)
  }
  const poisonsOf = (state: LeafState): Spend[] => state.stocks.filter((s) => s.role === 'poison')
  const stateAt = ({ states }: Updated, i: number): LeafState => at(states, i)

  it.each([0, 1, 2, 3])('state %i confirms in its time and no sooner, with its own channels', async (i) => {
    const leaf = await updated(`state ${i}`)
    const { factory } = leaf
    const { leaf: spend, channel } = stateAt(leaf, i)
    const delay = PARAMS.step * (PARAMS.states - 1 - i)
    // The kickoff has one confirmation: the next block is the first that can hold a state of no delay.
    for (let waited = 1; waited < delay; waited++) {
      expect(await verdict(raw(factory, spend))).toBe('non-BIP68-final')
      await bitcoind.mine(1)
    }
    await confirm(factory, spend)
    for (const position of factory.tree.spec.clients.keys()) {
      const { outpoint, amount, script } = channel(position)
      const out = await bitcoind.call('gettxout', [outpoint.txid, outpoint.vout])
      expect([satOfBtc(out?.value ?? 0), out?.scriptPubKey.hex]).toEqual([Number(amount), bytesToHex(script)])
    }
  })

  it('a newer state wins: when it may be mined, no older one may', async () => {
    const leaf = await updated('race')
    const { factory, states } = leaf
    for (const newest of [3, 2, 1, 0]) {
      const verdicts = await Promise.all(states.map(async ({ leaf: s }) => verdict(raw(factory, s))))
      expect(verdicts).toEqual(states.map((_, i) => (i >= newest ? 'accepted' : 'non-BIP68-final')))
      // From one state's height to the next one's; the first has none to wait for, and one block is behind it.
      await bitcoind.mine(newest === 3 ? PARAMS.step - 1 : PARAMS.step)
    }
    // All are ripe now: whoever is first. And one state spends what the others would.
    await confirm(factory, stateAt(leaf, 2).leaf)
    for (const i of [0, 1, 3]) expect(await verdict(raw(factory, stateAt(leaf, i).leaf))).toBe('missing-inputs')
  })

  it('invariant 7: a stale state pays its stocks to the clients once its preimage is out', async () => {
    const leaf = await updated('stale')
    const { factory, preimages } = leaf
    await bitcoind.mine(PARAMS.step * 3)
    const stale = stateAt(leaf, 0)
    await confirm(factory, stale.leaf)
    const poisons = poisonsOf(stale)
    expect(poisons.length).toBe(2)
    const { clients } = factory.tree.spec
    for (const poison of poisons) {
      await confirm(factory, poison, at(preimages, 0))
      const { vout } = await bitcoind.call('getrawtransaction', [poison.tx.txid, true])
      const own = poison.signers.filter((p) => p > 0).map((p) => at(clients, p - 1))
      expect(vout.slice(0, -1).map((o) => [satOfBtc(o.value), o.scriptPubKey.hex])).toEqual(
        own.map((c) => [Number(PARAMS.stockPerClient), bytesToHex(c.payoutScript)]),
      )
    }
  })

  it('invariant 7: nothing that was revealed or signed before poisons the live state', async () => {
    const leaf = await updated('live')
    const { factory, states, preimages } = leaf
    const live = stateAt(leaf, 3)
    await confirm(factory, live.leaf)
    for (const poison of poisonsOf(live)) {
      const signed = raw(factory, poison, at(preimages, 3))
      // Preimages of all other states, in the place of its own.
      for (const revealed of preimages.slice(0, 3)) {
        const tried = signed.replace(bytesToHex(at(preimages, 3)), bytesToHex(revealed))
        expect(await verdict(tried)).toMatch(/script-verify-flag.*EQUALVERIFY/)
      }
    }
    for (const [i, other] of states.slice(0, 3).entries())
      for (const poison of poisonsOf(other))
        expect(await verdict(raw(factory, poison, at(preimages, i)))).toBe('missing-inputs')
    // And a stock's distribution waits for the expiry, whatever the state.
    for (const spend of live.stocks.filter((s) => s.role === 'distribution'))
      expect(await verdict(raw(factory, spend))).toBe('non-final')
  })
})
