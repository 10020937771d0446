import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HtlcDecision, HtlcEvent } from '../../src/host/index.js'
import {
  CLAIM_BLOCKS,
  decideHtlc,
  finalCltvDelta,
  FORWARD_BLOCKS,
  lastHtlcHeight,
  lastInvoiceHeight,
  latestExpiry,
} from '../../src/htlc/index.js'
import type { GatedChannel } from '../../src/runner/api.js'
import { blockHeight, blocks, instanceId, msat } from '../../src/units/index.js'

const W = 480
const S = 6
const EXPIRY = 10_000
const H = 2_000

const channel = (change: Partial<GatedChannel> = {}): GatedChannel => ({
  instance: instanceId('ab'.repeat(32)),
  role: 'lsp',
  gate: 'open',
  earlyWarning: blocks(W),
  expiry: blockHeight(EXPIRY),
  confirmationMargin: blocks(S),
  ...change,
})
const shut = channel({ gate: 'shut' })

const forward = (cltvIn: number, cltvOut: number, height = H): HtlcEvent => ({
  inChannelId: '11'.repeat(32),
  outChannelId: '22'.repeat(32),
  amountIn: msat(1010),
  amountOut: msat(1000),
  cltvIn,
  cltvOut,
  height: blockHeight(height),
})
const paysUs = (cltvIn: number, height = H): HtlcEvent => ({
  inChannelId: '11'.repeat(32),
  outChannelId: undefined,
  amountIn: msat(100),
  amountOut: undefined,
  cltvIn,
  cltvOut: undefined,
  height: blockHeight(height),
})

type Side = GatedChannel | undefined
const decide = (event: HtlcEvent, incoming: Side, outgoing: Side): HtlcDecision =>
  decideHtlc({ event, in: incoming, out: outgoing })
const verdict = (event: HtlcEvent, incoming: Side, outgoing: Side): string => {
  const decision = decide(event, incoming, outgoing)
  return decision.kind === 'continue' ? 'continue' : decision.failure
}

const f = channel()
const far = EXPIRY - W - S

describe('invariant 6: the HTLC gate', () => {
  it.each<[string, HtlcEvent, Side, Side, string]>([
    ['leaves ordinary channels alone, whatever they carry', forward(H, H), undefined, undefined, 'continue'],
    ['leaves ordinary payments to us alone', paysUs(H), undefined, undefined, 'continue'],

    ['shut, incoming, forwarded', forward(H + 2000, H + 1000), shut, undefined, '10070000'],
    ['shut, outgoing', forward(H + 2000, H + 1000), undefined, shut, '10070000'],
    ['shut, pays us', paysUs(H + 1000), shut, undefined, '2002'],
    ['open in, shut out', forward(H + 2000, H + 1000), f, shut, '10070000'],

    ['outgoing at W + 1', forward(H + W + 35, H + W + 1), undefined, f, 'continue'],
    ['outgoing at W', forward(H + W + 34, H + W), undefined, f, '100e0000'],
    ['outgoing at the latest expiry', forward(far + 34, far), undefined, f, 'continue'],
    ['outgoing past the latest expiry', forward(far + 35, far + 1), undefined, f, '0015'],

    ['incoming, delta W + 34', forward(H + W + 34 + 100, H + 100), f, undefined, 'continue'],
    ['incoming, delta W + 33', forward(H + W + 33 + 100, H + 100), f, undefined, '100d' + '00000834' + '0000'],
    ['incoming, at W', forward(H + W, H - 100), f, undefined, '100e0000'],
    ['incoming past the latest expiry', forward(far + 1, far - W - 34), f, undefined, '0015'],
    ['between two clients', forward(H + 2 * W + 88, H + W + 54), f, f, 'continue'],
    ['between two clients, too near for the second', forward(H + 2 * W + 34, H + W), f, f, '100e0000'],

    ['pays us at W + 18', paysUs(H + W + 18), f, undefined, 'continue'],
    ['pays us at W + 17', paysUs(H + W + 17), f, undefined, '400f' + '0000000000000064' + '000007d0'],
    ['pays us at the latest expiry', paysUs(far), f, undefined, 'continue'],
    ['pays us past the latest expiry', paysUs(far + 1), f, undefined, '400f' + '0000000000000064' + '000007d0'],
    [
      'pays a client the same way',
      paysUs(H + W + 17),
      channel({ role: 'client' }),
      undefined,
      '400f0000000000000064000007d0',
    ],
  ])('%s', (_, event, incoming, outgoing, expected) => {
    expect(verdict(event, incoming, outgoing)).toBe(expected)
  })

  it('refuses a forward whose outgoing expiry the host does not tell', () => {
    const blind = { ...forward(H + 2000, H + 1000), cltvOut: undefined }
    expect(verdict(blind, f, undefined)).toBe('10070000')
    expect(verdict(blind, undefined, f)).toBe('10070000')
  })

  it('treats an unknown next hop as a forward, not as a payment to us', () => {
    const lost = { ...forward(H + W + 20, H + 10), outChannelId: undefined }
    expect(verdict(lost, f, undefined)).toMatch(/^100d/)
  })

  it('carries nothing in a factory too short for its own early warning', () => {
    const short = channel({ expiry: blockHeight(W) })
    expect(decide(paysUs(H + 5000), short, undefined).kind).toBe('fail')
    expect(lastHtlcHeight(short.expiry, short.earlyWarning, short.confirmationMargin)).toBe(0)
  })

  it('names the rule and the factory in the log reason', () => {
    const decision = decide(paysUs(H + W + 17), f, undefined)
    expect(decision).toMatchObject({ reason: expect.stringMatching(/factory abababababababab.*2497.*2498/) as string })
  })
})

