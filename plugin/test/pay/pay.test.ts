import { blockHeight, blocks } from '@ln-factory/core/units'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { JsonObject } from '../../src/commands/index.js'
import { pay } from '../../src/pay/index.js'
import { gate, HASH, PAYEE, PayingNode, PEER, PREIMAGE, SELF, W, type Fate } from './node.js'

const run = (node: PayingNode, params: object = {}): Promise<JsonObject> =>
  pay.run(node.context, { bolt11: 'lnbcrt1', ...params })

const one = (change: object = {}) => [{ scid: '1x1x1', spendable: 2_000_000, gate: gate(), ...change }]

afterEach(() => {
  vi.useRealTimers()
})

describe('factory-pay', () => {
  it('gives the LSP of a factory the delay it needs (rule 5), and no more to the others', async () => {
    const node = new PayingNode(one())
    expect(await run(node)).toMatchObject({
      destination: PAYEE,
      payment_preimage: PREIMAGE,
      parts: 1,
      amount_msat: 1_000_000,
      amount_sent_msat: 1_000_007,
      status: 'complete',
    })
    const [first, last] = node.parts[0]?.route ?? []
    expect(last?.cltv_out).toBe(18 + 3)
    expect(first?.cltv_out).toBe(18 + 3 + W + 34)
    expect(node.layers.size).toBe(0)
  })

  it('an ordinary channel keeps its ordinary delay', async () => {
    const node = new PayingNode(one({ gate: undefined }))
    await run(node)
    expect(node.parts[0]?.route[0]?.cltv_out).toBe(18 + 3 + 34)
  })

  it('pays the LSP itself with time for its own exit', async () => {
    const node = new PayingNode(one())
    node.decoded['payee'] = PEER
    await run(node)
    expect(node.parts[0]?.route).toHaveLength(1)
    expect(node.parts[0]?.route[0]?.cltv_out).toBe(W + 18 + 36)
  })

  it('splits over two channels when one is too small', async () => {
    const node = new PayingNode([
      { scid: '1x1x1', spendable: 600_000, gate: gate() },
      { scid: '2x2x2', spendable: 600_000, gate: gate({ earlyWarning: blocks(100) }) },
    ])
    expect(await run(node)).toMatchObject({ parts: 2, amount_sent_msat: 1_000_014 })
    expect(node.parts.map(({ route }) => route[0]?.cltv_out)).toEqual([21 + W + 34, 21 + 134])
  })

  it('asks for one part when the payee takes no more', async () => {
    const node = new PayingNode(one())
    node.decoded['features'] = '4100'
    await run(node)
    expect(node.calls.find(({ method }) => method === 'getroutes')?.params).toMatchObject({ maxparts: 1 })
  })

  it.each<[string, Parameters<typeof gate>[0]]>([
    ['shut', { gate: 'shut' }],
    ['too near its expiry', { expiry: blockHeight(1000 + 2 * W + 34) }],
  ])('invariant 6: sends nothing over a channel that is %s', async (_, change) => {
    const node = new PayingNode([...one({ gate: gate(change) }), { scid: '2x2x2', spendable: 500_000, gate: gate() }])
    await expect(run(node)).rejects.toMatchObject({ code: 'payment_failed' })
    expect(node.parts).toEqual([])
    expect(node.disabled).toContain('1x1x1/0')
    await expect(run(new PayingNode(one({ connected: false })))).rejects.toThrow(/no channel of ours/)
  })

  it('tries again after a failure on the way, and tells what it avoided', async () => {
    const node = new PayingNode(one(), (part) => (part === 0 ? 'no way' : 'arrives'))
    await run(node)
    expect(node.parts).toHaveLength(2)
    const learnt = node.calls.find(({ method }) => method === 'askrene-inform-channel')
    expect(learnt?.params).toMatchObject({ short_channel_id_dir: '8x8x8/1', amount_msat: '1000000msat' })
  })

  it('stops when the payee refuses', async () => {
    const node = new PayingNode(one(), () => 'refused')
    await expect(run(node)).rejects.toMatchObject({ code: 'payment_failed', message: 'not paid: unknown invoice' })
    expect(node.parts).toHaveLength(1)
  })

  it('keeps to the fee limit', async () => {
    await expect(run(new PayingNode(one()), { maxfee: 6 })).rejects.toMatchObject({ code: 'host_failed' })
    await expect(run(new PayingNode(one()), { maxfee: 7 })).resolves.toMatchObject({ status: 'complete' })
    const node = new PayingNode(one())
    await run(node, { maxfeepercent: 1, exemptfee: 0 })
    expect(node.calls.find(({ method }) => method === 'getroutes')?.params).toMatchObject({ maxfee_msat: '10000msat' })
  })

  it('keeps to maxdelay', async () => {
    const node = new PayingNode(one())
    await expect(run(node, { maxdelay: 500 })).rejects.toMatchObject({ code: 'payment_failed' })
    expect(node.parts).toEqual([])
  })
})

