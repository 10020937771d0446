import { describe, expect, it } from 'vitest'
import type { Payload } from '@ln-factory/tlv'
import { expectFreeCoins, expectFreshStart, expectWhole } from '../simulation/checks.js'
import { Net, payloadOf } from '../simulation/net.js'

const seeds = Number(process.env['LN_FACTORY_SEEDS'] ?? '1')

describe('a client that goes silent', () => {
  it.each(['accept', 'nonces', 'partial_signatures', 'stored', 'channel_ready'] as const)(
    'before its %s: named, the others told, the coins free again',
    async (kind) => {
      const net = await Net.of(1, 3)
      const mute = net.client(1)
      net.world.wire = (from, _to, body) => (from === mute && payloadOf(body)?.kind === kind ? [] : [body])
      const { instance, outcome } = await net.order()
      await net.world.calm()
      const reason = await outcome
      expect(reason).toContain(mute)
      expect(reason).toContain('no answer within 60 s')
      for (const id of [net.client(0), net.client(2)]) {
        expect(reason).not.toContain(id)
        expect((await net.show(id, instance))?.notice).toContain(mute)
      }
      expect(await expectWhole(net, instance)).toBe('given up')
      net.world.wire = (_from, _to, body) => [body]
      await expectFreshStart(net)
    },
  )
})

describe('an LSP that goes silent', () => {
  it.each(['propose', 'aggregated_nonces', 'signatures'] as const)(
    'before its %s: the client waits no longer than it said',
    async (kind) => {
      const net = await Net.of(2, 2)
      const victim = net.client(0)
      net.world.wire = (_from, to, body) => {
        const said = payloadOf(body)?.kind
        return to === victim && (said === kind || said === 'abort') ? [] : [body]
      }
      const { instance } = await net.order()
      await net.world.calm()
      const details = await net.show(victim, instance)
      expect(details?.phase).toBe('aborted')
      expect(details?.notice).toContain('the LSP was silent')
    },
  )

  it('before it opens the channel: the client forgets its signatures', async () => {
    const net = await Net.of(3, 1)
    const host = net.host(net.lsp)
    host.openComplete = () => new Promise(() => undefined)
    net.world.wire = (_from, _to, body) => (payloadOf(body)?.kind === 'abort' ? [] : [body])
    const { instance } = await net.order()
    await net.world.calm()
    expect(await net.phases(instance)).toEqual(['aborted', 'aborted'])
  })
})

describe.each(Array.from({ length: seeds }, (_, i) => i + 1))('messages, order of events %i', (seed) => {
  it('that arrive twice change nothing', async () => {
    const net = await Net.of(seed, 3)
    net.world.wire = (_from, _to, body) => [body, body]
    const instance = await net.active()
    expect(await expectWhole(net, instance)).toBe('active')
  })

  it('that are lost with their connection, any of them: all active, or nobody lost anything', async () => {
    const results = new Set<string>()
    const lost = new Set<Payload['kind']>()
    for (let at = 1; ; at++) {
      const net = await Net.of(seed, 2)
      const messages = { sent: 0 }
      net.world.wire = (from, to, body) => {
        const kind = payloadOf(body)?.kind
        if (kind === undefined || ++messages.sent !== at) return [body]
        lost.add(kind)
        net.world.disconnect(from, to)
        return []
      }
      const { instance } = await net.order()
      if (messages.sent < at) break
      await net.converge()
      const result = await expectWhole(net, instance)
      if (result === 'given up') expectFreeCoins(net)
      results.add(result)
    }
    expect([...results].sort()).toEqual(['active', 'given up'])
    expect(lost.size).toBe(10)
  })
})

describe('every order of events', () => {
  const orders = Number(process.env['LN_FACTORY_SEEDS'] ?? '1') * 4
  it.each([1, 2, 3, 4, 5])('of %i clients ends all-active', async (clients) => {
    for (let seed = 1; seed <= orders; seed++) {
      const net = await Net.of(1000 * clients + seed, clients)
      const instance = await net.active()
      expect(await expectWhole(net, instance)).toBe('active')
    }
  })
})
