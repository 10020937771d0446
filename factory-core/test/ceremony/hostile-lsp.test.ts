import { beforeEach, describe, expect, it } from 'vitest'
import type { AggregatedNonces, Invite, Payload, Propose, Signatures, WireOutput } from '@ln-factory/tlv'
import type { InstanceId, NodeId } from '../../src/units/index.js'
import { expectFreeCoins, expectWhole } from '../simulation/checks.js'
import { Net, payloadOf, tamper } from '../simulation/net.js'

const CLIENTS = 5
let net: Net
let victim: NodeId
let link: readonly [NodeId, NodeId]

beforeEach(async () => {
  net = await Net.of(5, CLIENTS)
  victim = net.client(0)
  link = [net.lsp, victim]
})

const flip = (bytes: Uint8Array, at = bytes.length - 1): Uint8Array => bytes.map((b, i) => (i === at ? b ^ 1 : b))
const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte)
/** x is no field element. What the wire itself rules out (counts, prefixes, amounts) can't be said here: see the wire's tests. */
const noPoint = Uint8Array.from([2, ...filled(32, 0xff)])
const noPoints = Uint8Array.from([...noPoint, ...noPoint])
const replace = <T>(list: readonly T[], at: number, value: T): T[] => list.map((v, i) => (i === at ? value : v))
const get = <T>(list: readonly T[], at: number): T => {
  const value = list[at]
  if (value === undefined) throw new Error(`nothing at ${at}`)
  return value
}

/** Nothing is signed by the victim, nothing lost by anyone, and the LSP is told why. */
async function refused(reason: RegExp): Promise<InstanceId> {
  const { instance, outcome } = await net.order()
  await net.world.calm()
  expect(await outcome).toMatch(reason)
  expect(await outcome).toContain(victim)
  expect(net.disk(victim).records.size).toBe(0)
  expect(net.signatures(victim, instance)).toBe(0)
  expect(await expectWhole(net, instance)).toBe('given up')
  expectFreeCoins(net)
  return instance
}

describe('invariant 11: an invitation that can not work is refused with its reason', () => {
  const params =
    (change: Partial<Invite['params']>) =>
    (i: Invite): Invite => ({ ...i, params: { ...i.params, ...change } })
  it.each<[string, (i: Invite) => Invite, RegExp]>([
    [
      'another early warning than the tree has',
      (i) => ({ ...i, earlyWarning: i.earlyWarning - 1 }),
      /early warning of/,
    ],
    ['a lifetime without use', (i) => ({ ...i, expiry: i.earlyWarning + 200 + 143 }), /leaves less than W/],
    ['an expiry that is over', (i) => ({ ...i, expiry: 1 }), /leaves less than W/],
    ['a lifetime over the limit', (i) => ({ ...i, expiry: 400_000 }), /over my maximum of 52560/],
    ['a push above the capacity', (i) => ({ ...i, push: i.capacity * 1000n + 1n }), /exceeds the capacity/],
    ['a capacity under the limit', (i) => ({ ...i, capacity: 9_999n }), /under my minimum/],
    ['a capacity over the limit', (i) => ({ ...i, capacity: 100_000_001n }), /over my maximum/],
    ['no clients', (i) => ({ ...i, clients: 0 }), /clients/],
    ['too many clients', (i) => ({ ...i, clients: 1001 }), /clients|early warning/],
    ['an arity of 5', params({ arity: 5 }), /arity/],
    ['a fanout of 1', params({ fanout: 1 }), /fanout/],
    ['no state', params({ states: 0 }), /states/],
    ['a step of 0', params({ step: 0 }), /step/],
    ['no margin', params({ confirmationMargin: 0 }), /margin/i],
    ['a stock of 999 sat', params({ stockPerClient: 999n }), /stock/],
    ['a feerate below relay', params({ feerate: 999 }), /feerate/],
    ['W that no payer can pay', params({ step: 1008, states: 64 }), /W|early warning/i],
  ])('%s', async (_name, change, reason) => {
    tamper(net.world, link, 'invite', (i) => [change(i)])
    const instance = await refused(reason)
    // Not even worth a place on disk.
    expect(net.disk(victim).machines.has(instance)).toBe(false)
  })

  it('W above what this operator allows', async () => {
    net.node(victim).setPolicy({ ...net.node(victim).policy(), maxEarlyWarning: 10 as never })
    await refused(/early warning of .* over my maximum of 10/)
  })
})

