/** Each number of docs/security.md, "Limits", gone over by a peer that means no good. */
import { encodeFactoryMessage, piggyback, protocolId, type Invite } from '@ln-factory/tlv'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  Allowances,
  Bucket,
  LIMITS,
  MAX_LIVE_FACTORIES,
  MAX_PENDING_INVITES,
  MAX_PROTOCOLS,
  MAX_QUEUED,
} from '../../src/runner/allowance.js'
import type { NodeId } from '../../src/units/index.js'
import { Net, payloadOf } from '../simulation/net.js'

const GARBAGE = Uint8Array.of(0, 4, 9, 9)
const about = (net: Net, peer: NodeId): string[] => net.world.lines.filter((l) => l.includes(`message from ${peer}`))

/** An invitation as the LSP's machine would send it, with other instance ids. */
async function invitation(net: Net): Promise<(n: number) => Invite> {
  const invites: Invite[] = []
  const wire = net.world.wire
  net.world.wire = (_from, _to, body) => {
    const payload = payloadOf(body)
    if (payload?.kind === 'invite') invites.push(payload)
    return []
  }
  await net.order()
  net.world.wire = wire
  const [first] = invites
  if (first === undefined) throw new Error('no invitation')
  return (n) => ({ ...first, instanceId: Uint8Array.from({ length: 32 }, (_, i) => (i < 2 ? n >> (8 * i) : 1) & 0xff) })
}

describe('a bucket', () => {
  it('gives what it holds, no more, and fills up with time, which may go back', () => {
    const bucket = new Bucket({ burst: 3, perSecond: 1 }, 100)
    expect([1, 1, 1, 1].map((n) => bucket.take(n, 100))).toEqual([true, true, true, false])
    expect(bucket.take(1, 50)).toBe(false)
    expect(bucket.take(2, 52)).toBe(true)
    expect(bucket.take(4, 10_000)).toBe(false)
    expect(bucket.take(3, 10_000)).toBe(true)
  })

  it('is kept for a number of peers, and peers who reconnect have the same one', () => {
    const allowances = new Allowances(() => 0)
    const peer = (n: number) => `02${n.toString(16).padStart(64, '0')}` as NodeId
    for (let i = 0; i < LIMITS.messages.burst; i++) expect(allowances.message(peer(0), 1)).toBe(true)
    expect(allowances.message(peer(0), 1)).toBe(false)
    expect(allowances.message(peer(1), 1)).toBe(true)
    for (let i = 2; i < 4096; i++) allowances.message(peer(i), 1)
    expect(allowances.message(peer(0), 1)).toBe(false)
  })
})

