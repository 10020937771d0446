import { describe, expect, it } from 'vitest'
import type { Payload } from '@ln-factory/tlv'
import { FactoryError } from '@ln-factory/tlv'
import type { MemoryDisk } from '../../src/store/memory/index.js'
import type { RestoredSummary } from '../../src/runner/index.js'
import { sat, txid, type InstanceId, type NodeId } from '../../src/units/index.js'
import { Net, payloadOf, tamper } from '../simulation/net.js'

/** The disk of `id` becomes `copy`, and its process starts from it. */
async function restore(net: Net, id: NodeId, copy: MemoryDisk | undefined): Promise<void> {
  if (copy === undefined) throw new Error('no copy')
  net.world.crash(id)
  net.world.disks.set(id, copy)
  await net.heal()
  await net.world.calm()
}

const restored = (net: Net, id: NodeId): RestoredSummary[] => net.node(id).restored()
const holds = (net: Net, id: NodeId): string[] => restored(net, id).map((r) => r.hold)
const gates = (net: Net, id: NodeId): (string | undefined)[] =>
  [...net.host(id).mine.keys()].map((c) => net.node(id).gated(c)?.gate)

/** Everything that `id` says from now on, by kind. */
function listen(net: Net, id: NodeId): string[] {
  const said: string[] = []
  const before = net.world.wire
  net.world.wire = (from, to, body) => {
    const payload = from === id ? payloadOf(body) : undefined
    if (payload !== undefined) said.push(payload.kind)
    return before(from, to, body)
  }
  return said
}

/** A close that is signed by all and does not reach the chain. */
async function closeInSecret(net: Net, instance: InstanceId): Promise<void> {
  const chain = net.world.chain
  const broadcast = chain.broadcast.bind(chain)
  chain.broadcast = () => ({ accepted: false, error: 'kept back' })
  const closing = net.node(net.lsp).close(instance, 1000)
  closing.catch(() => undefined)
  await net.world.run()
  chain.broadcast = broadcast
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'done',
    (error: unknown) => (error instanceof FactoryError ? error.code : String(error)),
  )

