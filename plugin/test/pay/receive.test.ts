import { blockHeight, blocks, msat, nodeId } from '@ln-factory/core/units'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HostRpcError } from '../../src/rpc/errors.js'
import type { OwnChannel } from '../../src/pay/channels.js'
import { invoice } from '../../src/pay/index.js'
import { planReceive } from '../../src/pay/receiving.js'
import { backups, config, FakeApi } from '../commands/fakes.js'
import { gate, HEIGHT, PEER, W } from './node.js'

const channel = (receivable: number, change: Partial<OwnChannel> = {}): OwnChannel => ({
  channelId: 'cc'.repeat(32),
  peer: nodeId(PEER),
  scid: '1x1x1',
  direction: 0,
  remoteAlias: '5x5x5',
  spendable: msat(0),
  receivable: msat(receivable),
  usable: true,
  gate: gate(),
  ...change,
})
const height = blockHeight(HEIGHT)
const refusal = (channels: readonly OwnChannel[], amount = 1000): string => {
  try {
    planReceive(channels, msat(amount), height)
  } catch (error) {
    return (error as Error).message
  }
  return 'accepted'
}

describe('invariant 6: where an invoice may lead', () => {
  it('names the reason why nothing can be received', () => {
    expect(refusal([])).toMatch(/no channel in a factory/)
    expect(refusal([channel(5000, { gate: undefined })])).toMatch(/no channel in a factory/)
    expect(refusal([channel(5000, { gate: gate({ gate: 'shut' }) })])).toMatch(/not confirmed yet/)
    expect(refusal([channel(5000, { usable: false })])).toMatch(/not connected/)
    expect(refusal([channel(5000, { remoteAlias: undefined })])).toMatch(/not connected/)
    expect(refusal([channel(0)])).toMatch(/nothing on its side/)
    expect(refusal([channel(400), channel(500)])).toMatch(/1000 msat are wanted, and 900 msat/)
  })

  it('stops in time for the factory to enforce what it takes', () => {
    const last = W + 18 + 36 + W + 6
    const at = (left: number): string =>
      refusal([channel(5000, { gate: gate({ expiry: blockHeight(HEIGHT + left) }) })])
    expect(at(last + 6)).toBe('accepted')
    expect(at(last + 5)).toMatch(/expires too soon/)
  })

  it('uses one channel when one is enough, and the largest for any amount', () => {
    const channels = [channel(400, { remoteAlias: '1x1x1' }), channel(5000, { remoteAlias: '2x2x2' })]
    expect(planReceive(channels, msat(1000), height).hints).toEqual(['2x2x2'])
    expect(planReceive(channels, msat(5200), height).hints).toEqual(['1x1x1', '2x2x2'])
    expect(planReceive(channels, undefined, height).hints).toEqual(['2x2x2'])
  })

  it('every hinted channel can enforce the payment until the last height', () => {
    const any = fc.record({
      receivable: fc.integer({ min: 0, max: 2000 }),
      w: fc.integer({ min: 0, max: 600 }),
      s: fc.integer({ min: 1, max: 20 }),
      expiry: fc.integer({ min: HEIGHT, max: HEIGHT + 3000 }),
      open: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(any, { maxLength: 4 }), fc.option(fc.integer({ min: 1, max: 4000 })), (list, wanted) => {
        const channels = list.map(({ receivable, w, s, expiry, open }, i) =>
          channel(receivable, {
            remoteAlias: `${i}x1x1`,
            gate: gate({
              earlyWarning: blocks(w),
              confirmationMargin: blocks(s),
              expiry: blockHeight(expiry),
              gate: open ? 'open' : 'shut',
            }),
          }),
        )
        let plan
        try {
          plan = planReceive(channels, wanted === null ? undefined : msat(wanted), height)
        } catch (error) {
          expect(error).toMatchObject({ code: 'wrong_state' })
          return
        }
        const used = channels.filter((c) => plan.hints.includes(c.remoteAlias ?? ''))
        expect(used.length).toBe(plan.hints.length)
        expect(plan.lastHeight).toBeGreaterThan(HEIGHT)
        for (const { gate: g } of used) {
          if (g === undefined) throw new Error('an ordinary channel')
          expect(g.gate).toBe('open')
          expect(plan.cltv).toBeGreaterThanOrEqual(g.earlyWarning + 18)
          expect(plan.lastHeight + plan.cltv).toBeLessThanOrEqual(g.expiry - g.earlyWarning - g.confirmationMargin)
        }
        const room = used.reduce((sum, c) => sum + c.receivable, 0n)
        expect(room).toBeGreaterThanOrEqual(BigInt(wanted ?? 1))
      }),
    )
  })
})

