import { describe, expect, it } from 'vitest'
import { decodeTx } from '../../src/tree/index.js'
import { blockHeight, blocks, type InstanceId, type NodeId } from '../../src/units/index.js'
import { encodeBundle, Tower, towerLimits, type Bundle, type TowerLimits } from '../../src/watchtower/index.js'
import { held } from '../simulation/held.js'
import { Net, params } from '../simulation/net.js'
import { MemoryTowerStore } from './store.js'

const short = { params: { ...params, stockCsv: blocks(30) }, lifetime: blocks(400) }

/** A network, and a tower that follows the same chain. */
class Scene {
  store = new MemoryTowerStore()
  readonly sent: string[] = []
  readonly lines: string[] = []
  tower: Tower

  private constructor(
    readonly net: Net,
    readonly instance: InstanceId,
    readonly limits: TowerLimits,
  ) {
    this.tower = this.start()
  }

  static async of(clients: number, limits: Partial<TowerLimits> = {}): Promise<Scene> {
    const net = await Net.of(3, clients)
    const scene = new Scene(net, await net.active(net.request(short)), { ...towerLimits, ...limits })
    await scene.tower.sync()
    return scene
  }

  start(): Tower {
    const { chain } = this.net.world
    return new Tower({
      chain: {
        height: () => Promise.resolve(chain.height),
        block: (h) => Promise.resolve(chain.block(h)),
        broadcast: (tx) => {
          this.sent.push(decodeTx(tx).txid)
          return Promise.resolve(chain.broadcast(tx))
        },
      },
      store: this.store,
      log: (level, text) => void this.lines.push(`${level}: ${text}`),
      limits: this.limits,
    })
  }

  /** Its sequence is the node's own, unless the test wants another one. */
  bundle(id: NodeId, sequence?: number): Bundle {
    const bundle = this.net.node(id).bundle(this.instance)
    return sequence === undefined ? bundle : { ...bundle, sequence }
  }

  async feed(id: NodeId, sequence?: number): Promise<void> {
    this.tower.accept('alice', encodeBundle(this.bundle(id, sequence)))
    await this.tower.sync()
  }

  /** Nobody is there but the tower. */
  deserted(): void {
    for (const id of this.net.all) if (this.net.world.nodes.has(id)) this.net.world.crash(id)
  }

  async mine(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.net.world.chain.mine()
      await this.tower.sync()
    }
  }
}

const has = (scene: Scene, txid: string): boolean => scene.net.world.chain.accepted.has(txid)

