import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { FactoryNetwork, until, type Lightningd, type ListedFactory } from '../src/network/index.js'
import { OBEDIENT, order, revoke } from './faults.js'
import { describeWithLightningd } from './gate.js'

/** What the client has committed when it stops; what would follow never leaves it. */
const STEPS = ['joining', 'accepted', 'zero-conf granted', 'nonces', 'partial signatures', 'stored', 'channel ready']

const PEER_SILENT = 5623

describeWithLightningd('a client that goes silent', () => {
  let net: FactoryNetwork
  let silent: Lightningd
  let other: Lightningd
  beforeAll(async () => {
    net = await FactoryNetwork.start(2, { node: { env: OBEDIENT } })
    ;[silent, other] = net.clients as [Lightningd, Lightningd]
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())
  afterEach(() => {
    revoke(silent)
    process.kill(silent.pluginPid(), 'SIGCONT')
  })

  const create = (more: Record<string, unknown> = {}): Promise<Record<string, unknown>> =>
    net.lsp.call('factory-create', { clients: [silent.id, other.id], capacity: 100_000, lifetime: 500, ...more })

  const newest = async (node: Lightningd): Promise<ListedFactory | undefined> =>
    ((await node.call('factory-list')) as unknown as { factories: ListedFactory[] }).factories.at(-1)

  it.each(STEPS.map((step, i) => ({ at: i + 1, step })))('after step $at ($step)', async ({ at }) => {
    const coins = (await net.lsp.call('listfunds')).outputs
    order(silent, { at, when: 'after', signal: 'SIGSTOP' })
    const error: unknown = await create({ step_timeout: 3 }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: PEER_SILENT, message: expect.stringContaining(silent.id) as string })
    // The other one did its part.
    expect(error).not.toMatchObject({ message: expect.stringContaining(other.id) as string })

    await until(async () => (await net.lsp.call('listfunds')).outputs.every((o) => !o.reserved), {
      what: 'the coins to be free again',
    })
    expect((await net.lsp.call('listfunds')).outputs).toEqual(coins)
    const told = await until(
      async () => {
        const factory = await newest(other)
        // Who has checked everything already goes on watching, and says so.
        return (factory?.phase === 'aborted' || factory?.notice?.startsWith('The LSP aborted')) && factory
      },
      { what: 'the other client to be told' },
    )
    expect(told.notice).toContain(silent.id)

    revoke(silent)
    process.kill(silent.pluginPid(), 'SIGCONT')
    await until(async () => (await newest(silent))?.notice?.includes(silent.id), {
      what: 'the silent client to hear of it',
    })
  })

  it('is back: the next factory is created', async () => {
    const { instance_id } = await net.create(net.clients, { capacity: 100_000 })
    await net.inPhase(instance_id, 'active', [net.lsp, silent, other])
  })
})
