/** What operators are told when a balance grows beyond what the distributions pay, over the simulated network. */
import { describe, expect, it } from 'vitest'
import { defaultParams } from '../../src/tree/index.js'
import { blocks, msat, sat } from '../../src/units/index.js'
import { World } from '../simulation/world.js'

describe('a factory', () => {
  it('tells both sides when a balance comes to 90 % of its coverage, in its notice, the log, and in figures', async () => {
    const world = new World(7)
    const lsp = await world.addNode('lsp', 50_000_000n)
    const client = await world.addNode('client', 0n, { autoAccept: [lsp] })
    await world.connect(lsp, client)
    await world.run()
    const node = (id: typeof lsp) => world.nodes.get(id) ?? expect.fail('down')
    const creating = node(lsp).create({
      clients: [{ id: client, capacity: sat(1_000_000), push: msat(0) }],
      lifetime: blocks(1000),
      params: { ...defaultParams, step: blocks(4), stockPerClient: sat(0) },
      stepTimeout: 60,
    })
    await world.run()
    const { instance } = await creating
    await world.mine(2)
    const ask = async <T>(asking: Promise<T>): Promise<T> => {
      await world.run()
      return asking
    }
    let balance = 0
    for (const [id, host] of world.hosts) {
      const channels = host.channels.bind(host)
      host.channels = async () =>
        (await channels()).map((c) => ({ ...c, ours: msat(id === client ? balance : 1_000_000_000 - balance) }))
    }
    const pay = async (to: number): Promise<void> => {
      balance = to
      await world.mine(1)
    }

    await pay(890_000_000)
    expect((await ask(node(client).show(instance))).notice).toBeUndefined()
    expect((await ask(node(lsp).show(instance))).notice).toBeUndefined()
    await pay(910_000_000)
    const { notice, coverage } = await ask(node(client).show(instance))
    expect(notice).toContain(`of the ${coverage} sat`)
    expect((await ask(node(lsp).list()))[0]?.notice).toMatch(/^1 of 1 clients/)
    for (const id of [lsp, client])
      expect(
        node(id)
          .log({ instance })
          .filter((l) => l.kind === 'warning'),
      ).toHaveLength(1)
    // The same again is not worth another line.
    await pay(911_000_000)
    expect(
      node(client)
        .log({ instance })
        .filter((l) => l.kind === 'warning'),
    ).toHaveLength(1)

    const [seen] = await ask(node(lsp).economics())
    expect(seen).toMatchObject({ instance, role: 'lsp', phase: 'active', paid: { tree: 0n, children: 0n } })
    expect(seen?.clients).toMatchObject([{ id: client, balance: 911_000_000n, coverage: 1_000_000n, level: 'near' }])
    const [own] = await ask(node(client).economics(instance))
    expect(own?.clients).toMatchObject([{ id: client, balance: 911_000_000n, coverage, level: 'near' }])
    expect(own?.clients[0]?.exitFloor).toBe(seen?.clients[0]?.exitFloor)
  })
})
