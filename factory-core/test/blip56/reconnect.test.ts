/** The draft's rules for a connection that breaks, at every point of the flow. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nextFundingTxid } from '../../src/blip56/index.js'
import { outPointKey } from '../../src/units/index.js'
import { kindOf, NEXT, OLD, Pair, type Side } from './pair.js'

const started = (until: (pair: Pair) => boolean): Pair => {
  const pair = new Pair()
  pair.init()
  pair.run(() => until(pair))
  return pair
}
const sends = (side: Side): string[] => side.outbox.map(kindOf)

describe('before our factory_change_funding', () => {
  it('X1: the change ends with the quiescence', () => {
    for (const stage of ['asked', 'naming'] as const) {
      const pair = started((p) => p.a.state.stage === stage)
      pair.reconnect()
      expect([pair.a.state.stage, pair.b.state.stage]).toEqual(['idle', 'idle'])
      expect([...pair.a.outbox, ...pair.b.outbox]).toEqual([])
    }
  })
})

describe('after it', () => {
  it('X2: next_funding_txid says what is missing, and the peer that knows it signs again', () => {
    const pair = started((p) => p.a.state.stage === 'committing')
    expect(nextFundingTxid(pair.a.state)).toBe(NEXT.txid)
    pair.reconnect()
    expect(sends(pair.a)).toContain('commitment_signed')
    expect(sends(pair.b)).toContain('commitment_signed')
    pair.run()
    expect([pair.a.fundings, pair.b.fundings]).toEqual([[NEXT], [NEXT]])
  })

  it('X2: one name that got lost is not asked for again, the commitment says it', () => {
    const pair = started((p) => p.a.state.stage === 'naming')
    while (pair.answerNext());
    expect([sends(pair.a), sends(pair.b)]).toEqual([['factory_change_funding'], ['factory_change_funding']])
    expect([pair.a.state.stage, pair.b.state.stage]).toEqual(['naming', 'naming'])
    pair.reconnect()
    pair.run()
    expect([pair.a.fundings, pair.b.fundings]).toEqual([[NEXT], [NEXT]])
  })

  it('X3: a peer that knows nothing of it ends it, as long as nothing was continued', () => {
    const pair = started((p) => p.a.state.stage === 'committing')
    pair.a.do({ type: 'disconnected' })
    pair.a.do({ type: 'reestablished', next: undefined })
    expect(pair.a.state.stage).toBe('idle')
  })

  it('X4, X5: continue is asked for while it has not been sent, and sent again when it has', () => {
    const before = started((p) => p.a.state.stage === 'continuing')
    before.questions.length = 0
    before.a.do({ type: 'disconnected' })
    expect(before.a.do({ type: 'reestablished', next: NEXT.txid })).toMatchObject([
      { do: 'commit', funding: NEXT },
      { do: 'ask', order: 'continue' },
    ])
    before.a.order({ order: 'continue' })
    before.a.do({ type: 'disconnected' })
    expect(before.a.do({ type: 'reestablished', next: undefined })).toMatchObject([
      { do: 'send', message: { kind: 'factory_change_continue' } },
    ])
  })

  it('X6: locked is sent again until a commitment has been made since', () => {
    const pair = started((p) => p.a.state.stage === 'changed')
    pair.a.order({ order: 'lock', txid: NEXT.txid })
    const again = () => {
      pair.a.do({ type: 'disconnected' })
      return pair.a
        .do({ type: 'reestablished', next: undefined })
        .flatMap((e) => (e.do === 'send' ? [e.message.kind] : []))
    }
    expect(again()).toContain('factory_change_locked')
    pair.run()
    expect(pair.a.state.stage).toBe('idle')
    expect(again()).toEqual(['factory_change_locked'])
    pair.a.context = { ...pair.a.context, commitment: 8n }
    expect(again()).toEqual([])
  })

  it('repeated messages change nothing', () => {
    const pair = started((p) => p.a.state.stage === 'changed' && p.b.state.stage === 'changed')
    pair.reconnect()
    pair.reconnect()
    pair.run()
    pair.reconnect()
    pair.run()
    expect([...pair.a.warnings, ...pair.b.warnings]).toEqual([])
    expect([pair.a.fundings, pair.b.fundings]).toEqual([[NEXT], [NEXT]])
  })
})

describe('any number of broken connections', () => {
  it('invariant 8: never leave a side without a commitment for what it stands on, and the sides agree in the end', () => {
    let finished = 0
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 9 }), { maxLength: 60 }), (moves) => {
        const pair = new Pair()
        pair.init()
        for (const move of moves) {
          if (move < 3) pair.deliver(pair.a)
          else if (move < 6) pair.deliver(pair.b)
          else if (move < 9) pair.answerNext(move % 2)
          else pair.reconnect()
          for (const side of [pair.a, pair.b])
            for (const funding of side.fundings)
              if (!side.held.has(outPointKey(funding))) throw new Error(`${side.name} has no commitment`)
        }
        pair.run()
        pair.reconnect()
        pair.run()
        expect([...pair.a.warnings, ...pair.b.warnings]).toEqual([])
        const { a, b } = pair
        expect([a.state.stage, b.state.stage]).toEqual(['idle', 'idle'])
        expect(a.fundings).toEqual(b.fundings)
        expect(a.state.funding).toEqual(b.state.funding)
        if (outPointKey(a.state.funding) === outPointKey(NEXT)) finished++
        else expect(a.state.funding).toEqual(OLD)
      }),
      { numRuns: 500 },
    )
    expect(finished).toBeGreaterThan(50)
  })
})
