import type { Payload } from '@ln-factory/tlv'
import { describe, expect, it } from 'vitest'
import { sat } from '../../src/units/index.js'
import { payloadOf, tamper } from '../simulation/net.js'
import { BALANCE, Shop } from './scene.js'

const PRICE = 1000n
const ID = /^[0-9a-f]{64}$/

describe('a sale', () => {
  it('gives the buyer a second channel, open on both sides, and the LSP its price', async () => {
    const shop = await Shop.of(1, 4)
    const { net } = shop
    const id = await shop.buy(0)
    expect(id).toMatch(ID)
    expect(shop.balance(0)).toBe(BALANCE - PRICE)
    for (const node of [net.lsp, net.client(0)]) expect(shop.gate(node, id)).toBe('open')
    const [, bought] = shop.channels(net.client(0))
    expect([bought?.capacity, bought?.balance, bought?.released]).toEqual([sat(300_000), 0n, true])
    // W of the new channel is longer by one confirmation.
    const w = (channelId: string): number => net.node(net.lsp).gated(channelId)?.earlyWarning ?? 0
    expect(w(id) - w(shop.channels(net.client(0))[0]?.channelId ?? '')).toBe(6)
    expect((await net.show(net.client(0), shop.instance))?.channels.map((c) => c.bought)).toEqual([
      undefined,
      { depth: 1, live: true },
    ])
  })

  it('to the other client of the stock chains on, until nothing is left; other stocks go on by themselves', async () => {
    const shop = await Shop.of(2, 4)
    expect(await shop.buy(0)).toMatch(ID)
    expect(await shop.buy(1)).toMatch(ID)
    expect(await shop.buy(0, 399_000)).toMatch(/can't be sold of this stock.*all: (\d+) sat/)
    expect(await shop.buy(2, 900_000)).toMatch(ID)
    const details = await shop.net.show(shop.net.client(0), shop.instance)
    expect(details?.transactions.filter((t) => t.role === 'chain').map((t) => t.signed)).toEqual([true, true])
  })

  it('that the operator orders is free, or needs the client to want it', async () => {
    const shop = await Shop.of(3, 2)
    expect(await shop.sell(0, 200_000, 5n)).toMatch(/pay no more than 0 msat/)
    expect(await shop.sell(0, 200_000, 0n)).toMatch(ID)
    expect(shop.balance(0)).toBe(BALANCE)
  })

  it.each<[string, Partial<Parameters<typeof Shop.of>[2]>, number, bigint, RegExp]>([
    ['an LSP that does not sell', { sells: false }, 100_000, 10_000n, /sells no liquidity/],
    ['too dear', {}, 100_000, 999n, /the price is 1000 msat/],
    ['too small', { min: sat(200_000) }, 100_000, 10_000n, /under the LSP's minimum/],
    ['too large', { max: sat(50_000) }, 100_000, 10_000n, /over the LSP's maximum/],
    ['more than the stock has', {}, 2_000_000, 10_000n, /can't be sold of this stock/],
  ])('invariant 11: %s: refused with its reason', async (_name, sales, capacity, most, reason) => {
    const shop = await Shop.of(4, 2, sales)
    expect(await shop.buy(0, capacity, most)).toMatch(reason)
    expect(shop.channels(shop.net.client(0)).length).toBe(1)
  })

  it('needs everyone who shares the stock', async () => {
    const shop = await Shop.of(5, 2)
    shop.net.world.disconnect(shop.net.lsp, shop.net.client(1))
    expect(await shop.buy(0)).toMatch(/who shares the stock and has to sign, is not connected/)
    await shop.net.heal()
    expect(await shop.buy(0)).toMatch(ID)
  })
})

describe('invariants 4 and 5: a stock has one child, whoever asks', () => {
  const link = (shop: Shop) => [shop.net.lsp, shop.net.client(1)] as const

  it('of which the co-client is shown another: nobody signs both', async () => {
    const shop = await Shop.of(6, 2)
    tamper(shop.net.world, link(shop), 'sale_propose', (p) => [p, { ...p, capacity: p.capacity - 1n }, p])
    await shop.buy(0)
    await shop.net.world.calm()
    expect(new Set(shop.children(shop.net.client(1)))).toEqual(new Set([1]))
  })

  it('after it was signed, and its signatures never came', async () => {
    const shop = await Shop.of(7, 2)
    const { net } = shop
    const held: Payload[] = []
    tamper(net.world, link(shop), 'sale_signatures', (p) => {
      held.push(p)
      return []
    })
    await shop.buy(0)
    const before = shop.children(net.client(1))
    const said: string[] = []
    const wire = net.world.wire
    net.world.wire = (from, to, body) => {
      const payload = payloadOf(body)
      if (from === net.client(1) && payload !== undefined) said.push(payload.kind)
      return wire(from, to, body)
    }
    const instanceId = Uint8Array.from(Buffer.from(shop.instance, 'hex'))
    const channelScript = Uint8Array.from([0, 32, ...new Uint8Array(32).fill(9)])
    const other = { number: 1, buyer: 1, capacity: 100_000n, channelScript, paymentSecret: new Uint8Array(32) }
    await net.say(net.lsp, net.client(1), { kind: 'sale_propose', instanceId, ...other })
    expect(said).toEqual(['sale_abort'])
    // Restarted, it remembers.
    net.world.crash(net.client(1))
    await net.world.start(net.client(1))
    await net.say(net.lsp, net.client(1), { kind: 'sale_propose', instanceId, ...other })
    expect(shop.children(net.client(1))).toEqual(before)
    // And what it has signed it gets.
    await net.heal()
    await net.world.calm()
    const shown = await net.show(net.client(1), shop.instance)
    expect(shown?.transactions.filter((t) => t.role === 'chain').map((t) => t.signed)).toEqual([true])
  })
})

describe('the price', () => {
  it('is not taken before the buyer has every signature', async () => {
    const shop = await Shop.of(8, 2)
    const { net } = shop
    tamper(net.world, [net.lsp, net.client(0)], 'sale_signatures', () => [])
    expect(await shop.buy(0)).toBe('under way')
    expect(shop.balance(0)).toBe(BALANCE)
    net.world.disconnect(net.lsp, net.client(0))
    await net.heal()
    await net.world.calm()
    expect(shop.balance(0)).toBe(BALANCE - PRICE)
  })

  it('a buyer that keeps the preimage for itself gets no HTLC through', async () => {
    const shop = await Shop.of(9, 2)
    const { net } = shop
    tamper(net.world, [net.client(0), net.lsp], 'sale_stored', (m) => [{ ...m, preimage: [] }])
    expect(await shop.buy(0)).toBe('under way')
    const id = shop.channels(net.client(0))[1]?.channelId ?? ''
    expect(shop.gate(net.lsp, id)).toBe('shut')
    expect(shop.balance(0)).toBe(BALANCE)
  })
})

describe('invariant 10: a close counts all channels of a client', () => {
  it('pays the sum, to the satoshi', async () => {
    const shop = await Shop.of(10, 2)
    const { net } = shop
    expect(await shop.buy(0)).toMatch(ID)
    const [, bought] = shop.channels(net.client(0))
    if (bought !== undefined) bought.balance = sat(120_000_000) as never
    const closing = net.node(net.lsp).close(shop.instance, 1000)
    closing.catch(() => undefined)
    await net.world.run()
    const { txid } = await closing
    await net.world.mine(1)
    expect(await net.phases(shop.instance)).toEqual(['closed', 'closed', 'closed'])
    expect(net.world.chain.accepted.has(txid)).toBe(true)
  })
})

describe('an exit with bought channels', () => {
  it.each([
    ['the buyer', 0],
    ['the other client of the stock', 1],
  ] as const)('of %s: leaf, chain, then every channel', async (_name, leaver) => {
    const shop = await Shop.of(11, 2)
    const { net } = shop
    expect(await shop.buy(0)).toMatch(ID)
    expect(await shop.buy(1)).toMatch(ID)
    net.world.crash(net.lsp)
    net.world.crash(net.client(1 - leaver))
    const leaving = net.node(net.client(leaver)).exit(shop.instance)
    await net.world.run()
    const plan = await leaving
    expect(plan.transactions.map((t) => t.role)).toEqual([
      'kickoff',
      'leaf',
      ...Array<string>(leaver + 1).fill('chain'),
    ])
    await net.world.mine(40)
    expect((await net.show(net.client(leaver), shop.instance))?.phase).toBe('exited')
    for (const c of shop.channels(net.client(leaver))) expect(net.world.chain.coin(c.funding)).toBeUndefined()
  })

  it('of the LSP brings every channel and the last rest home', async () => {
    const shop = await Shop.of(12, 2)
    const { net } = shop
    expect(await shop.buy(0)).toMatch(ID)
    for (const id of net.clients) net.world.crash(id)
    await net.node(net.lsp).exit(shop.instance)
    await net.world.run()
    await net.world.mine(120)
    expect((await net.show(net.lsp, shop.instance))?.phase).toBe('exited')
  })
})
