import { describe, expect, it } from 'vitest'
import { blocks } from '../../src/units/index.js'
import { Net } from '../simulation/net.js'

describe('the LSP does nothing until the expiry', () => {
  it.each([1, 5, 20])('%i clients get their capacities and stock shares by themselves', async (n) => {
    const net = await Net.of(n, n)
    const instance = await net.active(net.request({ lifetime: blocks(300) }))
    const shown = await net.show(net.client(0), instance)
    if (shown === undefined) throw new Error('no factory')
    net.world.crash(net.lsp)
    await net.world.mine(shown.expiry - net.world.chain.height - 1)
    expect(new Set((await net.phases(instance)).slice(1))).toEqual(new Set(['active']))
    await net.world.mine(4)
    expect(new Set((await net.phases(instance)).slice(1))).toEqual(new Set(['closed']))
    for (const id of net.clients) {
      const details = await net.show(id, instance)
      const last = details?.transactions.filter(
        (t) => ['distribution', 'payout'].includes(t.role) && t.confirmed !== undefined,
      )
      expect(last?.length).toBeGreaterThan(0)
      expect(details?.coverage).toBeGreaterThanOrEqual(1_005_000n)
    }
  })

  it('one client that is there is enough, and the others find their money when they come back', async () => {
    const net = await Net.of(42, 4)
    const instance = await net.active(net.request({ lifetime: blocks(300) }))
    for (const id of [net.lsp, ...net.clients.slice(1)]) net.world.crash(id)
    await net.world.mine(303)
    for (const id of net.clients.slice(1)) await net.world.start(id)
    await net.world.run()
    await net.world.mine(1)
    expect((await net.phases(instance)).slice(1)).toEqual(['closed', 'closed', 'closed', 'closed'])
  })
})
