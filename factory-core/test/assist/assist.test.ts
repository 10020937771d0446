import { describe, expect, it } from 'vitest'
import type { AssistOffer } from '@ln-factory/tlv'
import type { HeldDecision } from '../../src/host/port.js'
import { assistPrice, claimFee, OFFER_BLOCKS } from '../../src/assist/terms.js'
import { blocks, msat, sat } from '../../src/units/index.js'
import { tamper } from '../simulation/net.js'
import {
  agreed,
  BALANCE,
  channelOf,
  clientState,
  expectKeyHandedOver,
  expectValidClaim,
  leave,
  lspState,
  lspStep,
  scene,
  spender,
  type Scene,
} from './scene.js'

const termsOf = (s: Scene) => {
  const { assist } = clientState(s)
  return assist?.step === 'paying' || assist?.step === 'claiming' ? assist.terms : expect.fail('nothing agreed')
}
const phase = async ({ net, client, instance }: Scene): Promise<string | undefined> =>
  (await net.show(client, instance))?.phase
const offered = ({ net, client }: Scene): number => net.host(client).direct.offered.length

describe('an exit with the help of the LSP', () => {
  it('invariant 10: pays the balance less its price on chain, and the LSP gets the payment and the key', async () => {
    const s = await scene()
    const { amount, fee, outpoint } = await agreed(s)
    expect(fee).toBe(assistPrice(1000) + claimFee(termsOf(s).payoutScript, 1000))
    expect(amount).toBe(500_000n - assistPrice(1000))
    expect(s.net.world.chain.coin(outpoint)?.amount).toBe(amount)
    const terms = termsOf(s)
    await s.net.world.mine(3)
    const claim = spender(s, terms) ?? expect.fail('not claimed')
    expectValidClaim(claim, terms)
    expect(claim.outputs.map((o) => o.amount)).toEqual([500_000n - fee])
    expectKeyHandedOver(s)
    expect(await phase(s)).toBe('closed')
    // What lightningd can't send stays behind, and has been paid for.
    expect(channelOf(s.net, s.client)).toMatchObject({ balance: 546_000n, htlcs: [] })
    expect((await s.net.phases(s.instance)).slice(1)).toEqual(['closed', 'active'])
  })

  it('is not noticed by the others, and makes no transaction of the tree', async () => {
    const s = await scene()
    await agreed(s)
    await s.net.world.mine(3)
    const other = s.net.client(1)
    expect(channelOf(s.net, other).balance).toBe(BALANCE)
    expect((await s.net.show(other, s.instance))?.transactions.every((t) => t.confirmed === undefined)).toBe(true)
    expect(s.net.node(other).gated(channelOf(s.net, other).channelId)?.gate).toBe('open')
  })

  it('invariant 6: lets no HTLC into the channel of who leaves, on either side, and into the others', async () => {
    const s = await scene()
    await agreed(s)
    const { channelId } = channelOf(s.net, s.client)
    expect(s.net.node(s.client).gated(channelId)?.gate).toBe('shut')
    expect(s.net.node(s.net.lsp).gated(channelId)?.gate).toBe('shut')
    expect(s.net.node(s.net.lsp).gated(channelOf(s.net, s.net.client(1)).channelId)?.gate).toBe('open')
  })

  it('broadcasts the output only when it is paid for', async () => {
    const s = await scene()
    s.net.host(s.client).direct.pay = () => new Promise(() => undefined)
    const { outpoint } = await agreed(s)
    await s.net.world.mine(OFFER_BLOCKS)
    expect(s.net.world.chain.coin(outpoint)).toBeUndefined()
    expect(lspStep(s)).toBe('offered')
    await s.net.world.mine(1)
    expect(lspStep(s)).toBe('')
    const lsp = s.net.host(s.net.lsp)
    expect(lsp.coins.filter((c) => lsp.isReserved(c) && s.net.world.chain.coin(c) !== undefined)).toEqual([])
  })

  it('goes to the next feerate when a mempool or a miner wants more', async () => {
    const s = await scene()
    await agreed(s)
    const terms = termsOf(s)
    const host = s.net.host(s.client)
    const broadcast = host.broadcast.bind(host)
    const tried: number[] = []
    host.broadcast = (tx) => {
      tried.push(tx.length)
      if (tried.length <= 2) return Promise.resolve({ accepted: false, error: 'mempool min fee not met' })
      return tried.length <= 6 ? Promise.resolve({ accepted: true, error: undefined }) : broadcast(tx)
    }
    await s.net.world.mine(10)
    const fee = terms.amount - (spender(s, terms)?.outputs[0]?.amount ?? expect.fail('not claimed'))
    // Twice refused, and then four blocks without a confirmation.
    expect(fee).toBe(claimFee(terms.payoutScript, 8000))
    expectKeyHandedOver(s)
  })

  it.each<[string, (s: Scene) => Promise<void> | void, RegExp]>([
    ['without the LSP', ({ net, client }) => net.world.disconnect(net.lsp, client), /not connected/],
    [
      'while an HTLC is pending',
      ({ net, client }) =>
        void channelOf(net, client).htlcs.push({ direction: 'in', expiry: 900, answered: false, amount: msat(1000) }),
      /HTLC is pending/,
    ],
    [
      'with next to nothing',
      ({ net, client }) => void (channelOf(net, client).balance = msat(700_000n)),
      /don't pay|pays no claim/,
    ],
    [
      'from an LSP without coins',
      ({ net }) => void (net.host(net.lsp).coins.length = 0),
      /no output can be made now: no coin/,
    ],
  ])('is given up at once %s', async (_name, prepare, why) => {
    const s = await scene()
    await prepare(s)
    expect(await (await leave(s)).outcome).toMatch(why)
    expect(offered(s)).toBe(0)
    expect(await phase(s)).toBe('active')
    expect(lspStep(s)).toBe('')
  })

  it('is refused when the factory ends before its HTLC could', async () => {
    const s = await scene(1, blocks(300))
    expect(await (await leave(s)).outcome).toMatch(/expires too soon/)
  })

  it('is given up when the LSP says nothing', async () => {
    const s = await scene()
    s.net.world.wire = (from, _to, body) => (from === s.net.lsp ? [] : [body])
    const { outcome } = await leave(s)
    await s.net.world.mine(OFFER_BLOCKS + 1)
    expect(await outcome).toMatch(/no offer/)
    expect(await phase(s)).toBe('active')
    expect(s.net.node(s.client).gated(channelOf(s.net, s.client).channelId)?.gate).toBe('open')
  })
})

