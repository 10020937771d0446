import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { FactoryNetwork, SHORT_DELAYS, until, type ListedFactory, type Lightningd } from '../src/network/index.js'
import { OBEDIENT, order, revoke } from './faults.js'
import { describeWithLightningd } from './gate.js'

/** Commits of a ceremony with two clients, until it is active. The last test holds the numbers to the truth. */
const COMMITS = { lsp: 15, client: 9 }

interface Case {
  readonly at: number
  readonly when: 'before' | 'after'
}

/** Every commit, with the kill before and after it. In rising order, so that each ceremony gets past where the last one ended. */
const cases = (commits: number): Case[] =>
  Array.from({ length: commits }, (_, i) => i + 1).flatMap((at) => [
    { at, when: 'before' },
    { at, when: 'after' },
  ])

/** Outputs that the wallet has, with what it may do with them. */
async function coins(node: Lightningd): Promise<string[]> {
  const { outputs } = await node.call('listfunds')
  return outputs
    .filter((o) => o.status !== 'spent')
    .map((o) => `${o.txid}:${o.output} ${o.amount_msat} ${o.reserved ? 'reserved' : 'free'}`)
    .sort()
}

const factories = async (node: Lightningd): Promise<ListedFactory[]> =>
  ((await node.call('factory-list')) as unknown as { factories: ListedFactory[] }).factories

/**
 * A client that has signed and checked everything goes on watching when the LSP says that it gave up: its word would not keep the
 * funding from the chain.
 */
const isToldOnly = ({ stage, notice }: ListedFactory): boolean =>
  stage === 'ready' && /The LSP aborted/.test(notice ?? '')
const isOver = (factory: ListedFactory): boolean =>
  factory.phase === 'active' || factory.phase === 'aborted' || isToldOnly(factory)

/**
 * Between lightningd's reservation and the commit that takes it down, nobody but lightningd knows which coins it was for. They
 * come back by themselves after two days and a half; everywhere else they must be free at once.
 */
const orphanless = (factory: ListedFactory | undefined, list: readonly string[] = []): string[] =>
  factory?.notice === 'restarted while preparing' ? list.map((coin) => coin.replace(/reserved$/, 'free')) : [...list]

describeWithLightningd('kill -9 at each persisted step of a ceremony', () => {
  let net: FactoryNetwork
  beforeAll(async () => {
    net = await FactoryNetwork.start(2, {
      lspSats: 20_000_000,
      delays: { ...SHORT_DELAYS, 'factory-step-timeout': 10 },
      node: { env: OBEDIENT },
    })
    for (let i = 0; i < 3; i++) await net.network.fund(net.lsp, 20_000_000)
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  // One that failed must not fail the next.
  beforeEach(async () => {
    for (const node of [net.lsp, ...net.clients]) {
      revoke(node)
      if (!node.running) await node.start()
    }
    await net.connectAll()
  })

  const create = (): Promise<unknown> =>
    net.lsp
      .call('factory-create', { clients: net.clients.map((c) => c.id), capacity: 100_000, lifetime: 500 })
      .then((created) => created['instance_id'])

  /** What has become of the factory that is new to a node, once that is decided. Mines what waits to be mined. */
  async function outcome(node: Lightningd, known: number): Promise<ListedFactory | undefined> {
    return await until(
      async () => {
        if ((await net.network.bitcoind.call('getrawmempool')).length > 0) await net.network.mine(1)
        const factory = (await factories(node)).at(known)
        return factory === undefined || isOver(factory) ? { factory } : undefined
      },
      { what: `${node.alias} to end the ceremony or to give it up`, seconds: 60 },
    ).then(({ factory }) => factory)
  }

  async function killed(victim: Lightningd, { at, when }: Case): Promise<void> {
    const everyone = [net.lsp, ...net.clients]
    const before = await Promise.all(everyone.map(coins))
    const known = await Promise.all(everyone.map(async (node) => (await factories(node)).length))

    order(victim, { at, when, signal: 'SIGKILL' })
    const created = create().catch((error: unknown) => error)
    await until(
      async () => {
        // The last steps need a block.
        if ((await net.network.bitcoind.call('getrawmempool')).length > 0) await net.network.bitcoind.mine(1)
        return !victim.running
      },
      { what: `${victim.alias} to be killed`, seconds: 30 },
    )
    revoke(victim)
    await victim.start()
    await net.connectAll()
    await created

    const ends = await Promise.all(everyone.map((node, i) => outcome(node, known[i] ?? 0)))
    const [lsp, ...clients] = ends
    for (const client of clients) {
      // There are clients that never heard of it.
      if (client === undefined || isToldOnly(client)) expect(lsp?.phase).not.toBe('active')
      else expect(client.phase).toBe(lsp?.phase)
    }
    const after = await Promise.all(everyone.map(coins))
    expect(after.slice(1)).toEqual(before.slice(1))
    if (lsp?.phase === 'active') await net.network.settled()
    else expect(orphanless(lsp, after[0])).toEqual(before[0])
  }

  it.each(cases(COMMITS.lsp))('invariant 8: the LSP, $when commit $at', async (one) => {
    await killed(net.lsp, one)
  })

  it.each(cases(COMMITS.client))('invariant 8: a client, $when commit $at', async (one) => {
    await killed(net.clients[0] as Lightningd, one)
  })

  it('has no further commit, and creates a factory after all that', async () => {
    order(net.lsp, { at: COMMITS.lsp + 1, when: 'before', signal: 'SIGKILL' })
    order(net.clients[0] as Lightningd, { at: COMMITS.client + 1, when: 'before', signal: 'SIGKILL' })
    const { instance_id } = await net.create(net.clients, { capacity: 100_000 })
    await net.inPhase(instance_id, 'active', [net.lsp, ...net.clients])
  })
})
