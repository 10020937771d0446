import { afterAll, beforeAll, expect, it } from 'vitest'
import { FactoryNetwork, SHORT_DELAYS, until, type CreatedFactory, type Lightningd } from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'

/** Built into the tree is 1 sat/vB; bitcoind takes nothing under 5. */
const DEMANDING = { extraArgs: ['-minrelaytxfee=0.00005', '-fallbackfee=0.0001'] }
const COIN = 50_000

interface Entry {
  readonly vsize: number
  readonly fees: { readonly base: number }
  readonly depends: readonly string[]
}

describeWithLightningd('an exit while bitcoind demands more than the built-in fee', () => {
  let net: FactoryNetwork
  let factory: CreatedFactory
  let client: Lightningd
  let path: readonly { readonly txid: string; readonly role: string }[]

  const mempool = async (): Promise<Record<string, Entry>> =>
    (await net.network.bitcoind.call('getrawmempool', [true])) as unknown as Record<string, Entry>
  const noticeWith = (words: string): Promise<string> =>
    until(
      async () => {
        const notice = (await net.factory(client, factory.instance_id))?.notice
        return notice?.includes(words) === true && notice
      },
      { what: `a notice with "${words}"` },
    )

  beforeAll(async () => {
    net = await FactoryNetwork.start(1)
    client = net.clients[0] as Lightningd
    factory = await net.create(net.clients)
    const { status } = await net.lsp.call('pay', { bolt11: await net.invoice(client, 300_000_000) })
    expect(status).toBe('complete')
    await net.network.settled()
    // From now on the tree's own fee is too low.
    await net.network.bitcoind.restart(DEMANDING)
    await net.lsp.stop()
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  it('says, with the factory and in the log, that it needs a coin', async () => {
    path = ((await client.call('factory-exit', { instance_id: factory.instance_id })) as { transactions: typeof path })
      .transactions
    expect(path.map((t) => t.role)).toEqual(['kickoff', 'leaf'])
    const notice = await noticeWith('send coins to lightning-cli newaddr')
    expect(notice).toMatch(/a child must pay \d+ sat for it by height \d+, and the wallet has no confirmed coin/)
    const { log } = (await client.call('factory-log', { instance_id: factory.instance_id, limit: 1000 })) as {
      log: { kind: string; text: string }[]
    }
    expect(log.some((l) => l.kind === 'warning' && l.text.includes('no confirmed coin'))).toBe(true)
    expect(await mempool()).toEqual({})
  })

  it('says why no package can be sent', async () => {
    const options = { ...SHORT_DELAYS, 'factory-accept-from': net.lsp.id }
    await client.restart({ options: { ...options, 'factory-bitcoin-rpcpassword': 'wrong' } })
    await net.network.fund(client, COIN)
    expect(await noticeWith('no package can be sent')).toContain('refuses our credentials')
    expect(await mempool()).toEqual({})
    await client.restart({ options })
  })

  it('publishes its path, each transaction with a child that one coin and its change pay', async () => {
    for (const { txid } of path) {
      await until(
        async () => {
          if (txid in (await mempool())) return true
          await net.network.mine(1)
          return false
        },
        { what: `${txid} in the mempool`, seconds: 120 },
      )
      const entries = await mempool()
      const own = entries[txid]
      const child = Object.values(entries).find((e) => e.depends.includes(txid))
      expect(child?.vsize).toBeLessThanOrEqual(163)
      const paid = Math.round(((own?.fees.base ?? 0) + (child?.fees.base ?? 0)) * 1e8)
      expect(paid).toBeGreaterThanOrEqual(5 * ((own?.vsize ?? 0) + (child?.vsize ?? 0)))
      await until(async () => (await net.factory(client, factory.instance_id))?.notice === undefined, {
        what: 'the notice to go',
      })
      await net.network.mine(1)
      expect(await net.network.bitcoind.confirmations(txid)).toBe(1)
    }
    const { outputs } = await client.call('listfunds')
    expect(outputs.filter((o) => o.status === 'confirmed').length).toBe(1)
    const spent = COIN - (await net.walletSats(client))
    expect(spent).toBeGreaterThan(0)
    expect(spent).toBeLessThan(10_000)
  })
})