describe('invariant 1: an offer that is not what was asked for is refused before anything is at stake', () => {
  const foreign = Uint8Array.from(
    Buffer.from('02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9', 'hex'),
  )
  it.each<[string, (offer: AssistOffer) => AssistOffer]>([
    [
      'a pre-signature with a wrong bit',
      (o) => ({ ...o, preSignatures: o.preSignatures.map((p, i) => (i === 0 ? p.with(64, (p[64] ?? 0) ^ 1) : p)) }),
    ],
    [
      'only the last pre-signature wrong',
      (o) => ({ ...o, preSignatures: o.preSignatures.with(-1, o.preSignatures[0] ?? expect.fail()) }),
    ],
    ['swapped pre-signatures', (o) => ({ ...o, preSignatures: o.preSignatures.toReversed() })],
    ['a pre-signature too few', (o) => ({ ...o, preSignatures: o.preSignatures.slice(0, -1) })],
    [
      'a pre-signature too many',
      (o) => ({ ...o, preSignatures: [...o.preSignatures, o.preSignatures[0] ?? expect.fail()] }),
    ],
    ['another key of the LSP', (o) => ({ ...o, key: foreign })],
    ['another outpoint', (o) => ({ ...o, fundingVout: o.fundingVout + 1 })],
    ['another transaction', (o) => ({ ...o, fundingTxid: o.fundingTxid.toReversed() })],
    ['a satoshi less', (o) => ({ ...o, amount: o.amount - 1n })],
    ['another time-out', (o) => ({ ...o, timeout: o.timeout - 1 })],
    ['a time-out that is near', (o) => ({ ...o, timeout: o.timeout - 100 })],
    ['a time-out that is far', (o) => ({ ...o, timeout: o.timeout + 900 })],
    ['an HTLC that ends too soon', (o) => ({ ...o, htlcExpiry: o.htlcExpiry - 1 })],
    ['an HTLC that ends too late', (o) => ({ ...o, htlcExpiry: o.htlcExpiry + 900 })],
  ])('%s', async (_name, change) => {
    const s = await scene()
    tamper(s.net.world, [s.net.lsp, s.client], 'assist_offer', (offer) => [change(offer)])
    expect(await (await leave(s)).outcome).toMatch(/offer is refused/)
    expect(offered(s)).toBe(0)
    expect(await phase(s)).toBe('active')
    expect(lspStep(s)).toBe('')
    expect(channelOf(s.net, s.client)).toMatchObject({ balance: BALANCE, htlcs: [] })
  })

  it('an offer for another hash is not ours', async () => {
    const s = await scene()
    tamper(s.net.world, [s.net.lsp, s.client], 'assist_offer', (o) => [{ ...o, hash: o.hash.toReversed() }])
    await leave(s)
    expect(offered(s)).toBe(0)
    expect(clientState(s).assist?.step).toBe('asked')
  })

  it('a price above the limit', async () => {
    const s = await scene()
    const outcome = await (await leave(s, { maxFee: sat(400) })).outcome
    expect(outcome).toMatch(/are allowed/)
    expect(offered(s)).toBe(0)
  })
})

