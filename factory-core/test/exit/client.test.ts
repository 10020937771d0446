import { describe, expect, it } from 'vitest'
import type { InstanceId, NodeId } from '../../src/units/index.js'
import { Net } from '../simulation/net.js'

const order = async (net: Net, id: NodeId, instance: InstanceId): Promise<string> => {
  const exiting = net.node(id).exit(instance)
  const outcome = exiting.then(
    () => 'ordered',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
  await net.world.run()
  return outcome
}
const phase = async (net: Net, id: NodeId, instance: InstanceId): Promise<string | undefined> =>
  (await net.show(id, instance))?.phase

/** Heights of the leaver's path, from the funding down. */
async function heights(net: Net, id: NodeId, instance: InstanceId): Promise<Record<string, number | undefined>> {
  const transactions = (await net.show(id, instance))?.transactions ?? []
  return Object.fromEntries(transactions.map((t) => [t.role, t.confirmed]))
}

describe('a client leaves alone', () => {
  it('each level after the one above, the leaf after its nSequence', async () => {
    const net = await Net.of(1, 5)
    const instance = await net.active()
    net.world.crash(net.lsp)
    const leaver = net.client(0)
    await order(net, leaver, instance)
    await net.world.mine(40)
    expect(await phase(net, leaver, instance)).toBe('exited')
    const at = await heights(net, leaver, instance)
    expect((at['kickoff'] ?? 0) - (at['static'] ?? 0)).toBeGreaterThanOrEqual(1)
    // Oldest of 4 states, 4 blocks apart.
    expect((at['leaf'] ?? 0) - (at['kickoff'] ?? 0)).toBe(12)
    // Nobody else has to.
    for (const id of net.clients.slice(1)) expect(await phase(net, id, instance)).toBe('active')
  })

  it('what another one has published already is not waited for', async () => {
    const net = await Net.of(2, 5)
    const instance = await net.active()
    await order(net, net.client(0), instance)
    await net.world.mine(1)
    const last = net.client(4)
    const before = await heights(net, last, instance)
    expect(before['static']).toBeDefined()
    await order(net, last, instance)
    await net.world.mine(1)
    expect((await heights(net, last, instance))['kickoff']).toBe((before['static'] ?? 0) + 1)
    await net.world.mine(30)
    expect(await phase(net, last, instance)).toBe('exited')
    expect(await phase(net, net.client(0), instance)).toBe('exited')
  })

  it('ordered twice is ordered once', async () => {
    const net = await Net.of(3, 1)
    const instance = await net.active()
    expect(await order(net, net.client(0), instance)).toBe('ordered')
    expect(await order(net, net.client(0), instance)).toBe('ordered')
    await net.world.mine(30)
    expect(await phase(net, net.client(0), instance)).toBe('exited')
  })
})

describe('invariant 8: an exit survives', () => {
  it.each(['before', 'after'] as const)('a crash %s any commit', async (when) => {
    for (let k = 1; ; k++) {
      const net = await Net.of(4, 2)
      const instance = await net.active()
      const leaver = net.client(0)
      const at = (net.world.commits.get(leaver) ?? 0) + k
      net.world.kill = { node: leaver, at, when }
      void net
        .node(leaver)
        .exit(instance)
        .catch(() => undefined)
      await net.world.run()
      if (!net.world.nodes.has(leaver)) await net.heal()
      if ((await phase(net, leaver, instance)) === 'active') await order(net, leaver, instance)
      for (let i = 0; i < 30; i++) {
        await net.world.mine(1)
        if (!net.world.nodes.has(leaver)) await net.heal()
      }
      expect(await phase(net, leaver, instance), `commit ${k}`).toBe('exited')
      if ((net.world.commits.get(leaver) ?? 0) < at) break
    }
  })

  it('a crash at every block', async () => {
    const net = await Net.of(5, 5)
    const instance = await net.active()
    const leaver = net.client(3)
    await order(net, leaver, instance)
    for (let i = 0; i < 30; i++) {
      net.world.crash(leaver)
      net.world.chain.mine()
      await net.heal()
      await net.world.mine(1)
    }
    expect(await phase(net, leaver, instance)).toBe('exited')
  })

  it.each([1, 3])('a reorganisation of %i blocks that takes its transactions along', async (depth) => {
    const net = await Net.of(6, 5)
    const instance = await net.active()
    const leaver = net.client(0)
    const funding = (await net.show(net.lsp, instance))?.funding?.txid
    await order(net, leaver, instance)
    await net.world.mine(3)
    net.world.chain.reorg(depth, (txid) => txid === funding)
    await net.world.mine(40)
    expect(await phase(net, leaver, instance)).toBe('exited')
  })

  it('a mempool that has no room for a while', async () => {
    const net = await Net.of(7, 2)
    const instance = await net.active()
    const leaver = net.client(0)
    const host = net.host(leaver)
    const broadcast = host.broadcast.bind(host)
    host.broadcast = () => Promise.resolve({ accepted: false, error: 'mempool full' })
    await order(net, leaver, instance)
    await net.world.mine(3)
    expect((await net.show(leaver, instance))?.notice).toMatch(/mempool full/)
    host.broadcast = () => Promise.reject(new Error('no connection'))
    await net.world.mine(3)
    host.broadcast = broadcast
    await net.world.mine(30)
    expect(await phase(net, leaver, instance)).toBe('exited')
  })

  it('a host that can not close the channel at first', async () => {
    const net = await Net.of(8, 2)
    const instance = await net.active()
    const leaver = net.client(0)
    const host = net.host(leaver)
    const forceClose = host.forceClose.bind(host)
    let refusals = 0
    host.forceClose = (...args) => (++refusals > 3 ? forceClose(...args) : Promise.reject(new Error('busy')))
    await order(net, leaver, instance)
    await net.world.mine(30)
    expect(refusals).toBeGreaterThan(3)
    expect(await phase(net, leaver, instance)).toBe('exited')
  })
})

describe('a funding that is not settled', () => {
  it('not on chain: nothing to leave', async () => {
    const net = await Net.of(9, 2)
    const { instance } = await net.order()
    expect(await order(net, net.client(0), instance)).toMatch(/nothing on chain/)
  })

  it('on chain, not deep: left all the same', async () => {
    const net = await Net.of(10, 2, { minDepth: 6 })
    const { instance } = await net.order()
    await net.world.mine(1)
    expect(await phase(net, net.client(0), instance)).toBe('confirming')
    expect(await order(net, net.client(0), instance)).toBe('ordered')
    await net.world.mine(30)
    expect(await phase(net, net.client(0), instance)).toBe('exited')
  })

  it('reorganised away before anybody is active, then back', async () => {
    const net = await Net.of(11, 2, { minDepth: 3 })
    const { instance } = await net.order()
    await net.world.mine(2)
    net.world.chain.reorg(2)
    await net.world.mine(1)
    net.world.chain.reorg(1)
    await net.world.mine(3)
    await net.world.mine(3)
    expect(new Set(await net.phases(instance))).toEqual(new Set(['active']))
  })
})