const anyChannel = fc
  .record({
    w: fc.integer({ min: 0, max: 2000 }),
    s: fc.integer({ min: 1, max: 144 }),
    expiry: fc.integer({ min: 0, max: 20_000 }),
  })
  .map(({ w, s, expiry }) =>
    channel({ earlyWarning: blocks(w), confirmationMargin: blocks(s), expiry: blockHeight(expiry) }),
  )
const height = fc.integer({ min: 0, max: 20_000 })
const cltv = fc.integer({ min: 0, max: 25_000 })
/** Around a bound, or well past it. */
const slack = fc.oneof(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 0, max: 4000 }))

describe('invariant 6: properties', () => {
  const fits = (c: GatedChannel, expiry: number, h: number, least: number): boolean =>
    expiry >= h + c.earlyWarning + least && expiry <= c.expiry - c.earlyWarning - c.confirmationMargin

  it('lets nothing through that breaks a bound, and refuses nothing that keeps all', () => {
    fc.assert(
      fc.property(anyChannel, anyChannel, height, slack, slack, (a, b, h, near, gap) => {
        const cltvOut = h + b.earlyWarning + near
        const cltvIn = cltvOut + a.earlyWarning + 30 + gap
        const through = decide(forward(cltvIn, cltvOut, h), a, b).kind === 'continue'
        const safe =
          fits(a, cltvIn, h, 1) && fits(b, cltvOut, h, 1) && cltvIn - cltvOut >= a.earlyWarning + FORWARD_BLOCKS
        expect(through).toBe(safe)
        const paid = decide(paysUs(cltvIn, h), a, undefined).kind === 'continue'
        expect(paid).toBe(fits(a, cltvIn, h, CLAIM_BLOCKS))
      }),
      { numRuns: 2000 },
    )
  })

  it('answers a refusal with a well-formed BOLT 4 message', () => {
    const form = /^(2002|10070000|100e0000|0015|100d[0-9a-f]{8}0000|400f[0-9a-f]{24})$/
    fc.assert(
      fc.property(anyChannel, fc.boolean(), height, cltv, cltv, (a, open, h, cltvIn, cltvOut) => {
        const gate = open ? a : { ...a, gate: 'shut' as const }
        for (const event of [forward(cltvIn, cltvOut, h), paysUs(cltvIn, h)]) {
          const decision = decide(event, gate, undefined)
          if (decision.kind === 'fail') expect(decision.failure).toMatch(form)
        }
      }),
    )
  })

  it('agrees with the last heights that are shown to people', () => {
    fc.assert(
      fc.property(anyChannel, (c) => {
        const args = [c.expiry, c.earlyWarning, c.confirmationMargin] as const
        const latest = latestExpiry(...args)
        const last = lastHtlcHeight(...args)
        const lastPaid = lastInvoiceHeight(...args)
        if (last > 0) {
          expect(verdict(forward(latest + 5000, latest, last), undefined, c)).toBe('continue')
          for (const extra of [-1, 0, 1])
            expect(decide(forward(latest + 5000, latest + extra, last + 1), undefined, c).kind).toBe('fail')
        }
        if (lastPaid > 0)
          expect(verdict(paysUs(lastPaid + finalCltvDelta(c.earlyWarning), lastPaid), c, undefined)).toBe('continue')
      }),
    )
  })
})
