/** A whole network on LDK, in this process: one LSP, its clients, a real bitcoind, and no Lightning daemon. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BitcoindWallet, LdkHost, openLdkStorage, type LdkStorage } from '@ln-factory/core/ldk'
import { defaultPolicy, FactoryNode, type CreateResult, type Policy } from '@ln-factory/core/runner'
import { openSqliteStore } from '@ln-factory/core/store/sqlite'
import type { FactoryStore } from '@ln-factory/core/store'
import { blocks, msat, nodeId, sat, type InstanceId } from '@ln-factory/core/units'
import type { BitcoindRpc } from '../../src/network/index.js'
import { Bitcoind, until } from '../../src/network/index.js'
import { addWallet, fundWallet, logOf } from './ldk.js'

const HOST = '127.0.0.1'

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

/** Dies at a commit: just before it is made, or just after. */
export class Fuse {
  private left = Infinity
  private after = false
  blown = false

  set(commits: number, after: boolean): void {
    this.left = commits
    this.after = after
    this.blown = false
  }

  guard(storage: LdkStorage): LdkStorage {
    return {
      ...storage,
      commit: (writes) => {
        const dies = this.left-- === 0
        if (!dies || this.after) storage.commit(writes)
        if (!dies) return
        this.blown = true
        throw new Error('the process died')
      },
    }
  }
}

export class LdkFactoryNode {
  readonly fuse = new Fuse()
  host!: LdkHost
  node!: FactoryNode
  port = 0
  private store: FactoryStore | undefined

  private constructor(
    readonly name: string,
    readonly rpc: BitcoindRpc,
    private readonly dir: string,
    private readonly seed: Uint8Array,
    private readonly policy: Partial<Policy>,
  ) {}

  static async start(
    name: string,
    rpc: BitcoindRpc,
    dir: string,
    seed: Uint8Array,
    policy: Partial<Policy>,
  ): Promise<LdkFactoryNode> {
    const node = new LdkFactoryNode(name, rpc, dir, seed, policy)
    await node.start()
    return node
  }

  async start(): Promise<void> {
    this.host = await LdkHost.open({
      network: 'regtest',
      seed: this.seed,
      storage: this.fuse.guard(openLdkStorage(join(this.dir, `${this.name}-ldk.sqlite`))),
      bitcoind: this.rpc,
      wallet: new BitcoindWallet(this.rpc, 'regtest'),
      log: logOf(this.name),
      pollInterval: 200,
    })
    this.store = openSqliteStore(join(this.dir, `${this.name}.sqlite`))
    this.node = await FactoryNode.start({
      host: this.host,
      store: this.store,
      policy: { ...defaultPolicy, minDepth: 1, minLifetime: blocks(50), ...this.policy },
      entropy: (n) => new Uint8Array(randomBytes(n)),
      clock: () => Math.floor(Date.now() / 1000),
    })
    this.host.run(this.node)
    this.port = await this.host.node.tcp.listen(HOST, this.port)
  }

  async stop(): Promise<void> {
    this.node.stop()
    await this.host.stop()
    this.store?.close()
  }

  async restart(): Promise<void> {
    this.fuse.set(Infinity, false)
    await this.stop()
    await this.start()
  }

  connect(to: LdkFactoryNode): Promise<void> {
    return this.connectTo({ id: to.node.nodeId, port: to.port, name: to.name })
  }

  async connectTo(to: { readonly id: string; readonly port: number; readonly name: string }): Promise<void> {
    const id = nodeId(to.id)
    await this.host.node.connect(id, HOST, to.port)
    await until(async () => (await this.node.peers()).some((p) => p.id === id && p.protocol === 'ours'), {
      what: `${to.name} to announce the protocol`,
    })
  }

  invoice(amount: bigint): string {
    return this.host.invoice({ amount: msat(amount), description: 'test' }, (id) => this.node.gated(id))
  }

  async pay(invoice: string): Promise<void> {
    await this.host.pay(invoice, (id) => this.node.gated(id))
  }

  /** Our balance in all channels, in msat. */
  async balance(): Promise<bigint> {
    const channels = await this.host.channels()
    return channels.reduce((sum, c) => sum + c.ours, 0n)
  }

  async walletSats(): Promise<bigint> {
    return BigInt(Math.round((await this.rpc.call('getbalance')) * 1e8))
  }
}

export class LdkNetwork {
  private constructor(
    readonly bitcoind: Bitcoind,
    readonly dir: string,
    readonly lsp: LdkFactoryNode,
    readonly clients: readonly LdkFactoryNode[],
  ) {}

  static async start(count: number): Promise<LdkNetwork> {
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
    await fundWallet(bitcoind, lsp.rpc, 50_000_000)
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

  async create(clients: readonly LdkFactoryNode[], capacity: bigint, push = 0n): Promise<CreateResult> {
    await until(
      async () => {
        const peers = await this.lsp.node.peers()
        return clients.every((c) => peers.some((p) => p.id === c.node.nodeId && p.protocol === 'ours'))
      },
      { what: 'the LSP to know its clients' },
    )
    const result = await this.lsp.node.create({
      clients: clients.map((c) => ({ id: c.node.nodeId, capacity: sat(capacity), push: msat(push) })),
      lifetime: blocks(500),
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
