/**
 * Stock lightningd under test: its plugin is a pipe to this process, where the real plugin class, hooks and host run in sight of
 * the test. The pipe ends as the plugin would, so restarts and kills are what they are in earnest.
 */
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  ClnHost,
  FACTORY_FEATURES,
  FACTORY_MESSAGE,
  FactoryPlugin,
  LightningRpc,
  wireHooks,
  type Wiring,
} from '@ln-factory/plugin'
import type { HostHandlers } from '@ln-factory/core/host'
import { Network, until, type Lightningd } from '../../src/network/index.js'
import type { HostPair, HostUnderTest } from './conformance.js'
import { Recorder } from './recorder.js'

const pipe = (socket: string): string => `#!/usr/bin/env node
const socket = require('node:net').connect(${JSON.stringify(socket)})
process.stdin.pipe(socket)
socket.pipe(process.stdout)
socket.on('close', () => process.exit(0))
`

/** Serves one node's plugin, again after each restart of the node. */
export class PluginHere {
  readonly executable: string
  private readonly server: Server
  private readonly sockets = new Set<Socket>()
  /** Of the last start. */
  host: ClnHost | undefined
  starts = 0
  readonly logged: string[] = []

  constructor(private readonly handlers: HostHandlers) {
    const dir = mkdtempSync(join(tmpdir(), 'host-'))
    const path = join(dir, 'pipe')
    this.executable = join(dir, 'plugin')
    writeFileSync(this.executable, pipe(path), { mode: 0o755 })
    this.server = createServer((socket) => {
      this.sockets.add(socket)
      socket.once('close', () => this.sockets.delete(socket))
      this.serve(socket)
    }).listen(path)
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    this.server.close()
    await once(this.server, 'close')
  }

  private serve(socket: Socket): void {
    const plugin = new FactoryPlugin({
      customMessages: [FACTORY_MESSAGE],
      featureBits: { init: FACTORY_FEATURES, node: FACTORY_FEATURES },
    })
    let resolve: (wiring: Wiring) => void = () => undefined
    const ready = new Promise<Wiring>((done) => {
      resolve = done
    })
    wireHooks(plugin, ready)
    let rpc: LightningRpc | undefined
    plugin.onInit = async ({ configuration }) => {
      const lightningDir = configuration['lightning-dir']
      rpc = new LightningRpc(join(lightningDir, configuration['rpc-file']))
      const log: ClnHost['log'] = (level, text) => {
        plugin.log(text, level)
      }
      this.host = await ClnHost.create({ rpc, lightningDir, log })
      this.starts++
      resolve({ host: this.host, handlers: this.handlers })
      return undefined
    }
    plugin.onShutdown = () => {
      rpc?.close()
      socket.end()
    }
    plugin.start(socket, socket)
  }
}

class ClnUnderTest implements HostUnderTest {
  constructor(
    readonly node: Lightningd,
    readonly events: Recorder,
    readonly plugin: PluginHere,
  ) {}

  get host(): ClnHost {
    if (this.plugin.host === undefined) throw new Error('the plugin was not started')
    return this.plugin.host
  }

  async connect(other: HostUnderTest): Promise<void> {
    await this.node.connect(nodeOf(other))
  }

  async disconnect(other: HostUnderTest): Promise<void> {
    await this.node.call('disconnect', { id: other.host.nodeId, force: true })
  }

  async restart(): Promise<void> {
    await this.node.restart()
  }

  async stop(): Promise<void> {
    await this.node.stop()
  }

  async invoice(amount: bigint): Promise<string> {
    const label = `${Date.now()}-${Math.random()}`
    return (await this.node.call('invoice', { amount_msat: Number(amount), label, description: label })).bolt11
  }

  async pay(invoice: string): Promise<void> {
    // A channel is usable a moment after the connection is there.
    await until(
      async () => {
        const { channels } = await this.node.call('listpeerchannels')
        return channels.some((c) => c.peer_connected && c.state === 'CHANNELD_NORMAL')
      },
      { what: 'a usable channel' },
    )
    await this.node.call('pay', { bolt11: invoice, retry_for: 20 })
  }

  async balance(): Promise<bigint> {
    const { outputs } = await this.node.call('listfunds')
    return outputs.filter((o) => o.status === 'confirmed').reduce((sum, o) => sum + BigInt(o.amount_msat), 0n) / 1000n
  }
}

function nodeOf(host: HostUnderTest): Lightningd {
  if (!(host instanceof ClnUnderTest)) throw new Error("hosts of two kinds can't be connected here")
  return host.node
}

/** Two stock nodes, the first with coins. */
export async function clnPair(developer: boolean): Promise<HostPair> {
  const network = await Network.start()
  const plugins: PluginHere[] = []
  const add = async (name: string): Promise<ClnUnderTest> => {
    const events = new Recorder()
    const plugin = new PluginHere(events)
    plugins.push(plugin)
    const [node] = await network.add([name], { plugin: plugin.executable, developer })
    return new ClnUnderTest(node as Lightningd, events, plugin)
  }
  const stop = async (): Promise<void> => {
    await network.stop()
    await Promise.all(plugins.map((p) => p.close()))
  }
  try {
    const [lsp, client] = await Promise.all([add('lsp'), add('client')])
    await network.fund(lsp.node, 10_000_000)
    return {
      lsp,
      client,
      stop,
      mine: (blocks) => network.mine(blocks),
      inMempool: (txid) => network.bitcoind.waitForMempool([txid]).then(() => undefined),
      mempool: () => network.bitcoind.call('getrawmempool'),
      outsider: async () => {
        const [node] = await network.add(['outsider'], { developer })
        return { id: (node as Lightningd).id, connect: (to) => (node as Lightningd).connect(nodeOf(to)) }
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}
