/** A hostile party in a cooperative close: amounts that are wrong, a second set of them, a close that is kept back or put against an exit. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ClosePropose, Payload } from '@ln-factory/tlv'
import { decodeTx } from '../../factory-core/src/tree/index.js'
import { unsignedTx, withWitness } from '../../factory-core/src/tree/tx.js'
import { msat, type NodeId } from '../../factory-core/src/units/index.js'
import { backup, payloadOf, tamper } from './adversary/arena.js'
import { COMMITMENT_FEE } from './adversary/channel.js'
import { Regtest } from './adversary/regtest.js'
import { BALANCE, CAPACITY, Scene, type Factory } from './adversary/scene.js'
import { expectRefused } from './adversary/theft.js'
import { describeWithBitcoind } from './gate.js'

const OWED = BALANCE / 1000n
const FEERATE = 2000

describeWithBitcoind('a cooperative close in which somebody cheats', () => {
  let chain: Regtest
  beforeAll(async () => {
    chain = await Regtest.start()
  })
  afterAll(() => chain.stop())

  interface Cast {
    readonly factory: Factory
    readonly scene: Scene
    readonly victim: NodeId
    readonly lsp: NodeId
    readonly id: Uint8Array
  }

  async function active(clients = 3): Promise<Cast> {
    const { scene, factory } = await Scene.active(chain, { clients })
    const id = Uint8Array.from(Buffer.from(factory.instance, 'hex'))
    return { factory, scene, victim: scene.client(0), lsp: scene.lsp, id }
  }

  /** Ordered by the LSP; how it ends. */
  async function close({ factory, lsp }: Cast): Promise<string> {
    const outcome = factory.arena
      .node(lsp)
      .close(factory.instance, FEERATE)
      .then(
        () => 'closed',
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      )
    await factory.arena.run()
    return Promise.race([outcome, new Promise<string>((resolve) => setImmediate(() => resolve('pending')))])
  }

  const closeRecords = ({ factory, victim }: Cast): string[] =>
    [...factory.arena.disk(victim).records]
      .filter(([key]) => key.endsWith('/cooperative'))
      .map(([, r]) => JSON.stringify(r, (_k, v: unknown) => (typeof v === 'bigint' ? String(v) : v)))

  const payout = ({ factory, victim }: Cast): Uint8Array => factory.clientState(victim).payoutScript
  const isFor =
    (script: Uint8Array) =>
    (o: { script: Uint8Array }): boolean =>
      Buffer.compare(o.script, script) === 0

  const paysLess = async (cast: Cast, change: (p: ClosePropose, script: Uint8Array) => ClosePropose): Promise<void> => {
    const script = payout(cast)
    tamper(cast.factory.arena, cast.lsp, cast.victim, 'close_propose', (p) => [change(p, script)])
    expect(await close(cast)).not.toBe('closed')
    expect(closeRecords(cast)).toEqual([])
    expect(cast.factory.stage(cast.victim)).toBe('active')
    await cast.factory.leaves(cast.victim)
  }

  it('invariant 10: the LSP states a balance that is 1 msat short: nothing is signed', async () => {
    await paysLess(await active(), (p) => ({ ...p, balance: p.balance - 1n }))
  })

  it('invariant 10: the LSP states the right balance and pays 1 sat less: nothing is signed', async () => {
    await paysLess(await active(), (p, script) => ({
      ...p,
      outputs: p.outputs.map((o) => (isFor(script)(o) ? { ...o, amount: o.amount - 1n } : o)),
    }))
  })

  it('invariant 10: the LSP leaves the victim’s output out: nothing is signed', async () => {
    await paysLess(await active(), (p, script) => ({ ...p, outputs: p.outputs.filter((o) => !isFor(script)(o)) }))
  })

  it('the LSP puts a lock time on the close, to keep the victim frozen until it likes: nothing is signed', async () => {
    await paysLess(await active(), (p) => ({ ...p, lockTime: 499_999_999 }))
  })

  it('the LSP closes while an HTLC is pending in the victim’s channel: nothing is signed', async () => {
    const cast = await active()
    // The LSP's own host does not see it.
    const channel = cast.factory.channel(cast.victim)
    const host = cast.factory.arena.host(cast.lsp)
    const channels = host.channels.bind(host)
    host.channels = async () => (await channels()).map((c) => ({ ...c, htlcs: [] }))
    channel.htlcs = [{ direction: 'in', expiry: (await chain.height()) + 100, answered: false }]
    expect(await close(cast)).not.toBe('closed')
    expect(closeRecords(cast)).toEqual([])
    channel.htlcs = []
    await cast.factory.leaves(cast.victim)
  })

  /** The LSP gets the victim's partial signature, and nobody gets the close. */
  async function withheld(cast: Cast): Promise<Payload[]> {
    const heard: Payload[] = []
    const { arena } = cast.factory
    const before = arena.wire
    arena.wire = (from, to, body) => {
      const payload = payloadOf(body)
      if (payload?.kind === 'close_propose' && to === cast.victim) heard.push(payload)
      if (payload?.kind === 'close_complete') return []
      return before(from, to, body)
    }
    const host = arena.host(cast.lsp)
    host.broadcast = () => Promise.resolve({ accepted: true, error: undefined })
    await close(cast)
    expect(closeRecords(cast).length).toBe(1)
    return heard
  }

  it('invariant 4: the LSP proposes other amounts after the first were signed: refused for ever, across a restart', async () => {
    const cast = await active()
    const [first] = await withheld(cast)
    if (first?.kind !== 'close_propose') throw new Error('no proposal')
    const script = payout(cast)
    const other: ClosePropose = {
      ...first,
      outputs: first.outputs.map((o) => (isFor(script)(o) ? o : { ...o, amount: o.amount - 1n })),
    }
    const records = closeRecords(cast)
    for (let i = 0; i < 2; i++) {
      await cast.factory.arena.say(cast.lsp, cast.victim, other)
      await cast.factory.arena.say(cast.lsp, cast.victim, {
        kind: 'close_aggregated_nonce',
        instanceId: cast.id,
        nonce: anyNonce,
      })
      await cast.factory.arena.restart(cast.victim)
      expect(closeRecords(cast)).toEqual(records)
    }
    await cast.factory.leaves(cast.victim)
  })

  it('the LSP keeps the close back: the victim stays frozen, leaves alone, and is paid to the satoshi', async () => {
    const cast = await active()
    await withheld(cast)
    expect(await cast.factory.takesHtlc(cast.victim)).toBe(false)
    await cast.factory.leaves(cast.victim)
  })

  it('the LSP takes the close back by abort after the victim has signed: its balance stays frozen', async () => {
    const cast = await active()
    await withheld(cast)
    await cast.factory.arena.say(
      cast.lsp,
      cast.victim,
      { kind: 'abort', instanceId: cast.id, reason: 'changed my mind' },
      { kind: 'funding_broadcast', instanceId: cast.id },
    )
    // An HTLC that was let in now could be lost to the close.
    expect(await cast.factory.takesHtlc(cast.victim)).toBe(false)
    await cast.factory.leaves(cast.victim)
  })

  it('the LSP publishes the close it kept back while the victim leaves: the victim is paid once, its balance', async () => {
    const cast = await active()
    await withheld(cast)
    const tx = cast.factory.arena.disk(cast.lsp).items.get(cast.factory.instance)?.get('close/tx')
    if (tx === undefined) throw new Error('no close')
    await cast.factory.arena.node(cast.victim).exit(cast.factory.instance)
    // The root is in the mempool; a miner who is in on it takes the close instead.
    await cast.factory.arena.mined(() => chain.mineExactly(Buffer.from(tx).toString('hex')))
    for (let i = 0; i < 8; i++) await cast.factory.arena.mine(1)
    expect(await cast.scene.wealth(cast.victim)).toBe(OWED)
    expect(cast.factory.isOver(cast.victim)).toBe(true)
  })

  it('the LSP publishes the close it kept back after the victim’s path: it has nothing left to spend', async () => {
    const cast = await active()
    await withheld(cast)
    const tx = cast.factory.arena.disk(cast.lsp).items.get(cast.factory.instance)?.get('close/tx') ?? new Uint8Array()
    await cast.factory.arena.node(cast.victim).exit(cast.factory.instance)
    await cast.factory.arena.mine(1)
    await expectRefused(cast.factory, tx, /missing/)
    await cast.factory.arrives(cast.victim)
  })

  it('the LSP redirects the victim’s output of the signed close to itself: the signature is not for that', async () => {
    const cast = await active()
    await withheld(cast)
    const raw = cast.factory.arena.disk(cast.lsp).items.get(cast.factory.instance)?.get('close/tx') ?? new Uint8Array()
    const signature = cast.factory.arena.disk(cast.lsp).items.get(cast.factory.instance)?.get('sig/close')
    const tx = decodeTx(raw)
    const script = payout(cast)
    const thief = cast.factory.arena.host(cast.lsp).freshScript()
    const outputs = tx.outputs.map((o) => (isFor(script)(o) ? { ...o, script: thief } : o))
    const input = tx.inputs[0]
    if (input === undefined || signature === undefined) throw new Error('no close')
    const forged = unsignedTx({ version: 2, lockTime: 0, sequence: input.sequence, input: input.outpoint, outputs })
    await expectRefused(cast.factory, withWitness(forged, [signature]), /Schnorr/)
    await cast.factory.leaves(cast.victim)
  })

  it('the close is reorganised away and the LSP publishes the tree instead: the victim is paid its balance', async () => {
    const cast = await active()
    expect(await close(cast)).toBe('closed')
    await cast.factory.arena.mine(40)
    expect(cast.factory.isOver(cast.victim)).toBe(true)
    expect(await cast.scene.wealth(cast.victim)).toBe(OWED)
    const path = await cast.factory.pathOf(cast.victim)
    const root = Buffer.from(await cast.factory.holds(cast.lsp, path[0] ?? '')).toString('hex')
    await cast.factory.arena.mined(async () => {
      const height = await chain.height()
      await chain.bitcoind.call('invalidateblock', [await chain.bitcoind.call('getblockhash', [height - 39])])
      await chain.mineExactly(root)
      await chain.mine(40)
    })
    expect(await cast.scene.wealth(cast.victim)).toBe(0n)
    await cast.factory.leaves(cast.victim)
  })

  it('a backup from before the close is restored and the LSP proposes other amounts: only the real balance can be signed', async () => {
    const cast = await active()
    const old = backup(cast.factory.arena.disk(cast.victim))
    const [first] = await withheld(cast)
    await cast.factory.arena.restart(cast.victim, old)
    if (first?.kind !== 'close_propose') throw new Error('no proposal')
    const script = payout(cast)
    const other: ClosePropose = {
      ...first,
      balance: first.balance - 10_000_000n,
      outputs: first.outputs.map((o) => (isFor(script)(o) ? { ...o, amount: o.amount - 10_000n } : o)),
    }
    await cast.factory.arena.say(cast.lsp, cast.victim, other)
    expect(closeRecords(cast)).toEqual([])
    await cast.factory.leaves(cast.victim)
  })

  it('a client refuses to sign the close: the LSP leaves with the whole tree and has its side to the satoshi', async () => {
    const cast = await active()
    const rebel = cast.scene.client(1)
    tamper(cast.factory.arena, rebel, cast.lsp, 'close_partial_signature', () => [])
    expect(await close(cast)).not.toBe('closed')
    await cast.factory.arena.timeout()
    await lspLeaves(cast)
  })

  it('a client signs the close with garbage: it is named, and the LSP leaves with its side', async () => {
    const cast = await active()
    const rebel = cast.scene.client(1)
    tamper(cast.factory.arena, rebel, cast.lsp, 'close_partial_signature', (p) => [
      { ...p, signature: p.signature.map((b, i) => (i === 31 ? b ^ 1 : b)) },
    ])
    const outcome = await close(cast)
    expect(outcome).toContain(rebel)
    expect(outcome).not.toContain(cast.victim)
    await lspLeaves(cast)
  })

  it('a client spends its balance between two rounds of a close that it has signed: it can not, its channel is frozen', async () => {
    const cast = await active()
    await withheld(cast)
    const height = await chain.height()
    const { channelId } = cast.factory.channel(cast.victim)
    const decision = cast.factory.arena.node(cast.lsp).htlc({
      inChannelId: channelId,
      outChannelId: cast.factory.channel(cast.scene.client(1)).channelId,
      amountIn: msat(1000),
      amountOut: msat(1000),
      cltvIn: height + 120,
      cltvOut: height + 60,
      height,
    })
    expect(decision.kind).toBe('fail')
    await cast.factory.leaves(cast.victim)
  })

  async function lspLeaves({ factory, scene, lsp }: Cast): Promise<void> {
    await factory.arena.node(lsp).exit(factory.instance)
    for (let i = 0; i < 25 && !factory.isOver(lsp); i++) await factory.arena.mine(1)
    const side = (CAPACITY - OWED - COMMITMENT_FEE) * BigInt(scene.clients.length)
    // Its stocks come back on top, less their fees.
    expect(await scene.wealth(lsp)).toBeGreaterThanOrEqual(side)
    for (const id of scene.clients) expect(await scene.wealth(id)).toBe(OWED)
  }
})

const G = Buffer.from('0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798', 'hex')
const anyNonce = Uint8Array.from([...G, ...G])
