/** Hostile clients, one or all but one, against the LSP and against each other. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { withWitness } from '../../factory-core/src/tree/tx.js'
import { msat, type NodeId } from '../../factory-core/src/units/index.js'
import { backup, tamper } from './adversary/arena.js'
import { COMMITMENT_FEE } from './adversary/channel.js'
import { Regtest } from './adversary/regtest.js'
import { BALANCE, CAPACITY, LEAF_DELAY, Scene, type Factory } from './adversary/scene.js'
import { expectRefused } from './adversary/theft.js'
import { describeWithBitcoind } from './gate.js'

const OWED = BALANCE / 1000n
const SIDE = CAPACITY - OWED - COMMITMENT_FEE

describeWithBitcoind('hostile clients', () => {
  let chain: Regtest
  beforeAll(async () => {
    chain = await Regtest.start()
  })
  afterAll(() => chain.stop())

  /** On two leaves: 0, 1, 2 on the first; 3, 4 on the second. */
  const active = (clients = 5): Promise<{ scene: Scene; factory: Factory }> => Scene.active(chain, { clients })

  const coinsAreFree = async (scene: Scene): Promise<void> => {
    for (const funding of scene.arena.host(scene.lsp).fundings) {
      expect(await chain.isReserved(funding)).toBe(false)
      expect(await chain.bitcoind.confirmations(funding.txid)).toBeUndefined()
    }
  }

  it('one signs the tree with garbage: it is named, the LSP’s coins are free, and the others have a factory without it', async () => {
    const scene = await Scene.of(chain, { clients: 3 })
    const culprit = scene.client(1)
    tamper(scene.arena, culprit, scene.lsp, 'partial_signatures', (p) => [
      { ...p, signatures: p.signatures.map((s, i) => (i === 0 ? s.map((b, j) => (j === 31 ? b ^ 1 : b)) : s)) },
    ])
    const { outcome } = await scene.order()
    expect(await outcome).toContain(`bad partial signature`)
    expect(await outcome).toContain(culprit)
    for (const id of [scene.client(0), scene.client(2)]) expect(await outcome).not.toContain(id)
    await coinsAreFree(scene)
    const request = scene.request()
    const second = await scene.order({ ...request, clients: request.clients.filter((c) => c.id !== culprit) })
    expect(await second.outcome).toBe('created')
    await scene.arena.mine(1)
    expect(scene.arena.state(scene.client(0), second.instance)?.stage).toBe('active')
  })

  it.each(['accept', 'nonces', 'partial_signatures', 'stored', 'channel_ready'] as const)(
    'one goes silent instead of its %s: it is named, and the LSP’s coins are free',
    async (kind) => {
      const scene = await Scene.of(chain, { clients: 3 })
      const culprit = scene.client(1)
      tamper(scene.arena, culprit, scene.lsp, kind, () => [])
      const { outcome } = await scene.order()
      await scene.arena.timeout()
      await scene.arena.run()
      expect(await outcome).toContain(culprit)
      expect(await outcome).not.toContain(scene.client(0))
      await coinsAreFree(scene)
      expect(scene.arena.host(scene.lsp).channelsById.size).toBe(0)
    },
  )

  it('one checks another channel than the one that was opened: the ceremony ends, and nothing was broadcast', async () => {
    const scene = await Scene.of(chain, { clients: 3 })
    tamper(scene.arena, scene.client(1), scene.lsp, 'channel_ready', (p) => [
      { ...p, channelId: p.channelId.map((b) => b ^ 1) },
    ])
    const { outcome } = await scene.order()
    expect(await outcome).toContain('checked another channel')
    await coinsAreFree(scene)
  })

  it('one publishes its path while the others work: theirs are intact, and each leaves with its balance', async () => {
    const { scene, factory } = await active()
    const rebel = scene.client(1)
    await factory.leaves(rebel)
    for (const id of [scene.client(0), scene.client(3)]) {
      expect(factory.stage(id)).toBe('active')
      await factory.leaves(id)
    }
  })

  it('one publishes only the root and stops: everyone leaves with its balance, and the LSP has its side', async () => {
    const { scene, factory } = await active()
    const rebel = scene.client(4)
    scene.arena.kill(rebel)
    await factory.publish(rebel, 'static:0')
    for (const id of [scene.client(0), scene.client(3)]) await factory.leaves(id)
    await lspLeaves(scene, factory)
  })

  it('one publishes another leaf’s kickoff: it holds no signature for it, and its own is for another output', async () => {
    const { scene, factory } = await active()
    const rebel = scene.client(4)
    const [root, foreign] = await factory.pathOf(scene.client(0))
    const [, ownKickoff] = await factory.pathOf(rebel)
    const held = await factory.held(rebel)
    expect([...held.keys()]).not.toContain(foreign)
    await factory.publish(rebel, root ?? '')
    const signature = scene.arena
      .disk(rebel)
      .items.get(factory.instance)
      ?.get(`sig/${ownKickoff ?? ''}`)
    if (signature === undefined) throw new Error('no signature')
    await expectRefused(factory, withWitness((await factory.spend(foreign ?? '')).tx, [signature]), /Schnorr/)
    await factory.leaves(scene.client(0))
  })

  it('all who share its leaf publish the leaf: the victim’s channel output is there, and pays', async () => {
    const { scene, factory } = await active()
    const victim = scene.client(0)
    const rebel = scene.client(1)
    const path = await factory.pathOf(rebel)
    await factory.publish(rebel, ...path.slice(0, -1))
    await scene.arena.mine(LEAF_DELAY - 1)
    await factory.publish(rebel, ...path.slice(-1))
    expect((await chain.utxo(factory.channel(victim).funding))?.amount).toBe(CAPACITY)
    await factory.leaves(victim)
  })

  it('all of them publish the distribution before the expiry: refused, and the LSP has its side', async () => {
    const { scene, factory } = await active(3)
    await expectRefused(factory, await factory.holds(scene.client(0), 'dist:funding'), /non-final/)
    await lspLeaves(scene, factory)
  })

  it('all of them sit still to let the factory expire: the LSP publishes the tree by itself, in time, and has its side', async () => {
    const { scene, factory } = await active(3)
    for (const id of scene.clients) scene.arena.kill(id)
    const { earlyWarning, expiry } = factory.lspState()
    await scene.arena.mineTo(expiry - earlyWarning - 1)
    for (let i = 0; i < earlyWarning; i++) await scene.arena.mine(1)
    expect(await factory.unspent('dist:funding')).toBe(false)
    for (let i = 0; i < 20 && !factory.isOver(scene.lsp); i++) await scene.arena.mine(1)
    expect(await scene.wealth(scene.lsp)).toBeGreaterThanOrEqual(SIDE * 3n)
    for (const id of scene.clients) expect(await scene.wealth(id)).toBeGreaterThanOrEqual(OWED)
  })

  it('one publishes the distribution at the expiry although the LSP’s tree is on chain: it has nothing to spend', async () => {
    const { scene, factory } = await active(3)
    await lspLeaves(scene, factory)
    await scene.arena.mineTo(factory.expiry)
    await expectRefused(factory, await factory.holds(scene.client(0), 'dist:funding'), /missing/)
  })

  it('one stays away for ever after the LSP left: its balance waits for it, to the satoshi', async () => {
    const { scene, factory } = await active(3)
    const absent = scene.client(2)
    scene.arena.kill(absent)
    await scene.arena.node(scene.lsp).exit(factory.instance)
    for (let i = 0; i < 25 && !factory.isOver(scene.lsp); i++) await scene.arena.mine(1)
    expect(await scene.wealth(absent)).toBe(OWED)
  })

  it('one leaves with an old copy of its store: the path is the same, and pays what the channel holds', async () => {
    const { scene, factory } = await active(3)
    const owner = scene.client(0)
    const old = backup(scene.arena.disk(owner))
    await scene.arena.mine(5)
    factory.pay(owner, msat(70_000_000n))
    await scene.arena.restart(owner, old)
    await factory.leaves(owner)
    expect(await scene.wealth(owner)).toBe(70_000n)
  })

  it('invariant 11: one floods the LSP with messages of every kind: its factory goes on, and another client leaves', async () => {
    const { scene, factory } = await active(3)
    const rebel = scene.client(1)
    const instanceId = Uint8Array.from(Buffer.from(factory.instance, 'hex'))
    const state = scene.arena.disk(scene.lsp).machines.get(factory.instance)?.state
    const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte)
    for (let i = 0; i < 50; i++)
      await scene.arena.say(
        rebel,
        scene.lsp,
        { kind: 'stored', instanceId },
        { kind: 'abort', instanceId, reason: `no ${i}` },
        { kind: 'refuse', instanceId, reason: `no ${i}` },
        { kind: 'nonces', instanceId, nonces: [filled(66, 2)] },
        { kind: 'partial_signatures', instanceId, signatures: [filled(32, i)] },
        { kind: 'close_nonce', instanceId, nonce: filled(66, 2) },
        { kind: 'close_partial_signature', instanceId, signature: filled(32, 1) },
        { kind: 'sync', instanceId: filled(32, i), stage: 'active' },
      )
    expect(scene.arena.disk(scene.lsp).machines.get(factory.instance)?.state).toBe(state)
    expect(scene.arena.disk(scene.lsp).machines.size).toBe(1)
    await factory.leaves(scene.client(0))
  })

  it('the last client that is honest faces all the others: they publish what they hold, at every height', async () => {
    const { scene, factory } = await active()
    const victim = scene.client(0)
    const rebels: NodeId[] = scene.clients.filter((id) => id !== victim)
    for (const height of [factory.expiry - 60, factory.expiry - 2]) {
      await scene.arena.mineTo(height)
      for (let i = 0; i < 3; i++) {
        for (const id of rebels) await factory.publishAll(id, /^leaf/)
        await scene.arena.mine(1)
      }
    }
    if (!factory.isOver(victim)) await scene.arena.node(victim).exit(factory.instance)
    for (let i = 0; i < 10; i++) await scene.arena.mine(1)
    expect(await scene.wealth(victim)).toBeGreaterThanOrEqual(OWED)
  })

  async function lspLeaves(scene: Scene, factory: Factory): Promise<void> {
    await scene.arena.node(scene.lsp).exit(factory.instance)
    for (let i = 0; i < 30 && !factory.isOver(scene.lsp); i++) await scene.arena.mine(1)
    // Its stocks come on top, less their fees.
    expect(await scene.wealth(scene.lsp)).toBeGreaterThanOrEqual(SIDE * BigInt(scene.clients.length))
  }
})
