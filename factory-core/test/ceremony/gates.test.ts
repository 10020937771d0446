import { describe, expect, it } from 'vitest'
import type { OpenRequest } from '../../src/host/port.js'
import { blockHeight, msat, sat, type InstanceId, type NodeId } from '../../src/units/index.js'
import { Net, tamper } from '../simulation/net.js'
import type { SimChannel } from '../simulation/host.js'

const announced = (net: Net, change: Partial<OpenRequest> = {}): OpenRequest => ({
  peer: net.lsp,
  capacity: sat(1_000_000),
  push: msat(5000),
  channelType: [12, 22, 46, 50],
  ...change,
})

describe('invariant 6: zero-conf is granted to the one announced open, and to nothing else', () => {
  /** A client that has accepted and waits for the open, which never comes. */
  async function accepted(): Promise<{ net: Net; instance: InstanceId }> {
    const net = await Net.of(1, 2)
    net.host(net.lsp).openStart = () => new Promise(() => undefined)
    const { instance } = await net.order(net.request({}, msat(5000)))
    return { net, instance }
  }

  it('once', async () => {
    const { net, instance } = await accepted()
    const node = net.node(net.client(0))
    expect(node.openRequest(announced(net))).toEqual({ kind: 'factory', instance })
    expect(node.openRequest(announced(net))).toEqual({ kind: 'ordinary' })
  })

  it('once, also when the process dies right after', async () => {
    const { net } = await accepted()
    net.node(net.client(0)).openRequest(announced(net))
    net.world.crash(net.client(0))
    await net.heal()
    expect(net.node(net.client(0)).openRequest(announced(net))).toEqual({ kind: 'ordinary' })
  })

  it('not when the grant can not be stored', async () => {
    const { net } = await accepted()
    const node = net.node(net.client(0))
    net.disk(net.client(0)).owner = undefined
    expect(node.openRequest(announced(net)).kind).toBe('refuse')
  })

  it.each<[string, (net: Net) => Partial<OpenRequest>]>([
    ['another peer', (net) => ({ peer: net.client(1) })],
    ['another capacity', () => ({ capacity: sat(1_000_001) })],
    ['another push', () => ({ push: msat(5001) })],
    ['no push', () => ({ push: msat(0) })],
  ])('not to %s', async (_name, change) => {
    const { net } = await accepted()
    expect(net.node(net.client(0)).openRequest(announced(net, change(net)))).toEqual({ kind: 'ordinary' })
  })

  it('not before the operator accepted, nor after the ceremony', async () => {
    const waiting = await Net.of(2, 1, { autoAccept: [] })
    const { instance } = await waiting.order(waiting.request({}, msat(5000)))
    expect(waiting.node(waiting.client(0)).openRequest(announced(waiting)).kind).toBe('ordinary')
    await waiting.node(waiting.client(0)).answer(instance, true)
    await waiting.world.run()
    await waiting.world.mine(2)
    expect(await waiting.phases(instance)).toEqual(['active', 'active'])
    expect(waiting.node(waiting.client(0)).openRequest(announced(waiting)).kind).toBe('ordinary')
  })

  it('not after an abort', async () => {
    const { net, instance } = await accepted()
    await net.node(net.lsp).abort(instance, 'changed my mind')
    await net.world.run()
    expect(net.node(net.client(0)).openRequest(announced(net)).kind).toBe('ordinary')
  })
})