describe('factory-pay never pays twice', () => {
  it('an invoice that is paid answers as it did', async () => {
    const node = new PayingNode(one())
    node.records = [
      { status: 'failed', groupid: 3.2e18, amount_sent_msat: 1, created_at: 1 },
      {
        status: 'complete',
        groupid: 1,
        amount_msat: 400_000,
        amount_sent_msat: 400_001,
        created_at: 5,
        payment_preimage: PREIMAGE,
      },
      {
        status: 'complete',
        groupid: 1,
        amount_msat: 600_000,
        amount_sent_msat: 600_001,
        created_at: 6,
        payment_preimage: PREIMAGE,
      },
    ]
    expect(await run(node)).toEqual({
      destination: PAYEE,
      payment_hash: HASH,
      payment_preimage: PREIMAGE,
      created_at: 5,
      parts: 2,
      amount_msat: 1_000_000,
      amount_sent_msat: 1_000_002,
      status: 'complete',
    })
    expect(node.parts).toEqual([])
  })

  it('an earlier try under way is waited for by the caller', async () => {
    const node = new PayingNode(one())
    node.records = [{ status: 'pending', groupid: 1, amount_sent_msat: 1, created_at: 5 }]
    await expect(run(node)).rejects.toMatchObject({ code: 'payment_pending' })
    expect(node.parts).toEqual([])
  })

  it('two commands for one invoice at once', async () => {
    const node = new PayingNode(one())
    const results = await Promise.allSettled([run(node), run(node)])
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(node.parts).toHaveLength(1)
    await expect(run(node)).resolves.toBeDefined()
  })

  it.each<Fate>(['in progress', 'paid'])('another command got there first: %s', async (fate) => {
    const node = new PayingNode(one(), () => fate)
    await expect(run(node)).rejects.toMatchObject({ code: 'payment_pending' })
    expect(node.parts).toHaveLength(1)
  })

  it('each try has a group of its own', async () => {
    const node = new PayingNode(one())
    node.records = [{ status: 'failed', groupid: 4, amount_sent_msat: 1, created_at: 1 }]
    await run(node)
    expect(node.calls.find(({ method }) => method === 'sendpay')?.params).toMatchObject({ groupid: 5 })
  })

  it('a lost answer is cleared up before anything else is sent', async () => {
    const sent = new PayingNode(one(), () => 'lost, sent')
    expect(await run(sent)).toMatchObject({ parts: 1 })
    expect(sent.parts).toHaveLength(1)
    const unsent = new PayingNode(one(), (part) => (part === 0 ? 'lost, not sent' : 'arrives'))
    expect(await run(unsent)).toMatchObject({ parts: 1 })
    expect(unsent.parts).toHaveLength(2)
  })

  it('says payment_pending while a part does not come back', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() })
    const node = new PayingNode(one(), () => 'arrives')
    node.decoded['amount_msat'] = 1_000_000
    const held = node.context
    node.onPoll = () => {
      vi.setSystemTime(Date.now() + 60_000)
      throw new Error('lightningd is busy')
    }
    await expect(pay.run(held, { bolt11: 'lnbcrt1', retry_for: 1 })).rejects.toMatchObject({
      code: 'payment_pending',
      hint: expect.stringContaining(HASH) as string,
    })
    expect(node.layers.size).toBe(0)
  })

  it('whatever becomes of the parts: never more under way than is owed, and the answer tells the truth', async () => {
    const fates = fc.array(
      fc.constantFrom<Fate>(
        'arrives',
        'arrives',
        'arrives',
        'no way',
        'refused',
        'not taken',
        'lost, sent',
        'lost, not sent',
      ),
      { minLength: 1, maxLength: 12 },
    )
    await fc.assert(
      fc.asyncProperty(fates, fc.integer({ min: 100_000, max: 1_000_000 }), async (script, largest) => {
        const channels = ['1x1x1', '2x2x2', '3x3x3', '4x4x4'].map((scid) => ({
          scid,
          spendable: 500_000,
          gate: gate(),
        }))
        const node = new PayingNode(channels, (part) => script[part] ?? 'arrives', largest)
        const result = await run(node).then(
          (paid) => paid['status'],
          (error: unknown) => (error as { code: string }).code,
        )
        expect(node.mostUnderWay).toBeLessThanOrEqual(1_000_000)
        const complete = node.parts.filter(({ state }) => state === 'complete')
        if (result === 'complete') expect(complete.reduce((sum, p) => sum + p.amount, 0)).toBe(1_000_000)
        else expect([result, node.underWay]).toEqual(['payment_failed', 0])
        expect(new Set(node.parts.map(({ partid }) => partid)).size).toBe(node.parts.length)
        expect(node.layers.size).toBe(0)
      }),
    )
  })
})

