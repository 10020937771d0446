/** The watchtower as people run it: its own process beside a bitcoind, while every node of the factory is down. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { encodeBundle } from '../../factory-core/src/watchtower/index.js'
import { Regtest } from './adversary/regtest.js'
import { CAPACITY, LEAF_DELAY, PARAMS, Scene, type Factory } from './adversary/scene.js'
import { freePort } from '../src/network/ports.js'
import { Daemon } from '../src/network/daemon.js'
import { tempDir, type TempDir } from '../src/network/guard.js'
import { FactoryNetwork, until, type Bitcoind } from '../src/network/index.js'
import { describeWithBitcoind, describeWithLightningd } from './gate.js'

const PROGRAM = fileURLToPath(new URL('../../plugin/bin/ln-factory-watchtower', import.meta.url))
const SECRET = 'ab'.repeat(32)

/** The process, its directory, and what it printed. */
class TowerProcess {
  daemon: Daemon | undefined

  private constructor(
    readonly dir: TempDir,
    readonly bitcoind: Bitcoind,
    readonly port: number,
  ) {}

  static async start(bitcoind: Bitcoind): Promise<TowerProcess> {
    const tower = new TowerProcess(tempDir(), bitcoind, await freePort())
    const { user, password } = bitcoind.access
    writeFileSync(join(tower.dir.path, 'cookie'), `${user}:${password}`, { mode: 0o600 })
    writeFileSync(join(tower.dir.path, 'feeders'), `alice ${SECRET}\n`, { mode: 0o600 })
    await tower.run()
    return tower
  }

