import {
  buildChain,
  buildStockSweep,
  defaultParams,
  finalize,
  finalizeStockSweep,
  stocksIn,
} from '@ln-factory/core/tree'
import type { Spend, TreeParams } from '@ln-factory/core/tree'
import { signSchnorr } from '@ln-factory/core/signing'
import { blocks, sat } from '@ln-factory/core/units'
import { bytesToHex, concatBytes, randomBytes } from '@noble/hashes/utils.js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Bitcoind, satOfBtc } from '../src/network/index.js'
import { describeWithBitcoind } from './gate.js'
import { at, fundTree, hash, preimage, sign, type FundedTree } from './tree/funded.js'

const PARAMS: TreeParams = {
  ...defaultParams,
  states: 2,
  step: blocks(5),
  confirmationMargin: blocks(1),
  safetyMargin: blocks(0),
  stockCsv: blocks(17),
}
const LEAF_DELAY = 5

function signed(factory: FundedTree, spend: Spend): string {
  return bytesToHex(finalize(spend, sign(factory, spend), spend.role === 'poison' ? preimage(0) : undefined))
}

/** The LSP alone takes the stock that `poison` spends, after its CSV. */
function lspSweep({ tree, secrets }: FundedTree, poison: Spend): string {
  const script = concatBytes(Uint8Array.of(0, 20), hash('lsp').subarray(12))
  const secretKey = at(secrets, 0)
  const { params } = tree.spec
  const sweep = buildStockSweep({ params, lspKey: secretKey.publicKey, poison, script, feerate: 1000 })
  const signature = signSchnorr({ secretKey, message: sweep.sighash, aux: randomBytes(32) })
  return bytesToHex(finalizeStockSweep(sweep, signature))
}

describeWithBitcoind('sold liquidity on a real bitcoind', () => {
  let bitcoind: Bitcoind
  beforeAll(async () => {
    bitcoind = await Bitcoind.start()
  })
  afterAll(() => bitcoind.stop())

  const mineTo = async (height: number): Promise<void> => {
    const missing = height - (await bitcoind.height())
    expect(missing).toBeGreaterThanOrEqual(0)
    if (missing > 0) await bitcoind.mine(missing)
  }
  const verdict = async (raw: string): Promise<string> => {
    const { allowed, 'reject-reason': reason } = at(await bitcoind.call('testmempoolaccept', [[raw]]), 0)
    return allowed === true ? 'accepted' : (reason ?? 'no reason')
  }
  /** Broadcasts what may go out together, and confirms it. */
  const confirm = async (factory: FundedTree, spends: readonly Spend[]): Promise<void> => {
    for (const spend of spends) {
      const raw = signed(factory, spend)
      const { allowed, vsize } = at(await bitcoind.call('testmempoolaccept', [[raw]]), 0)
      expect([spend.id, allowed, vsize]).toEqual([spend.id, true, spend.vsize])
      await bitcoind.call('sendrawtransaction', [raw])
    }
    await bitcoind.mine(1)
    for (const spend of spends) expect(await bitcoind.confirmations(spend.tx.txid)).toBe(1)
  }
  const unspent = async (output: { outpoint: { txid: string; vout: number } }): Promise<number | undefined> => {
    const found = await bitcoind.call('gettxout', [output.outpoint.txid, output.outpoint.vout])
    return found === null ? undefined : satOfBtc(found.value)
  }

  it('chains of sales: each link confirms once the one before has, and the last rest is a stock', async () => {
    const factory = await fundTree(bitcoind, PARAMS, { name: 'sales', clients: 4, lifetime: 60 })
    const { tree, of } = factory
    const stocks = stocksIn(tree.spends)
    expect(stocks.length).toBe(2)
    const chains = stocks.map((stock, i) => {
      const channel = (n: number) => concatBytes(Uint8Array.of(0, 32), hash(`sold ${i} ${n}`))
      const sold = [12_000, 11_000].map((capacity, n) => ({ capacity: sat(capacity), channelScript: channel(n) }))
      return buildChain({ params: PARAMS, stock, sold })
    })
    const [first, second] = [0, 1].map((n) => chains.map((links) => at(links, n)))
    if (first === undefined || second === undefined) throw new Error('no chains')
    const rests = second.map(({ rest }) => {
      if (rest === undefined) throw new Error('nothing left')
      return rest
    })
    const [swept, poisoned] = rests
    if (swept === undefined || poisoned === undefined) throw new Error('no rests')
    await confirm(factory, of('kickoff'))
    expect(await verdict(signed(factory, at(first, 0).chain))).toBe('missing-inputs')
    await bitcoind.mine(LEAF_DELAY - 1)
    await confirm(factory, of('leaf'))
    expect(await verdict(signed(factory, at(second, 0).chain))).toBe('missing-inputs')
    await confirm(
      factory,
      at(chains, 0)
        .slice(0, 1)
        .map((l) => l.chain),
    )
    expect(await verdict(signed(factory, at(stocks, 0).poison))).toBe('missing-inputs')
    await confirm(
      factory,
      at(chains, 1)
        .slice(0, 1)
        .map((l) => l.chain),
    )
    await confirm(
      factory,
      second.map((l) => l.chain),
    )
    const sold = await bitcoind.height()
    for (const links of chains)
      for (const { channel } of links) expect(await unspent(channel)).toBe(Number(channel.amount))

    for (const { poison, distribution } of rests) {
      expect(await verdict(signed(factory, poison))).toBe('accepted')
      expect(await verdict(lspSweep(factory, poison))).toBe('non-BIP68-final')
      expect(await verdict(signed(factory, distribution))).toBe('non-final')
    }
    await confirm(factory, [poisoned.poison])
    await mineTo(sold + PARAMS.stockCsv - 2)
    expect(await verdict(lspSweep(factory, swept.poison))).toBe('non-BIP68-final')
    await mineTo(sold + PARAMS.stockCsv - 1)
    expect(await verdict(lspSweep(factory, swept.poison))).toBe('accepted')
    await mineTo(tree.spec.expiry - 1)
    expect(await verdict(signed(factory, swept.distribution))).toBe('non-final')
    await mineTo(tree.spec.expiry)
    await confirm(factory, [swept.distribution])
  })
})
