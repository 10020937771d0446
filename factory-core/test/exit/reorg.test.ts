/** Reorganisations of up to 100 blocks: whatever ended a factory can be taken back, and its owners go on. */
import { describe, expect, it } from 'vitest'
import { FINAL_DEPTH } from '../../src/finality/depth.js'
import { blocks, type InstanceId, type NodeId } from '../../src/units/index.js'
import { held } from '../simulation/held.js'
import { Net, params } from '../simulation/net.js'

const short = { params: { ...params, stockCsv: blocks(30) } }
const nothing = (): boolean => false

const stage = async (net: Net, id: NodeId, instance: InstanceId): Promise<string | undefined> =>
  (await net.show(id, instance))?.stage
const phase = async (net: Net, id: NodeId, instance: InstanceId): Promise<string | undefined> =>
  (await net.show(id, instance))?.phase
const confirmed = async (net: Net, id: NodeId, instance: InstanceId): Promise<string[]> =>
  ((await net.show(id, instance))?.transactions ?? []).filter((t) => t.confirmed !== undefined).map((t) => t.id)

async function exit(net: Net, id: NodeId, instance: InstanceId): Promise<void> {
  const done = net.node(id).exit(instance)
  await net.world.run()
  await done
}

/** The last `depth` blocks are replaced by one more without their transactions, so that every node has to act again. */
async function reorg(net: Net, depth: number, keep: (txid: string) => boolean = nothing): Promise<void> {
  net.world.chain.reorg(depth, keep)
  for (let i = 0; i <= depth; i++) net.world.chain.mine()
  await net.world.mine(1)
}

describe('an exit that is reorganised away', () => {
  it.each([1, 5, 20, 100])('%i blocks deep: the client publishes it again, down to its commitment', async (depth) => {
    const net = await Net.of(1, 5)
    const instance = await net.active()
    await net.world.mine(100)
    const leaver = net.client(0)
    // Only the leaver acts.
    for (const id of net.all) if (id !== leaver) net.world.crash(id)
    await exit(net, leaver, instance)
    await net.world.mine(25)
    expect(await stage(net, leaver, instance)).toBe('settled')
    const before = await confirmed(net, leaver, instance)
    await reorg(net, depth)
    await net.world.mine(30)
    expect(await stage(net, leaver, instance)).toBe('settled')
    expect(await confirmed(net, leaver, instance)).toEqual(before)
    const [channel] = [...net.host(leaver).mine.values()]
    expect(channel && net.world.chain.coin(channel.funding)).toBeUndefined()
  })

  it('while the client is down: it goes on when it is back', async () => {
    const net = await Net.of(2, 2)
    const instance = await net.active()
    const leaver = net.client(0)
    for (const id of net.all) if (id !== leaver) net.world.crash(id)
    await exit(net, leaver, instance)
    await net.world.mine(25)
    expect(await phase(net, leaver, instance)).toBe('exited')
    net.world.crash(leaver)
    net.world.chain.reorg(22, nothing)
    for (let i = 0; i < 25; i++) net.world.chain.mine()
    await net.world.start(leaver)
    expect(await phase(net, leaver, instance)).toBe('exiting')
    await net.world.mine(25)
    expect(await phase(net, leaver, instance)).toBe('exited')
  })

  it('the LSP brings everything home a second time', async () => {
    const net = await Net.of(3, 3)
    const instance = await net.active(net.request(short))
    for (const id of net.clients) net.world.crash(id)
    await exit(net, net.lsp, instance)
    await net.world.mine(60)
    expect(await stage(net, net.lsp, instance)).toBe('settled')
    const before = await confirmed(net, net.lsp, instance)
    await reorg(net, 60)
    expect(await phase(net, net.lsp, instance)).toBe('exiting')
    await net.world.mine(60)
    expect(await stage(net, net.lsp, instance)).toBe('settled')
    expect(await confirmed(net, net.lsp, instance)).toEqual(before)
    for (const c of net.host(net.lsp).mine.values()) expect(net.world.chain.coin(c.funding)).toBeUndefined()
  })

  it('is final when it is buried: nothing is watched any more', async () => {
    const net = await Net.of(4, 2)
    const instance = await net.active(net.request(short))
    await exit(net, net.lsp, instance)
    await net.world.mine(60 + FINAL_DEPTH)
    expect(await stage(net, net.lsp, instance)).toBe('exited')
    expect(await stage(net, net.client(0), instance)).toBe('closed')
    for (const id of net.all) expect(net.disk(id).settings.get('watch/watches')).toBe('[]')
  })
})