describe('invariants 1 and 10: a proposal that differs from what was agreed is refused, and nothing is signed', () => {
  const siblings =
    (change: (s: readonly (readonly WireOutput[])[]) => readonly (readonly WireOutput[])[]) =>
    (p: Propose): Propose => ({
      ...p,
      siblings: change(p.siblings),
    })
  /** The first transaction with siblings, and the first of these. */
  const first = (change: (o: WireOutput) => WireOutput) =>
    siblings((all) => {
      const at = all.findIndex((s) => s.length > 0)
      return replace(all, at, replace(get(all, at), 0, change(get(get(all, at), 0))))
    })
  it.each<[string, (p: Propose) => Propose, RegExp]>([
    [
      'a funding of 1 sat more',
      (p) => ({ ...p, fundingAmount: p.fundingAmount + 1n }),
      /needs \d+ sat and the funding/,
    ],
    [
      'a funding of 1 sat less',
      (p) => ({ ...p, fundingAmount: p.fundingAmount - 1n }),
      /needs \d+ sat and the funding/,
    ],
    [
      'another key than ours',
      (p) => ({ ...p, keys: replace(p.keys, 1, get(p.keys, 2)) }),
      /our key is not at our place/,
    ],
    ['our key twice', (p) => ({ ...p, keys: replace(p.keys, 2, get(p.keys, 1)) }), /stands there twice/],
    ["our key as the LSP's too", (p) => ({ ...p, keys: replace(p.keys, 0, get(p.keys, 1)) }), /stands there twice/],
    ['another place', (p) => ({ ...p, clientIndex: 2 }), /our key is not at our place/],
    ['one client fewer', (p) => ({ ...p, keys: p.keys.slice(0, -1) }), /4 clients proposed, but 5/],
    ['one client more', (p) => ({ ...p, keys: [...p.keys, get(p.keys, 3)] }), /6 clients proposed, but 5/],
    ['a key that is no point', (p) => ({ ...p, keys: replace(p.keys, 3, noPoint) }), /key/],
    ['a channel that is not P2WSH', (p) => ({ ...p, channelScript: flip(p.channelScript, 0) }), /not P2WSH/],
    ['a sibling too few', siblings((s) => s.map((o) => o.slice(1))), /sibling outputs instead of/],
    ['a sibling too many', siblings((s) => s.map((o) => [...o, ...o.slice(0, 1)])), /sibling outputs instead of/],
    ['a transaction too few', siblings((s) => s.slice(1)), /\d/],
    ['a transaction too many', siblings((s) => [...s, []]), /\d/],
    ['siblings of another transaction', siblings((s) => s.toReversed()), /wrong in/],
    ['a sibling of dust', first((o) => ({ ...o, amount: 329n })), /dust/],
    [
      'a sibling of 1 sat more',
      first((o) => ({ ...o, amount: o.amount + 1n })),
      /path needs|instead of|more than there is/,
    ],
    [
      'a sibling with another kind of script',
      first((o) => ({ ...o, script: Uint8Array.of(0x6a) })),
      /is not P2|is none of/,
    ],
  ])('%s', async (_name, change, reason) => {
    tamper(net.world, link, 'propose', (p) => [change(p)])
    await refused(reason)
  })

  it.each<[string, (p: Propose) => Propose]>([
    ['funding outpoint', (p) => ({ ...p, fundingTxid: flip(p.fundingTxid) })],
    ['funding output', (p) => ({ ...p, fundingVout: p.fundingVout + 1 })],
    ['key of another client', (p) => ({ ...p, keys: replace(p.keys, 3, get(p.keys, 4)) })],
    ['poison hash', (p) => ({ ...p, poisonHash: flip(p.poisonHash) })],
    ['channel script', (p) => ({ ...p, channelScript: flip(p.channelScript) })],
    ['siblings, swapped', siblingsSwapped],
  ])('what only the LSP can know signs nothing else than what was rebuilt: %s', async (_name, change) => {
    tamper(net.world, link, 'propose', (p) => [change(p)])
    const { instance, outcome } = await net.order()
    await net.world.calm()
    // Its own tree is another one: what the victim gives is worth nothing there.
    expect(await outcome).toMatch(/bad partial signature|wrong in|key/)
    expect(net.signatures(victim, instance)).toBe(0)
    expect(await expectWhole(net, instance)).toBe('given up')
  })

  it.each<[string, (i: Invite) => Invite]>([
    ['lock time of the distributions', (i) => ({ ...i, expiry: i.expiry + 1 })],
    ['capacity', (i) => ({ ...i, capacity: i.capacity - 1n })],
    ['number of sequence steps', (i) => ({ ...i, params: { ...i.params, stockCsv: i.params.stockCsv + 1 } })],
  ])('an invitation with another %s than the tree', async (_name, change) => {
    tamper(net.world, link, 'invite', (i) => [change(i)])
    const { instance, outcome } = await net.order()
    await net.world.calm()
    expect(await outcome).not.toBe('created')
    expect(net.signatures(victim, instance)).toBe(0)
    expect(await expectWhole(net, instance)).toBe('given up')
  })
})

