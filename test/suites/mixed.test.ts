import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { instanceId, nodeId } from '@ln-factory/core/units'
import {
  FactoryNetwork,
  until,
  type ClosedFactory,
  type CreatedFactory,
  type Lightningd,
} from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'
import { addWallet, LdkFactoryNode } from '../src/embedded/index.js'

const CAPACITY = 1_000_000

describeWithLightningd('a Core Lightning LSP with clients on Core Lightning and on LDK', () => {
  let net: FactoryNetwork
  let cln: Lightningd
  let dir: string
  let factory: CreatedFactory
  const ldk: LdkFactoryNode[] = []

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'mixed-'))
    net = await FactoryNetwork.start(1)
    ;[cln] = net.clients as [Lightningd]
    const policy = { autoAccept: [nodeId(net.lsp.id)] }
    for (const i of [1, 2]) {
      const name = `ldk${i}`
      const rpc = await addWallet(net.network.bitcoind, name)
      const node = await LdkFactoryNode.start(name, rpc, dir, new Uint8Array(32).fill(40 + i), policy)
      ldk.push(node)
      await node.connectTo({ id: net.lsp.id, port: net.lsp.port, name: 'lsp' })
    }
  })
  afterAll(async () => {
    for (const node of ldk) await node.stop()
    await (net as FactoryNetwork | undefined)?.stop()
    rmSync(dir, { recursive: true })
  })

  const settled = async (): Promise<void> => {
    await net.network.settled()
    for (const { host, name } of ldk)
      await until(async () => (await host.channels()).every((c) => c.htlcs.length === 0), {
        what: `the payments of ${name} to settle`,
      })
  }
  const lspPays = async (bolt11: string): Promise<void> => {
    expect(await net.lsp.call('factory-pay', { bolt11 })).toMatchObject({ status: 'complete' })
  }

  it('is created', async () => {
    const ids = [cln.id, ...ldk.map((n) => n.node.nodeId)]
    factory = (await net.lsp.call('factory-create', {
      clients: ids,
      capacity: CAPACITY,
      lifetime: 500,
    })) as unknown as CreatedFactory
    await net.network.mine(1)
    await net.inPhase(factory.instance_id, 'active', [net.lsp, cln])
    for (const { node, name } of ldk)
      await until(async () => (await node.show(instanceId(factory.instance_id))).phase === 'active', {
        what: `${name} to call it active`,
      })
  })

  it('pays between all of them', async () => {
    const [a, b] = ldk as [LdkFactoryNode, LdkFactoryNode]
    await lspPays(a.invoice(200_000_000n))
    await lspPays(await net.invoice(cln, 100_000_000))
    await a.pay(b.invoice(30_000_000n))
    await b.pay(await net.invoice(cln, 5_000_000))
    expect(await cln.call('factory-pay', { bolt11: a.invoice(7_000_000n) })).toMatchObject({ status: 'complete' })
    await settled()
  })

  it('closes in one transaction that pays each balance to the satoshi', async () => {
    const balances = await Promise.all(ldk.map((n) => n.balance()))
    const before = await Promise.all(ldk.map((n) => n.walletSats()))
    const clnBalance = await net.balance(cln, factory.instance_id)
    const closed = (await net.lsp.call('factory-close', {
      instance_id: factory.instance_id,
    })) as unknown as ClosedFactory
    await net.network.bitcoind.waitForMempool([closed.txid])
    await net.network.mine(1)
    for (const [i, node] of ldk.entries())
      await until(async () => (await node.walletSats()) === (before[i] ?? 0n) + (balances[i] ?? 0n) / 1000n, {
        what: `${node.name} to own its balance`,
      })
    const paid = balances.reduce((sum, m) => sum + Number(m / 1000n), 0) + Math.floor(clnBalance / 1000)
    expect(paid + closed.to_us_sat + closed.fee_sat).toBe(factory.funding_sat)
  })
})
