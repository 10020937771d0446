/**
 * Invariants 5 and 8 of an assisted exit: whoever dies, at whatever write, and whatever becomes of messages and blocks, in the end the client has
 * its balance on chain and the LSP its payment and the key, or both have what they had.
 */
import { describe, expect, it } from 'vitest'
import { RETURN_DEPTH } from '../../src/assist/terms.js'
import { decodeTx } from '../../src/tree/index.js'
import type { NodeId } from '../../src/units/index.js'
import {
  BALANCE,
  channelOf,
  clientState,
  expectKeyHandedOver,
  expectValidClaim,
  leave,
  lspState,
  scene,
  spender,
  type Scene,
} from './scene.js'

const seeds = Number(process.env['LN_FACTORY_SEEDS'] ?? '1')

/** All failures are over: time goes on until nothing is open any more. */
async function settle({ net }: Scene): Promise<void> {
  net.world.kill = undefined
  await net.heal()
  await net.world.calm()
  await net.world.mine(20)
  await net.heal()
  await net.world.mine(5)
}

/** To whom the money went. */
function outcome(s: Scene): 'left' | 'stayed' {
  const { assist, stage } = clientState(s)
  const channel = channelOf(s.net, s.client)
  const [lsp] = lspState(s).assists
  if (assist?.step === 'claiming') {
    const claim = spender(s, assist.terms) ?? expect.fail('claiming, and no claim')
    expectValidClaim(claim, assist.terms)
    expect(stage).toBe('settled')
    expectKeyHandedOver(s)
    expect(channel).toMatchObject({ balance: 546_000n, htlcs: [] })
    return 'left'
  }
  expect(lsp === undefined || lsp.step === 'offered', lsp?.step).toBe(true)
  expect(stage).toBe('active')
  expect(channel).toMatchObject({ balance: BALANCE, htlcs: [] })
  return 'stayed'
}

/** Commits of one undisturbed run, from the order to the end. */
async function commitsOf(who: (s: Scene) => NodeId): Promise<{ from: number; to: number }> {
  const s = await scene()
  const from = (s.net.world.commits.get(who(s)) ?? 0) + 1
  await leave(s)
  await s.net.world.mine(3)
  return { from, to: s.net.world.commits.get(who(s)) ?? 0 }
}

describe.each<[string, (s: Scene) => NodeId]>([
  ['the client', (s) => s.client],
  ['the LSP', (s) => s.net.lsp],
])('invariant 8: %s dies at each of its writes', (_name, who) => {
  it.each(['before', 'after'] as const)('%s it is on disk', async (when) => {
    const { from, to } = await commitsOf(who)
    expect(to - from).toBeGreaterThan(3)
    const seen = new Set<string>()
    for (let at = from; at <= to; at++) {
      const s = await scene()
      s.net.world.kill = { node: who(s), at, when }
      await leave(s)
      await s.net.world.mine(3)
      await settle(s)
      seen.add(outcome(s))
    }
    expect(seen).toContain('left')
  })
})

describe('messages of an assisted exit', () => {
  it.each<[string, (random: () => number, body: Uint8Array) => readonly Uint8Array[]]>([
    ['lost', (random, body) => (random() < 0.4 ? [] : [body])],
    ['doubled', (_random, body) => [body, body]],
  ])('%s: nobody loses anything', async (_name, wire) => {
    for (let seed = 1; seed <= 4 * seeds; seed++) {
      const s = await scene(seed)
      const random = (): number => (s.net.world.entropy(1)[0] ?? 0) / 256
      s.net.world.wire = (_from, _to, body) => wire(random, body)
      await leave(s)
      await s.net.world.mine(2)
      s.net.world.wire = (_from, _to, body) => [body]
      s.net.world.disconnect(s.net.lsp, s.client)
      await settle(s)
      outcome(s)
    }
  })
})

describe('reorganisations of an assisted exit', () => {
  it('the output is gone for a while: not claimed before it is there again', async () => {
    const s = await scene()
    await leave(s)
    const { assist } = clientState(s)
    const terms = assist?.step === 'paying' ? assist.terms : expect.fail()
    s.net.world.crash(s.client)
    await s.net.world.mine(1)
    s.net.world.chain.reorg(1, (id) => id !== terms.outpoint.txid)
    await s.net.world.start(s.client)
    s.net.host(s.net.lsp).fundingBroadcast = () => Promise.reject(new Error('not now'))
    await s.net.heal()
    await s.net.world.mine(3)
    expect(clientState(s).assist?.step).toBe('paying')
  })

  it('the claim is gone: it is sent again, and the client is not done before', async () => {
    const s = await scene()
    await leave(s)
    await s.net.world.mine(3)
    const { assist } = clientState(s)
    const terms = assist?.step === 'claiming' ? assist.terms : expect.fail()
    const claim = spender(s, terms)?.txid
    expect(clientState(s).stage).toBe('settled')
    s.net.world.chain.reorg(3, (id) => id !== claim)
    await s.net.world.mine(4)
    await settle(s)
    expect(outcome(s)).toBe('left')
  })

  it('what the LSP took back is gone, and the client claims after all: the payment was still there to settle', async () => {
    const s = await scene()
    const host = s.net.host(s.client)
    const broadcast = host.broadcast.bind(host)
    const claims: Uint8Array[] = []
    host.broadcast = (tx) => {
      claims.push(tx)
      return Promise.resolve({ accepted: true, error: undefined })
    }
    await leave(s)
    await s.net.world.mine(2)
    s.net.world.crash(s.client)
    const [assist] = lspState(s).assists
    const terms = assist?.step === 'funding' ? assist.terms : expect.fail()
    await s.net.world.mine(terms.timeout - s.net.world.chain.height + RETURN_DEPTH - 1)
    expect(lspState(s).assists[0]?.step).toBe('returned')
    const back = spender(s, terms)?.txid
    expect(channelOf(s.net, s.client).htlcs).toHaveLength(1)
    s.net.world.chain.reorg(RETURN_DEPTH, (id) => id !== back)
    const [claim] = claims
    const sent = broadcast(claim ?? expect.fail())
    await s.net.world.run()
    expect((await sent).accepted).toBe(true)
    await s.net.world.mine(RETURN_DEPTH + 1)
    expect(spender(s, terms)?.txid).toBe(decodeTx(claim ?? expect.fail()).txid)
    expectKeyHandedOver(s)
    expect(channelOf(s.net, s.client)).toMatchObject({ balance: 546_000n, htlcs: [] })
  })
})
