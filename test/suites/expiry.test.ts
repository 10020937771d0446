import { afterAll, beforeAll, expect, it } from 'vitest'
import { FactoryNetwork, until, type CreatedFactory, type Lightningd } from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'

const CAPACITY = 1_000_000
const STOCK_SHARE = 20_000
const LIFETIME = 170

/** Mines in steps that every node can follow. */
async function mineTo(net: FactoryNetwork, height: number): Promise<void> {
  for (;;) {
    const now = await net.network.bitcoind.height()
    if (now >= height) return
    await net.network.mine(Math.min(20, height - now))
  }
}

describeWithLightningd('the LSP is gone until the expiry', () => {
  let net: FactoryNetwork
  let factory: CreatedFactory
  beforeAll(async () => {
    net = await FactoryNetwork.start(2)
    factory = await net.create(net.clients, { capacity: CAPACITY, lifetime: LIFETIME })
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  it('invariant 5: every client gets its whole capacity and its stock share, by itself', async () => {
    const [one, two] = net.clients as [Lightningd, Lightningd]
    const { status } = await net.lsp.call('pay', { bolt11: await net.invoice(one, 100_000_000) })
    expect(status).toBe('complete')
    await net.network.settled()
    const expiry = (await net.factory(one, factory.instance_id))?.expiry ?? 0
    await net.lsp.kill9()
    await mineTo(net, expiry - 1)
    expect((await net.factory(one, factory.instance_id))?.phase).toBe('active')
    await mineTo(net, expiry)
    await until(
      async () => {
        await net.network.mine(1)
        const phases = await Promise.all(
          [one, two].map(async (c) => (await net.factory(c, factory.instance_id))?.phase),
        )
        return phases.every((p) => p === 'closed')
      },
      { what: 'the distribution to be confirmed', seconds: 60 },
    )
    for (const client of [one, two])
      await until(async () => (await net.walletSats(client)) >= CAPACITY + STOCK_SHARE, {
        what: `${client.alias} to own its capacity and its share`,
      })
    // No more comes out than went in.
    const paid = (await net.walletSats(one)) + (await net.walletSats(two))
    expect(paid).toBeLessThan(factory.funding_sat)
    expect(paid).toBeGreaterThan(factory.funding_sat - 1000)
  })
})

describeWithLightningd('nobody closes the factory', () => {
  let net: FactoryNetwork
  let factory: CreatedFactory
  beforeAll(async () => {
    net = await FactoryNetwork.start(2)
    factory = await net.create(net.clients, { capacity: CAPACITY, lifetime: LIFETIME })
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  it('the LSP’s node publishes the tree in time, and keeps what is its own', async () => {
    const { expiry, early_warning: w } = (await net.factory(net.lsp, factory.instance_id)) ?? {
      expiry: 0,
      early_warning: 0,
    }
    const before = await net.walletSats(net.lsp)
    await mineTo(net, expiry - w - 1)
    await until(
      async () => {
        await net.network.mine(1)
        return (await net.factory(net.lsp, factory.instance_id))?.phase === 'exited'
      },
      { what: 'every channel and stock to be spent', seconds: 240 },
    )
    await until(
      async () => {
        await net.network.mine(1)
        // The clients never had a balance: all but fees and anchors comes back.
        return (await net.walletSats(net.lsp)) > before + factory.funding_sat - 20_000
      },
      { what: 'the LSP to have its coins back', seconds: 240 },
    )
    const { transactions } = await net.show(net.lsp, factory.instance_id)
    const leaf = transactions.find((t) => t.role === 'leaf')
    expect(leaf?.blockheight).toBeLessThan(expiry)
  })
})
