/** A whole network on LDK, in this process: one LSP, its clients, a real bitcoind, and no Lightning daemon. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CreateResult } from '@ln-factory/core/runner'
import { blocks, msat, sat, type InstanceId } from '@ln-factory/core/units'
import { Bitcoind, until } from '../network/index.js'
import { LdkFactoryNode } from './node.js'
import { addWallet, fundWallet } from './wallet.js'

/** Delays that a test can wait for. */
export const SHORT = {
  arity: 2,
  fanout: 4,
  states: 4,
  step: blocks(4),
  confirmationMargin: blocks(1),
  safetyMargin: blocks(2),
  stockCsv: blocks(30),
  stockPerClient: sat(0),
  feerate: 1000,
} as const

export class LdkNetwork {
  private constructor(
    readonly bitcoind: Bitcoind,
    readonly dir: string,
    readonly lsp: LdkFactoryNode,
    readonly clients: readonly LdkFactoryNode[],
  ) {}

  static async start(count: number, lspSats = 50_000_000): Promise<LdkNetwork> {
    const bitcoind = await Bitcoind.start()
    const dir = mkdtempSync(join(tmpdir(), 'ldk-factory-'))
    const lsp = await LdkFactoryNode.start('lsp', await addWallet(bitcoind, 'lsp'), dir, new Uint8Array(32).fill(1), {})
    const clients: LdkFactoryNode[] = []
    for (let i = 1; i <= count; i++) {
      const name = `client${i}`
      const trusting = { autoAccept: [lsp.node.nodeId] }
      const seed = new Uint8Array(32).fill(i + 1)
      clients.push(await LdkFactoryNode.start(name, await addWallet(bitcoind, name), dir, seed, trusting))
    }
    const network = new LdkNetwork(bitcoind, dir, lsp, clients)
    await fundWallet(bitcoind, lsp.rpc, lspSats)
    await network.mine(1)
    for (const client of clients) await client.connect(lsp)
    return network
  }

  /** Every node has seen every block when it returns. */
  async mine(count: number, nodes: readonly LdkFactoryNode[] = [this.lsp, ...this.clients]): Promise<void> {
    await this.bitcoind.mine(count)
    const height = await this.bitcoind.height()
    for (const node of nodes)
      await until(async () => (await node.host.height()) >= height, { what: `${node.name} to see block ${height}` })
  }

  async create(clients: readonly LdkFactoryNode[], capacity: bigint, push = 0n, lifetime = 500): Promise<CreateResult> {
    await until(
      async () => {
        const peers = await this.lsp.node.peers()
        return clients.every((c) => peers.some((p) => p.id === c.node.nodeId && p.protocol === 'ours'))
      },
      { what: 'the LSP to know its clients' },
    )
    const result = await this.lsp.node.create({
      clients: clients.map((c) => ({ id: c.node.nodeId, capacity: sat(capacity), push: msat(push) })),
      lifetime: blocks(lifetime),
      params: SHORT,
      stepTimeout: 60,
    })
    await this.mine(1)
    await this.inPhase(result.instance, 'active', [this.lsp, ...clients])
    return result
  }

  async inPhase(instance: InstanceId, phase: string, nodes: readonly LdkFactoryNode[]): Promise<void> {
    for (const { node, name } of nodes)
      await until(async () => (await node.list()).find((f) => f.instance === instance)?.phase === phase, {
        what: `the factory of ${name} to be ${phase}`,
      })
  }

  /** No HTLC is under way in any channel. */
  async settled(): Promise<void> {
    for (const { host, name } of [this.lsp, ...this.clients])
      await until(async () => (await host.channels()).every((c) => c.htlcs.length === 0), {
        what: `the payments of ${name} to settle`,
      })
  }

  async stop(): Promise<void> {
    for (const node of [this.lsp, ...this.clients]) await node.stop()
    await this.bitcoind.stop()
    rmSync(this.dir, { recursive: true })
  }
}
