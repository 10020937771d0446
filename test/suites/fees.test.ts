import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FactoryNetwork, until, type CreatedFactory, type Lightningd } from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'

/** Built into the tree is 1 sat/vB; bitcoind takes nothing under 5. */
const DEMANDING = { extraArgs: ['-minrelaytxfee=0.00005', '-fallbackfee=0.0001'] }

interface Coin {
  readonly txid: string
  readonly output: number
  readonly amount_msat: number
  readonly status: string
  readonly reserved: boolean
}

describeWithLightningd('an exit while bitcoind demands more than the built-in fee', () => {
  let net: FactoryNetwork
  let factory: CreatedFactory
  const balance = 300_000_000

  const coins = async (node: Lightningd): Promise<Coin[]> => {
    const { outputs } = await node.call('listfunds')
    return outputs as unknown as Coin[]
  }
  const clients = (): readonly [Lightningd, Lightningd] => net.clients as [Lightningd, Lightningd]

  beforeAll(async () => {
    net = await FactoryNetwork.start(2)
    factory = await net.create(net.clients)
    const [rich, poor] = clients()
    await net.network.fund(rich, 100_000)
    for (const client of [rich, poor]) {
      const { status } = await net.lsp.call('pay', { bolt11: await net.invoice(client, balance) })
      expect(status).toBe('complete')
    }
    await net.network.settled()
    // From now on the tree's own fee is too low.
    await net.network.bitcoind.restart(DEMANDING)
    await net.lsp.stop()
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  describe('without coins', () => {
    it('says what it needs, with the factory and in the log', async () => {
      const [, poor] = clients()
      await poor.call('factory-exit', { instance_id: factory.instance_id })
      const notice = await until(async () => (await net.factory(poor, factory.instance_id))?.notice, {
        what: 'a notice',
      })
      expect(notice).toMatch(/a child must pay \d+ sat for it by height \d+, and the wallet has no confirmed coin/)
      expect(notice).toContain('send coins to lightning-cli newaddr')
      const { log } = (await poor.call('factory-log', { instance_id: factory.instance_id, limit: 1000 })) as {
        log: { kind: string; text: string }[]
      }
      expect(log.some((l) => l.kind === 'warning' && l.text.includes('no confirmed coin'))).toBe(true)
      expect(await net.network.bitcoind.call('getrawmempool')).toEqual([])
    })
  })

  describe('with one coin', () => {
    it('publishes its path, each transaction with a child that pays', async () => {
      const [rich] = clients()
      const before = await net.walletSats(rich)
      const { transactions } = (await rich.call('factory-exit', { instance_id: factory.instance_id })) as {
        transactions: { txid: string }[]
      }
      for (const { txid } of transactions) {
        await until(
          async () => {
            const mempool = await net.network.bitcoind.call('getrawmempool')
            if (mempool.includes(txid)) return true
            await net.network.mine(1)
            return false
          },
          { what: `${txid} in the mempool`, seconds: 120 },
        )
        const entries = (await net.network.bitcoind.call('getrawmempool', [true])) as unknown as Record<
          string,
          { vsize: number; fees: { base: number }; depends: string[] }
        >
        const child = Object.values(entries).find((e) => e.depends.includes(txid))
        expect(child?.vsize).toBeLessThanOrEqual(163)
        const own = entries[txid]
        const paid = Math.round(((own?.fees.base ?? 0) + (child?.fees.base ?? 0)) * 1e8)
        expect(paid).toBeGreaterThanOrEqual(5 * ((own?.vsize ?? 0) + (child?.vsize ?? 0)))
        await net.network.mine(1)
      }
      expect((await net.factory(rich, factory.instance_id))?.notice).toBeUndefined()
      // What is left of the coin came back each time, and nothing stays reserved.
      await until(async () => (await coins(rich)).every((c) => c.status === 'confirmed' && !c.reserved), {
        what: 'the change to be free',
      })
      const spent = before - (await net.walletSats(rich))
      expect(spent).toBeGreaterThan(0)
      expect(spent).toBeLessThan(20_000)
    })
  })

  it('and who had no coins goes on as soon as it has one', async () => {
    const [, poor] = clients()
    await net.network.fund(poor, 50_000)
    await until(
      async () => {
        await net.network.mine(1)
        const shown = await net.show(poor, factory.instance_id)
        return shown.transactions.some((t) => t.role === 'leaf' && t.blockheight !== undefined) && shown
      },
      { what: 'the leaf on chain', seconds: 120 },
    )
    expect((await net.factory(poor, factory.instance_id))?.notice).toBeUndefined()
  })
})
