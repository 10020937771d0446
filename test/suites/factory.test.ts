import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  FactoryNetwork,
  until,
  type ClosedFactory,
  type CreatedFactory,
  type Lightningd,
} from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'

const CAPACITY = 1_000_000

const pay = async (payer: Lightningd, bolt11: string, command = 'factory-pay'): Promise<void> => {
  const { status } = (await payer.call(command, { bolt11 })) as {
    status: string
  }
  expect(status).toBe('complete')
}

describeWithLightningd('one LSP and eight clients', () => {
  let net: FactoryNetwork
  let outside: Lightningd
  let factory: CreatedFactory

  beforeAll(async () => {
    net = await FactoryNetwork.start(8)
    ;[outside] = (await net.network.add(['outside'])) as [Lightningd]
    await net.network.fund(outside, 20_000_000)
    await net.network.openChannel(outside, net.lsp, 700_000)
    await net.network.openChannel(outside, net.lsp, 700_000)
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  it('creates a factory behind one confirmed output', async () => {
    factory = await net.create(net.clients, { capacity: CAPACITY })
    const tx = await net.network.bitcoind.call('getrawtransaction', [factory.funding_txid, true])
    expect(tx.vout[factory.funding_outnum]?.value).toBe(factory.funding_sat / 1e8)
    const { channels } = await net.lsp.call('listpeerchannels')
    const virtual = channels.filter((c) => c.private)
    expect(virtual.map((c) => c.state)).toEqual(Array.from({ length: 8 }, () => 'CHANNELD_NORMAL'))
    // Two leaves of four channels each, and none of them on chain.
    expect(new Set(virtual.map((c) => c.funding_txid)).size).toBe(2)
    for (const c of virtual)
      await expect(net.network.bitcoind.call('getrawtransaction', [c.funding_txid])).rejects.toThrow()
  })

  it('takes payments from outside, in one part and in several', async () => {
    for (const client of net.clients) await pay(outside, await net.invoice(client, 50_000_000), 'pay')
    const [first] = net.clients as [Lightningd]
    // More than either ordinary channel holds.
    const { parts } = await outside.call('pay', { bolt11: await net.invoice(first, 800_000_000) })
    expect(parts).toBeGreaterThan(1)
    expect(await net.balance(first, factory.instance_id)).toBe(850_000_000)
  })

  it('pays from client to client, and to outside', async () => {
    const [a, b, , , , f] = net.clients as Lightningd[]
    await pay(a as Lightningd, await net.invoice(b as Lightningd, 12_345_678))
    await pay(b as Lightningd, await net.invoice(f as Lightningd, 7_000_001))
    const { bolt11 } = await outside.call('invoice', { amount_msat: 20_000_000, label: 'back', description: 'back' })
    await pay(f as Lightningd, bolt11)
    await net.network.settled()
  })

  it('goes on after a restart of the LSP and of a client', async () => {
    const [a, b] = net.clients as [Lightningd, Lightningd]
    await net.lsp.restart()
    await a.restart()
    await net.connectAll()
    await net.inPhase(factory.instance_id, 'active', [net.lsp, a])
    await until(
      async () => {
        const { channels } = await net.lsp.call('listpeerchannels')
        return channels.filter((c) => c.private).every((c) => c.peer_connected && c.state === 'CHANNELD_NORMAL')
      },
      { what: 'the channels to be reestablished' },
    )
    await pay(b, await net.invoice(a, 1_000_003))
  })

  it('invariant 10: closes in one transaction that pays each balance to the satoshi', async () => {
    await net.network.settled()
    const balances = await Promise.all(net.clients.map((c) => net.balance(c, factory.instance_id)))
    const before = await Promise.all(net.clients.map((c) => net.walletSats(c)))
    const closed = (await net.lsp.call('factory-close', {
      instance_id: factory.instance_id,
    })) as unknown as ClosedFactory
    await net.network.bitcoind.waitForMempool([closed.txid])
    await net.network.mine(1)
    await net.inPhase(factory.instance_id, 'closed', [net.lsp, ...net.clients])
    for (const [i, client] of net.clients.entries()) {
      const due = Math.floor((balances[i] ?? 0) / 1000)
      await until(async () => (await net.walletSats(client)) === (before[i] ?? 0) + due, {
        what: `${client.alias} to own ${due} sat more than ${before[i]}`,
      })
    }
    const paid = balances.reduce((sum, msat) => sum + Math.floor(msat / 1000), 0)
    expect(paid + closed.to_us_sat + closed.fee_sat).toBe(factory.funding_sat)
  })
})

describeWithLightningd('other sizes', () => {
  let net: FactoryNetwork
  const most = Number(process.env['LN_FACTORY_CLIENTS'] ?? 5)
  beforeAll(async () => {
    net = await FactoryNetwork.start(most)
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  it.each([2, 3, 4, 5, 16].filter((n) => n <= most))('%i clients: created and closed', async (n) => {
    const clients = net.clients.slice(0, n)
    const factory = await net.create(clients)
    const closed = (await net.lsp.call('factory-close', {
      instance_id: factory.instance_id,
    })) as unknown as ClosedFactory
    await net.network.mine(1)
    await net.inPhase(factory.instance_id, 'closed', [net.lsp, ...clients])
    expect(closed.to_us_sat + closed.fee_sat).toBe(factory.funding_sat)
  })

  it('pays in parts over the channels of two factories', async () => {
    const [payer, payee] = net.clients.slice(0, 2) as [Lightningd, Lightningd]
    await net.create([payer, payee])
    await net.create([payer, payee])
    for (const msat of [700_000_000, 700_000_000]) {
      const { status } = await net.lsp.call('pay', { bolt11: await net.invoice(payer, msat) })
      expect(status).toBe('complete')
    }
    await net.network.settled()
    // More than either channel holds, on both sides.
    const bolt11 = await net.invoice(payee, 1_100_000_000)
    const paid = (await payer.call('factory-pay', { bolt11 })) as unknown as { status: string; parts: number }
    expect(paid.status).toBe('complete')
    expect(paid.parts).toBeGreaterThan(1)
  })
})