describe('invariant 6: no HTLC in a channel that no confirmed factory backs', () => {
  const channelOf = (net: Net, id: NodeId): SimChannel => {
    const [channel] = [...net.host(id).mine.values()]
    if (channel === undefined) throw new Error('no channel')
    return channel
  }
  const gates = (net: Net): (string | undefined)[] =>
    [net.client(0), net.lsp].map((id) => net.node(id).gated(channelOf(net, net.client(0)).channelId)?.gate)
  /** What the hook of each side says to an HTLC that comes in with plenty of time. */
  const decisions = (net: Net): string[] =>
    [net.client(0), net.lsp].map((id) => {
      const height = net.world.chain.height
      return net.node(id).htlc({
        inChannelId: channelOf(net, net.client(0)).channelId,
        outChannelId: undefined,
        amountIn: msat(1000),
        amountOut: undefined,
        cltvIn: height + 400,
        cltvOut: undefined,
        height: blockHeight(height),
      }).kind
    })

  it('shut until the funding is deep enough, on both sides', async () => {
    const net = await Net.of(3, 2)
    await net.order()
    expect(gates(net)).toEqual(['shut', 'shut'])
    expect(decisions(net)).toEqual(['fail', 'fail'])
    await net.world.mine(1)
    expect(gates(net)).toEqual(['open', 'open'])
    expect(decisions(net)).toEqual(['continue', 'continue'])
  })

  it('shut again when the funding is reorganised away, open again when it is back', async () => {
    const net = await Net.of(4, 2)
    await net.active()
    net.world.chain.reorg(2)
    net.world.chain.mine()
    net.world.chain.reorg(1)
    const empty = net.world.chain
    // Blocks without the funding, more than before.
    const kept = new Set(empty.accepted)
    const host = net.host(net.lsp)
    const broadcast = host.fundingBroadcast.bind(host)
    // The LSP sends it again for as long as it is in no block; now nobody takes it.
    host.fundingBroadcast = () => Promise.reject(new Error('not now'))
    empty.reorg(1, () => false)
    await net.world.mine(4)
    expect(kept.size).toBeGreaterThan(0)
    expect(gates(net)).toEqual(['shut', 'shut'])
    expect(decisions(net)).toEqual(['fail', 'fail'])
    host.fundingBroadcast = broadcast
    await net.world.mine(3)
    expect(gates(net)).toEqual(['open', 'open'])
  })

  it('shut while closing and while exiting', async () => {
    const net = await Net.of(5, 2)
    const instance = await net.active()
    tamper(net.world, [net.client(1), net.lsp], 'close_nonce', () => [])
    void net
      .node(net.lsp)
      .close(instance, 1000)
      .catch(() => undefined)
    await net.world.run()
    expect(await net.phases(instance)).toEqual(['closing', 'closing', 'closing'])
    expect(gates(net)).toEqual(['shut', 'shut'])
    await net.world.calm()
    expect(await net.phases(instance)).toEqual(['active', 'active', 'active'])
    expect(gates(net)).toEqual(['open', 'open'])
    await net.node(net.client(0)).exit(instance)
    await net.world.run()
    expect(gates(net)[0]).toBe('shut')
  })

  it('shut in every other channel of an LSP that was granted zero-conf, as long as it is not on chain', async () => {
    const net = await Net.of(6, 1)
    await net.active()
    const real = channelOf(net, net.client(0))
    const fake = { ...real, channelId: '77'.repeat(32), funding: { ...real.funding, vout: 9 } }
    const node = net.node(net.client(0))
    // Before anybody looked at it, and after.
    expect(node.gated(fake.channelId)?.gate).toBe('shut')
    net.host(net.client(0)).mine.set(fake.channelId, fake)
    const looking = node.channelsChanged()
    await net.world.run()
    await looking
    expect(node.gated(fake.channelId)?.gate).toBe('shut')
  })

  it('shut at the LSP in a channel that it has just opened, before its own machine knows', async () => {
    const net = await Net.of(7, 1)
    const host = net.host(net.lsp)
    const open = host.openComplete.bind(host)
    host.openComplete = async (o) => {
      await open(o)
      return new Promise(() => undefined)
    }
    await net.order(net.request({}, msat(5000)))
    const channel = channelOf(net, net.lsp)
    expect(net.node(net.lsp).gated(channel.channelId)?.gate).toBe('shut')
    // The client goes: the ceremony is over, but what the host has made of it is not undone yet.
    net.world.disconnect(net.lsp, net.client(0))
    await net.world.run()
    host.mine.set(channel.channelId, channel)
    expect(net.node(net.lsp).gated(channel.channelId)?.gate).toBe('shut')
  })

  it('channels that are none of a factory are left alone', async () => {
    const net = await Net.of(8, 1)
    expect(net.node(net.lsp).gated('55'.repeat(32))).toBeUndefined()
    expect(net.node(net.client(0)).gated('55'.repeat(32))).toBeUndefined()
  })
})