describe('invariant 8: an old copy of the disk under a living node', () => {
  it('of a client, from before it signed a close: takes no HTLC, signs no other close, can leave', async () => {
    const net = await Net.of(60, 2)
    const instance = await net.active()
    const victim = net.client(0)
    const copy = net.disk(victim).copy()
    await closeInSecret(net, instance)
    expect([...net.disk(victim).records.keys()].some((k) => k.endsWith('/cooperative'))).toBe(true)
    await restore(net, victim, copy)
    expect(restored(net, victim)).toMatchObject([{ instance, hold: 'shut', missing: ['cooperative'] }])
    expect(gates(net, victim)).toEqual(['shut'])
    expect((await net.show(victim, instance))?.notice).toMatch(/cooperative are missing/)
    const said = listen(net, victim)
    const outputs = [{ amount: 1000n, script: Uint8Array.from([0x51, 0x20, ...new Uint8Array(32).fill(2)]) }]
    const idBytes = Uint8Array.from(Buffer.from(instance, 'hex'))
    const propose: Payload = { kind: 'close_propose', instanceId: idBytes, balance: 0n, lockTime: 0, outputs }
    await net.say(net.lsp, victim, propose)
    await net.say(net.lsp, victim, { kind: 'close_aggregated_nonce', instanceId: idBytes, nonce: new Uint8Array(66) })
    expect(said).not.toContain('close_nonce')
    expect(said).not.toContain('close_partial_signature')
    await net.node(victim).exit(instance)
    await net.world.run()
    expect((await net.show(victim, instance))?.phase).toBe('exiting')
  })

  it('of the LSP, from before it signed a close: opens no gate, orders no other close', async () => {
    const net = await Net.of(61, 2)
    const instance = await net.active()
    const copy = net.disk(net.lsp).copy()
    await closeInSecret(net, instance)
    await restore(net, net.lsp, copy)
    expect(restored(net, net.lsp)).toMatchObject([{ instance, hold: 'shut', missing: ['cooperative'] }])
    expect(gates(net, net.lsp)).toEqual(['shut', 'shut'])
    const closing = codeOf(net.node(net.lsp).close(instance, 1000))
    await net.world.run()
    expect(await closing).toBe('restored')
  })

  it.each(['accept', 'nonces', 'partial_signatures'] as const)(
    'of a client, made when its %s left: does and says nothing, and its channel is shut',
    async (kind) => {
      const net = await Net.of(62, 2)
      const victim = net.client(0)
      let copy: MemoryDisk | undefined
      tamper(net.world, [victim, net.lsp], kind, (m): readonly Payload[] => {
        copy = net.disk(victim).copy()
        return [m]
      })
      const instance = await net.active()
      net.world.crash(victim)
      const said = listen(net, victim)
      await restore(net, victim, copy)
      expect(restored(net, victim)).toMatchObject([{ instance, hold: 'suspended', lsp: net.lsp }])
      expect(gates(net, victim)).toEqual(['shut'])
      expect(said).toEqual([])
      expect(await codeOf(net.node(victim).abort(instance, 'no'))).toBe('restored')
      expect(await codeOf(net.node(victim).reconcile(instance, 'use'))).toBe('wrong_state')
    },
  )

  it('of a client, made when all was stored: it is what it was', async () => {
    const net = await Net.of(63, 2)
    const victim = net.client(0)
    let copy: MemoryDisk | undefined
    tamper(net.world, [victim, net.lsp], 'stored', (m): readonly Payload[] => {
      copy = net.disk(victim).copy()
      return [m]
    })
    const instance = await net.active()
    await restore(net, victim, copy)
    await net.world.mine(1)
    expect(restored(net, victim)).toEqual([])
    expect((await net.show(victim, instance))?.phase).toBe('active')
    expect(gates(net, victim)).toEqual(['open'])
  })

  it('of the LSP, made when the signatures left: it is what it was, and drops no channel', async () => {
    const net = await Net.of(64, 2)
    let copy: MemoryDisk | undefined
    tamper(net.world, [net.lsp, net.client(0)], 'signatures', (m): readonly Payload[] => {
      copy = net.disk(net.lsp).copy()
      return [m]
    })
    const instance = await net.active()
    await restore(net, net.lsp, copy)
    await net.world.mine(2)
    expect(restored(net, net.lsp)).toEqual([])
    expect(net.host(net.lsp).mine.size).toBe(2)
    expect(gates(net, net.lsp)).toEqual(['open', 'open'])
    expect(new Set(await net.phases(instance))).toEqual(new Set(['active']))
  })

  it.each(['propose', 'aggregated_nonces'] as const)(
    'of the LSP, made when its %s left: drops no channel, lets no HTLC through, frees no coin',
    async (kind) => {
      const net = await Net.of(65, 2)
      let copy: MemoryDisk | undefined
      tamper(net.world, [net.lsp, net.client(0)], kind, (m): readonly Payload[] => {
        copy = net.disk(net.lsp).copy()
        return [m]
      })
      const instance = await net.active()
      await restore(net, net.lsp, copy)
      expect(restored(net, net.lsp)).toMatchObject([{ instance, hold: 'suspended' }])
      expect(net.host(net.lsp).mine.size).toBe(2)
      expect(gates(net, net.lsp)).toEqual(['shut', 'shut'])
      expect(new Set((await net.phases(instance)).slice(1))).toEqual(new Set(['active']))
    },
  )

  it('that is empty: what is lost is named, and its channels are shut', async () => {
    for (const who of ['lsp', 'client'] as const) {
      const net = await Net.of(66, 2)
      const empty = net.disk(net.lsp).copy()
      const instance = await net.active()
      const victim = who === 'lsp' ? net.lsp : net.client(1)
      await restore(net, victim, empty)
      expect(restored(net, victim)).toMatchObject([{ instance, role: who, hold: 'lost' }])
      expect(new Set(gates(net, victim))).toEqual(new Set(['shut']))
      expect(net.host(victim).mine.size).toBe(who === 'lsp' ? 2 : 1)
    }
  })

  it('of one factory does not hold back another', async () => {
    const net = await Net.of(67, 2)
    const first = await net.active()
    const copy = net.disk(net.client(0)).copy()
    const coin = { txid: txid('cc'.repeat(32)), vout: 0 }
    net.world.chain.mint(coin, sat(50_000_000), Uint8Array.of(0x51))
    net.host(net.lsp).coins.push(coin)
    const second = await net.active()
    await restore(net, net.client(0), copy)
    expect(restored(net, net.client(0))).toMatchObject([{ instance: second, hold: 'lost' }])
    const closing = net.node(net.lsp).close(first, 1000)
    await net.world.run()
    expect(await codeOf(closing)).toBe('done')
  })

  it('that went on by itself is another log, and is told apart', async () => {
    const net = await Net.of(68, 2)
    const victim = net.client(0)
    const instance = await net.active()
    const copy = net.disk(victim).copy()
    const [record] = copy.signed.get(instance) ?? []
    if (record === undefined) throw new Error('no record')
    copy.signed.set(instance, [...(copy.signed.get(instance)?.slice(0, -1) ?? []), { ...record, index: 9 }, record])
    await restore(net, victim, copy)
    expect(restored(net, victim)).toMatchObject([{ instance, hold: 'suspended', missing: 'unknown' }])
  })

  it('where the node has lost what it kept: nothing is done before the operator has said what', async () => {
    const net = await Net.of(69, 2)
    const instance = await net.active()
    const victim = net.client(0)
    // The first start after something was kept.
    await restore(net, victim, net.disk(victim))
    expect(restored(net, victim)).toEqual([])
    net.host(victim).kept.clear()
    await restore(net, victim, net.disk(victim))
    expect(restored(net, victim)).toMatchObject([{ instance, hold: 'suspended', missing: 'unknown' }])
    expect(await codeOf(net.node(victim).exit(instance))).toBe('restored')
    await net.node(victim).reconcile(instance, 'exit')
    expect([holds(net, victim), gates(net, victim)]).toEqual([['shut'], ['shut']])
    await net.node(victim).reconcile(instance, 'use')
    expect([holds(net, victim), gates(net, victim)]).toEqual([['sealed'], ['open']])
    await restore(net, victim, net.disk(victim))
    expect(holds(net, victim)).toEqual(['sealed'])
    const closing = codeOf(net.node(net.lsp).close(instance, 1000))
    await net.world.calm()
    expect(await closing).toBe('aborted')
    expect([...net.disk(victim).records.keys()].some((k) => k.endsWith('/cooperative'))).toBe(false)
  })
})

