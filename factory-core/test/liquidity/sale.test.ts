import { describe, expect, it } from 'vitest'
import { blocks, msat, sat } from '../../src/units/index.js'
import { Net, params } from '../simulation/net.js'

const withStock = { ...params, stockPerClient: sat(500_000), stockCsv: blocks(40) }

async function factory(seed: number, clients: number, push = 50_000_000n) {
  const net = await Net.of(seed, clients)
  const instance = await net.active(net.request({ params: withStock }, msat(push)))
  net.node(net.lsp).setPolicy({
    ...net.node(net.lsp).policy(),
    sales: { ...net.node(net.lsp).policy().sales, sells: true, base: msat(1000), rate: msat(2_000_000) },
  })
  return { net, instance }
}

describe('a sale', () => {
  it('gives the buyer a second channel, and the LSP its price', async () => {
    const { net, instance } = await factory(1, 4)
    const buying = net.node(net.client(0)).buy(instance, sat(300_000), msat(1_000_000))
    const outcome = buying.then(
      (r) => JSON.stringify({ ...r, capacity: Number(r.capacity), price: Number(r.price) }),
      (e: unknown) => String(e),
    )
    await net.world.run()
    expect(await outcome).toMatch(/channelId/)
  })
})