describe('limits of one peer', () => {
  it('messages: what is over is not looked at, and another peer’s factory is made meanwhile', async () => {
    const net = await Net.of(31, 2)
    const [flooder, honest] = net.clients as [NodeId, NodeId]
    net.world.inject(flooder, net.lsp, ...Array.from({ length: 3 * LIMITS.messages.burst }, () => GARBAGE))
    const { clients } = net.request()
    const instance = await net.active(net.request({ clients: clients.filter((c) => c.id === honest) }))
    expect((await net.show(net.lsp, instance))?.phase).toBe('active')
    // One line for each until the lines are used up.
    expect(about(net, flooder).length).toBeLessThanOrEqual(LIMITS.lines.burst)
  })

  it('messages: a flood stops its own factory only, and time heals', async () => {
    const net = await Net.of(32, 1)
    const announce = encodeFactoryMessage({ kind: 'supported_factory_protocols', protocols: [protocolId()] })
    net.world.inject(net.client(0), net.lsp, ...Array.from({ length: LIMITS.messages.burst + 50 }, () => announce))
    await net.world.run()
    const { instance } = await net.order()
    expect(await net.phases(instance)).not.toContain('active')
    await net.converge()
    net.world.elapse(LIMITS.messages.burst / LIMITS.messages.perSecond)
    await net.active()
  })

  it('bytes', async () => {
    const net = await Net.of(33, 1)
    const large = Uint8Array.from([0, 5, ...new Uint8Array(65_000)])
    const count = Math.ceil(LIMITS.bytes.burst / large.length) + 5
    net.world.inject(net.client(0), net.lsp, ...Array.from({ length: count }, () => large))
    await net.world.run()
    expect(about(net, net.client(0)).some((l) => l.includes('more messages than a peer may send'))).toBe(true)
  })

  it('invitations that wait for the operator', async () => {
    const net = await Net.of(34, 1, { autoAccept: [] })
    const invite = await invitation(net)
    for (let n = 0; n < MAX_PENDING_INVITES + 5; n++) net.world.inject(net.lsp, net.client(0), ...piggyback(invite(n)))
    await net.world.run()
    expect(net.node(net.client(0)).invites()).toHaveLength(MAX_PENDING_INVITES)
    // Nothing of them is on disk.
    expect(net.disk(net.client(0)).machines.size).toBe(0)
  })

  it('invitations of an LSP that is let in by itself: their rate, and factories that have not ended', async () => {
    const net = await Net.of(35, 1)
    const invite = await invitation(net)
    const client = net.client(0)
    let n = 0
    const flood = async (count: number) => {
      for (let i = 0; i < count; i++) net.world.inject(net.lsp, client, ...piggyback(invite(n++)))
      await net.world.run()
      return net.disk(client).machines.size
    }
    expect(await flood(LIMITS.invitations.burst + 40)).toBe(LIMITS.invitations.burst)
    while (n < 2 * MAX_LIVE_FACTORIES) {
      net.world.elapse(LIMITS.invitations.burst / LIMITS.invitations.perSecond)
      await flood(LIMITS.invitations.burst)
    }
    expect(net.disk(client).machines.size).toBe(MAX_LIVE_FACTORIES)
  })

  it('protocols that are remembered, ours among them wherever it stands', async () => {
    const net = await Net.of(36, 1)
    const others = Array.from({ length: 1500 }, (_, i) =>
      Uint8Array.from({ length: 32 }, (_, j) => (j < 2 ? i >> (8 * j) : 7) & 0xff),
    )
    const body = encodeFactoryMessage({ kind: 'supported_factory_protocols', protocols: [...others, protocolId()] })
    net.world.inject(net.client(0), net.lsp, body)
    await net.world.run()
    const [peer] = await net.node(net.lsp).peers()
    expect(peer?.protocol).toBe('ours')
    expect(peer?.names).toHaveLength(MAX_PROTOCOLS)
  })

  it('messages that wait for a host that does not take them', async () => {
    const net = await Net.of(37, 1)
    let taken = 0
    net.host(net.lsp).send = () => {
      taken++
      return new Promise(() => undefined)
    }
    // Each gets an answer: nobody knows these factories.
    const sync = (n: number) =>
      piggyback({
        kind: 'sync',
        stage: 'x',
        instanceId: Uint8Array.from({ length: 32 }, (_, i) => (n >> (8 * i)) & 0xff),
      })
    for (let n = 0; n < 900; n++) net.world.inject(net.client(0), net.lsp, ...sync(n))
    await net.world.run()
    net.world.elapse(100)
    for (let n = 900; n < 1800; n++) net.world.inject(net.client(0), net.lsp, ...sync(n))
    await net.world.run()
    expect(taken).toBe(1)
    const dropped = net.world.lines.filter((l) => l.includes(`${MAX_QUEUED} are waiting`)).length
    expect(dropped).toBeGreaterThan(700)
  })
})

it('docs/security.md states these numbers', () => {
  const text = readFileSync(new URL('../../../docs/security.md', import.meta.url), 'utf8')
  const limits = text.split('## Limits')[1] ?? ''
  const numbers = [
    ...Object.values(LIMITS).map(({ burst }) => burst),
    MAX_PENDING_INVITES,
    MAX_LIVE_FACTORIES,
    MAX_QUEUED,
    MAX_PROTOCOLS,
  ]
  for (const number of numbers) expect(limits).toContain(number.toLocaleString('en-US'))
})
