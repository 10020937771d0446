import { signSchnorr } from '@ln-factory/core/signing'
import {
  buildClose,
  buildStockSweep,
  closeOutputs,
  defaultParams,
  finalize,
  finalizeStockSweep,
} from '@ln-factory/core/tree'
import type { Spend, TreeParams } from '@ln-factory/core/tree'
import { blocks, participantIndex, sat } from '@ln-factory/core/units'
import { bytesToHex, concatBytes, randomBytes } from '@noble/hashes/utils.js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Bitcoind, satOfBtc } from '../src/network/index.js'
import { describeWithBitcoind } from './gate.js'
import { at, fundTree, hash, preimage, sign, type FundedTree } from './tree/funded.js'

/** Short waits; three states, so that the leaf waits 10 blocks. */
const PARAMS: TreeParams = {
  ...defaultParams,
  fanout: 2,
  states: 3,
  step: blocks(5),
  confirmationMargin: blocks(1),
  safetyMargin: blocks(0),
  stockCsv: blocks(17),
}
const LEAF_DELAY = 10

function signed(factory: FundedTree, spend: Spend): string {
  const leaf = /^poison:(\d+)\./.exec(spend.id)?.[1]
  return bytesToHex(finalize(spend, sign(factory, spend), leaf === undefined ? undefined : preimage(Number(leaf))))
}