interface Node {
  readonly calls: { method: string; params: Record<string, unknown> }[]
  run(params: object): Promise<unknown>
}

/** A lightningd whose invoice says what `decoded` says. */
function invoicing(decoded: object, expiry = 6000): Node {
  const api = new FakeApi()
  api.gated = () => gate({ expiry: blockHeight(expiry) })
  const calls: Node['calls'] = []
  const answers: Record<string, object> = {
    getinfo: { blockheight: HEIGHT },
    listpeerchannels: {
      channels: [
        {
          peer_id: PEER,
          peer_connected: true,
          state: 'CHANNELD_NORMAL',
          channel_id: 'cc'.repeat(32),
          alias: { local: '1x1x1', remote: '5x5x5' },
          receivable_msat: 50_000_000,
        },
      ],
    },
    invoice: { bolt11: 'lnbcrt1', payment_hash: 'aa', payment_secret: 'bb', expires_at: 5, created_index: 1 },
    delinvoice: {},
    decode: {
      type: 'bolt11 invoice',
      valid: true,
      currency: 'bcrt',
      payee: PEER,
      payment_hash: 'aa',
      payment_secret: 'bb',
      created_at: 1,
      ...decoded,
    },
  }
  return {
    calls,
    run: (params) =>
      invoice.run(
        {
          api,
          config,
          backups,
          rpc: {
            call: (method, given) => {
              calls.push({ method, params: given as Record<string, unknown> })
              const answer = answers[method]
              return answer === undefined
                ? Promise.reject(new HostRpcError(method, -32601, 'unknown'))
                : Promise.resolve(answer)
            },
          },
        },
        params,
      ),
  }
}

const hop = {
  pubkey: PEER,
  short_channel_id: '5x5x5',
  fee_base_msat: 0,
  fee_proportional_millionths: 0,
  cltv_expiry_delta: 6,
}
const good = { min_final_cltv_expiry: W + 54, routes: [[hop]] }

describe('factory-invoice', () => {
  it('asks lightningd for the delta and the hints, and shows both', async () => {
    const node = invoicing(good)
    expect(await node.run({ amount_msat: '10sat', label: 'a', description: 'b' })).toMatchObject({
      bolt11: 'lnbcrt1',
      cltv: W + 54,
      last_height: 6000 - W - 6 - (W + 54),
    })
    expect(node.calls.find(({ method }) => method === 'invoice')?.params).toEqual({
      amount_msat: '10000msat',
      label: 'a',
      description: 'b',
      expiry: 604_800,
      exposeprivatechannels: ['5x5x5'],
      cltv: W + 54,
    })
  })

  it('expires before the factory can no longer enforce it', async () => {
    const node = invoicing(good, HEIGHT + 2 * W + 54 + 6 + 10)
    await node.run({ amount_msat: 'any', label: 1, description: '', expiry: 100_000 })
    expect(node.calls.find(({ method }) => method === 'invoice')?.params).toMatchObject({
      amount_msat: 'any',
      label: '1',
      expiry: 6000,
    })
  })

  it.each<[string, object]>([
    ['another delta', { ...good, min_final_cltv_expiry: 18 }],
    ['no hint', { ...good, routes: [] }],
    ['a foreign hint', { ...good, routes: [[hop], [{ ...hop, short_channel_id: '6x6x6' }]] }],
    ['a hint of two hops only', { ...good, routes: [[hop, hop]] }],
  ])('takes back an invoice with %s', async (_, decoded) => {
    const node = invoicing(decoded)
    const made = node.run({ amount_msat: 5, label: 'a', description: 'b' })
    await expect(made).rejects.toMatchObject({ code: 'host_failed' })
    expect(node.calls.at(-1)).toEqual({ method: 'delinvoice', params: { label: 'a', status: 'unpaid' } })
  })

  it('refuses 0', () => {
    expect(() => {
      invoice.validate([0, 'a', 'b'])
    }).toThrow(/write "any"/)
  })
})