function siblingsSwapped(p: Propose): Propose {
  const at = p.siblings.findIndex((s) => s.length > 1 && s.every((o) => o.script.length === s[0]?.script.length))
  return { ...p, siblings: replace(p.siblings, at, get(p.siblings, at).toReversed()) }
}

describe('invariant 3: nonces', () => {
  it.each<[string, (m: AggregatedNonces) => AggregatedNonces, RegExp]>([
    ['too few', (m) => ({ ...m, nonces: m.nonces.slice(1) }), /aggregated nonces for/],
    ['too many', (m) => ({ ...m, nonces: [...m.nonces, get(m.nonces, 0)] }), /aggregated nonces for/],
    ['no points', (m) => ({ ...m, nonces: replace(m.nonces, 0, noPoints) }), /nonce/],
    ['no points at the end', (m) => ({ ...m, nonces: replace(m.nonces, m.nonces.length - 1, noPoints) }), /nonce/],
  ])('aggregated, %s: refused, nothing signed', async (_name, change, reason) => {
    tamper(net.world, link, 'aggregated_nonces', (m) => [change(m)])
    await refused(reason)
  })

  it('two aggregates for one nonce: signed once', async () => {
    tamper(net.world, link, 'aggregated_nonces', (m) => [m, { ...m, nonces: m.nonces.toReversed() }, m])
    const said: Payload['kind'][] = []
    const before = net.world.wire
    net.world.wire = (from, to, body) => {
      const kind = payloadOf(body)?.kind
      if (from === victim && kind !== undefined) said.push(kind)
      return before(from, to, body)
    }
    const instance = await net.active()
    expect(said.filter((k) => k === 'partial_signatures').length).toBe(1)
    expect(await expectWhole(net, instance)).toBe('active')
  })

  it('a second proposal after the nonces are out: ignored', async () => {
    tamper(net.world, link, 'propose', (p) => [p, { ...p, fundingTxid: flip(p.fundingTxid) }])
    const instance = await net.active()
    expect(await expectWhole(net, instance)).toBe('active')
  })

  it('aggregated in another order sign what nobody else signs', async () => {
    tamper(net.world, link, 'aggregated_nonces', (m) => [{ ...m, nonces: m.nonces.toReversed() }])
    const { instance, outcome } = await net.order()
    await net.world.calm()
    expect(await outcome).toMatch(/bad partial signature/)
    expect(await expectWhole(net, instance)).toBe('given up')
  })
})

