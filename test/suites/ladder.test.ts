import { afterAll, beforeAll, expect, it } from 'vitest'
import { FactoryNetwork, until, type Lightningd, type ListedFactory } from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'

const CAPACITY = 500_000

interface Request {
  readonly status: string
  readonly place?: number
}
interface Scheduled {
  readonly do: string
  readonly instance_id?: string
  readonly clients?: readonly string[]
  readonly height?: number
}

describeWithLightningd('a ladder of factories on stock nodes', () => {
  let net: FactoryNetwork
  let all: readonly Lightningd[]
  let first: string

  const call = <T>(node: Lightningd, method: string, params: Record<string, unknown> = {}): Promise<T> =>
    node.call(method, params) as Promise<unknown> as Promise<T>
  const factories = async (node: Lightningd): Promise<ListedFactory[]> =>
    (await call<{ factories: ListedFactory[] }>(node, 'factory-list')).factories
  const active = async (node: Lightningd): Promise<string[]> =>
    (await factories(node)).filter((f) => f.phase === 'active').map((f) => f.instance_id)
  const requests = async (node: Lightningd): Promise<readonly Request[]> =>
    (await call<{ requests: Request[] }>(node, 'factory-join')).requests
  const schedule = async (): Promise<readonly Scheduled[]> =>
    (await call<{ schedule: Scheduled[] }>(net.lsp, 'factory-ladder', { action: 'schedule' })).schedule
  /** Blocks one by one, with time for what each sets off, until `done`. */
  const mineUntil = async (what: string, done: () => Promise<boolean>, most = 80): Promise<void> => {
    for (let i = 0; i < most; i += 1) {
      if (await done()) return
      await net.network.mine(1)
      await new Promise((resolve) => setTimeout(resolve, 150))
    }
    await until(done, { what, seconds: 20 })
  }

  beforeAll(async () => {
    net = await FactoryNetwork.start(3)
    all = net.clients
    // Their operators let nobody in but whom they ask.
    for (const client of all) await client.call('factory-policy', { accept_from: [] })
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  it('takes requests into the waiting room, by its rules', async () => {
    const [a] = all as [Lightningd]
    await a.call('factory-join', { lsp: net.lsp.id, capacity: CAPACITY })
    await until(async () => (await requests(a))[0]?.status === 'refused', { what: 'the door to be closed' })
    await net.lsp.call('factory-waiting', { open: true, max_capacity: CAPACITY })
    for (const client of all) await client.call('factory-join', { lsp: net.lsp.id, capacity: CAPACITY })
    await until(async () => (await Promise.all(all.map(requests))).every(([r]) => r?.status === 'accepted'), {
      what: 'everyone to have a place in the waiting room',
    })
    // A restart forgets nobody.
    await net.lsp.restart()
    await net.connectAll()
    const { waiting } = await call<{ waiting: { id: string }[] }>(net.lsp, 'factory-waiting')
    expect(waiting.map((w) => w.id).sort()).toEqual(all.map((c) => c.id).sort())
  })

  it('gives all of them a factory once it is started, without a word of their operators', async () => {
    await net.lsp.call('factory-ladder', {
      active_blocks: 8,
      dying_blocks: 20,
      slots: 2,
      factories: 3,
      min_clients: 3,
      max_clients: 4,
      depth: 1,
      retry_first: 1,
      retry_most: 4,
    })
    const forecast = await call<{ events: Scheduled[] }>(net.lsp, 'factory-ladder', { action: 'forecast', blocks: 100 })
    expect(forecast.events.map((e) => e.do).slice(0, 3)).toEqual(['create', 'rotate', 'reap'])
    await net.lsp.call('factory-ladder', { action: 'start' })
    await mineUntil('a factory for all', async () =>
      (await Promise.all([net.lsp, ...all].map(active))).every((list) => list.length === 1),
    )
    ;[first] = (await active(net.lsp)) as [string]
    expect((await Promise.all(all.map(requests))).map(([r]) => r?.status)).toEqual(['member', 'member', 'member'])
    const { waiting } = await call<{ waiting: object[] }>(net.lsp, 'factory-waiting')
    expect(waiting).toEqual([])
  })

  it('moves everyone that is there to the next factory, and whoever missed the slot in the next slot', async () => {
    const [a, b, late] = all as [Lightningd, Lightningd, Lightningd]
    for (const client of [a, b, late]) {
      const label = `to ${client.alias}`
      // The LSP itself pays, over its own side.
      const { bolt11 } = await call<{ bolt11: string }>(client, 'factory-invoice', {
        amount_msat: 50_000_000,
        label,
        description: label,
      })
      await net.lsp.call('pay', { bolt11 })
    }
    await net.network.settled()
    await late.stop()
    await mineUntil('the first two to move', async () => {
      const { moves = [] } = (await factories(net.lsp)).find((f) => f.instance_id === first) as ListedFactory & {
        moves?: { stage: string }[]
      }
      return moves.filter((m) => m.stage === 'moved').length === 2
    })
    expect(await schedule()).toContainEqual(expect.objectContaining({ instance_id: first, clients: [late.id] }))
    await late.start()
    await net.connectAll([late])
    await mineUntil('the old factory to be taken back', async () => {
      const old = (await factories(net.lsp)).find((f) => f.instance_id === first)
      return old?.phase === 'closed'
    })
    for (const client of [a, b, late]) {
      const [now] = await active(client)
      expect(now).not.toBe(first)
      expect(await net.balance(client, now ?? '')).toBe(50_000_000)
    }
    const { factories: books } = await call<{ factories: { instance_id: string; paid: { funding_sat?: number } }[] }>(
      net.lsp,
      'factory-economics',
    )
    for (const { paid } of books) expect(paid.funding_sat).toBeGreaterThan(100)
  })
})