describe('an LSP that cheats after the payment', () => {
  it('invariant 5: never makes the output: the client leaves by its path in time, with its balance', async () => {
    const s = await scene()
    s.net.host(s.net.lsp).fundingBroadcast = () => Promise.reject(new Error('never'))
    await agreed(s)
    const { htlcExpiry } = termsOf(s)
    const w = (await s.net.show(s.client, s.instance))?.earlyWarning ?? expect.fail()
    await s.net.world.mine(htlcExpiry - w - s.net.world.chain.height - 1)
    expect(await phase(s)).toBe('active')
    await s.net.world.mine(5)
    expect(await phase(s)).toBe('exiting')
    expect(channelOf(s.net, s.client).balance).toBe(BALANCE)
  })

  it.each<[string, bigint]>([
    ['less', -1n],
    ['more', 1n],
  ])('invariant 9: makes an output of %s: the client keeps its key', async (_name, difference) => {
    const s = await scene()
    const lsp = s.net.host(s.net.lsp)
    const prepare = lsp.fundingPrepare.bind(lsp)
    lsp.fundingPrepare = (script, amount) => prepare(script, sat(amount + difference))
    await agreed(s)
    await s.net.world.mine(20)
    expect(clientState(s).assist?.step).toBe('paying')
    expect((await s.net.show(s.client, s.instance))?.notice).toMatch(/not the one it offered/)
  })

  it('invariant 9: makes it too late: the client keeps its key, and the LSP gets nothing', async () => {
    const s = await scene()
    const lsp = s.net.host(s.net.lsp)
    const broadcast = lsp.fundingBroadcast.bind(lsp)
    const until = s.net.world.chain.height + 108
    lsp.fundingBroadcast = (funding) =>
      s.net.world.chain.height < until ? Promise.reject(new Error('not yet')) : broadcast(funding)
    await agreed(s)
    const { timeout } = termsOf(s)
    await s.net.world.mine(timeout - s.net.world.chain.height + 20)
    expect(lspStep(s)).toBe('unclaimed')
    expect(channelOf(s.net, s.client)).toMatchObject({ balance: BALANCE, htlcs: [] })
    expect(await phase(s)).toBe('active')
  })

  it('fails the payment while the claim is out: the client has both, and does not leave its balance behind', async () => {
    const s = await scene()
    // The LSP's machine would not.
    let spite: (decision: HeldDecision) => void = () => expect.fail('no HTLC')
    const node = s.net.node(s.net.lsp)
    const received = node.received.bind(node)
    node.received = (htlc) =>
      Promise.race([
        received(htlc) ?? expect.fail('not held'),
        new Promise<HeldDecision>((resolve) => {
          spite = resolve
        }),
      ])
    await agreed(s)
    const terms = termsOf(s)
    await s.net.world.mine(1)
    spite({ kind: 'fail', failure: '2002', reason: 'spite' })
    await s.net.world.run()
    expect(clientState(s).assist?.step).toBe('claiming')
    await s.net.world.mine(4)
    expect(spender(s, terms)).toBeDefined()
    expect(await phase(s)).toBe('exiting')
    expect(channelOf(s.net, s.client).balance).toBe(BALANCE)
  })
})