describe('a tower guards alone', () => {
  it('invariant 7: the latest state follows a kickoff that somebody published, after its nSequence', async () => {
    const scene = await Scene.of(2)
    await scene.feed(scene.net.client(0))
    const kickoff = await held(scene.net, scene.instance, 'kickoff:0')
    const leaf = await held(scene.net, scene.instance, 'leaf:0')
    scene.deserted()
    scene.net.world.chain.broadcast(kickoff.raw)
    await scene.mine(11)
    expect(has(scene, leaf.spend.tx.txid)).toBe(false)
    expect(scene.sent).not.toContain(leaf.spend.tx.txid)
    await scene.mine(2)
    expect(has(scene, leaf.spend.tx.txid)).toBe(true)
  })

  it.each([2, 20])('the distributions at the expiry, of %i clients, down to the payouts', async (clients) => {
    const scene = await Scene.of(clients)
    const client = scene.net.client(clients - 1)
    await scene.feed(client)
    const { transactions = [], expiry = 0 } = (await scene.net.show(client, scene.instance)) ?? {}
    scene.deserted()
    await scene.mine(expiry - scene.net.world.chain.height - 1)
    expect(scene.sent).toEqual([])
    await scene.mine(6)
    const funding = transactions.find((t) => t.id === 'dist:funding')
    expect(has(scene, funding?.txid ?? '')).toBe(true)
    for (const t of transactions.filter((t) => t.role === 'payout' && t.id.includes('funding')))
      expect(has(scene, t.txid), t.id).toBe(true)
  })

  it('all paths at the deadline of an LSP that is not there, each level after the one above', async () => {
    const scene = await Scene.of(5)
    await scene.feed(scene.net.lsp)
    const shown = await scene.net.show(scene.net.lsp, scene.instance)
    if (shown === undefined) throw new Error('no factory')
    scene.deserted()
    const deadline = shown.expiry - shown.earlyWarning - shown.params.confirmationMargin
    await scene.mine(deadline - scene.net.world.chain.height - 1)
    expect(scene.sent).toEqual([])
    await scene.mine(shown.earlyWarning)
    const tree = shown.transactions.filter((t) => ['static', 'kickoff', 'leaf'].includes(t.role))
    expect(tree.length).toBe(5)
    for (const t of tree) expect(has(scene, t.txid), t.id).toBe(true)
  })

  it('a close that all have signed', async () => {
    const scene = await Scene.of(2)
    const { net, instance } = scene
    for (const id of net.all) net.host(id).broadcast = () => Promise.resolve({ accepted: false, error: 'fee too low' })
    net
      .node(net.lsp)
      .close(instance, 1000)
      .catch(() => undefined)
    await net.world.run()
    expect((await net.show(net.client(0), instance))?.phase).toBe('closing')
    await scene.feed(net.client(0))
    scene.deserted()
    await scene.mine(1)
    expect(scene.lines.some((l) => l.includes('close: sent'))).toBe(true)
    expect(scene.lines.join()).not.toContain('dist')
  })

  it('across restarts and reorganisations, also one that happened while it was down', async () => {
    const scene = await Scene.of(2)
    await scene.feed(scene.net.client(0))
    const kickoff = await held(scene.net, scene.instance, 'kickoff:0')
    const leaf = await held(scene.net, scene.instance, 'leaf:0')
    const { chain } = scene.net.world
    scene.deserted()
    chain.broadcast(kickoff.raw)
    for (let i = 0; i < 15; i++) {
      await scene.mine(1)
      scene.tower = scene.start()
      await scene.tower.sync()
    }
    expect(has(scene, leaf.spend.tx.txid)).toBe(true)
    chain.reorg(100, (id) => id !== leaf.spend.tx.txid)
    for (let i = 0; i < 101; i++) chain.mine()
    expect(has(scene, leaf.spend.tx.txid)).toBe(false)
    scene.tower = scene.start()
    await scene.mine(1)
    expect(has(scene, leaf.spend.tx.txid)).toBe(true)
  })

  it('what happened before the bundle came', async () => {
    const scene = await Scene.of(2)
    const bundle = encodeBundle(scene.bundle(scene.net.client(0)))
    const kickoff = await held(scene.net, scene.instance, 'kickoff:0')
    const leaf = await held(scene.net, scene.instance, 'leaf:0')
    scene.deserted()
    scene.net.world.chain.broadcast(kickoff.raw)
    await scene.mine(20)
    expect(has(scene, leaf.spend.tx.txid)).toBe(false)
    scene.tower.accept('alice', bundle)
    await scene.tower.sync()
    expect(has(scene, leaf.spend.tx.txid)).toBe(true)
  })

  it('what was buried when the bundle was made', async () => {
    const scene = await Scene.of(5)
    const { net, instance } = scene
    net.world.chain.broadcast((await held(net, instance, 'static:0')).raw)
    await net.world.mine(150)
    await scene.tower.sync()
    const bundle = scene.bundle(net.client(0))
    expect(bundle.since).toBeGreaterThan(net.world.chain.height - 150)
    await scene.feed(net.client(0))
    scene.deserted()
    await scene.mine((await held(net, instance, 'dist:funding')).spend.tx.lockTime - net.world.chain.height + 2)
    const [below] = bundle.responses.filter(
      (r) => r.trigger.when === 'height' && r.id.startsWith('dist:') && r.id !== 'dist:funding',
    )
    expect(has(scene, decodeTx(below?.transactions[0] ?? new Uint8Array()).txid)).toBe(true)
  })
})

describe('a node', () => {
  it('numbers its bundles: the same while they do the same, a greater one when that changes, also after a restart', async () => {
    const { net, instance } = await Scene.of(2)
    const id = net.client(0)
    expect(net.node(id).bundle(instance).sequence).toBe(1)
    await net.world.mine(3)
    expect(net.node(id).bundle(instance).sequence).toBe(1)
    net.world.crash(id)
    await net.heal()
    expect(net.node(id).bundle(instance).sequence).toBe(1)
    const closing = net.node(net.lsp).close(instance, 1000)
    await net.world.run()
    await closing
    expect(net.node(id).bundle(instance).sequence).toBe(2)
    await net.world.mine(200)
    expect(net.node(id).bundle(instance)).toMatchObject({ sequence: 3, responses: [] })
  })
})