describe('what factory-pay refuses', () => {
  it.each<[string, object, RegExp]>([
    ['bolt12', { type: 'bolt12 offer' }, /only BOLT 11/],
    ['invalid', { valid: false }, /invalid/],
    ['another network', { currency: 'bc' }, /another network \(bc\)/],
    ['no secret', { payment_secret: undefined }, /payment secret/],
    ['unknown feature', { features: '01' + '00'.repeat(25) }, /feature 200/],
    ['our own', { payee: SELF }, /our own invoice/],
    ['no amount', { amount_msat: undefined }, /names no amount/],
    ['expired', { created_at: 1 }, /expired/],
  ])('%s', async (_, change, message) => {
    const node = new PayingNode(one())
    Object.assign(node.decoded, change)
    await expect(run(node)).rejects.toThrow(message)
    expect(node.layers.size + node.parts.length).toBe(0)
  })

  it('an amount that is not the invoice’s', async () => {
    await expect(run(new PayingNode(one()), { amount_msat: 5 })).rejects.toThrow(/is for 1000000 msat, not 5/)
    await expect(run(new PayingNode(one()), { maxfee: 5, exemptfee: 5 })).rejects.toThrow(/give maxfee, or/)
    const open = new PayingNode(one())
    open.decoded['amount_msat'] = undefined
    expect(await run(open, { amount_msat: '5sat' })).toMatchObject({ amount_msat: 5000 })
  })

  it('a hint through ourselves is not followed, a hint that askrene refuses is left out', async () => {
    const hop = { short_channel_id: '7x7x7', fee_base_msat: 1, fee_proportional_millionths: 10, cltv_expiry_delta: 34 }
    const node = new PayingNode(one())
    node.decoded['routes'] = [[{ pubkey: SELF, ...hop }], [{ pubkey: PEER, ...hop }]]
    await run(node)
    const added = node.calls.filter(({ method }) => method === 'askrene-create-channel')
    expect(added.map(({ params }) => params['source'])).toEqual([PEER])
    const update = node.calls.find(({ params }) => params['short_channel_id_dir'] === '7x7x7/0')
    expect(update?.params).toMatchObject({ fee_proportional_millionths: 10, cltv_expiry_delta: 34, enabled: true })
  })
})
