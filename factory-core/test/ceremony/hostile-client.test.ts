import { beforeEach, describe, expect, it } from 'vitest'
import type { Accept, ChannelReady, Nonces, PartialSignatures, Payload } from '@ln-factory/tlv'
import type { NodeId } from '../../src/units/index.js'
import { expectFreeCoins, expectFreshStart, expectWhole } from '../simulation/checks.js'
import { Net, tamper } from '../simulation/net.js'

let net: Net
let culprit: NodeId
let link: readonly [NodeId, NodeId]

beforeEach(async () => {
  net = await Net.of(6, 3)
  culprit = net.client(1)
  link = [culprit, net.lsp]
})

const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte)
const noPoint = Uint8Array.from([2, ...filled(32, 0xff)])
const flip = (bytes: Uint8Array): Uint8Array => bytes.map((b, i) => (i === bytes.length - 1 ? b ^ 1 : b))

/** The ceremony ends with the culprit's name, and nobody else's; the LSP has signed nothing and has its coins. */
async function blamed(reason: RegExp): Promise<void> {
  const { instance, outcome } = await net.order()
  await net.world.calm()
  expect(await outcome).toMatch(reason)
  expect(await outcome).toContain(culprit)
  for (const id of net.clients) if (id !== culprit) expect(await outcome).not.toContain(id)
  expect(net.disk(net.lsp).records.size).toBe(0)
  expect(net.signatures(net.lsp, instance)).toBe(0)
  expect(await expectWhole(net, instance)).toBe('given up')
  expectFreeCoins(net)
}

describe('invariant 11: a client that sends nonsense is named, and costs nobody anything', () => {
  it.each<[string, (m: Accept) => readonly Payload[], RegExp]>([
    ['a key that is no point', (m) => [{ ...m, factoryKey: noPoint }], /no point/],
    ['a payout that is not standard', (m) => [{ ...m, payoutScript: filled(22, 0x6a) }], /payout script/],
    [
      'a payout of a future witness version',
      (m) => [{ ...m, payoutScript: Uint8Array.from([0x52, 0x20, ...filled(32, 1)]) }],
      /payout script/,
    ],
  ])('%s', async (_name, change, reason) => {
    tamper(net.world, link, 'accept', change)
    await blamed(reason)
  })

  it.each<[string, (m: Nonces) => readonly Payload[], RegExp]>([
    ['a nonce too few', (m) => [{ ...m, nonces: m.nonces.slice(1) }], /nonces instead of/],
    ['a nonce too many', (m) => [{ ...m, nonces: [...m.nonces, ...m.nonces.slice(0, 1)] }], /nonces instead of/],
    [
      'a nonce that is no point',
      (m) => [{ ...m, nonces: m.nonces.map((n, i) => (i === 1 ? Uint8Array.from([...noPoint, ...noPoint]) : n)) }],
      /nonce 1 is not two points/,
    ],
  ])('%s', async (_name, change, reason) => {
    tamper(net.world, link, 'nonces', change)
    await blamed(reason)
  })

  it.each<[string, (m: PartialSignatures) => readonly Payload[], RegExp]>([
    [
      'a partial signature too few',
      (m) => [{ ...m, signatures: m.signatures.slice(1) }],
      /partial signatures instead of/,
    ],
    [
      'a partial signature too many',
      (m) => [{ ...m, signatures: [...m.signatures, filled(32, 1)] }],
      /partial signatures instead of/,
    ],
    [
      'a partial signature of one wrong bit',
      (m) => [{ ...m, signatures: m.signatures.map((s, i) => (i === 2 ? flip(s) : s)) }],
      /bad partial signature/,
    ],
    [
      'a partial signature above the order',
      (m) => [{ ...m, signatures: m.signatures.map(() => filled(32, 0xff)) }],
      /bad partial signature/,
    ],
    [
      'a partial signature of zero',
      (m) => [{ ...m, signatures: m.signatures.map(() => filled(32, 0)) }],
      /bad partial signature/,
    ],
    [
      'partial signatures in another order',
      (m) => [{ ...m, signatures: m.signatures.toReversed() }],
      /bad partial signature/,
    ],
  ])('%s', async (_name, change, reason) => {
    tamper(net.world, link, 'partial_signatures', change)
    await blamed(reason)
  })

  it('nonces of another client: its own partial signatures fail', async () => {
    const seen: Nonces[] = []
    tamper(net.world, [net.client(0), net.lsp], 'nonces', (m) => {
      seen.push(m)
      return [m]
    })
    tamper(net.world, link, 'nonces', (m) => [{ ...m, nonces: seen[0]?.nonces ?? m.nonces.toReversed() }])
    const { instance, outcome } = await net.order()
    await net.world.calm()
    expect(await outcome).toMatch(/nonces instead of|bad partial signature/)
    expect(await outcome).toContain(culprit)
    expect(await expectWhole(net, instance)).toBe('given up')
  })

  it('another channel than the one that was opened', async () => {
    tamper(net.world, link, 'channel_ready', (m: ChannelReady) => [{ ...m, channelId: flip(m.channelId) }])
    const { instance, outcome } = await net.order()
    await net.world.calm()
    expect(await outcome).toContain(`${culprit} checked another channel`)
    expect(await expectWhole(net, instance)).toBe('given up')
    expectFreeCoins(net)
    await expectFreshStart(net)
  })

  it('a refusal is told with its reason', async () => {
    tamper(net.world, link, 'accept', (m) => [{ kind: 'refuse', instanceId: m.instanceId, reason: 'not today' }])
    await blamed(/refused: not today/)
  })

  it('an abort at any step is told with its reason', async () => {
    for (const kind of ['accept', 'nonces', 'partial_signatures', 'stored', 'channel_ready'] as const) {
      net = await Net.of(7, 2)
      culprit = net.client(1)
      tamper(net.world, [culprit, net.lsp], kind, (m) => [
        m,
        { kind: 'abort', instanceId: m.instanceId, reason: 'power cut' },
      ])
      const { instance, outcome } = await net.order()
      await net.world.calm()
      if ((await outcome) === 'created') {
        // Only the very last answer may come too late for an abort.
        expect(kind).toBe('channel_ready')
        await net.world.mine(2)
        expect(await expectWhole(net, instance)).toBe('active')
      } else {
        expect(await outcome).toMatch(/aborted: power cut/)
        expect(await expectWhole(net, instance)).toBe('given up')
      }
    }
  })
})

