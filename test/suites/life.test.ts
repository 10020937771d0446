/**
 * What an LSP does for months, in minutes: a ladder of three factories, always the oldest rotated into a new one, with payments in
 * between; and sales in between; clients that miss a slot, one that vanishes, two that join, one that leaves. LN_FACTORY_ROTATIONS=12 for a long life.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { FactoryNetwork, satOfBtc, until, type Lightningd, type ListedFactory } from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'

const ROTATIONS = Number(process.env['LN_FACTORY_ROTATIONS'] ?? 4)
const LIFETIME = 300
const CAPACITY = 1_000_000
/** Satoshi of the LSP's wallet. */
const FUNDS = 60_000_000

interface Move {
  readonly peer_id: string
  readonly stage: string
}

describeWithLightningd(`a life of ${ROTATIONS} rotations`, () => {
  let net: FactoryNetwork
  /** Live factories, oldest first, with those who are still in them. */
  const ladder: { id: string; clients: Set<Lightningd> }[] = []
  /** What each client must have, in msat. */
  const due = new Map<Lightningd, number>()
  const away = new Set<Lightningd>()
  let startHeight = 0
  let payments = 0
  let sales = 0

  const client = (i: number): Lightningd => net.clients[i] as Lightningd
  const listed = async (node: Lightningd): Promise<ListedFactory[]> =>
    ((await node.call('factory-list')) as { factories: ListedFactory[] }).factories

  /** Of all factories that a client has not left. */
  const worth = async (node: Lightningd): Promise<number> => {
    const homes = new Set(ladder.filter((f) => f.clients.has(node)).map((f) => f.id))
    return (await listed(node))
      .filter((f) => homes.has(f.instance_id))
      .reduce((sum, f) => sum + f.channels.reduce((own, c) => own + (c.to_us_msat ?? 0), 0), 0)
  }

  const conserved = async (): Promise<void> => {
    await net.network.settled()
    for (const [node, msat] of due)
      if (node.running && !away.has(node)) expect(await worth(node), `${node.alias} in msat`).toBe(msat)
  }

  const give = async (node: Lightningd, msat: number): Promise<void> => {
    expect(await net.lsp.call('pay', { bolt11: await net.invoice(node, msat) })).toMatchObject({ status: 'complete' })
    due.set(node, (due.get(node) ?? 0) + msat)
    payments++
  }

  const send = async (from: Lightningd, to: Lightningd, msat: number): Promise<void> => {
    const paid = (await from.call('factory-pay', { bolt11: await net.invoice(to, msat) })) as unknown as {
      amount_sent_msat: number
    }
    due.set(from, (due.get(from) ?? 0) - paid.amount_sent_msat)
    due.set(to, (due.get(to) ?? 0) + msat)
    payments++
  }

  /** A second channel in the factory that it is in; what it can't spend of its first one stays there. */
  const buy = async (node: Lightningd): Promise<void> => {
    const home = ladder.find((f) => f.clients.has(node)) ?? expect.fail('no home')
    const sale = (await node.call('factory-buy', {
      instance_id: home.id,
      capacity: 200_000,
      max_price: 2_000_000,
    })) as unknown as { price_msat: number }
    expect(sale.price_msat).toBeGreaterThan(0)
    due.set(node, (due.get(node) ?? 0) - sale.price_msat)
    sales++
  }

  const stop = async (node: Lightningd): Promise<void> => {
    await node.stop()
    away.add(node)
    await until(async () => !(await net.lsp.call('listpeers')).peers.some((p) => p.id === node.id && p.connected), {
      what: `${node.alias} to be away`,
    })
  }
  const comeBack = async (node: Lightningd): Promise<void> => {
    await node.start()
    away.delete(node)
    await net.connectAll([node])
    await until(
      async () => (await node.call('listpeerchannels')).channels.every((c) => c.peer_connected || !c.private),
      { what: `${node.alias}'s channels` },
    )
  }

  const left = (from: string, nodes: readonly Lightningd[]): Promise<boolean> =>
    until(
      async () => {
        const { moves } = (await net.lsp.call('factory-show', [from])) as { moves: Move[] }
        return nodes.every((n) => moves.some((m) => m.peer_id === n.id && m.stage === 'moved'))
      },
      { what: `clients to leave ${from.slice(0, 8)}`, seconds: 120 },
    )

  /** The oldest factory, and all that is left of those before it, into a new one. */
  const rotateOldest = async (joining: readonly Lightningd[]): Promise<void> => {
    const fresh = new Set<Lightningd>(joining)
    const leaving = ladder.filter((f, i) => i === 0 || ladder.length - i > 3 || [...f.clients].length < 2)
    for (const f of leaving) for (const node of f.clients) if (!away.has(node)) fresh.add(node)
    if (fresh.size === 0) return
    const [oldest, ...others] = leaving
    if (oldest === undefined) return
    const { instance_id } = (await net.lsp.call('factory-rotate', {
      instance_id: oldest.id,
      clients: [...fresh].map((node) => ({ id: node.id, capacity_sat: CAPACITY })),
      lifetime: LIFETIME,
    })) as unknown as { instance_id: string }
    for (const f of others) await net.lsp.call('factory-rotate', { instance_id: f.id, to: instance_id })
    await net.network.mine(1)
    await net.inPhase(instance_id, 'active', [net.lsp, ...fresh])
    for (const f of leaving) {
      const moving = [...f.clients].filter((node) => fresh.has(node))
      await left(f.id, moving)
      for (const node of moving) f.clients.delete(node)
    }
    ladder.push({ id: instance_id, clients: fresh })
    for (const f of leaving) {
      if (f.clients.size > 0) continue
      // Nobody is left: one transaction takes the coins back.
      await net.inPhase(f.id, 'closing', [net.lsp])
      await until(async () => (await net.network.bitcoind.call('getrawmempool')).length > 0, { what: 'the reap' })
      await net.network.mine(1)
      await net.inPhase(f.id, 'closed', [net.lsp])
      ladder.splice(ladder.indexOf(f), 1)
    }
  }

  beforeAll(async () => {
    net = await FactoryNetwork.start(10, { lspSats: FUNDS })
    await net.lsp.call('factory-policy', { sells: true, sale_base: 1000, sale_rate: 2_000_000 })
    startHeight = await net.network.bitcoind.height()
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  it('begins with three factories for eight clients', async () => {
    for (const [from, to] of [
      [0, 3],
      [3, 6],
      [6, 8],
    ] as const) {
      const clients = net.clients.slice(from, to)
      const params = { lifetime: LIFETIME, capacity: CAPACITY, stock_per_client: 300_000 }
      const { instance_id } = await net.create(clients, params)
      ladder.push({ id: instance_id, clients: new Set(clients) })
    }
    for (let i = 0; i < 8; i++) await give(client(i), 20_000_000 + i * 11_111_111)
    await conserved()
  })

  it.each(Array.from({ length: ROTATIONS }, (_, i) => i))('rotation %i', async (round) => {
    // Two miss a slot each, and come back for the next one.
    if (round === 0) await stop(client(1))
    if (round === 1) await stop(client(4))
    // Two join.
    const joining = round === 1 ? [client(8)] : round === 2 ? [client(9)] : []
    await rotateOldest(joining)
    for (const node of joining) await give(node, 5_000_001)
    if (round === 0) await comeBack(client(1))
    if (round === 1) await comeBack(client(4))
    await send(client(0), client(5), 1_000_000 + round)
    await send(client(5), client(7), 500_000 + round)
    await send(client(7), client(0), 300_000 + round)
    if (round === 1 || round === 3) await buy(client(round))
    await conserved()
  })

  it('one leaves alone, one vanishes and is left on chain in time; the others close', async () => {
    const [leaver, lost] = [client(2), client(6)]
    const home = (node: Lightningd) => ladder.find((f) => f.clients.has(node)) ?? expect.fail('no home')
    const lostHome = home(lost)
    await leaver.call('factory-exit', [home(leaver).id])
    await net.lsp.call('factory-show', [lostHome.id])
    await stop(lost)
    // The LSP leaves whoever is still there by itself, W and a margin before the expiry.
    const open = ladder.filter((f) => f !== lostHome && f !== home(leaver))
    for (const f of open) {
      await net.lsp.call('factory-close', { instance_id: f.id })
      await net.network.mine(1)
      await net.inPhase(f.id, 'closed', [net.lsp])
    }
    const { expiry, early_warning } = await net.show(net.lsp, lostHome.id)
    const height = await net.network.bitcoind.height()
    await net.network.mine(expiry - 2 * early_warning - height)
    // Block by block: each level of the tree has to confirm before the next is sent, all of it before the expiry.
    for (let i = 0; i < 2 * early_warning; i++) await net.network.mine(1)
    await until(
      async () => {
        await net.network.mine(2)
        return (await net.factory(net.lsp, lostHome.id))?.phase === 'exited'
      },
      { what: 'the LSP to have left, with its stocks' },
    )
    await lost.start()
    await net.network.synced()
    for (const node of net.clients) {
      const sats = Math.floor((due.get(node) ?? 0) / 1000)
      await until(
        async () => {
          await net.network.mine(2)
          return Math.abs((await net.walletSats(node)) - sats) < 3000
        },
        { what: `${node.alias} to have its ${sats} sat on chain` },
      )
    }
  })

  it('invariant 10: what all had at the beginning is what all have now, and the miners’ fees', async () => {
    const { bitcoind } = net.network
    const owned = new Set<string>()
    let wallets = 0
    for (const node of [net.lsp, ...net.clients]) {
      for (const o of (await node.call('listfunds')).outputs) {
        owned.add(`${o.txid}:${o.output}`)
        wallets += o.amount_msat / 1000
      }
    }
    let fees = 0
    let standing = 0
    const height = await bitcoind.height()
    for (let at = startHeight + 1; at <= height; at++) {
      const { tx } = await bitcoind.call('getblock', [await bitcoind.call('getblockhash', [at])])
      for (const txid of tx.slice(1)) {
        const { vin, vout } = await bitcoind.call('getrawtransaction', [txid, true])
        for (const { txid: parent = '', vout: n = 0 } of vin) {
          const before = await bitcoind.call('getrawtransaction', [parent, true])
          fees += satOfBtc(before.vout[n]?.value ?? 0)
        }
        for (const { n, value } of vout) {
          fees -= satOfBtc(value)
          if (owned.has(`${txid}:${n}`)) continue
          if ((await bitcoind.call('gettxout', [txid, n, true])) !== null) standing += satOfBtc(value)
        }
      }
    }
    process.stderr.write(
      `${ROTATIONS} rotations, ${payments} payments, ${sales} sales: ${wallets} sat in wallets, ${fees} to miners, ${standing} in anchors and unswept outputs, of ${FUNDS}\n`,
    )
    expect(wallets + Math.round(fees) + standing).toBe(FUNDS)
  })
})