  async run(): Promise<void> {
    const { host, port } = this.bitcoind.access
    const at = (name: string): string => join(this.dir.path, name)
    this.daemon = await Daemon.start({
      name: 'watchtower',
      program: PROGRAM,
      args: [
        ...['--dir', at('tower'), '--bitcoind', `http://${host}:${port}`, '--cookie', at('cookie'), '--interval', '1'],
        ...['--listen', `127.0.0.1:${this.port}`, '--feeders', at('feeders')],
      ],
      output: at('log'),
    })
    await this.says('listening')
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  drop(name: string, text: string): void {
    mkdirSync(join(this.dir.path, 'tower', 'inbox'), { recursive: true })
    writeFileSync(join(this.dir.path, 'tower', 'inbox', `${name}.json`), text)
  }

  async says(words: string): Promise<void> {
    await until(() => Promise.resolve(this.daemon?.tail(200).includes(words) === true), {
      what: `the tower to say ${words}`,
    })
  }

  /** Killed without a warning, and started again. */
  async crash(): Promise<void> {
    if (this.daemon !== undefined) {
      process.kill(this.daemon.pid, 'SIGKILL')
      await this.daemon.exited
    }
    await this.run()
  }

  async stop(): Promise<void> {
    if (this.daemon !== undefined) {
      process.kill(this.daemon.pid, 'SIGTERM')
      await this.daemon.exited
    }
    this.dir.remove()
  }
}

describeWithBitcoind('a watchtower alone with a bitcoind', () => {
  let chain: Regtest
  let tower: TowerProcess
  beforeAll(async () => {
    chain = await Regtest.start()
    tower = await TowerProcess.start(chain.bitcoind)
  })
  afterAll(async () => {
    await tower.stop()
    await chain.stop()
  })

  /** A factory whose first client has given its bundle away by file; then everybody is gone. */
  async function deserted(): Promise<{ factory: Factory; scene: Scene }> {
    const { scene, factory } = await Scene.active(chain, { clients: 3 })
    const bundle = factory.arena.node(scene.client(0)).bundle(factory.instance)
    tower.drop(factory.instance, encodeBundle(bundle))
    await tower.says(`factory ${factory.instance}, sequence 1`)
    for (const id of [scene.lsp, ...scene.clients]) factory.arena.kill(id)
    return { factory, scene }
  }

  const confirms = (txid: string, what: string): Promise<boolean> =>
    until(
      async () => {
        await chain.mine(1)
        return ((await chain.bitcoind.confirmations(txid)) ?? 0) > 0
      },
      { what, seconds: 60 },
    )

  it('invariant 7: the latest state follows a kickoff, across a kill -9 and a reorganisation of 30 blocks', async () => {
    const { factory, scene } = await deserted()
    const path = await factory.pathOf(scene.client(0))
    const leaf = (await factory.spend(path.at(-1) ?? '')).tx.txid
    await factory.publish(scene.lsp, ...path.slice(0, -1))
    await tower.crash()
    await chain.mine(LEAF_DELAY - 2)
    await confirms(leaf, 'the leaf')
    await chain.mine(25)
    const [root, kickoff] = await Promise.all(path.slice(0, 2).map((id) => factory.holds(scene.lsp, id)))
    await chain.bitcoind.reorg(26)
    for (const raw of [root, kickoff]) if (raw !== undefined) await chain.broadcast(raw)
    await confirms(leaf, 'the leaf again')
  })

  it('the distribution at the expiry pays a client that never came back', async () => {
    const { factory, scene } = await deserted()
    await chain.mine(factory.expiry - (await chain.height()))
    await confirms((await factory.spend('dist:funding')).tx.txid, 'the distribution')
    expect(await scene.wealth(scene.client(0))).toBeGreaterThanOrEqual(CAPACITY + PARAMS.stockPerClient)
  })

  it('strangers get nothing in: no secret, a wrong one, too much, a bundle that is none', async () => {
    const put = async (authorization: string, body: string): Promise<number> =>
      (
        await fetch(`${tower.url}/v1/bundle`, { method: 'PUT', headers: { authorization }, body }).catch(() => ({
          status: 0,
        }))
      ).status
    expect(await put('', '{}')).toBe(401)
    expect(await put(`LnFactory alice:${'00'.repeat(32)}`, '{}')).toBe(401)
    expect(await put(`LnFactory mallory:${'00'.repeat(32)}`, '{}')).toBe(401)
    expect([0, 413]).toContain(await put(`LnFactory alice:${'00'.repeat(32)}`, ' '.repeat(5_000_000)))
    tower.drop('junk', '{"version":1}')
    await tower.says('junk.json refused')
    await tower.crash()
  })
})

describeWithLightningd('a client of a watchtower', () => {
  let net: FactoryNetwork
  let tower: TowerProcess
  afterAll(async () => {
    await (tower as TowerProcess | undefined)?.stop()
    await (net as FactoryNetwork | undefined)?.stop()
  })

  it('brings it what it needs by itself, and is paid at the expiry while every node is down', async () => {
    // The option names a file that the tower's port goes into.
    const file = tempDir()
    const towers = join(file.path, 'towers')
    writeFileSync(towers, '', { mode: 0o600 })
    net = await FactoryNetwork.start(1, { node: { options: { 'factory-watchtowers': towers } } })
    tower = await TowerProcess.start(net.network.bitcoind)
    writeFileSync(towers, `${tower.url} alice ${SECRET}\n`, { mode: 0o600 })
    const [client] = net.clients
    if (client === undefined) throw new Error('no client')
    await client.stop()
    await client.start()
    await net.connectAll()
    const factory = await net.create(net.clients, { capacity: 1_000_000, lifetime: 170 })
    const expiry = (await net.factory(client, factory.instance_id))?.expiry ?? 0
    const shown = await net.show(client, factory.instance_id)
    const distribution = shown.transactions.find((t) => t.id === 'dist:funding')?.txid ?? ''
    // Twenty seconds at the most; the next block makes the tower say what it has.
    await until(
      async () => {
        await net.network.bitcoind.mine(1)
        const answer = (await client.call('factory-watchtower-export', { instance_id: factory.instance_id })) as {
          sequence: number
        }
        return answer.sequence === 1 && (await guarded(tower)) === 1
      },
      { what: 'the tower to be fed', seconds: 90 },
    )
    await client.kill9()
    await net.lsp.kill9()
    await net.network.bitcoind.mine(expiry - (await net.network.bitcoind.height()))
    await until(
      async () => {
        await net.network.bitcoind.mine(1)
        return ((await net.network.bitcoind.confirmations(distribution)) ?? 0) > 0
      },
      { what: 'the distribution', seconds: 60 },
    )
    file.remove()
  })
})

async function guarded(tower: TowerProcess): Promise<number> {
  const { authorize } = await import('../../plugin/src/watchtower/secret.js')
  const authorization = authorize('alice', SECRET, 'GET', '/v1/status', '')
  const answer = await fetch(`${tower.url}/v1/status`, { headers: { authorization } })
  return ((await answer.json()) as { bundles: unknown[] }).bundles.length
}