describe('invariant 4: one outpoint, one signature, across restores', () => {
  it('no copy of a client, made at any commit of its life, signs a second close', async () => {
    const base = await Net.of(70, 2)
    const copies: MemoryDisk[] = []
    const instance = await record(base, copies)
    const victim = base.client(0)
    const signed = [...base.disk(victim).records].find(([k]) => k.endsWith('/cooperative'))?.[1][0]?.sighash
    expect(signed).toBeDefined()
    expect(copies.length).toBeGreaterThan(8)
    for (const copy of copies) {
      await restore(base, victim, copy.copy())
      const before = base.disk(victim).signed.get(instance)?.length ?? 0
      const idBytes = Uint8Array.from(Buffer.from(instance, 'hex'))
      const script = Uint8Array.from([0x51, 0x20, ...new Uint8Array(32).fill(3)])
      await base.say(base.lsp, victim, {
        kind: 'close_propose',
        instanceId: idBytes,
        balance: 0n,
        lockTime: 0,
        outputs: [{ amount: 5000n, script }],
      })
      await base.world.calm()
      const after = base.disk(victim).signed.get(instance) ?? []
      const held = restored(base, victim)
      // Either it is the newest copy, and knows, or it is held back: nothing more is ever signed.
      if (held.length > 0) expect(after.length).toBe(before)
      else expect(after.filter((r) => r.class === 'cooperative').map((r) => r.sighash)).toEqual([signed])
    }
  })

  it('nothing that binds leaves before the node keeps it', async () => {
    const net = await Net.of(71, 2)
    const victim = net.client(0)
    const { anchor } = net.host(victim)
    if (anchor === undefined) throw new Error('no anchor')
    let fail = true
    net.host(victim).anchor = {
      read: () => anchor.read(),
      keep: (i, v) => (fail ? Promise.reject(new FactoryError('host_failed', 'no')) : anchor.keep(i, v)),
    }
    await restore(net, victim, net.disk(victim))
    const said = listen(net, victim)
    const { outcome } = await net.order()
    expect(said).toContain('nonces')
    expect(said).not.toContain('partial_signatures')
    fail = false
    await net.world.tick()
    await net.world.run()
    expect(said).toContain('partial_signatures')
    expect(await outcome).toBe('created')
  })

  it('a crash at any commit is no restore: the store is never behind what the node keeps', async () => {
    for (const who of ['lsp', 'client'] as const)
      for (const when of ['before', 'after'] as const)
        for (let at = 1; at < 14; at++) {
          const net = await Net.of(72 + at, 2)
          const node = who === 'lsp' ? net.lsp : net.client(0)
          net.world.kill = { node, at: (net.world.commits.get(node) ?? 0) + at, when }
          await net.order().catch(() => undefined)
          net.world.kill = undefined
          await net.converge()
          for (const id of net.all) expect(restored(net, id), `${who} ${when} ${at}`).toEqual([])
        }
  })
})

/** A factory that is created and closed in secret; a copy of the first client's disk after each of its commits. */
async function record(net: Net, copies: MemoryDisk[]): Promise<InstanceId> {
  const victim = net.client(0)
  const disk = net.disk(victim)
  const push = disk.log.push.bind(disk.log)
  disk.log.push = (...lines) => {
    const length = push(...lines)
    copies.push(disk.copy())
    return length
  }
  const instance = await net.active()
  await closeInSecret(net, instance)
  return instance
}
