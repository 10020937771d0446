import { describe, expect, it } from 'vitest'
import type { NodeId } from '../../src/units/index.js'
import { payloadOf } from '../simulation/net.js'
import { BALANCE, Shop } from './scene.js'

/** Longer runs: LN_FACTORY_SEEDS=20. */
const seeds = Number(process.env['LN_FACTORY_SEEDS'] ?? '1')
const PRICE = 1000n

/** Whatever happened: sold to the end and paid once, or not at all; then the stock can still be sold, and no key signed twice. */
async function expectWhole(shop: Shop, text: string): Promise<string> {
  const { net } = shop
  net.world.kill = undefined
  net.world.wire = (_from, _to, body) => [body]
  for (let i = 0; i < 3; i++) {
    await net.heal()
    await net.world.calm()
    await net.world.mine(1)
  }
  const seen = async (id: NodeId): Promise<string> => {
    const channels = (await net.show(id, shop.instance))?.channels ?? []
    return channels.flatMap((c) => (c.bought === undefined ? [] : [String(c.bought.live)])).join()
  }
  const lsp = await seen(net.lsp)
  expect([lsp, await seen(net.client(0))], text).toEqual([lsp, lsp])
  expect(['', 'true'], text).toContain(lsp)
  const paid = shop.balance(0)
  expect(paid, text).toBe(lsp === 'true' ? BALANCE - PRICE : BALANCE)
  expect(await shop.buy(0, 100_000), text).toMatch(/^[0-9a-f]{64}$/)
  expect(shop.balance(0), text).toBe(paid - PRICE)
  for (const id of net.all) expect(new Set(shop.children(id)), text).toEqual(new Set([1]))
  return lsp
}

describe.each(Array.from({ length: seeds }, (_, i) => i + 1))(
  'while a channel is bought, order of events %i',
  (seed) => {
    it.each([
      ['the LSP', (shop: Shop) => shop.net.lsp, 'before'],
      ['the LSP', (shop: Shop) => shop.net.lsp, 'after'],
      ['the buyer', (shop: Shop) => shop.net.client(0), 'after'],
      ['the other client', (shop: Shop) => shop.net.client(1), 'after'],
    ] as const)('invariant 8: %s is killed at any commit (%#)', async (_name, victim, when) => {
      const results = new Set<string>()
      for (let k = 1; ; k++) {
        const shop = await Shop.of(seed, 2)
        const { world } = shop.net
        const node = victim(shop)
        world.kill = { node, at: (world.commits.get(node) ?? 0) + k, when }
        const ordered = shop.buy(0)
        ordered.catch(() => undefined)
        await world.run()
        if (world.nodes.has(node)) break
        results.add(await expectWhole(shop, `commit ${k}`))
      }
      expect([...results].sort()).toEqual(['', 'true'])
    })

    it('a connection is lost at any message', async () => {
      for (let at = 1; ; at++) {
        const shop = await Shop.of(seed + 100, 2)
        let sent = 0
        shop.net.world.wire = (from, to, body) => {
          if (payloadOf(body) === undefined || ++sent !== at) return [body]
          shop.net.world.disconnect(from, to)
          return []
        }
        await shop.buy(0)
        if (sent < at) break
        await expectWhole(shop, `message ${at}`)
      }
    })

    it('messages arrive twice', async () => {
      const shop = await Shop.of(seed + 200, 2)
      shop.net.world.wire = (_from, _to, body) => [body, body]
      expect(await shop.buy(0)).toMatch(/^[0-9a-f]{64}$/)
      await expectWhole(shop, 'twice')
    })
  },
)
