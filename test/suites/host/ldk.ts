/** LDK nodes in this process, on a real bitcoind, each with a wallet of its own there. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BitcoindWallet, LdkHost, openLdkStorage, type Gates } from '@ln-factory/core/ldk'
import { msat } from '@ln-factory/core/units'
import { addWallet, fundWallet, logOf } from '../../src/embedded/index.js'
import { Bitcoind, until, type BitcoindRpc } from '../../src/network/index.js'
import type { HostPair, HostUnderTest } from './conformance.js'
import { Outsider } from './outsider.js'
import { Recorder } from './recorder.js'

const HOST = '127.0.0.1'
const noGates: Gates = () => undefined

class LdkUnderTest implements HostUnderTest {
  private running: LdkHost | undefined
  port = 0

  constructor(
    readonly name: string,
    readonly events: Recorder,
    readonly rpc: BitcoindRpc,
    private readonly dir: string,
    private readonly seed: Uint8Array,
  ) {}

  get host(): LdkHost {
    if (this.running === undefined) throw new Error('the node was not started')
    return this.running
  }

  async start(): Promise<void> {
    this.running = await LdkHost.open({
      network: 'regtest',
      seed: this.seed,
      storage: openLdkStorage(join(this.dir, `${this.name}.sqlite`)),
      bitcoind: this.rpc,
      wallet: new BitcoindWallet(this.rpc, 'regtest'),
      log: logOf(this.name),
      pollInterval: 100,
    })
    this.running.run(this.events)
    this.port = await this.running.node.tcp.listen(HOST, 0)
  }

  async connect(other: HostUnderTest): Promise<void> {
    await this.host.node.connect(other.host.nodeId, HOST, underTest(other).port)
    await until(() => this.host.node.messages.peers.has(other.host.nodeId), { what: 'the connection' })
  }

  disconnect(other: HostUnderTest): Promise<void> {
    this.host.node.disconnect(other.host.nodeId)
    return Promise.resolve()
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  async stop(): Promise<void> {
    await this.running?.stop()
  }

  invoice(amount: bigint): Promise<string> {
    return Promise.resolve(this.host.invoice({ amount: msat(amount), description: 'test' }, noGates))
  }

  async pay(invoice: string): Promise<void> {
    await until(() => this.host.node.manager.list_usable_channels().length > 0, { what: 'a usable channel' })
    await this.host.pay(invoice, noGates)
  }

  async balance(): Promise<bigint> {
    return BigInt(Math.round((await this.rpc.call('getbalance')) * 1e8))
  }
}

function underTest(host: HostUnderTest): LdkUnderTest {
  if (!(host instanceof LdkUnderTest)) throw new Error("hosts of two kinds can't be connected here")
  return host
}

/** Two nodes, the first with coins. */
export async function ldkPair(): Promise<HostPair> {
  const bitcoind = await Bitcoind.start()
  const dir = mkdtempSync(join(tmpdir(), 'ldk-'))
  const nodes: LdkUnderTest[] = []
  const add = async (name: string): Promise<LdkUnderTest> => {
    const rpc = await addWallet(bitcoind, name)
    const node = new LdkUnderTest(name, new Recorder(), rpc, dir, new Uint8Array(32).fill(nodes.length + 1))
    nodes.push(node)
    await node.start()
    return node
  }
  let outsider: Outsider | undefined
  const stop = async (): Promise<void> => {
    for (const node of nodes) await node.stop()
    await outsider?.stop()
    await bitcoind.stop()
    rmSync(dir, { recursive: true })
  }
  try {
    const lsp = await add('lsp')
    const client = await add('client')
    await fundWallet(bitcoind, lsp.rpc, 10_000_000)
    const mine = async (blocks: number): Promise<void> => {
      await bitcoind.mine(blocks)
      const height = await bitcoind.height()
      for (const node of nodes) {
        if (!node.host.node.running) continue
        await until(async () => (await node.host.height()) >= height, { what: `${node.name} to see the block` })
      }
    }
    await mine(1)
    return {
      lsp,
      client,
      stop,
      mine,
      inMempool: (txid) => bitcoind.waitForMempool([txid]).then(() => undefined),
      mempool: () => bitcoind.call('getrawmempool'),
      outsider: async () => {
        outsider = await Outsider.start()
        const { id, port } = outsider
        return { id, connect: (to) => underTest(to).host.node.connect(id, HOST, port) }
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}