describeWithBitcoind('the tree on a real bitcoind, with the relay rules of the main network', () => {
  let bitcoind: Bitcoind
  beforeAll(async () => {
    bitcoind = await Bitcoind.start()
  })
  afterAll(async () => {
    await bitcoind.stop()
  })

  const mineTo = async (height: number): Promise<void> => {
    const missing = height - (await bitcoind.height())
    expect(missing).toBeGreaterThanOrEqual(0)
    if (missing > 0) await bitcoind.mine(missing)
  }
  /** What the mempool says to it: `accepted`, or why not. */
  const verdict = async (raw: string): Promise<string> => {
    const { allowed, 'reject-reason': reason } = at(await bitcoind.call('testmempoolaccept', [[raw]]), 0)
    return allowed === true ? 'accepted' : (reason ?? 'no reason')
  }
  const expectAccepted = async (factory: FundedTree, spend: Spend): Promise<string> => {
    const raw = signed(factory, spend)
    const answer = at(await bitcoind.call('testmempoolaccept', [[raw]]), 0)
    expect({ id: spend.id, allowed: answer.allowed, reason: answer['reject-reason'] }).toEqual({
      id: spend.id,
      allowed: true,
    })
    expect(answer.vsize).toBe(spend.vsize)
    expect(answer.txid).toBe(spend.tx.txid)
    return raw
  }
  /** Broadcasts what may go out together, and confirms it. */
  const confirm = async (factory: FundedTree, spends: readonly Spend[]): Promise<void> => {
    for (const spend of spends) await bitcoind.call('sendrawtransaction', [await expectAccepted(factory, spend)])
    await bitcoind.mine(1)
    for (const spend of spends) expect(await bitcoind.confirmations(spend.tx.txid)).toBe(1)
  }
  const unspent = async (output: { outpoint: { txid: string; vout: number } }): Promise<number | undefined> => {
    const found = await bitcoind.call('gettxout', [output.outpoint.txid, output.outpoint.vout])
    return found === null ? undefined : satOfBtc(found.value)
  }

  const fundedFactory = (name: string, clients: number, lifetime: number): Promise<FundedTree> =>
    fundTree(bitcoind, PARAMS, { name, clients, lifetime })

  /** Level by level: what spends the funding, then what spends that, and so on. */
  async function publishDownToKickoffs(factory: FundedTree): Promise<void> {
    let ready = new Set([factory.tree.spec.funding.outpoint.txid])
    for (;;) {
      const level = [...factory.of('static'), ...factory.of('kickoff')].filter((s) =>
        ready.has(s.prevout.outpoint.txid),
      )
      if (level.length === 0) return
      await confirm(factory, level)
      ready = new Set(level.map((s) => s.tx.txid))
    }
  }

  /** The LSP alone takes the stock that `poison` spends, after its CSV. */
  const lspSweep = ({ tree, secrets }: FundedTree, poison: Spend): string => {
    const script = concatBytes(Uint8Array.of(0, 20), hash('lsp').subarray(12))
    const secretKey = at(secrets, 0)
    const { params } = tree.spec
    const sweep = buildStockSweep({ params, lspKey: secretKey.publicKey, poison, script, feerate: 1000 })
    const signature = signSchnorr({ secretKey, message: sweep.sighash, aux: randomBytes(32) })
    return bytesToHex(finalizeStockSweep(sweep, signature))
  }

  it.each([1, 5, 9])('every child of a factory of %i confirms in its time and no sooner', async (clients) => {
    const factory = await fundedFactory(`exit ${clients}`, clients, 60)
    const { tree, of } = factory
    expect(of('leaf').length).toBe(Math.ceil(clients / 4))
    expect(of('static').length > 0).toBe(clients > 4)
    // Nothing below is known yet.
    expect(await verdict(signed(factory, factory.spend('leaf:0')))).toBe('missing-inputs')
    await publishDownToKickoffs(factory)
    const kicked = await bitcoind.height()

    await mineTo(kicked + LEAF_DELAY - 2)
    // Leaf 0 is below as many levels as any: its kickoff was among the last to confirm.
    expect(await bitcoind.confirmations(factory.spend('kickoff:0').tx.txid)).toBe(LEAF_DELAY - 1)
    expect(await verdict(signed(factory, factory.spend('leaf:0')))).toBe('non-BIP68-final')
    await mineTo(kicked + LEAF_DELAY - 1)
    await confirm(factory, of('leaf'))
    for (const [i, { capacity }] of tree.spec.clients.entries()) {
      expect(await unspent(tree.channel(participantIndex(i + 1)))).toBe(Number(capacity))
    }
  })

  it.each([1, 5, 9])(
    'the stocks of a factory of %i: poison by its preimage only, the LSP after its CSV',
    async (clients) => {
      const factory = await fundedFactory(`stock ${clients}`, clients, 60)
      const { tree, of } = factory
      await publishDownToKickoffs(factory)
      await bitcoind.mine(LEAF_DELAY - 1)
      await confirm(factory, of('leaf'))
      const leafHeight = await bitcoind.height()
      const poisons = of('poison')
      const stocks = tree.spends.filter((s) => s.id.startsWith('dist:stock'))
      expect(poisons.length).toBe(stocks.length)

      for (const poison of poisons) {
        const raw = await expectAccepted(factory, poison)
        const leaf = Number(/^poison:(\d+)/.exec(poison.id)?.[1])
        const garble = (by: Uint8Array): string => raw.replace(bytesToHex(preimage(leaf)), bytesToHex(by))
        expect(await verdict(garble(hash('a guess')))).toMatch(/script-verify-flag.*EQUALVERIFY/)
        // Without the wait in its nSequence (before the count of outputs) the script itself fails.
        const hasty = lspSweep(factory, poison).replace('001100000001', '000000000001')
        expect(await verdict(hasty)).toMatch(/script-verify-flag.*Locktime/)
        expect(await verdict(lspSweep(factory, poison))).toBe('non-BIP68-final')
      }
      // The clients' key path needs the LSP: a poison's signature is none for the distribution.
      const [stock] = stocks
      const [poison] = poisons
      if (stock === undefined || poison === undefined) throw new Error('no stock')
      const misused = bytesToHex(finalize(stock, sign(factory, poison)))
      await mineTo(leafHeight + PARAMS.stockCsv - 2)
      for (const p of poisons) expect(await verdict(lspSweep(factory, p))).toBe('non-BIP68-final')
      await mineTo(leafHeight + PARAMS.stockCsv - 1)
      for (const p of poisons) expect(await verdict(lspSweep(factory, p))).toBe('accepted')

      await mineTo(tree.spec.expiry - 1)
      for (const spend of stocks) expect(await verdict(signed(factory, spend))).toBe('non-final')
      await mineTo(tree.spec.expiry)
      expect(await verdict(misused)).toMatch(/Invalid Schnorr signature/)
      for (const spend of stocks) await expectAccepted(factory, spend)
      // One stock each way, as far as there are stocks.
      await bitcoind.call('sendrawtransaction', [lspSweep(factory, poison)])
      await confirm(factory, [...poisons.slice(1, 2), ...stocks.slice(2)])
      for (const p of poisons) expect(await unspent(p.prevout)).toBeUndefined()
    },
  )

  it.each([1, 5, 9, 20])('the LSP of a factory of %i does nothing until expiry: everyone is paid', async (clients) => {
    const factory = await fundedFactory(`idle ${clients}`, clients, 8)
    const { tree, of } = factory
    const distribution = factory.spend('dist:funding')
    await mineTo(tree.spec.expiry - 1)
    expect(await verdict(signed(factory, distribution))).toBe('non-final')
    await mineTo(tree.spec.expiry)
    await confirm(factory, [distribution])
    // Only a large factory pays groups first.
    const payouts = of('payout').filter((s) => s.prevout.outpoint.txid === distribution.tx.txid)
    expect(payouts.length).toBe(clients > 16 ? 2 : 0)
    if (payouts.length > 0) await confirm(factory, payouts)
    const paid = [distribution, ...payouts].flatMap(({ tx }) =>
      tx.outputs.map((out, vout) => ({ ...out, outpoint: { txid: tx.txid, vout } })),
    )
    for (const { payoutScript, capacity } of tree.spec.clients) {
      const mine = paid.filter((o) => bytesToHex(o.script) === bytesToHex(payoutScript))
      expect(mine.length).toBe(1)
      expect(await unspent(at(mine, 0))).toBeGreaterThanOrEqual(Number(capacity + PARAMS.stockPerClient))
    }
  })

  it.each([9, 40])('static outputs of a factory of %i are distributed at expiry', async (clients) => {
    const factory = await fundedFactory(`half ${clients}`, clients, 12)
    const { tree, of } = factory
    const root = factory.spend('static:0')
    await confirm(factory, [root])
    const distributions = of('distribution').filter((s) => s.prevout.outpoint.txid === root.tx.txid)
    expect(distributions.length).toBe(root.tx.outputs.length - 1)
    await mineTo(tree.spec.expiry - 1)
    for (const spend of distributions) expect(await verdict(signed(factory, spend))).toBe('non-final')
    await mineTo(tree.spec.expiry)
    await confirm(factory, distributions)
    const groups = of('payout').filter((s) => distributions.some((d) => d.tx.txid === s.prevout.outpoint.txid))
    expect(groups.length > 0).toBe(clients === 40)
    if (groups.length > 0) await confirm(factory, groups)
  })

  it('a level confirms before the next but one may go out, and a spent path voids the distribution', async () => {
    const factory = await fundedFactory('truc', 9, 5)
    for (const id of ['static:0', 'static:0.0']) {
      await bitcoind.call('sendrawtransaction', [await expectAccepted(factory, factory.spend(id))])
    }
    const raw = signed(factory, factory.spend('kickoff:0'))
    expect(await verdict(raw)).toMatch(/truc/i)
    await bitcoind.mine(1)
    expect(await verdict(raw)).toBe('accepted')
    await mineTo(factory.tree.spec.expiry)
    expect(await verdict(signed(factory, factory.spend('dist:funding')))).toBe('missing-inputs')
  })

  it.each([1, 5, 9])(
    'a factory of %i closes in one transaction, with every balance to the satoshi',
    async (clients) => {
      const factory = await fundedFactory(`close ${clients}`, clients, 60)
      const { funding, clients: members } = factory.tree.spec
      const balances = members.map(({ payoutScript }, i) => ({ amount: sat(1234 * i + 329), script: payoutScript }))
      const lspScript = concatBytes(Uint8Array.of(0x51, 32), hash('lsp'))
      const { outputs } = closeOutputs({ fundingAmount: funding.amount, balances, lspScript, feerate: 2500 })
      expect(outputs.length).toBe(clients)
      const future = buildClose({ funding, keys: factory.keys, outputs, lockTime: (await bitcoind.height()) + 1 })
      expect(await verdict(signed(factory, future))).toBe('non-final')
      const close = buildClose({ funding, keys: factory.keys, outputs, lockTime: await bitcoind.height() })
      const [lie, ...rest] = outputs
      if (lie === undefined) throw new Error('no outputs')
      const altered = buildClose({
        funding,
        keys: factory.keys,
        outputs: [{ ...lie, amount: sat(lie.amount - 1n) }, ...rest],
        lockTime: 0,
      })
      expect(await verdict(bytesToHex(finalize(altered, sign(factory, close))))).toMatch(/Invalid Schnorr signature/)
      await confirm(factory, [close])
      const { vout } = await bitcoind.call('getrawtransaction', [close.tx.txid, true])
      expect(vout.map((o) => [satOfBtc(o.value), o.scriptPubKey.hex])).toEqual(
        outputs.map((o) => [Number(o.amount), bytesToHex(o.script)]),
      )
    },
  )
})