describe('a client that cheats', () => {
  const vanish = async (s: Scene): Promise<void> => {
    await agreed(s)
    s.net.world.crash(s.client)
  }

  it('never claims: the LSP has its output back before it lets the payment go, and makes no second one', async () => {
    const s = await scene()
    await vanish(s)
    const [assist] = lspState(s).assists
    if (assist?.step !== 'funding') expect.fail()
    const { timeout } = assist.terms
    await s.net.world.mine(timeout - s.net.world.chain.height - 1)
    expect(spender(s, assist.terms)).toBeUndefined()
    await s.net.world.mine(2)
    const back = spender(s, assist.terms) ?? expect.fail('not taken back')
    expect(back.lockTime).toBe(timeout)
    expect(back.outputs[0]?.script).toEqual(assist.back)
    expect(lspStep(s)).toBe('returned')
    expect(channelOf(s.net, s.client).htlcs).toHaveLength(1)
    await s.net.world.mine(12)
    expect(lspStep(s)).toBe('unclaimed')
    expect(channelOf(s.net, s.client)).toMatchObject({ balance: BALANCE, htlcs: [] })
    await s.net.heal()
    expect(await phase(s)).toBe('active')
    expect(await (await leave(s)).outcome).toMatch(/did not claim/)
    expect(offered(s)).toBe(1)
  })

  it('claims in the last moment: the LSP has its payment all the same', async () => {
    const s = await scene()
    const host = s.net.host(s.client)
    const broadcast = host.broadcast.bind(host)
    let late: Uint8Array | undefined
    host.broadcast = (tx) => {
      late = tx
      return Promise.resolve({ accepted: true, error: undefined })
    }
    await agreed(s)
    const { timeout } = termsOf(s)
    await s.net.world.mine(2)
    s.net.world.crash(s.client)
    await s.net.world.mine(timeout - s.net.world.chain.height - 1)
    const sent = broadcast(late ?? expect.fail('no claim'))
    await s.net.world.run()
    expect((await sent).accepted).toBe(true)
    await s.net.world.mine(1)
    expectKeyHandedOver(s)
    expect(channelOf(s.net, s.client).balance).toBe(546_000n)
  })

  it.each<[string, (p: { amount: bigint; delta: number }) => object]>([
    ['less than agreed', (p) => ({ amount: p.amount - 1n })],
    ['an HTLC that ends too soon', (p) => ({ delta: p.delta - 4 })],
    ['an HTLC that outlives the factory', (p) => ({ delta: p.delta + 1000 })],
  ])('pays %s: the payment is failed, and no output is made', async (_name, change) => {
    const s = await scene()
    const { direct } = s.net.host(s.client)
    const pay = direct.pay.bind(direct)
    direct.pay = (payment) => pay({ ...payment, ...change(payment) })
    const { outpoint } = await agreed(s)
    await s.net.world.mine(2)
    expect(offered(s)).toBe(1)
    expect(s.net.world.chain.coin(outpoint)).toBeUndefined()
    expect(channelOf(s.net, s.client)).toMatchObject({ balance: BALANCE, htlcs: [] })
    expect(await phase(s)).toBe('active')
  })

  it('asks for more than it has, or leaves much behind: refused', async () => {
    for (const change of [1_000_000n, -3_000_000n]) {
      const s = await scene()
      tamper(s.net.world, [s.client, s.net.lsp], 'assist_request', (r) => [{ ...r, amount: r.amount + change }])
      expect(await (await leave(s)).outcome).toMatch(/more than the balance|stay behind/)
      expect(lspStep(s)).toBe('')
    }
  })

  it('asks again and again: one output at a time, and the coins of the others are free', async () => {
    const s = await scene()
    s.net.host(s.client).direct.pay = () => new Promise(() => undefined)
    tamper(s.net.world, [s.client, s.net.lsp], 'assist_request', (r) => [
      r,
      { ...r, hash: r.hash.toReversed() },
      r,
      r,
      { ...r, hash: r.hash.map((b) => b ^ 1) },
    ])
    await leave(s)
    expect(lspState(s).assists).toHaveLength(1)
    await s.net.world.mine(OFFER_BLOCKS + 1)
    expect(lspStep(s)).toBe('')
    const lsp = s.net.host(s.net.lsp)
    expect(lsp.coins.filter((c) => lsp.isReserved(c) && s.net.world.chain.coin(c) !== undefined)).toEqual([])
  })

  it('is none of the factory: nothing happens', async () => {
    const s = await scene()
    const stranger = await s.net.world.addNode('stranger', 0n)
    await s.net.world.connect(stranger, s.net.lsp)
    await s.net.world.run()
    let request: Parameters<typeof s.net.say>[2] | undefined
    tamper(s.net.world, [s.client, s.net.lsp], 'assist_request', (r) => {
      request = r
      return []
    })
    await leave(s)
    await s.net.say(stranger, s.net.lsp, request ?? expect.fail('no request'))
    expect(lspStep(s)).toBe('')
  })
})