describe('invariant 2: no signature is taken on trust', () => {
  it.each<[string, (m: Signatures) => Signatures, RegExp]>([
    [
      'wrong by one bit',
      (m) => ({ ...m, signatures: replace(m.signatures, 0, flip(get(m.signatures, 0))) }),
      /not valid/,
    ],
    [
      'the last one wrong',
      (m) => ({ ...m, signatures: replace(m.signatures, m.signatures.length - 1, filled(64, 1)) }),
      /not valid/,
    ],
    ['swapped', (m) => ({ ...m, signatures: m.signatures.toReversed() }), /not valid/],
    ['too few', (m) => ({ ...m, signatures: m.signatures.slice(1) }), /signatures for/],
    ['too many', (m) => ({ ...m, signatures: [...m.signatures, get(m.signatures, 0)] }), /signatures for/],
  ])('%s: given up, and the funding never leaves', async (_name, change, reason) => {
    tamper(net.world, link, 'signatures', (m) => [change(m)])
    const { instance, outcome } = await net.order()
    await net.world.calm()
    expect(await outcome).toMatch(reason)
    expect(net.signatures(victim, instance)).toBe(0)
    expect(await expectWhole(net, instance)).toBe('given up')
    expectFreeCoins(net)
  })

  it('a channel on another 2-of-2 than the leaf pays', async () => {
    net.host(victim).checkFunding = () =>
      Promise.resolve({ result: 'ours', script: Uint8Array.from([0, 32, ...filled(32, 7)]) })
    const { instance, outcome } = await net.order()
    await net.world.calm()
    expect(await outcome).toMatch(/does not pay the 2-of-2/)
    expect(await expectWhole(net, instance)).toBe('given up')
  })

  it('a host that can not check its channel: the operator is warned', async () => {
    net.host(victim).checkFunding = () => Promise.resolve({ result: 'unknown', why: 'no key to look with' })
    const instance = await net.active()
    expect((await net.show(victim, instance))?.notice).toMatch(/no key to look with.*LSP's word/)
  })

  it.each<[string, (c: { ours: bigint; capacity: bigint }) => object, RegExp]>([
    ['another capacity', (c) => ({ capacity: c.capacity - 1n }), /holds 999999 sat/],
    ['another balance', () => ({ ours: 1n }), /balance is 1 msat/],
  ])('a channel of %s', async (_name, change, reason) => {
    const host = net.host(victim)
    const channels = host.channels.bind(host)
    host.channels = async () => (await channels()).map((c) => ({ ...c, ...change(c) }))
    const { instance, outcome } = await net.order()
    await net.world.calm()
    expect(await outcome).toMatch(reason)
    expect(await expectWhole(net, instance)).toBe('given up')
  })
})

describe('invariant 11: what comes at the wrong time, twice, or from somebody else changes nothing', () => {
  const disturb = (kind: Payload['kind'], extra: (instanceId: Uint8Array) => readonly Payload[]): void => {
    tamper(net.world, link, kind, (p) => [...extra(p.instanceId), p])
  }
  it.each<[string, Payload['kind'], (instanceId: Uint8Array) => readonly Payload[]]>([
    [
      'signatures before nonces',
      'propose',
      (instanceId) => [{ kind: 'signatures', instanceId, signatures: [filled(64, 1)] }],
    ],
    [
      'aggregated nonces before a proposal',
      'propose',
      (instanceId) => [{ kind: 'aggregated_nonces', instanceId, nonces: [filled(66, 2)] }],
    ],
    ['a broadcast that was not', 'aggregated_nonces', (instanceId) => [{ kind: 'funding_broadcast', instanceId }]],
    [
      'a close of what is not open',
      'signatures',
      (instanceId) => [
        {
          kind: 'close_propose',
          instanceId,
          balance: 0n,
          lockTime: 0,
          outputs: [{ amount: 1n, script: filled(22, 0) }],
        },
      ],
    ],
    [
      'the end of a close',
      'propose',
      (instanceId) => [
        { kind: 'close_complete', instanceId, signature: filled(64, 1) },
        { kind: 'close_aggregated_nonce', instanceId, nonce: filled(66, 2) },
      ],
    ],
    [
      "a client's messages",
      'propose',
      (instanceId) => [
        { kind: 'stored', instanceId },
        { kind: 'nonces', instanceId, nonces: [filled(66, 2)] },
      ],
    ],
  ])('%s', async (_name, kind, extra) => {
    disturb(kind, extra)
    if (kind === 'signatures') {
      // The decline of a close that makes no sense reads as the client giving up: that is its right.
      const { instance } = await net.order()
      await net.world.mine(2)
      await expectWhole(net, instance)
      return
    }
    const instance = await net.active()
    expect(await expectWhole(net, instance)).toBe('active')
  })

  it('an invitation with other terms for the same instance: refused, the first one stands', async () => {
    const refusals: string[] = []
    tamper(net.world, link, 'invite', (i) => [i, { ...i, capacity: i.capacity + 1n }])
    const before = net.world.wire
    net.world.wire = (from, to, body) => {
      const payload = payloadOf(body)
      if (from !== victim || payload?.kind !== 'refuse') return before(from, to, body)
      refusals.push(payload.reason)
      return []
    }
    const instance = await net.active()
    expect(refusals).toEqual([expect.stringContaining('duplicate instance')])
    expect(await expectWhole(net, instance)).toBe('active')
  })

  it('messages of an earlier ceremony', async () => {
    const old: Uint8Array[] = []
    const before = net.world.wire
    net.world.wire = (from, to, body) => {
      if (from === net.lsp && to === victim) old.push(body)
      return before(from, to, body)
    }
    const { instance: earlier } = await net.order()
    await net.world.mine(2)
    expect(await expectWhole(net, earlier)).toBe('active')
    const records = net.disk(victim).records.size
    const state = net.disk(victim).machines.get(earlier)
    net.world.wire = before
    net.world.inject(net.lsp, victim, ...old, ...old)
    await net.world.run()
    expect(net.disk(victim).machines.get(earlier)).toEqual(state)
    expect(net.disk(victim).records.size).toBe(records)
  })

  it('everything that the LSP says, from somebody else', async () => {
    const other = net.client(1)
    await net.world.connect(other, victim)
    const before = net.world.wire
    net.world.wire = (from, to, body) => {
      const kind = payloadOf(body)?.kind
      if (from === net.lsp && to === victim && kind !== undefined && kind !== 'invite')
        net.world.inject(other, victim, body)
      return before(from, to, body)
    }
    const { instance, outcome } = await net.order()
    expect(await outcome).toBe('created')
    await net.say(other, victim, { kind: 'abort', instanceId: Buffer.from(instance, 'hex'), reason: 'me' })
    await net.world.mine(2)
    expect(await expectWhole(net, instance)).toBe('active')
  })

  it('a flood of messages leaves nothing on disk', async () => {
    const instance = await net.active()
    const instanceId = Uint8Array.from(Buffer.from(instance, 'hex'))
    const before = net.disk(victim).log.length
    for (const payload of [
      { kind: 'funding_broadcast', instanceId },
      { kind: 'abort', instanceId, reason: 'x' },
      { kind: 'sync', instanceId, stage: 'active' },
      { kind: 'signatures', instanceId, signatures: [filled(64, 1)] },
      { kind: 'close_complete', instanceId, signature: filled(64, 1) },
      { kind: 'stored', instanceId },
    ] as const)
      for (let i = 0; i < 5; i++) await net.say(net.lsp, victim, payload)
    expect(net.disk(victim).log.length).toBe(before)
    expect(await net.phases(instance)).not.toContain('aborted')
  })
})
