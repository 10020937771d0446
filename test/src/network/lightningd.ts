import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Bitcoind } from './bitcoind.js'
import { Daemon } from './daemon.js'
import { tempDir, type TempDir } from './guard.js'
import { LightningRpc, type LightningParams, type LightningResult } from './lightningRpc.js'
import { freePort } from './ports.js'
import { findLightningd } from './programs.js'
import { until } from './wait.js'

const HOST = '127.0.0.1'

export interface LightningdOptions {
  readonly bitcoind: Bitcoind
  /** Also its name in messages and its folder's name. */
  readonly alias: string
  /** Path of a plugin's executable. */
  readonly plugin?: string
  /** Load it with `--important-plugin`, so that the node ends when it does. Default true. */
  readonly important?: boolean
  /** Further options by name, without the dashes; `true` for one that takes no value. */
  readonly options?: Readonly<Record<string, string | number | true>>
  readonly env?: Readonly<Record<string, string>>
  /**
   * Default true: polls blocks every second and gossips at once, which makes a test seconds instead of minutes long.
   * False: the node exactly as an operator runs it.
   */
  readonly developer?: boolean
  /** Where its data is kept. Default: a temporary folder that `dispose` removes. */
  readonly dataDir?: string
}

/** What may differ after a restart: the data and the address stay. */
export type RestartOptions = Partial<Pick<LightningdOptions, 'plugin' | 'important' | 'options' | 'env' | 'developer'>>

/** One stock lightningd on regtest, reachable on 127.0.0.1 only. */
export class Lightningd {
  /** Set once it has started for the first time. */
  id = ''
  private readonly rpc: LightningRpc
  private daemon: Daemon | undefined

  private constructor(
    private readonly program: string,
    private options: LightningdOptions,
    readonly dir: string,
    readonly port: number,
    private readonly temporary: TempDir | undefined,
  ) {
    this.rpc = new LightningRpc(join(dir, 'regtest', 'lightning-rpc'))
  }

  static async start(options: LightningdOptions): Promise<Lightningd> {
    const found = findLightningd()
    if (!found.found) throw new Error(found.why)
    const temporary = options.dataDir === undefined ? tempDir() : undefined
    const dir = options.dataDir ?? join(temporary?.path ?? '', options.alias)
    mkdirSync(dir, { recursive: true })
    const node = new Lightningd(found.program.daemon, options, dir, await freePort(), temporary)
    try {
      await node.start()
    } catch (error) {
      temporary?.remove()
      throw error
    }
    return node
  }

  get alias(): string {
    return this.options.alias
  }

  get running(): boolean {
    return this.daemon !== undefined && this.daemon.ended === undefined
  }

  /** lightningd's own log, with its plugins' lines. */
  get logFile(): string {
    return join(this.dir, 'log')
  }

  /** @throws RpcError when the node refuses; Error when it is not there */
  call<M extends string>(method: M, params?: LightningParams): Promise<LightningResult<M>> {
    return this.rpc.call(method, params)
  }

  async connect(other: Lightningd): Promise<void> {
    await this.call('connect', { id: other.id, host: HOST, port: other.port })
  }

  /** Resolves once it answers and knows every block that bitcoind has. */
  async start(changes: RestartOptions = {}): Promise<void> {
    if (this.running) throw new Error(`${this.alias} is running already`)
    this.options = { ...this.options, ...changes }
    const daemon = await Daemon.start({
      name: this.alias,
      program: this.program,
      args: this.arguments(),
      env: this.options.env ?? {},
      output: join(this.dir, 'output.log'),
      log: this.logFile,
    })
    this.daemon = daemon
    try {
      await this.synced()
    } catch (error) {
      const tail = daemon.tail()
      await daemon.kill9()
      throw new Error(`${this.alias} did not start:\n${tail}`, { cause: error })
    }
    this.id = (await this.call('getinfo')).id
  }

  /** Waits until it has seen bitcoind's best block. */
  async synced(): Promise<void> {
    await until(
      async () => {
        if (!this.running) return 'ended'
        const [info, height] = await Promise.all([this.call('getinfo'), this.options.bitcoind.height()])
        if (info.warning_bitcoind_sync !== undefined || info.warning_lightningd_sync !== undefined) return false
        return info.blockheight >= height && 'synced'
      },
      { what: `${this.alias} to see bitcoind's best block`, seconds: 180 },
    )
    if (!this.running) throw new Error(`${this.alias} ended, with ${this.daemon?.ended ?? 'no process'}`)
  }

  /** Asks it to stop, and waits until it has. @throws Error with its log when it doesn't end by itself */
  async stop(): Promise<void> {
    const daemon = this.daemon
    if (daemon === undefined || daemon.ended !== undefined) return
    await this.call('stop')
    await daemon.expectExit()
  }

  async restart(changes: RestartOptions = {}): Promise<void> {
    await this.stop()
    await this.start(changes)
  }

  /** SIGKILL to the node and its plugins, as a power cut ends them. `start` brings it back. */
  async kill9(): Promise<void> {
    await this.daemon?.kill9()
  }

  /** SIGKILL to its plugin only. The node ends with it when it is important: `exited` tells. */
  killPlugin9(): void {
    process.kill(this.pluginPid(), 'SIGKILL')
  }

  /** Resolves when the node's process has ended, with how. */
  async exited(): Promise<string> {
    return (await this.daemon?.exited) ?? 'never started'
  }

  get pid(): number {
    if (this.daemon === undefined) throw new Error(`${this.alias} was never started`)
    return this.daemon.pid
  }

  /** @throws Error when the node runs without that plugin */
  pluginPid(): number {
    const { plugin } = this.options
    const children = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8').trim().split(' ').map(Number)
    const pid = children.find((child) => plugin !== undefined && commandLine(child).includes(plugin))
    if (pid === undefined) throw new Error(`${this.alias} has no plugin process of ${plugin ?? 'a plugin'}`)
    return pid
  }

  log(): string {
    return readFileSync(this.logFile, 'utf8')
  }

  /** Ends it whatever it does, and removes its data when that is temporary. Safe to call again. */
  async dispose(): Promise<void> {
    await this.kill9()
    this.temporary?.remove()
  }

  private arguments(): string[] {
    const { bitcoind, alias, plugin, important = true, developer = true, options = {} } = this.options
    const { access } = bitcoind
    return [
      `--lightning-dir=${this.dir}`,
      '--network=regtest',
      `--alias=${alias}`,
      `--bind-addr=${HOST}:${this.port}`,
      `--log-file=${this.logFile}`,
      '--log-level=debug',
      '--disable-dns',
      `--bitcoin-cli=${access.cli}`,
      `--bitcoin-datadir=${access.datadir}`,
      `--bitcoin-rpcconnect=${access.host}`,
      `--bitcoin-rpcport=${access.port}`,
      `--bitcoin-rpcuser=${access.user}`,
      `--bitcoin-rpcpassword=${access.password}`,
      ...(developer
        ? ['--developer', '--dev-fast-gossip', '--dev-bitcoind-poll=1', '--dev-fast-reconnect', '--dev-allow-localhost']
        : []),
      ...(plugin === undefined ? [] : [`--${important ? 'important-plugin' : 'plugin'}=${plugin}`]),
      ...Object.entries(options).map(([name, value]) => (value === true ? `--${name}` : `--${name}=${value}`)),
    ]
  }
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    // It ended between the listing and now.
    return []
  }
}
