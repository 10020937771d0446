import { afterAll, beforeAll, expect, it } from 'vitest'
import { FactoryNetwork, SHORT_DELAYS, until, type CreatedFactory, type Lightningd } from '../src/network/index.js'
import { OBEDIENT, order, revoke } from './faults.js'
import { describeWithLightningd } from './gate.js'

const CAPACITY = 400_000
const PUSH = 100_000_000
const STOCK = 500_000

interface Sale {
  readonly channel_id: string
  readonly capacity_sat: number
  readonly price_msat: number
}
interface WithBought {
  readonly channels: readonly {
    readonly channel_id?: string
    readonly to_us_msat?: number
    readonly bought?: { readonly depth: number; readonly live: boolean }
  }[]
}

describeWithLightningd('liquidity sold out of a stock', () => {
  let net: FactoryNetwork
  let factory: CreatedFactory
  let a: Lightningd
  let b: Lightningd

  beforeAll(async () => {
    const delays = { ...SHORT_DELAYS, 'factory-stock-per-client': STOCK, 'factory-step-timeout': 15 }
    net = await FactoryNetwork.start(2, { lspSats: 20_000_000, delays, node: { env: OBEDIENT } })
    ;[a, b] = net.clients as [Lightningd, Lightningd]
    factory = await net.create(net.clients, { capacity: CAPACITY })
    for (const client of net.clients) {
      const { status } = await net.lsp.call('pay', { bolt11: await net.invoice(client, PUSH) })
      expect(status).toBe('complete')
    }
    await net.lsp.call('factory-policy', { sells: true, sale_base: 1000, sale_rate: 2_000_000 })
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  const buy = (client: Lightningd, capacity: number): Promise<Sale> =>
    client.call('factory-buy', {
      instance_id: factory.instance_id,
      capacity,
      max_price: 2_000_000,
    }) as Promise<unknown> as Promise<Sale>
  const bought = async (node: Lightningd): Promise<WithBought['channels']> => {
    const shown = (await net.show(node, factory.instance_id)) as unknown as WithBought
    return shown.channels.filter((c) => c.bought !== undefined)
  }
  const total = async (node: Lightningd): Promise<number> => {
    const shown = (await net.show(node, factory.instance_id)) as unknown as WithBought
    return shown.channels.reduce((sum, c) => sum + (c.to_us_msat ?? 0), 0)
  }

  it('goes to both clients, one after the other, for the price that the policy makes', async () => {
    const first = await buy(a, 300_000)
    expect(first.price_msat).toBeGreaterThan(1000)
    const second = await buy(b, 200_000)
    expect((await bought(net.lsp)).map((c) => [c.channel_id, c.bought])).toEqual([
      [first.channel_id, { depth: 1, live: true }],
      [second.channel_id, { depth: 2, live: true }],
    ])
    await net.network.settled()
    expect(await total(a)).toBe(PUSH - first.price_msat)
    expect(await total(b)).toBe(PUSH - second.price_msat)
  })

  it('is refused when it costs more than the buyer wants, or the stock has not so much', async () => {
    const ask = (capacity: number, max_price: number): Promise<unknown> =>
      a.call('factory-buy', { instance_id: factory.instance_id, capacity, max_price })
    await expect(ask(100_000, 0)).rejects.toThrow(/the price is \d+ msat/)
    await expect(ask(5_000_000, 100_000_000)).rejects.toThrow(/can't be sold of this stock/)
  })

  it('carries payments over both channels at once', async () => {
    // More than the first channel can take in.
    const { status } = await net.lsp.call('pay', { bolt11: await net.invoice(a, 400_000_000) })
    expect(status).toBe('complete')
    await net.network.settled()
    const [own] = await bought(a)
    expect(own?.to_us_msat).toBeGreaterThan(0)
  })

  it.each([
    ['the LSP', 'lsp', 2],
    ['the LSP', 'lsp', 5],
    ['the buyer', 'client', 3],
    ['the buyer', 'client', 5],
  ] as const)('invariant 8: %s (%s) is killed after commit %i of a sale', async (_name, who, at) => {
    const victim = who === 'lsp' ? net.lsp : b
    const before = await total(b)
    const channels = (await bought(b)).length
    order(victim, { at, when: 'after', signal: 'SIGKILL' })
    const sale = buy(b, 20_000).catch((error: unknown) => error)
    await until(() => Promise.resolve(!victim.running), { what: 'the kill', seconds: 60 })
    revoke(victim)
    await victim.start()
    await net.connectAll()
    await sale
    // Sold and paid, or neither.
    await until(
      async () => {
        const [ours, theirs] = [await bought(b), await bought(net.lsp)]
        const open = ours.filter((c) => c.bought?.live === true).length
        return open === ours.length && theirs.every((c) => c.bought?.live === true)
      },
      { what: 'the sale to end', seconds: 60 },
    )
    await net.network.settled()
    const more = (await bought(b)).length - channels
    const paid = before - (await total(b))
    expect(more === 0 ? paid === 0 : more === 1 && paid > 0).toBe(true)
  })

  it('is left with on chain: leaf, chain, and both channels', async () => {
    const before = await net.walletSats(a)
    const due = Math.floor((await total(a)) / 1000)
    await net.lsp.stop()
    const plan = (await a.call('factory-exit', { instance_id: factory.instance_id })) as {
      transactions: { role: string }[]
    }
    expect(plan.transactions.map((t) => t.role)).toEqual(['kickoff', 'leaf', 'chain'])
    await until(
      async () => {
        await net.network.mine(1)
        return (await net.factory(a, factory.instance_id))?.phase === 'exited'
      },
      { what: 'the exit to be over', seconds: 240 },
    )
    await until(
      async () => {
        await net.network.mine(1)
        return (await net.walletSats(a)) > before + due - 2000
      },
      { what: 'the sweep of both channels', seconds: 240 },
    )
    expect(await net.walletSats(a)).toBeLessThanOrEqual(before + due)
  })
})
