import { afterAll, beforeAll, expect, it } from 'vitest'
import { FactoryNetwork, until, type CreatedFactory, type Lightningd } from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'

describeWithLightningd('one of eight leaves alone while the LSP is stopped', () => {
  let net: FactoryNetwork
  let factory: CreatedFactory
  const balance = 300_000_000

  beforeAll(async () => {
    net = await FactoryNetwork.start(8)
    factory = await net.create(net.clients)
    const [leaver, other] = net.clients as [Lightningd, Lightningd]
    for (const client of [leaver, other]) {
      // The LSP's own payment: a client starts without a balance.
      const { status } = await net.lsp.call('pay', { bolt11: await net.invoice(client, balance) })
      expect(status).toBe('complete')
    }
    await net.network.settled()
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  it('publishes its path only, and gets its balance', async () => {
    const [leaver] = net.clients as [Lightningd]
    const before = await net.walletSats(leaver)
    await net.lsp.stop()
    const plan = (await leaver.call('factory-exit', { instance_id: factory.instance_id })) as {
      transactions: { txid: string; role: string }[]
    }
    expect(plan.transactions.map((t) => t.role)).toEqual(['static', 'kickoff', 'leaf'])
    await until(
      async () => {
        await net.network.mine(1)
        return (await net.factory(leaver, factory.instance_id))?.phase === 'exited'
      },
      { what: 'the exit to be over', seconds: 240 },
    )
    // to_self_delay of a regtest node is 6 blocks by default; the sweep needs one more.
    await until(
      async () => {
        await net.network.mine(1)
        return (await net.walletSats(leaver)) > before
      },
      { what: 'the sweep of the balance', seconds: 240 },
    )
    const gained = (await net.walletSats(leaver)) - before
    // The client is not the opener: the commitment's fee is the LSP's, so that only the sweep costs.
    expect(gained).toBeGreaterThan(balance / 1000 - 1000)
    expect(gained).toBeLessThanOrEqual(balance / 1000)
  })

  it('leaves the other leaf off chain, and its channels working', async () => {
    const [leaver] = net.clients as [Lightningd]
    const { transactions } = await net.show(leaver, factory.instance_id)
    expect(transactions.filter((t) => t.blockheight !== undefined).map((t) => t.role)).toEqual([
      'static',
      'kickoff',
      'leaf',
    ])
    await net.lsp.start()
    await net.connectAll(net.clients.slice(4))
    const [other] = net.clients.slice(4) as [Lightningd]
    await until(
      async () => {
        const { channels } = await net.lsp.call('listpeerchannels')
        return channels.some((c) => c.peer_id === other.id && c.peer_connected && c.state === 'CHANNELD_NORMAL')
      },
      { what: 'the other channel to be reestablished' },
    )
    const { status } = await net.lsp.call('pay', { bolt11: await net.invoice(other, 1_000_000) })
    expect(status).toBe('complete')
  })
})
