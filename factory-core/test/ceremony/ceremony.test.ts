import { describe, expect, it } from 'vitest'
import { defaultParams } from '../../src/tree/index.js'
import { blocks, msat, outPointKey, sat, type InstanceId, type NodeId } from '../../src/units/index.js'
import { World } from '../simulation/world.js'

export interface Net {
  readonly world: World
  readonly lsp: NodeId
  readonly clients: readonly NodeId[]
}

export const params = { ...defaultParams, step: blocks(4), stockPerClient: sat(5000) }

async function network(seed: number, clients: number): Promise<Net> {
  const world = new World(seed)
  const lsp = await world.addNode('lsp', 50_000_000n)
  const ids: NodeId[] = []
  for (let i = 0; i < clients; i++) {
    const id = await world.addNode(`client${i}`, 0n, { autoAccept: [lsp] })
    ids.push(id)
    await world.connect(lsp, id)
  }
  await world.run()
  return { world, lsp, clients: ids }
}

const request = (clients: readonly NodeId[]) => ({
  clients: clients.map((id) => ({ id, capacity: sat(1_000_000), push: msat(0) })),
  lifetime: blocks(1000),
  params,
  stepTimeout: 60,
})

async function create(net: Net): Promise<InstanceId> {
  const { world, lsp, clients } = net
  const creating = world.nodes.get(lsp)?.create(request(clients))
  if (creating === undefined) throw new Error('no LSP')
  creating.catch(() => undefined)
  await world.run()
  const { instance } = await creating
  await world.mine(2)
  return instance
}

async function phases(net: Net, instance: InstanceId): Promise<string[]> {
  const result: string[] = []
  for (const id of [net.lsp, ...net.clients]) {
    const showing = net.world.nodes.get(id)?.show(instance)
    await net.world.run()
    result.push((await showing)?.phase ?? 'down')
  }
  return result
}

describe('ceremony', () => {
  it.each([1, 2, 5, 8])('of %i clients ends in an active factory', async (n) => {
    const net = await network(n, n)
    const instance = await create(net)
    expect(await phases(net, instance)).toEqual(Array.from({ length: n + 1 }, () => 'active'))
  })

  it('closes cooperatively and pays everyone', async () => {
    const net = await network(7, 3)
    const instance = await create(net)
    const [a] = [...(net.world.hosts.get(net.clients[0] as NodeId)?.mine.values() ?? [])]
    if (a !== undefined) a.balance = msat(123_456_789)
    const closing = net.world.nodes.get(net.lsp)?.close(instance, 1000)
    closing?.catch(() => undefined)
    await net.world.run()
    const { txid } = (await closing) ?? { txid: '' }
    await net.world.mine(1)
    expect(net.world.chain.accepted.has(txid)).toBe(true)
    expect(await phases(net, instance)).toEqual(['closed', 'closed', 'closed', 'closed'])
  })

  it('lets one client exit alone', async () => {
    const net = await network(9, 5)
    const instance = await create(net)
    net.world.crash(net.lsp)
    const leaver = net.clients[4] as NodeId
    const exiting = net.world.nodes.get(leaver)?.exit(instance)
    await net.world.run()
    const plan = await exiting
    await net.world.mine(30)
    expect(await phases(net, instance)).toEqual(['down', 'active', 'active', 'active', 'active', 'exited'])
    const [channel] = [...(net.world.hosts.get(leaver)?.mine.values() ?? [])]
    expect(plan?.transactions.map((t) => t.role)).toEqual(['static', 'kickoff', 'leaf'])
    expect(channel === undefined ? '' : net.world.chain.coin(channel.funding)).toBeUndefined()
    expect(channel === undefined ? '' : outPointKey(channel.funding)).not.toBe('')
  })
})
