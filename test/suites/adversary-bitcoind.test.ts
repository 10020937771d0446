/** A hostile LSP, alone or with every other client as its sockpuppet, against one honest client whose balance is on a real chain. */
import { sha256 } from '@noble/hashes/sha2.js'
import { randomBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { signSchnorr } from '../../factory-core/src/signing/index.js'
import { buildStockSweep, finalize, finalizeStockSweep } from '../../factory-core/src/tree/index.js'
import { withWitness } from '../../factory-core/src/tree/tx.js'
import type { NodeId } from '../../factory-core/src/units/index.js'
import { Regtest } from './adversary/regtest.js'
import { BALANCE, CAPACITY, LEAF_DELAY, PARAMS, Scene, type Factory } from './adversary/scene.js'
import { expectNoTheft, expectRefused, redirected } from './adversary/theft.js'
import { describeWithBitcoind } from './gate.js'

const OWED = BALANCE / 1000n

describeWithBitcoind('a hostile LSP with every other client as its sockpuppet', () => {
  let chain: Regtest
  beforeAll(async () => {
    chain = await Regtest.start()
  })
  afterAll(() => chain.stop())

  /** Five clients on two leaves; the first one is honest, and has neighbours in its leaf. */
  async function active(clients = 5): Promise<{ factory: Factory; scene: Scene; victim: NodeId; lsp: NodeId }> {
    const { scene, factory } = await Scene.active(chain, { clients })
    return { factory, scene, victim: scene.client(0), lsp: scene.lsp }
  }

  /** Down to the victim's kickoff, by the LSP. */
  async function kickedOff(): Promise<Awaited<ReturnType<typeof active>> & { path: readonly string[] }> {
    const scene = await active()
    const path = await scene.factory.pathOf(scene.victim)
    await scene.factory.publish(scene.lsp, ...path.slice(0, -1))
    return { ...scene, path }
  }

  async function leafOnChain(): Promise<Awaited<ReturnType<typeof kickedOff>>> {
    const all = await kickedOff()
    await all.factory.arena.mine(LEAF_DELAY - 1)
    await all.factory.publish(all.lsp, ...all.path.slice(-1))
    return all
  }

  it('invariant 5: cannot spend the funding output without the victim, before the expiry or after', async () => {
    const { factory, victim, scene } = await active()
    factory.arena.kill(victim)
    await expectNoTheft(factory, victim, 'dist:funding')
    await chain.mine(factory.expiry + 10 - (await chain.height()))
    await expectNoTheft(factory, victim, 'dist:funding')
    await factory.arena.start(victim)
    await factory.arena.mine(2)
    expect(await scene.wealth(victim)).toBeGreaterThanOrEqual(CAPACITY + PARAMS.stockPerClient)
  })

  it('invariant 5: cannot spend a static output without the victim', async () => {
    const { factory, victim, lsp } = await active()
    const path = await factory.pathOf(victim)
    expect(path.length).toBe(3)
    await factory.publish(lsp, ...path.slice(0, 1))
    await expectNoTheft(factory, victim, path[1] ?? '')
    await factory.leaves(victim)
  })

  it('invariant 5: cannot spend the kickoff output without the victim', async () => {
    const { factory, victim, path } = await kickedOff()
    await expectNoTheft(factory, victim, path.at(-1) ?? '')
    await factory.leaves(victim)
  })

  it('invariant 5: cannot take the stock by its key path without the clients that share it', async () => {
    const { factory, victim } = await leafOnChain()
    const stock = (await factory.tree()).pathIds(factory.participant(victim)).find((id) => id.startsWith('dist:stock'))
    await expectNoTheft(factory, victim, stock ?? '')
    await factory.leaves(victim)
  })

  it('publishes the kickoff early and the leaf before its nSequence: refused, and the victim is paid', async () => {
    const { factory, victim, lsp, path } = await kickedOff()
    const leaf = path.at(-1) ?? ''
    await expectRefused(factory, await factory.holds(lsp, leaf), /non-BIP68-final/)
    await factory.arena.mine(LEAF_DELAY - 2)
    await expectRefused(factory, await factory.holds(lsp, leaf), /non-BIP68-final/)
    await factory.leaves(victim)
  })

  it('shortens the leaf’s nSequence: the signature is for another transaction', async () => {
    const { factory, victim, lsp, path } = await kickedOff()
    const spend = await factory.spend(path.at(-1) ?? '')
    const signature = factory.arena.disk(lsp).items.get(factory.instance)?.get(`sig/${spend.id}`) ?? new Uint8Array(64)
    const hasty = withWitness({ ...spend.tx, sequence: 0xfffffffd }, [signature])
    await expectRefused(factory, hasty, /Schnorr/)
    await factory.leaves(victim)
  })

  it('takes the stock too early: refused until the CSV has passed, and the channel is not touched by it', async () => {
    const { factory, scene, victim, lsp } = await leafOnChain()
    const poison = (await factory.tree()).pathIds(factory.participant(victim)).find((id) => id.startsWith('poison'))
    const secretKey = await factory.secret(lsp)
    const sweep = buildStockSweep({
      params: PARAMS,
      lspKey: secretKey.publicKey,
      poison: await factory.spend(poison ?? ''),
      script: factory.arena.host(lsp).freshScript(),
      feerate: 1000,
    })
    const raw = finalizeStockSweep(sweep, signSchnorr({ secretKey, message: sweep.sighash, aux: randomBytes(32) }))
    await expectRefused(factory, raw, /non-BIP68-final/)
    const hasty = { ...sweep, tx: { ...sweep.tx, sequence: 0 } }
    const forged = finalizeStockSweep(hasty, signSchnorr({ secretKey, message: sweep.sighash, aux: randomBytes(32) }))
    await expectRefused(factory, forged, /Locktime|Schnorr/)
    await chain.mine(PARAMS.stockCsv)
    await chain.broadcast(raw)
    await factory.leaves(victim)
    expect(await scene.wealth(victim)).toBe(OWED)
  })

  it('invariant 7: poisons the live state: without the preimage nobody can, and with it the LSP pays the clients', async () => {
    const { factory, scene, victim } = await leafOnChain()
    const id = (await factory.tree()).pathIds(factory.participant(victim)).find((s) => s.startsWith('poison')) ?? ''
    const poison = await factory.spend(id)
    const signature = factory.arena.disk(victim).items.get(factory.instance)?.get(`sig/${id}`)
    if (signature === undefined || poison.key.path !== 'script') throw new Error('no poison')
    const { leafScript, controlBlock } = poison.key
    const guess = withWitness(poison.tx, [signature, sha256(utf8ToBytes('a guess')), leafScript, controlBlock])
    await expectRefused(factory, guess, /EQUALVERIFY/)
    // What the LSP does here takes its own stock from it.
    const raw = finalize(poison, signature, await factory.poisonPreimage(0))
    expect((await chain.broadcast(raw)).accepted).toBe(true)
    await factory.arena.mine(1)
    expect(await scene.wealth(victim)).toBe(PARAMS.stockPerClient)
    await factory.arena.node(victim).exit(factory.instance)
    for (let i = 0; i < 3; i++) await factory.arena.mine(1)
    expect(await scene.wealth(victim)).toBe(PARAMS.stockPerClient + OWED)
  })

  it('publishes a distribution before the expiry, as it is or with another lock time: refused', async () => {
    const { factory, victim, lsp } = await active()
    await expectRefused(factory, await factory.holds(lsp, 'dist:funding'), /non-final/)
    const spend = await factory.spend('dist:funding')
    const signature = factory.arena.disk(lsp).items.get(factory.instance)?.get('sig/dist:funding') ?? new Uint8Array(64)
    await expectRefused(factory, withWitness({ ...spend.tx, lockTime: 0 }, [signature]), /Schnorr/)
    await factory.leaves(victim)
  })

  it('redirects the outputs of what all have signed: the signatures hold for those outputs alone', async () => {
    const { factory, victim, lsp, path } = await kickedOff()
    for (const id of ['dist:funding', path.at(-1) ?? '']) {
      const spend = await factory.spend(id)
      const signature = factory.arena.disk(lsp).items.get(factory.instance)?.get(`sig/${id}`) ?? new Uint8Array(64)
      const theft = redirected(spend, factory.arena.host(lsp).freshScript())
      await expectRefused(factory, withWitness(theft.tx, [signature]), /Schnorr|missing/)
    }
    await factory.leaves(victim)
  })

  it('publishes the whole tree at once, and vanishes: the victim closes its channel on chain', async () => {
    const { factory, victim, lsp } = await active()
    factory.arena.kill(lsp)
    for (let i = 0; i < 12; i++) {
      await factory.publishAll(lsp, /^(dist|poison|payout)/)
      await factory.arena.mine(1)
    }
    expect(await factory.unspent('leaf:0')).toBe(false)
    await factory.leaves(victim)
  })

  it('is silent until the expiry: the victim is paid its channel’s capacity and its share of the stock by itself', async () => {
    const { factory, scene, victim, lsp } = await active()
    factory.arena.kill(lsp)
    await factory.arena.mineTo(factory.expiry - 1)
    expect(await scene.wealth(victim)).toBe(0n)
    for (let i = 0; i < 3; i++) await factory.arena.mine(1)
    expect(await scene.wealth(victim)).toBeGreaterThanOrEqual(CAPACITY + PARAMS.stockPerClient)
    expect(factory.isOver(victim)).toBe(true)
  })

  it('publishes the root just before the expiry and vanishes: the distribution of what is below pays', async () => {
    const { factory, scene, victim, lsp } = await active()
    factory.arena.kill(lsp)
    await factory.arena.mineTo(factory.expiry - 3)
    await factory.publish(lsp, 'static:0')
    for (let i = 0; i < 5; i++) await factory.arena.mine(1)
    expect(await scene.wealth(victim)).toBeGreaterThanOrEqual(CAPACITY + PARAMS.stockPerClient)
  })

  it('publishes down to the kickoff just before the expiry and vanishes: the victim still has its path', async () => {
    const { factory, victim, lsp } = await active()
    factory.arena.kill(lsp)
    await factory.arena.mineTo(factory.expiry - 4)
    await factory.publish(lsp, ...(await factory.pathOf(victim)).slice(0, -1))
    await factory.arena.mineTo(factory.expiry)
    await factory.leaves(victim)
  })

  it('races its own tree against the distribution at the expiry: whichever wins, the victim has its balance at least', async () => {
    const { factory, scene, victim, lsp } = await active()
    factory.arena.kill(lsp)
    await factory.arena.mineTo(factory.expiry - 1)
    await chain.broadcast(await factory.holds(lsp, 'static:0'))
    for (let i = 0; i < 10; i++) {
      await factory.publishAll(lsp, /^(dist|poison|payout)/)
      await factory.arena.mine(1)
    }
    if (!factory.isOver(victim)) await factory.arena.node(victim).exit(factory.instance)
    for (let i = 0; i < 10; i++) await factory.arena.mine(1)
    expect(await scene.wealth(victim)).toBeGreaterThanOrEqual(OWED)
  })

  it('does not answer any more: the victim leaves alone and is paid to the satoshi', async () => {
    const { factory, victim, lsp } = await active()
    factory.arena.kill(lsp)
    await factory.leaves(victim)
  })

  it('has the leaf reorganised out of the chain: the victim publishes again and is paid', async () => {
    const { factory, scene, victim } = await active()
    await factory.arena.node(victim).exit(factory.instance)
    for (let i = 0; i < 8 && !(await onChain(factory, victim)); i++) await factory.arena.mine(1)
    await factory.arena.mined(() => chain.bitcoind.reorg(3))
    expect(await onChain(factory, victim)).toBe(false)
    await factory.arrives(victim)
    expect(await scene.wealth(victim)).toBe(OWED)
  })

  it('has the whole exit reorganised away, down to the funding: the victim starts anew and is paid', async () => {
    const { factory, victim } = await active()
    const before = await chain.height()
    await factory.arena.node(victim).exit(factory.instance)
    for (let i = 0; i < 8 && !(await onChain(factory, victim)); i++) await factory.arena.mine(1)
    const depth = (await chain.height()) - before + 1
    await factory.arena.mined(() => chain.bitcoind.reorg(depth))
    await factory.arrives(victim)
  })

  it('has 100 blocks reorganised away, with the funding, the exit and the commitment that ended it: all of it comes again', async () => {
    const { factory, scene, victim } = await active()
    const { txid } = factory.lspState().funding
    await factory.leaves(victim)
    const start = await chain.bitcoind.confirmations(txid)
    await factory.arena.mine(99 - (start ?? 0))
    // So deep that bitcoind does not take the transactions back into its mempool: whoever needs them must send them.
    await factory.arena.mined(() => chain.bitcoind.reorg(100))
    expect(await chain.bitcoind.confirmations(txid)).toBe(0)
    expect(await scene.wealth(victim)).toBe(0n)
    expect(factory.stage(victim)).toBe('exiting')
    await factory.arrives(victim)
    expect(await scene.wealth(victim)).toBe(OWED)
  })

  it('has the distribution reorganised out of the chain: it is sent again', async () => {
    const { factory, scene, victim, lsp } = await active()
    factory.arena.kill(lsp)
    await factory.arena.mineTo(factory.expiry)
    await factory.arena.mine(1)
    expect(await scene.wealth(victim)).toBeGreaterThan(CAPACITY)
    await factory.arena.mined(() => chain.bitcoind.reorg(1))
    for (let i = 0; i < 3; i++) await factory.arena.mine(1)
    expect(await scene.wealth(victim)).toBeGreaterThanOrEqual(CAPACITY + PARAMS.stockPerClient)
  })

  it('says that the factory was aborted, or was never funded: an active one takes no notice', async () => {
    const { factory, victim, lsp } = await active()
    const instanceId = Uint8Array.from(Buffer.from(factory.instance, 'hex'))
    await factory.arena.say(
      lsp,
      victim,
      { kind: 'abort', instanceId, reason: 'never funded' },
      { kind: 'sync', instanceId, stage: 'aborted' },
      { kind: 'abort', instanceId, reason: 'unknown instance' },
    )
    expect(factory.stage(victim)).toBe('active')
    expect(await factory.takesHtlc(victim)).toBe(true)
    await factory.leaves(victim)
  })

  it('publishes everything it holds at every height until long after the expiry: the victim never has less than its balance', async () => {
    const { factory, scene, victim, lsp } = await active(3)
    factory.arena.kill(lsp)
    const taken = new Set<string>()
    for (const height of [factory.expiry - 100, factory.expiry - 2, factory.expiry + 20]) {
      await factory.arena.mineTo(height)
      for (let i = 0; i < 7; i++) {
        for (const id of await factory.publishAll(lsp)) taken.add(id)
        await factory.arena.mine(1)
      }
    }
    expect(taken).toContain('kickoff:0')
    if (!factory.isOver(victim)) {
      await factory.arena.node(victim).exit(factory.instance)
      for (let i = 0; i < 10; i++) await factory.arena.mine(1)
    }
    expect(await scene.wealth(victim)).toBeGreaterThanOrEqual(OWED)
  })

  const onChain = async (factory: Factory, victim: NodeId): Promise<boolean> =>
    (await chain.bitcoind.confirmations(factory.channel(victim).funding.txid)) !== undefined &&
    ((await chain.bitcoind.confirmations(factory.channel(victim).funding.txid)) ?? 0) > 0
})