describe('a feeder', () => {
  it('replaces a bundle by a newer one, never by an older or another one of the same sequence', async () => {
    const scene = await Scene.of(2)
    const client = scene.net.client(0)
    const newer = scene.bundle(client, 7)
    scene.tower.accept('alice', encodeBundle(newer))
    expect(() => scene.tower.accept('alice', encodeBundle(scene.bundle(client, 6)))).toThrow('stale')
    expect(() => scene.tower.accept('alice', encodeBundle({ ...newer, responses: [] }))).toThrow('stale')
    expect(scene.tower.accept('alice', encodeBundle(newer)).sequence).toBe(7)
    expect(scene.tower.accept('alice', encodeBundle({ ...newer, sequence: 8 })).sequence).toBe(8)
  })

  it('can not touch what another one brought', async () => {
    const scene = await Scene.of(2)
    const bundle = scene.bundle(scene.net.client(0), 1)
    scene.tower.accept('alice', encodeBundle(bundle))
    scene.tower.accept('mallory', encodeBundle({ ...bundle, sequence: 99, responses: [] }))
    expect(scene.tower.status('alice').bundles).toEqual([{ feeder: 'alice', instance: scene.instance, sequence: 1 }])
    expect(scene.tower.status('mallory').bundles).toEqual([])
  })

  it('can have what it brought forgotten, and it is over by itself at last', async () => {
    const scene = await Scene.of(2)
    const bundle = scene.bundle(scene.net.client(0), 1)
    scene.tower.accept('alice', encodeBundle(bundle))
    scene.tower.accept('alice', encodeBundle({ ...bundle, sequence: 2, responses: [] }))
    expect(scene.store.bundles()).toEqual([])
    const until = blockHeight(scene.net.world.chain.height + 3)
    scene.tower.accept('alice', encodeBundle({ ...bundle, sequence: 3, until }))
    await scene.tower.sync()
    scene.deserted()
    await scene.mine(4)
    expect(scene.store.bundles()).toEqual([])
    expect(scene.store.setting('watch/watches')).toBe('[]')
  })

  it('invariant 11: is refused what exceeds the limits, and nothing changes', async () => {
    const scene = await Scene.of(2, { bundles: 1, feederBytes: 100_000, perBlock: 6, responses: 10, lookBack: 200 })
    const bundle = scene.bundle(scene.net.client(0), 1)
    const [response] = bundle.responses
    if (response === undefined) throw new Error('no response')
    scene.tower.accept('alice', encodeBundle(bundle))
    const other = '11'.repeat(32) as InstanceId
    const refused = (change: Partial<Bundle>, why: string): void => {
      expect(() => scene.tower.accept('alice', encodeBundle({ ...bundle, sequence: 2, ...change }))).toThrow(why)
    }
    refused({ instance: other }, 'more than 1 bundles')
    refused({ responses: Array.from({ length: 11 }, () => response) }, 'more than 10')
    refused({ since: blockHeight(0) }, 'more than 200 blocks back')
    refused({ until: blockHeight(400_000) }, 'lasts until')
    expect(() => scene.tower.accept('alice', 'x')).toThrow('not JSON')
    expect(() => scene.tower.accept('alice', 'x')).toThrow('6 bundles in one block')
    expect(scene.tower.accept('bob', encodeBundle(bundle)).sequence).toBe(1)
    expect(scene.tower.status('alice').bundles.map((b) => b.sequence)).toEqual([1])
  })

  it('whose transactions bitcoind refuses, or chokes on, does not keep the others from theirs', async () => {
    const scene = await Scene.of(2)
    const kickoff = await held(scene.net, scene.instance, 'kickoff:0')
    const leaf = await held(scene.net, scene.instance, 'leaf:0')
    const bundle = scene.bundle(scene.net.client(0), 1)
    const now = { when: 'height', height: blockHeight(0) } as const
    scene.tower.accept(
      'mallory',
      encodeBundle({ ...bundle, responses: [{ id: 'junk', trigger: now, transactions: [leaf.raw] }] }),
    )
    scene.tower.accept('alice', encodeBundle(bundle))
    scene.deserted()
    scene.net.world.chain.broadcast(kickoff.raw)
    await scene.mine(15)
    expect(has(scene, leaf.spend.tx.txid)).toBe(true)
  })
})