describe('a funding that is reorganised away', () => {
  it('is broadcast again, and no HTLC passes until it is back', async () => {
    const net = await Net.of(5, 2)
    const instance = await net.active()
    const [channel] = [...net.host(net.lsp).mine.keys()]
    net.world.chain.reorg(2, nothing)
    for (let i = 0; i < 3; i++) net.world.chain.mine()
    for (const node of net.world.nodes.values()) node.block(net.world.chain.height).catch(() => undefined)
    await net.world.run()
    expect(new Set(await net.phases(instance))).toEqual(new Set(['confirming']))
    expect(net.node(net.lsp).gated(channel ?? '')?.gate).toBe('shut')
    await net.world.mine(3)
    expect(new Set(await net.phases(instance))).toEqual(new Set(['active']))
    expect(net.node(net.lsp).gated(channel ?? '')?.gate).toBe('open')
  })

  it('together with the kickoff that somebody published: both come back, and the state answers', async () => {
    const net = await Net.of(6, 2)
    const instance = await net.active()
    const kickoff = await held(net, instance, 'kickoff:0')
    const leaf = await held(net, instance, 'leaf:0')
    net.world.chain.broadcast(kickoff.raw)
    await net.world.mine(3)
    // The miner keeps what it saw: funding and kickoff, now in one block.
    await reorg(net, 5, () => true)
    await net.world.mine(1)
    for (const id of net.all) expect(await confirmed(net, id, instance)).toEqual(['kickoff:0'])
    await net.world.mine(15)
    expect(net.world.chain.accepted.has(leaf.spend.tx.txid)).toBe(true)
    expect(new Set(await net.phases(instance))).toEqual(new Set(['active']))
  })

  it('under an exit: the LSP funds again, and the exit goes on', async () => {
    const net = await Net.of(7, 2)
    const instance = await net.active()
    await exit(net, net.client(0), instance)
    await net.world.mine(20)
    expect(await phase(net, net.client(0), instance)).toBe('exited')
    await reorg(net, 22)
    await net.world.mine(30)
    expect(await phase(net, net.client(0), instance)).toBe('exited')
    expect(await confirmed(net, net.client(0), instance)).toEqual(['kickoff:0', 'leaf:0'])
  })
})

describe('an end in peace that is reorganised away', () => {
  const closed = async (seed: number): Promise<{ net: Net; instance: InstanceId }> => {
    const net = await Net.of(seed, 3)
    const instance = await net.active(net.request(short))
    const closing = net.node(net.lsp).close(instance, 1000)
    await net.world.run()
    await closing
    await net.world.mine(2)
    expect(new Set(await net.phases(instance))).toEqual(new Set(['closed']))
    return { net, instance }
  }

  it.each([2, 100])('the close, %i blocks deep: sent again by everyone', async (depth) => {
    const { net, instance } = await closed(8)
    await net.world.mine(depth - 2)
    await reorg(net, depth)
    expect(new Set(await net.phases(instance))).toEqual(new Set(['closing']))
    await net.world.mine(3)
    expect(new Set(await net.phases(instance))).toEqual(new Set(['closed']))
  })

  it('the close, and it does not come back at once: nobody has forgotten its channel, and no HTLC gets in', async () => {
    const { net, instance } = await closed(9)
    await net.world.mine(50)
    for (const id of net.all) net.host(id).broadcast = () => Promise.resolve({ accepted: false, error: '' })
    await reorg(net, 52)
    expect(new Set(await net.phases(instance))).toEqual(new Set(['closing']))
    for (const id of net.clients) expect(net.host(id).mine.size).toBe(1)
    const channels = [...net.host(net.lsp).mine.keys()]
    expect(channels.map((c) => net.node(net.lsp).gated(c)?.gate)).toEqual(['shut', 'shut', 'shut'])
  })

  it('the close is final when it is buried; only then are the channels forgotten', async () => {
    const { net, instance } = await closed(10)
    await net.world.mine(FINAL_DEPTH - 3)
    expect(net.host(net.lsp).mine.size).toBe(3)
    await net.world.mine(2)
    expect(await stage(net, net.lsp, instance)).toBe('closed')
    expect(await stage(net, net.client(0), instance)).toBe('closed')
    expect(net.host(net.lsp).mine.size).toBe(0)
    expect(net.host(net.client(0)).mine.size).toBe(0)
  })

  it('the distribution: sent again, and the channel is kept', async () => {
    const net = await Net.of(11, 2)
    const instance = await net.active(net.request({ ...short, lifetime: blocks(400) }))
    net.world.crash(net.lsp)
    const expiry = (await net.show(net.client(0), instance))?.expiry ?? 0
    await net.world.mine(expiry - net.world.chain.height + 3)
    expect(await phase(net, net.client(0), instance)).toBe('closed')
    await reorg(net, 4)
    expect(await phase(net, net.client(0), instance)).toBe('active')
    expect(net.host(net.client(0)).mine.size).toBe(1)
    await net.world.mine(3)
    expect(await phase(net, net.client(0), instance)).toBe('closed')
  })
})