describe('invariant 3: what has been used is not used again', () => {
  it.each(['accept', 'nonces', 'partial_signatures', 'stored', 'channel_ready'] as const)(
    '%s twice, the second one different: the first counts, or nothing',
    async (kind) => {
      tamper(net.world, link, kind, (m): readonly Payload[] => {
        switch (m.kind) {
          case 'nonces':
            return [m, { ...m, nonces: m.nonces.toReversed() }]
          case 'partial_signatures':
            return [m, { ...m, signatures: m.signatures.map(flip) }]
          case 'channel_ready':
            return [m, m]
          default:
            return [m, m]
        }
      })
      const instance = await net.active()
      expect(await expectWhole(net, instance)).toBe('active')
    },
  )

  it('messages of another ceremony, or of none, change nothing', async () => {
    const other = await net.active()
    const old = Uint8Array.from(Buffer.from(other, 'hex'))
    const before = net.disk(net.lsp).machines.get(other)
    const noise: Payload[] = [old, filled(32, 9)].flatMap((instanceId) => [
      { kind: 'accept', instanceId, factoryKey: noPoint, keySalt: filled(16, 1), payoutScript: filled(22, 1) },
      { kind: 'refuse', instanceId, reason: 'no' },
      { kind: 'nonces', instanceId, nonces: [filled(66, 2)] },
      { kind: 'partial_signatures', instanceId, signatures: [filled(32, 1)] },
      { kind: 'stored', instanceId },
      { kind: 'abort', instanceId, reason: 'no' },
      { kind: 'channel_ready', instanceId, channelId: filled(32, 1) },
      { kind: 'close_nonce', instanceId, nonce: filled(66, 2) },
      { kind: 'close_partial_signature', instanceId, signature: filled(32, 2) },
    ])
    const lines = net.disk(net.lsp).log.length
    for (const payload of noise) await net.say(culprit, net.lsp, payload)
    expect(net.disk(net.lsp).machines.get(other)).toEqual(before)
    expect(net.disk(net.lsp).log.length).toBe(lines)
  })

  it('a client that is none of this factory is not heard', async () => {
    const stranger = await net.world.addNode('stranger', 0n)
    await net.world.connect(stranger, net.lsp)
    tamper(net.world, link, 'nonces', (m) => {
      for (const payload of [m, { kind: 'abort', instanceId: m.instanceId, reason: 'me' }] as const)
        void net.say(stranger, net.lsp, payload)
      return [m]
    })
    const instance = await net.active()
    expect(await expectWhole(net, instance)).toBe('active')
  })
})

describe('a key', () => {
  it('may change while nothing depends on it', async () => {
    const waiting = await Net.of(8, 2, { autoAccept: [] })
    const { instance } = await waiting.order()
    await waiting.node(waiting.client(0)).answer(instance, true)
    await waiting.world.run()
    waiting.world.crash(waiting.client(0))
    await waiting.heal()
    await waiting.node(waiting.client(1)).answer(instance, true)
    await waiting.world.run()
    await waiting.world.mine(2)
    expect(await expectWhole(waiting, instance)).toBe('active')
  })

  it('may not change once the funding pays to it', async () => {
    const keys: Accept[] = []
    tamper(net.world, link, 'accept', (m) => {
      keys.push(m)
      return [m]
    })
    tamper(net.world, link, 'nonces', (m) => {
      const [accept] = keys
      return accept === undefined
        ? [m]
        : [
            {
              ...accept,
              factoryKey: Uint8Array.from([accept.factoryKey[0] === 2 ? 3 : 2, ...accept.factoryKey.slice(1)]),
            },
          ]
    })
    await blamed(/accepted twice with different keys/)
  })
})
