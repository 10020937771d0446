/** A hostile LSP while a factory is made: what is on chain is not what was agreed, and nobody may trust the channel that hangs on it. */
import { sha256 } from '@noble/hashes/sha2.js'
import { hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Payload } from '@ln-factory/tlv'
import type { FundingTx } from '../../factory-core/src/host/port.js'
import { blocks, msat, sat, type InstanceId, type NodeId } from '../../factory-core/src/units/index.js'
import { backup, payloadOf, tamper } from './adversary/arena.js'
import { fundingScriptOf, newKeys } from './adversary/channel.js'
import type { ArenaHost } from './adversary/host.js'
import { Regtest } from './adversary/regtest.js'
import { BALANCE, CAPACITY, Factory, PARAMS, Scene } from './adversary/scene.js'
import { describeWithBitcoind } from './gate.js'

describeWithBitcoind('a hostile LSP in the ceremony', () => {
  let chain: Regtest
  beforeAll(async () => {
    chain = await Regtest.start()
  })
  afterAll(() => chain.stop())

  const setup = (clients = 3, hostileLsp: (host: ArenaHost) => void = () => undefined): Promise<Scene> =>
    Scene.of(chain, { clients, hostileLsp })

  /** Whatever is on chain: the victim lets no payment in, so there is nothing that it could lose. */
  async function expectShut(scene: Scene, instance: InstanceId, victim: NodeId): Promise<void> {
    const factory = new Factory(scene, instance)
    for (let i = 0; i < 4; i++) await scene.arena.mine(1)
    await scene.arena.timeout()
    expect(factory.stage(victim)).not.toBe('active')
    for (const [channelId] of scene.arena.host(victim).channelsById) {
      const height = await chain.height()
      const decision = scene.arena.node(victim).htlc({
        inChannelId: channelId,
        outChannelId: undefined,
        amountIn: msat(1000),
        amountOut: undefined,
        cltvIn: height + 60,
        cltvOut: undefined,
        height,
      })
      expect(decision.kind).toBe('fail')
    }
    expect(await scene.wealth(victim)).toBe(0n)
  }

  const lastFunding = (scene: Scene): FundingTx => {
    const funding = scene.arena.host(scene.lsp).fundings.at(-1)
    if (funding === undefined) throw new Error('no funding')
    return funding
  }

  /** Pays something else than it says, and says that it is what was asked for. */
  const lying = (change: (script: Uint8Array, amount: bigint) => [Uint8Array, bigint]) => (host: ArenaHost) => {
    host.fundingPrepare = async (script, amount) => {
      const [otherScript, otherAmount] = change(script, amount)
      const funding = await chain.prepare(otherScript, sat(otherAmount))
      host.fundings.push(funding)
      return funding
    }
  }
  const own = Uint8Array.from([
    0x51,
    32,
    ...hexToBytes('79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'),
  ])

  it.each<[string, (script: Uint8Array, amount: bigint) => [Uint8Array, bigint]]>([
    ['1 sat less than it proposed', (script, amount) => [script, amount - 1n]],
    ['1 sat more than it proposed', (script, amount) => [script, amount + 1n]],
    ['itself, where it proposed the clients’ aggregate', (_script, amount) => [own, amount]],
  ])('invariant 6: funds with %s: the victim is never active', async (_name, change) => {
    const scene = await setup(3, lying(change))
    const { instance, outcome } = await scene.order()
    expect(await outcome).toBe('created')
    await expectShut(scene, instance, scene.client(0))
    expect(await chain.bitcoind.confirmations(lastFunding(scene).txid)).toBeGreaterThan(1)
  })

  it('invariant 6: names its own change as the funding output: the victim is never active', async () => {
    const scene = await setup(3, (host) => {
      host.fundingPrepare = async (script, amount) => {
        const funding = await chain.prepare(script, amount)
        host.fundings.push(funding)
        return { ...funding, vout: 1 }
      }
    })
    const { instance } = await scene.order()
    await expectShut(scene, instance, scene.client(0))
  })

  it.each<[string, Payload['kind']]>([
    ['before the victim has a signature', 'aggregated_nonces'],
    ['and keeps the victim’s signatures back', 'signatures'],
  ])('invariant 2: broadcasts the funding %s: the victim is never active', async (_name, kind) => {
    const scene = await setup()
    const victim = scene.client(0)
    tamper(scene.arena, scene.lsp, victim, kind, () => [])
    const { instance } = await scene.order()
    await chain.launch(lastFunding(scene))
    await scene.arena.mine(1)
    const instanceId = hexToBytes(instance)
    await scene.arena.say(scene.lsp, victim, { kind: 'funding_broadcast', instanceId })
    await expectShut(scene, instance, victim)
  })

  it('invariant 2: broadcasts the funding and never opens the victim’s channel: the victim is never active', async () => {
    const scene = await setup(3, (host) => {
      host.openComplete = () => Promise.resolve({ channelId: '11'.repeat(32) })
    })
    const { instance } = await scene.order()
    await chain.launch(lastFunding(scene))
    await expectShut(scene, instance, scene.client(0))
  })

  it('invariant 2: has a signature that is not valid among the victim’s: refused, and the coins are free again', async () => {
    const scene = await setup()
    tamper(scene.arena, scene.lsp, scene.client(0), 'signatures', (p) => [
      { ...p, signatures: p.signatures.map((s, i) => (i === 1 ? s.map((b, j) => (j === 63 ? b ^ 1 : b)) : s)) },
    ])
    const { instance, outcome } = await scene.order()
    expect(await outcome).toMatch(/not valid/)
    expect(await chain.isReserved(lastFunding(scene))).toBe(false)
    await expectShut(scene, instance, scene.client(0))
  })

  it('has the leaf pay a 2-of-2 that is not the victim’s: the victim finds out, and the funding never leaves', async () => {
    const scene = await setup()
    const victim = scene.client(0)
    const host = scene.arena.host(victim)
    host.checkFunding = () =>
      Promise.resolve({ result: 'ours', script: fundingScriptOf(newKeys('what the victim really has')) })
    const { instance, outcome } = await scene.order()
    expect(await outcome).toMatch(/2-of-2/)
    expect(await chain.bitcoind.confirmations(lastFunding(scene).txid)).toBeUndefined()
    expect(await chain.isReserved(lastFunding(scene))).toBe(false)
    await expectShut(scene, instance, victim)
  })

  it('double-spends the funding before it is deep enough: the victim is never active', async () => {
    const scene = await Scene.of(chain, { clients: 3, policy: { minDepth: 3 } })
    const victim = scene.client(0)
    const { instance, outcome } = await scene.order()
    expect(await outcome).toBe('created')
    await scene.arena.mine(2)
    const other = await chain.doubleSpend(lastFunding(scene))
    await scene.arena.mined(async () => {
      const height = await chain.height()
      await chain.bitcoind.call('invalidateblock', [await chain.bitcoind.call('getblockhash', [height - 1])])
      await chain.mineExactly(other)
      await chain.mine(2)
    })
    expect(await chain.utxo(lastFunding(scene))).toBeUndefined()
    await expectShut(scene, instance, victim)
  })

  it('reorganises the funding of an active factory away: shut until it is confirmed again, and then good', async () => {
    const { scene, factory } = await Scene.active(chain, { clients: 3 })
    const victim = scene.client(0)
    expect(await factory.takesHtlc(victim)).toBe(true)
    await scene.arena.mined(() => chain.bitcoind.reorg(1))
    expect(await factory.takesHtlc(victim)).toBe(false)
    await scene.arena.mine(1)
    expect(await factory.takesHtlc(victim)).toBe(true)
    await factory.leaves(victim)
  })

  it('reorganises the funding of an active factory away and double-spends it: nothing comes in any more', async () => {
    const { scene, factory } = await Scene.active(chain, { clients: 3 })
    const victim = scene.client(0)
    // Received nothing yet: what was received over a funding that is not deep enough is lost with it (docs/security.md).
    factory.pay(victim, msat(0))
    const other = await chain.doubleSpend(lastFunding(scene))
    await scene.arena.mined(async () => {
      const height = await chain.height()
      await chain.bitcoind.call('invalidateblock', [await chain.bitcoind.call('getblockhash', [height])])
      await chain.mineExactly(other)
      await chain.mine(1)
    })
    await expectShut(scene, factory.instance, victim)
  })

  it('invariant 4: funds a second factory with the outpoint of the first: the victim signs nothing for it', async () => {
    const { scene, factory } = await Scene.active(chain, { clients: 3 })
    const victim = scene.client(0)
    const first = lastFunding(scene)
    const records = JSON.stringify([...scene.arena.disk(victim).records.keys()])
    const host = scene.arena.host(scene.lsp)
    host.fundingPrepare = () => Promise.resolve(first)
    const { outcome } = await scene.order()
    expect(await outcome).toMatch(/refused to sign|signed/)
    expect(JSON.stringify([...scene.arena.disk(victim).records.keys()])).toBe(records)
    expect(factory.stage(victim)).toBe('active')
    await factory.leaves(victim)
  })

  it('invariant 4: runs two ceremonies at once over one outpoint: at most one of them gets the victim’s signatures', async () => {
    const scene = await setup()
    const victim = scene.client(0)
    let first: Promise<FundingTx> | undefined
    const host = scene.arena.host(scene.lsp)
    const prepare = host.fundingPrepare.bind(host)
    host.fundingPrepare = (script, amount) => (first ??= prepare(script, amount))
    // Both opens at once: this host does not mind.
    const open = host.openStart.bind(host)
    host.openStart = (o) => {
      host.opens.delete(o.peer)
      return open(o)
    }
    let signed = 0
    const before = scene.arena.wire
    scene.arena.wire = (from, to, body) => {
      if (from === victim && payloadOf(body)?.kind === 'partial_signatures') signed++
      return before(from, to, body)
    }
    const one = scene.order()
    const two = scene.arena
      .node(scene.lsp)
      .create(scene.request({ lifetime: blocks(170) }))
      .catch(() => undefined)
    const { instance } = await one
    await scene.arena.run()
    expect(signed).toBeLessThanOrEqual(1)
    for (const [key, records] of scene.arena.disk(victim).records) expect([key, records.length]).toEqual([key, 1])
    await scene.arena.timeout()
    await scene.arena.timeout()
    void two
    await expectShutOrActive(scene, instance, victim)
  })

  async function expectShutOrActive(scene: Scene, instance: InstanceId, victim: NodeId): Promise<void> {
    const factory = new Factory(scene, instance)
    for (let i = 0; i < 3; i++) await scene.arena.mine(1)
    if (factory.stage(victim) !== 'active') return expectShut(scene, instance, victim)
    factory.pay(victim, BALANCE)
    await factory.leaves(victim)
  }

  it('another LSP takes the instance id of the first for its own: not heard, and the first factory goes on', async () => {
    const { scene, factory } = await Scene.active(chain, { clients: 2 })
    const victim = scene.client(0)
    const { invite } = factory.clientState(victim)
    const rogue = await scene.arena.add('rogue')
    await scene.arena.connect(rogue, victim)
    const { setPolicy, policy } = bound(scene, victim)
    setPolicy({ ...policy(), autoAccept: [scene.lsp, rogue] })
    const state = scene.arena.disk(victim).machines.get(factory.instance)?.state
    const instanceId = hexToBytes(factory.instance)
    await scene.arena.say(
      rogue,
      victim,
      { ...invite, capacity: invite.capacity + 1n },
      invite,
      { kind: 'abort', instanceId, reason: 'me' },
      { kind: 'funding_broadcast', instanceId },
    )
    expect(scene.arena.disk(victim).machines.get(factory.instance)?.state).toBe(state)
    await factory.leaves(victim)
  })

  const bound = (scene: Scene, id: NodeId) => {
    const node = scene.arena.node(id)
    return { policy: () => node.policy(), setPolicy: node.setPolicy.bind(node) }
  }

  it('invariant 3: sends two aggregated nonces for one nonce of the victim: it signs once', async () => {
    const scene = await setup()
    const victim = scene.client(0)
    let signed = 0
    tamper(scene.arena, scene.lsp, victim, 'aggregated_nonces', (p) => [p, { ...p, nonces: p.nonces.toReversed() }, p])
    const before = scene.arena.wire
    scene.arena.wire = (from, to, body) => {
      if (from === victim && payloadOf(body)?.kind === 'partial_signatures') signed++
      return before(from, to, body)
    }
    const { instance, outcome } = await scene.order()
    expect(await outcome).toBe('created')
    expect(signed).toBe(1)
    await expectShutOrActive(scene, instance, victim)
  })

  it('invariant 4: replays every message of the ceremony to a running factory and to one that was restarted', async () => {
    const scene = await setup()
    const victim = scene.client(0)
    const heard: Uint8Array[] = []
    scene.arena.wire = (from, to, body) => {
      if (from === scene.lsp && to === victim) heard.push(body)
      return [body]
    }
    const { instance } = await scene.order()
    await scene.arena.mine(1)
    const factory = new Factory(scene, instance)
    factory.pay(victim, BALANCE)
    scene.arena.wire = (_from, _to, body) => [body]
    const records = scene.arena.disk(victim).records.size
    for (let i = 0; i < 2; i++) {
      await scene.arena.sayBytes(scene.lsp, victim, ...heard, ...heard.toReversed())
      expect(factory.stage(victim)).toBe('active')
      expect(scene.arena.disk(victim).records.size).toBe(records)
      await scene.arena.restart(victim)
    }
    await factory.leaves(victim)
  })

  it('invariant 8: replays a ceremony to a backup from its middle: another key, so nothing can be signed twice', async () => {
    const scene = await setup()
    const victim = scene.client(0)
    const heard: Uint8Array[] = []
    let old = scene.arena.disk(victim)
    scene.arena.wire = (from, to, body) => {
      if (from === scene.lsp && to === victim) {
        heard.push(body)
        if (payloadOf(body)?.kind === 'propose') old = backup(scene.arena.disk(victim))
      }
      return [body]
    }
    const { instance } = await scene.order()
    await scene.arena.mine(1)
    const whole = backup(scene.arena.disk(victim))
    const factory = new Factory(scene, instance)
    factory.pay(victim, BALANCE)
    scene.arena.wire = (_from, _to, body) => [body]
    await scene.arena.restart(victim, old)
    await scene.arena.sayBytes(scene.lsp, victim, ...heard)
    expect(scene.arena.disk(victim).records.size).toBe(0)
    // What was signed before is still good, and with the right disk it pays.
    await scene.arena.restart(victim, whole)
    await factory.leaves(victim)
  })

  it('invariant 6: opens a channel that no ceremony announced, or another one than announced: no zero-conf', async () => {
    const scene = await setup(2)
    const victim = scene.client(0)
    const open = (capacity: bigint, push: bigint, peer = scene.lsp): string =>
      scene.arena.node(victim).openRequest({
        peer,
        capacity: sat(capacity),
        push: msat(push),
        channelType: [12, 22, 46, 50],
      }).kind
    expect(open(CAPACITY, 0n)).toBe('ordinary')
    const asked: string[] = []
    const host = scene.arena.host(scene.lsp)
    const start = host.openStart.bind(host)
    host.openStart = (o) => {
      if (o.peer === victim)
        asked.push(open(CAPACITY + 1n, 0n), open(CAPACITY, 1n), open(CAPACITY, 0n, scene.client(1)))
      return start(o)
    }
    const { instance } = await scene.order()
    expect(asked).toEqual(['ordinary', 'ordinary', 'ordinary'])
    // The one that was announced was granted once.
    expect(open(CAPACITY, 0n)).toBe('ordinary')
    await scene.arena.mine(1)
    await expectShutOrActive(scene, instance, victim)
  })

  it('floods with invitations: a bounded number is kept, and another LSP is served all the same', async () => {
    const scene = await setup(2)
    const victim = scene.client(0)
    const { setPolicy, policy } = bound(scene, victim)
    setPolicy({ ...policy(), autoAccept: [] })
    const height = await chain.height()
    const invite = (i: number): Payload => ({
      kind: 'invite',
      instanceId: sha256(utf8ToBytes(`flood ${i}`)),
      capacity: CAPACITY,
      push: 0n,
      expiry: height + 200,
      earlyWarning: 6,
      clients: 2,
      respondWithin: 600,
      params: { ...PARAMS },
    })
    await scene.arena.say(scene.lsp, victim, ...Array.from({ length: 300 }, (_, i) => invite(i)))
    expect(scene.arena.node(victim).invites().length).toBeLessThanOrEqual(8)
    expect(scene.arena.disk(victim).machines.size).toBeLessThanOrEqual(8)
    // Again with the same ones, and with some that can't work.
    await scene.arena.say(
      scene.lsp,
      victim,
      ...Array.from({ length: 300 }, (_, i) => ({ ...invite(1000 + i), earlyWarning: 5 }) as Payload),
    )
    expect(scene.arena.disk(victim).machines.size).toBeLessThanOrEqual(8)

    // And anew on every connection.
    for (let n = 1; n < 4; n++) {
      scene.arena.disconnect(scene.lsp, victim)
      await scene.arena.connect(scene.lsp, victim)
      await scene.arena.say(scene.lsp, victim, ...Array.from({ length: 20 }, (_, i) => invite(10_000 * n + i)))
    }
    expect(scene.arena.node(victim).invites().length).toBeLessThanOrEqual(8)
    expect(scene.arena.disk(victim).machines.size).toBeLessThanOrEqual(8)

    const other = await scene.arena.add('other lsp')
    await scene.arena.connect(other, victim)
    setPolicy({ ...policy(), autoAccept: [other] })
    const creating = scene.arena.node(other).create({
      clients: [{ id: victim, capacity: CAPACITY, push: msat(0) }],
      lifetime: blocks(160),
      params: PARAMS,
      stepTimeout: 60,
    })
    await scene.arena.run()
    await creating
    await scene.arena.mine(1)
    const stages = [...scene.arena.disk(victim).machines.keys()].map((i) => scene.arena.state(victim, i)?.stage)
    expect(stages).toContain('active')
  })

  it('invariant 11: floods with garbage, bare and as a piggyback: nothing is kept, and the victim can leave', async () => {
    const { scene, factory } = await Scene.active(chain, { clients: 2 })
    const victim = scene.client(0)
    const noise = (n: number): Uint8Array => {
      const bytes = new Uint8Array(60_000)
      for (let i = 0; i < bytes.length; i += 32)
        bytes.set(sha256(utf8ToBytes(`${n}/${i}`)).subarray(0, Math.min(32, bytes.length - i)), i)
      return bytes
    }
    const before = [scene.arena.disk(victim).log.length, scene.arena.disk(victim).machines.size]
    const memory = process.memoryUsage().arrayBuffers
    for (let n = 0; n < 200; n++) {
      const body = noise(n)
      // As it is, and as what a piggyback would carry.
      await scene.arena.sayBytes(scene.lsp, victim, body, Uint8Array.from([0, 4, ...body.subarray(0, 500)]))
    }
    expect([scene.arena.disk(victim).log.length, scene.arena.disk(victim).machines.size]).toEqual(before)
    expect(process.memoryUsage().arrayBuffers - memory).toBeLessThan(64_000_000)
    await factory.leaves(victim)
  })
})
