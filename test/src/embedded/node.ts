/** One node of an embedded network: LDK and a factory node in this process. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { BitcoindWallet, LdkHost, openLdkStorage } from '@ln-factory/core/ldk'
import { defaultPolicy, FactoryNode, type Policy } from '@ln-factory/core/runner'
import { openSqliteStore } from '@ln-factory/core/store/sqlite'
import type { FactoryStore } from '@ln-factory/core/store'
import { blocks, msat, nodeId } from '@ln-factory/core/units'
import { until, type BitcoindRpc } from '../network/index.js'
import { Fuse } from './fuse.js'
import { logOf } from './wallet.js'

const HOST = '127.0.0.1'

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
