/** Nodes that ask for a place, and an LSP whose ladder gives it to them, over the simulated network. */
import { describe, expect, it } from 'vitest'
import { blocks, sat, type NodeId } from '../../src/units/index.js'
import type { FactoryNode } from '../../src/runner/index.js'
import { World } from '../simulation/world.js'
import { config } from './world.js'

interface Scene {
  readonly world: World
  readonly lsp: NodeId
  readonly clients: readonly NodeId[]
  readonly node: (id: NodeId) => FactoryNode
}

/** Clients whose operators accept nobody by policy. */
async function scene(clients: number): Promise<Scene> {
  const world = new World(clients)
  const lsp = await world.addNode('lsp', 50_000_000n)
  const ids: NodeId[] = []
  for (let i = 0; i < clients; i++) {
    const id = await world.addNode(`client${i}`, 0n)
    ids.push(id)
    await world.connect(lsp, id)
  }
  await world.run()
  const node = (id: NodeId): FactoryNode => {
    const found = world.nodes.get(id)
    if (found === undefined) throw new Error(`${id} is down`)
    return found
  }
  const { ladder } = node(lsp)
  ladder.configure({ ...config, dyingBlocks: blocks(36), minClients: clients })
  ladder.setAdmission({ ...ladder.status().admission, open: true })
  return { world, lsp, clients: ids, node }
}

const phases = async ({ world, node }: Scene, id: NodeId): Promise<string[]> => {
  const listing = node(id).list()
  await world.run()
  return (await listing).map((f) => f.phase)
}

describe('joining', () => {
  it('whoever asked gets its place, without a word of its operator, and waits no more', async () => {
    const all = await scene(3)
    const { world, lsp, clients, node } = all
    for (const id of clients) node(id).ladder.join(lsp, sat(100_000))
    await world.run()
    expect(node(lsp).ladder.waiting()).toHaveLength(3)
    expect(clients.map((id) => node(id).ladder.wishes()[0]?.answer.kind)).toEqual(['accepted', 'accepted', 'accepted'])
    // Not before the operator starts the ladder.
    await world.mine(2)
    expect(await phases(all, lsp)).toEqual([])
    node(lsp).ladder.setRunning(true)
    await world.mine(6)
    for (const id of [lsp, ...clients]) expect(await phases(all, id)).toEqual(['active'])
    expect(node(lsp).ladder.waiting()).toEqual([])
    for (const id of clients) expect(node(id).ladder.wishes()[0]?.answer.kind).toBe('member')
  })

  it('the list and the wish survive restarts, and are told again', async () => {
    const { world, lsp, clients, node } = await scene(1)
    const [client] = clients
    if (client === undefined) throw new Error('no client')
    world.disconnect(lsp, client)
    node(client).ladder.join(lsp, sat(100_000))
    await world.run()
    world.crash(client)
    await world.start(client)
    await world.connect(lsp, client)
    await world.run()
    expect(node(lsp).ladder.waiting()).toMatchObject([{ id: client, capacity: 100_000n }])
    world.crash(lsp)
    await world.start(lsp)
    expect(node(lsp).ladder.waiting()).toMatchObject([{ id: client, capacity: 100_000n }])
  })

  it('consents to the capacity it asked for, and to nothing else', async () => {
    const { world, lsp, clients, node } = await scene(1)
    const [client] = clients
    if (client === undefined) throw new Error('no client')
    node(client).ladder.join(lsp, sat(100_000))
    await world.run()
    const creating = node(lsp).create({
      clients: [{ id: client, capacity: sat(100_001), push: 0n as never }],
      lifetime: blocks(1000),
      params: config.params,
      stepTimeout: 60,
    })
    creating.catch(() => undefined)
    await world.run()
    expect(node(client).invites()).toHaveLength(1)
    await world.calm()
    await expect(creating).rejects.toThrow(/silent|answer/)
  })

  it('is refused where the operator says so, and dismissed with a reason', async () => {
    const { world, lsp, clients, node } = await scene(2)
    const [one, two] = clients
    if (one === undefined || two === undefined) throw new Error('no clients')
    const { ladder } = node(lsp)
    ladder.setAdmission({ ...ladder.status().admission, only: [one], maxCapacity: sat(200_000) })
    const answer = async (id: NodeId, capacity: number): Promise<string | undefined> => {
      node(id).ladder.join(lsp, sat(capacity))
      await world.run()
      const [mine] = node(id).ladder.wishes()
      return mine?.answer.kind === 'refused' ? mine.answer.reason : mine?.answer.kind
    }
    expect(await answer(two, 100_000)).toMatch(/knows/)
    expect(await answer(one, 200_001)).toMatch(/over the most/)
    expect(await answer(one, 200_000)).toBe('accepted')
    ladder.dismiss(one, 'come back in spring')
    await world.run()
    expect(node(one).ladder.wishes()[0]?.answer).toEqual({ kind: 'refused', reason: 'come back in spring' })
    expect(await answer(one, 200_000)).toBe('accepted')
    node(one).ladder.withdraw(lsp)
    await world.run()
    expect(ladder.waiting()).toEqual([])
  })

  it('a peer that changes its mind without end is turned away', async () => {
    const { world, lsp, clients, node } = await scene(1)
    const [client] = clients
    if (client === undefined) throw new Error('no client')
    for (let i = 0; i < 30; i++) node(client).ladder.join(lsp, sat(100_000 + i))
    await world.run()
    expect(node(client).ladder.wishes()[0]?.answer).toMatchObject({ kind: 'refused', reason: /too many/ })
    expect(node(lsp).ladder.waiting()[0]?.capacity).toBeLessThan(100_029n)
  })
})
