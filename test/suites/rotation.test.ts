import { afterAll, beforeAll, expect, it } from 'vitest'
import { FactoryNetwork, until, type CreatedFactory, type Lightningd } from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'

/** Longer than two early warnings: a move is two HTLCs, one behind the other. */
const LIFETIME = 1000

interface Rotated {
  readonly instance_id: string
  readonly moving: readonly string[]
}

const pay = async (payer: Lightningd, bolt11: string): Promise<void> => {
  expect(await payer.call('factory-pay', { bolt11 })).toMatchObject({ status: 'complete' })
}

describeWithLightningd('a rotation', () => {
  let net: FactoryNetwork
  let old: CreatedFactory
  let next: Rotated
  let balances: number[]

  beforeAll(async () => {
    net = await FactoryNetwork.start(4)
    old = await net.create(net.clients, { lifetime: LIFETIME })
    // One with much, one with an odd amount, one with less than a reserve, one with nothing.
    for (const [i, msat] of [600_000_000, 77_777_777, 300_000].entries())
      await net.lsp.call('pay', { bolt11: await net.invoice(net.clients[i] as Lightningd, msat) })
    await net.network.settled()
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  const rotate = async (from: string, params: Record<string, unknown> = {}): Promise<Rotated> => {
    const rotated = (await net.lsp.call('factory-rotate', {
      instance_id: from,
      lifetime: LIFETIME,
      ...params,
    })) as unknown as Rotated
    await net.network.mine(1)
    return rotated
  }

  const left = async (instance: string, nodes: readonly Lightningd[]): Promise<void> => {
    await until(
      async () => {
        const { moves } = (await net.lsp.call('factory-show', [instance])) as {
          moves: { peer_id: string; stage: string }[]
        }
        return nodes.every((n) => moves.some((m) => m.peer_id === n.id && m.stage === 'moved'))
      },
      { what: `the clients to have moved out of ${instance.slice(0, 8)}`, seconds: 60 },
    )
  }

  it('moves every balance to the millisatoshi, for the clients’ factory keys', async () => {
    balances = await Promise.all(net.clients.map((c) => net.balance(c, old.instance_id)))
    expect(balances).toEqual([600_000_000, 77_777_777, 300_000, 0])
    next = await rotate(old.instance_id)
    expect([...next.moving].sort()).toEqual(net.clients.map((c) => c.id).sort())
    await left(old.instance_id, net.clients)
    await net.network.settled()
    for (const [i, client] of net.clients.entries())
      expect(await net.balance(client, next.instance_id), client.alias).toBe(balances[i])
  })

  it('takes all the old coins back in one transaction of one input and one output', async () => {
    await until(async () => (await net.factory(net.lsp, old.instance_id))?.phase === 'closing', {
      what: 'the old factory to be reaped',
    })
    await until(async () => (await net.network.bitcoind.call('getrawmempool')).length === 1, { what: 'the reap' })
    const [txid] = (await net.network.bitcoind.call('getrawmempool')) as [string]
    const tx = await net.network.bitcoind.call('getrawtransaction', [txid, true])
    expect(tx.vin).toHaveLength(1)
    expect(tx.vin[0]).toMatchObject({ txid: old.funding_txid, vout: old.funding_outnum })
    expect(tx.vout).toHaveLength(1)
    // 111 vB at lightningd's floor of 253 sat/kw.
    expect(Math.round((tx.vout[0]?.value ?? 0) * 1e8)).toBe(old.funding_sat - 113)
  })

  it('pays over the new channel while the old one, empty and shut, is there too', async () => {
    const [a, b] = net.clients as [Lightningd, Lightningd]
    await pay(a, await net.invoice(b, 2_000_003))
    await net.network.settled()
    await net.network.mine(1)
    await net.inPhase(old.instance_id, 'closed', [net.lsp, ...net.clients])
  })

  it('pays over the new factory, and after restarts', async () => {
    const [a, b] = net.clients as [Lightningd, Lightningd]
    await pay(a, await net.invoice(b, 1_000_001))
    await net.lsp.restart()
    await b.restart()
    await net.connectAll()
    await until(
      async () => {
        const { channels } = await net.lsp.call('listpeerchannels')
        const normal = channels.filter((c) => c.private && c.state === 'CHANNELD_NORMAL' && c.peer_connected)
        return normal.length >= net.clients.length
      },
      { what: 'the channels to be reestablished' },
    )
    await pay(b, await net.invoice(a, 1_000_001))
    await net.network.settled()
    expect(await net.balance(b, next.instance_id)).toBeGreaterThan(0)
  })

  it('leaves who is away in the old factory, and takes it with the next rotation', async () => {
    const [a, b, c, away] = net.clients as [Lightningd, Lightningd, Lightningd, Lightningd]
    await net.lsp.call('pay', { bolt11: await net.invoice(away, 50_000_000) })
    await net.network.settled()
    await away.stop()
    await until(async () => !(await net.lsp.call('listpeers')).peers.some((p) => p.id === away.id && p.connected), {
      what: 'the client to be away',
    })
    const second = await rotate(next.instance_id)
    expect(second.moving).not.toContain(away.id)
    await left(next.instance_id, [a, b, c])
    expect((await net.factory(net.lsp, next.instance_id))?.phase).toBe('active')

    await away.start()
    await net.connectAll([away])
    const third = await rotate(next.instance_id)
    expect(third.moving).toEqual([away.id])
    await left(next.instance_id, net.clients)
    await net.network.settled()
    expect(await net.balance(away, third.instance_id)).toBe(50_000_000)
    await until(async () => (await net.factory(net.lsp, next.instance_id))?.phase === 'closing', {
      what: 'the factory to be reaped',
    })
    await net.network.mine(1)
    await net.inPhase(next.instance_id, 'closed', [net.lsp, away])
  })
})
