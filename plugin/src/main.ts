/**
 * cln-factory: what lightningd starts. Reads lightningd's requests from stdin, and writes nothing but answers to stdout.
 *
 * Until lightningd's `init` nothing is touched: `getmanifest` is also asked by `lightningd --help`. From `init` on: options are
 * checked, the database is opened and the host is asked who it is; a fault ends the plugin with a sentence. Then the node
 * catches up with what happened meanwhile; hooks and commands that come earlier wait for that.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { FactoryNode } from '@ln-factory/core/runner'
import type { FactoryStore } from '@ln-factory/core/store'
import {
  BACKUP_SECRET_LABEL,
  installStaged,
  openSqliteStore,
  saveBackup,
  stageBackup,
} from '@ln-factory/core/store/sqlite'
import { commands, type Backups, type CommandContext } from './commands/index.js'
import { ClnHost, FACTORY_FEATURES, FACTORY_MESSAGE, wireHooks, type Wiring } from './host/index.js'
import { options, parseOptions } from './options/index.js'
import { TowerFeed } from './watchtower/feed.js'
import { FactoryPlugin, LightningRpc, type InitParams } from './rpc/index.js'

interface Running extends Wiring {
  readonly context: CommandContext
  readonly node: FactoryNode
}

/** A new state is with the watchtowers within a minute: far less than anybody needs to bring an old one to chain. */
const FEED_MS = 20_000

interface Prepared {
  readonly config: CommandContext['config']
  readonly rpc: LightningRpc
  readonly store: FactoryStore
  readonly host: ClnHost
  readonly backups: Backups
}

const plugin = new FactoryPlugin({
  customMessages: [FACTORY_MESSAGE],
  featureBits: { init: FACTORY_FEATURES, node: FACTORY_FEATURES },
})
const log: ClnHost['log'] = (level, text) => {
  plugin.log(text, level)
}
const explain = (error: unknown): string => (error instanceof Error ? error.message : String(error))

let resolveRunning: (running: Running) => void
let rejectRunning: (error: unknown) => void
const running = new Promise<Running>((resolve, reject) => {
  resolveRunning = resolve
  rejectRunning = reject
})
// Whoever waits for it reports its failure; there may be nobody.
running.catch(() => undefined)
let prepared: Prepared | undefined
let node: FactoryNode | undefined

async function prepare({ options: values, configuration }: InitParams): Promise<Prepared> {
  const lightningDir = configuration['lightning-dir']
  const config = parseOptions(values, { lightningDir, network: configuration.network })
  const rpc = new LightningRpc(join(lightningDir, configuration['rpc-file']))
  const host = await ClnHost.create({ rpc, lightningDir, log, bitcoind: config.bitcoind })
  const kept = installStaged(config.database)
  if (kept !== undefined) log('warn', `a backup has taken the place of the database, which is kept as ${kept}`)
  const store = openSqliteStore(config.database)
  const key = { secret: await host.deriveSecret(BACKUP_SECRET_LABEL), node: host.nodeId }
  const backups: Backups = {
    save: (file) => saveBackup(store, file, key, Math.floor(Date.now() / 1000)),
    stage: (file) => stageBackup(store, config.database, file, key),
  }
  return { config, rpc, store, host, backups }
}

async function catchUp({ config, rpc, store, host, backups }: Prepared): Promise<Running> {
  node = await FactoryNode.start({
    host,
    store,
    policy: config.policy,
    feeLimits: config.feeLimits,
    ladder: { params: config.creation.params },
    entropy: (bytes) => new Uint8Array(randomBytes(bytes)),
    clock: () => Math.floor(Date.now() / 1000),
  })
  // Peers that connected while we were not listening.
  for (const peer of await host.peers()) if (peer.connected) await node.peerConnected(peer.id)
  const feed = new TowerFeed(node, config.towers, log)
  setInterval(() => void feed.run(), FEED_MS)
  return { host, handlers: node, node, context: { api: node, rpc, config, backups } }
}

function stop(code: number): never {
  // Steps of the node are on disk when they are done, so there is nothing to wait for.
  node?.stop()
  prepared?.rpc.close()
  prepared?.store.close()
  process.exit(code)
}

/**
 * End when the last log line is out. To disable the plugin instead would be the custom, but lightningd goes on without one that
 * disables itself, important or not, and its factories would be unguarded (invariant 12).
 */
const end = (): Promise<never> =>
  new Promise(() => {
    setTimeout(() => stop(1), 100)
  })

plugin.onInit = async (params) => {
  try {
    prepared = await prepare(params)
  } catch (error) {
    log('error', `not started: ${explain(error)}`)
    return end()
  }
  catchUp(prepared).then(resolveRunning, (error: unknown) => {
    rejectRunning(error)
    log('error', `stopped, because the factories can't be guarded: ${explain(error)}`)
    return end()
  })
  return undefined
}
plugin.onShutdown = () => {
  stop(0)
}
process.on('SIGTERM', () => {
  stop(0)
})
// Ctrl-C in lightningd's terminal reaches us too; lightningd says when to end.
process.on('SIGINT', () => undefined)
process.on('unhandledRejection', (error) => {
  log('error', `unexpected: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
})

for (const option of options) plugin.addOption(option)
for (const command of commands)
  plugin.addMethod(
    command.name,
    async (params) => {
      command.validate(params)
      return command.run((await running).context, params)
    },
    command.usage,
    command.description,
    command.longDescription,
    (params) => {
      command.validate(params)
    },
  )
wireHooks(plugin, running)
plugin.start()
