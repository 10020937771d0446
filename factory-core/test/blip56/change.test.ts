/** The requirements of bLIP-56 on a change of funding, message by message; docs/blip56.md has the list by the same numbers. */
import {
  encodeFactoryMessage,
  type FactoryChange,
  type FactoryChangeFunding,
  type FactoryMessage,
} from '@ln-factory/tlv'
import { describe, expect, it } from 'vitest'
import { isHeld, stepChange, type ChangeStage } from '../../src/blip56/index.js'
import { txid, type OutPoint } from '../../src/units/index.js'
import { CHANNEL, key, NEXT, OLD, OTHER, Pair, type Side } from './pair.js'

const channelId = Uint8Array.from(Buffer.from(CHANNEL, 'hex'))
const wireTxid = (id: string): Uint8Array => Uint8Array.from(Buffer.from(id, 'hex')).reverse()
const change = (kind: FactoryChange['kind'], changes: Partial<FactoryChange> = {}): FactoryMessage => ({
  kind,
  payload: undefined,
  channelId,
  contribution: 0n,
  fundingPubkey: key(99),
  ...changes,
})
const place = (kind: FactoryChangeFunding['kind'], { txid: id, vout }: OutPoint): FactoryMessage => ({
  kind,
  channelId,
  fundingTxid: wireTxid(id),
  fundingVout: vout,
})
const locked = (id: string): FactoryMessage => ({ kind: 'factory_change_locked', channelId, fundingTxid: wireTxid(id) })
const give = (side: Side, message: FactoryMessage) => side.read(encodeFactoryMessage(message))

/** A pair that has come to a stage of `a`, or whatever else `until` says. */
const at = (stage: ChangeStage['stage']): Pair => {
  const pair = new Pair()
  if (stage === 'idle') return pair
  pair.init()
  pair.run(() => pair.a.state.stage === stage)
  expect(pair.a.state.stage).toBe(stage)
  return pair
}
const done = (): Pair => {
  const pair = new Pair()
  pair.init()
  pair.run()
  return pair
}
/** Warned, and otherwise as before. */
const refuses = (side: Side, message: FactoryMessage, why: RegExp): void => {
  const effects = give(side, message)
  expect(effects).toEqual([{ do: 'warn', reason: expect.stringMatching(why) as string }])
}
const share = { contribution: 0n, fundingPubkey: key(50) }
const init = { order: 'init', share, payload: undefined } as const

describe('the whole flow', () => {
  it('moves both sides to the new funding, in the order of the draft', () => {
    const pair = new Pair()
    pair.init()
    pair.run()
    const seen = pair.delivered
    expect(seen.filter((s) => s.startsWith('a'))).toEqual([
      'a factory_change_init',
      'a factory_change_funding',
      'a commitment_signed',
      'a factory_change_continue',
      'a factory_change_locked',
    ])
    expect(seen.filter((s) => s.startsWith('b'))).toEqual([
      'b factory_change_ack',
      'b factory_change_funding',
      'b commitment_signed',
      'b factory_change_continue',
      'b factory_change_locked',
    ])
    for (const side of [pair.a, pair.b]) {
      expect(side.warnings).toEqual([])
      expect(side.state).toMatchObject({ stage: 'idle', funding: NEXT, capacity: 1_000_000n })
      expect(side.state.fundingPubkey).toEqual(key(side.key(1)))
      expect(side.fundings).toEqual([NEXT])
    }
  })

  it('resumes on both fundings between continue and locked', () => {
    expect(at('changed').a.fundings).toEqual([OLD, NEXT])
  })

  it('holds updates back from init to continue, and not before or after', () => {
    const stages = ['idle', 'asked', 'naming', 'committing', 'continuing', 'changed'] as const
    expect(stages.map((s) => isHeld(at(s).a.state))).toEqual([false, true, true, true, true, false])
  })
})

describe('factory_change_init', () => {
  it('I1-I6: is not sent unless quiescent by our stfu, ready, not shut down, and alone', () => {
    const refusing = (pair: Pair, why: RegExp) => {
      const before = pair.a.state
      expect(() => pair.a.order(init)).toThrow(why)
      expect(pair.a.state).toEqual(before)
    }
    const quiet = new Pair()
    quiet.a.do({ type: 'disconnected' })
    refusing(quiet, /not quiescent by our stfu/)
    const theirs = new Pair()
    theirs.quiet('b')
    refusing(theirs, /not quiescent by our stfu/)
    const early = new Pair()
    early.a.state = { ...early.a.state, ready: false }
    refusing(early, /channel_ready/)
    early.a.do({ type: 'channelReady' })
    early.a.do({ type: 'shutdown' })
    refusing(early, /shutdown/)
    for (const stage of ['asked', 'naming', 'committing', 'continuing', 'changed'] as const) {
      const busy = at(stage)
      busy.quiet('a')
      refusing(busy, new RegExp(`another change is ${stage}`))
    }
  })

  it('I8: carries a payload when the factory gave one, and none otherwise', () => {
    const payload = Uint8Array.of(1, 2)
    expect(new Pair().a.order({ ...init, payload })).toMatchObject([{ do: 'send', message: { payload } }])
    expect(new Pair().a.order(init)).toMatchObject([{ do: 'send', message: { payload: undefined } }])
  })

  it('I11: takes out at most the balance of its sender; more is the factory’s error', () => {
    const take = (contribution: bigint) => new Pair().a.order({ ...init, share: { ...share, contribution } })
    expect(take(-600_000n)).toHaveLength(1)
    expect(() => take(-600_001n)).toThrow(/more than our balance/)
    expect(take(1n)).toHaveLength(1)
  })

  it('I12: comes with a new funding key', () => {
    expect(() => new Pair().a.order({ ...init, share: { ...share, fundingPubkey: key(10) } })).toThrow(/one of now/)
  })

  it('i1: a body without its TLV ends the connection', () => {
    const pair = new Pair()
    expect(pair.b.read(Uint8Array.of(0, 6))).toMatchObject([{ do: 'warn' }])
    expect(pair.b.state.stage).toBe('idle')
  })

  it('i2: a channel that is not in a factory', () => {
    refuses(new Pair().b, change('factory_change_init', { channelId: new Uint8Array(32) }), /not a channel/)
  })

  it('i3-i6: not quiescent, by the wrong side, twice, or before the last one is locked', () => {
    const message = change('factory_change_init')
    const loud = new Pair()
    loud.b.do({ type: 'disconnected' })
    refuses(loud.b, message, /not quiescent/)
    refuses(new Pair().a, message, /did not initiate/)
    for (const stage of ['asked', 'naming', 'committing', 'continuing', 'changed'] as const) {
      const busy = at(stage)
      busy.quiet('b')
      refuses(busy.a, message, /another change/)
    }
  })

  it('i7: more than its sender has', () => {
    const { b } = new Pair()
    refuses(b, change('factory_change_init', { contribution: -600_001n }), /more than the balance/)
    expect(give(b, change('factory_change_init', { contribution: -600_000n }))).toMatchObject([{ do: 'judge' }])
  })

  it('i8, i9: the factory sees share and payload; its refusal ends the connection, its answer is the ack', () => {
    const pair = new Pair()
    const payload = Uint8Array.of(7)
    const message = change('factory_change_init', { contribution: 5n, payload })
    expect(give(pair.b, message)).toEqual([
      { do: 'judge', message: 'factory_change_init', share: { contribution: 5n, fundingPubkey: key(99) }, payload },
    ])
    expect(pair.b.order({ order: 'refuse', reason: 'no' })).toMatchObject([{ do: 'warn', reason: /refused: no/ }])
    expect(pair.b.state.stage).toBe('idle')
    give(pair.b, message)
    expect(pair.b.order({ order: 'ack', share, payload })).toMatchObject([
      { do: 'send', message: { kind: 'factory_change_ack', payload } },
      { do: 'ask', order: 'name' },
    ])
  })
})

describe('factory_change_ack', () => {
  it('A1, A2: is sent for a factory_change_init, once', () => {
    const pair = new Pair()
    const ack = { order: 'ack', share, payload: undefined } as const
    expect(() => pair.b.order(ack)).toThrow(/no factory_change_init/)
    give(pair.b, change('factory_change_init'))
    pair.b.order(ack)
    expect(() => pair.b.order(ack)).toThrow(/no factory_change_init/)
  })

  it('A5, A6: takes out at most what its sender has, with a new key', () => {
    const { b } = new Pair()
    give(b, change('factory_change_init'))
    const ack = (changes: object) => b.order({ order: 'ack', share: { ...share, ...changes }, payload: undefined })
    expect(() => ack({ contribution: -400_001n })).toThrow(/more than our balance/)
    expect(() => ack({ fundingPubkey: key(20) })).toThrow(/one of now/)
    expect(ack({ contribution: -400_000n })).toHaveLength(2)
  })

  it('a2: without a factory_change_init of ours', () => {
    refuses(new Pair().a, change('factory_change_ack'), /we sent no/)
    for (const stage of ['naming', 'committing', 'continuing', 'changed'] as const)
      refuses(at(stage).a, change('factory_change_ack'), /we sent no/)
  })

  it('a3: the factory approves before anything is named; its refusal ends the connection', () => {
    const pair = at('asked')
    refuses(pair.a, change('factory_change_ack', { contribution: -400_001n }), /more than the balance/)
    expect(give(pair.a, change('factory_change_ack'))).toMatchObject([{ do: 'judge', message: 'factory_change_ack' }])
    expect(() => pair.a.order({ order: 'name', funding: NEXT })).toThrow(/can't be named/)
    expect(pair.a.order({ order: 'refuse', reason: 'no' })).toMatchObject([{ do: 'warn' }])
    expect(pair.a.state.stage).toBe('idle')
  })
})

describe('factory_change_funding', () => {
  it('F1, F2: is sent after the ack, when the factory names it, once, and never the funding of now', () => {
    expect(() => at('asked').a.order({ order: 'name', funding: NEXT })).toThrow(/can't be named/)
    const { a } = at('naming')
    a.order({ order: 'approve' })
    expect(() => a.order({ order: 'name', funding: OLD })).toThrow(/funding of now/)
    expect(a.order({ order: 'name', funding: NEXT })).toMatchObject([{ do: 'send', message: { fundingVout: 3 } }])
    expect(() => a.order({ order: 'name', funding: NEXT })).toThrow(/has been named/)
  })

  it('f2: another one than ours ends it, whichever comes first, and the output counts', () => {
    const first = at('naming')
    first.a.order({ order: 'approve' })
    expect(give(first.a, place('factory_change_funding', { ...NEXT, vout: 4 }))).toEqual([])
    expect(first.a.order({ order: 'name', funding: NEXT })).toMatchObject([{ do: 'send' }, { do: 'warn' }])
    expect(first.a.state.stage).toBe('idle')
    const second = at('naming')
    second.a.order({ order: 'approve' })
    second.a.order({ order: 'name', funding: NEXT })
    refuses(second.a, place('factory_change_funding', OTHER), /another funding/)
  })

  it('f3: out of turn, or twice', () => {
    for (const stage of ['idle', 'asked', 'committing', 'continuing', 'changed'] as const)
      refuses(at(stage).a, place('factory_change_funding', NEXT), /while the change is/)
    const { a } = at('naming')
    give(a, place('factory_change_funding', NEXT))
    refuses(a, place('factory_change_funding', NEXT), /twice/)
  })

  it('F4: the new balances are the old ones and what each side puts in', () => {
    const pair = new Pair()
    pair.init(-100_000n)
    pair.deliver(pair.a)
    pair.questions.length = 0
    pair.b.order({ order: 'ack', share: { contribution: 30_000n, fundingPubkey: key(50) }, payload: undefined })
    pair.b.order({ order: 'name', funding: NEXT })
    pair.run()
    const commits = (side: Side) => side.effects.filter((e) => e.do === 'commit')
    const capacity = 930_000n
    expect(commits(pair.a)).toEqual([
      { do: 'commit', funding: NEXT, balances: { ours: 500_000_000n, theirs: 430_000_000n }, capacity },
    ])
    expect(commits(pair.b)).toEqual([
      { do: 'commit', funding: NEXT, balances: { ours: 430_000_000n, theirs: 500_000_000n }, capacity },
    ])
  })

  it('F4: shares that are no amount of bitcoin are refused before any commitment', () => {
    const pair = new Pair()
    pair.init((1n << 63n) - 1n)
    pair.run()
    expect([...pair.a.effects, ...pair.b.effects].some((e) => e.do === 'commit')).toBe(false)
    expect(pair.a.warnings.join()).toMatch(/not an amount/)
  })
})

describe('commitment_signed', () => {
  it('C1: each side commits as soon as both have named the funding; c2: whether or not the peer did before', () => {
    const { a, b } = at('committing')
    expect(a.effects.some((e) => e.do === 'commit')).toBe(true)
    expect([...a.effects, ...b.effects].some((e) => e.do === 'resume')).toBe(false)
  })

  it('one for another funding, or out of turn, ends the connection', () => {
    for (const stage of ['idle', 'asked', 'naming'] as const)
      expect(at(stage).a.do({ type: 'commitmentSigned', txid: NEXT.txid })).toMatchObject([{ do: 'warn' }])
    for (const stage of ['committing', 'continuing', 'changed'] as const)
      expect(at(stage).a.do({ type: 'commitmentSigned', txid: OTHER.txid })).toMatchObject([{ do: 'warn' }])
  })
})

describe('factory_change_continue', () => {
  it('T1, T3: is sent when the factory says so, names what was named, and never before both commitments', () => {
    expect(() => at('committing').a.order({ order: 'continue' })).toThrow(/commitments are not there/)
    const { a } = at('continuing')
    expect(a.order({ order: 'continue' })).toMatchObject([
      { do: 'send', message: { fundingTxid: wireTxid(NEXT.txid), fundingVout: NEXT.vout } },
    ])
    expect(a.order({ order: 'continue' })).toEqual([])
  })

  it('t2: another one than expected, or out of turn, ends the connection', () => {
    refuses(at('continuing').a, place('factory_change_continue', OTHER), /another funding/)
    refuses(at('continuing').a, place('factory_change_continue', { ...NEXT, vout: 2 }), /another funding/)
    for (const stage of ['idle', 'asked', 'naming', 'committing'] as const)
      refuses(at(stage).a, place('factory_change_continue', NEXT), /out of turn/)
    refuses(at('changed').a, place('factory_change_continue', OTHER), /out of turn/)
    refuses(done().a, place('factory_change_continue', OTHER), /out of turn/)
  })

  it('t3, t4: the peer’s alone resumes nothing: our factory is waited for', () => {
    const { a } = at('continuing')
    expect(give(a, place('factory_change_continue', NEXT))).toEqual([])
    expect(a.order({ order: 'continue' })).toMatchObject([
      { do: 'send' },
      { do: 'resume', fundings: [OLD, NEXT] },
      { do: 'ask', order: 'lock' },
    ])
  })
})

describe('factory_change_locked', () => {
  it('L1, L3: is sent when the factory says so, for the new funding and no other', () => {
    expect(() => at('continuing').a.order({ order: 'lock', txid: NEXT.txid })).toThrow(/nothing is there/)
    const { a } = at('changed')
    for (const wrong of [OLD, OTHER])
      expect(() => a.order({ order: 'lock', txid: wrong.txid })).toThrow(/not the funding/)
    expect(a.order({ order: 'lock', txid: NEXT.txid })).toMatchObject([{ do: 'send' }])
    expect(a.state).toMatchObject({ stage: 'changed', funding: OLD })
    expect(a.order({ order: 'lock', txid: NEXT.txid })).toEqual([])
  })

  it('l2: another funding, or out of turn, ends the connection', () => {
    refuses(at('changed').a, locked(OLD.txid), /another funding/)
    for (const stage of ['idle', 'asked', 'naming', 'committing', 'continuing'] as const)
      refuses(at(stage).a, locked(NEXT.txid), /out of turn/)
    refuses(done().a, locked(OLD.txid), /out of turn/)
  })

  it('l3, l4: both ways, and the channel stands on the new funding alone', () => {
    const { a } = at('changed')
    give(a, locked(NEXT.txid))
    expect(a.order({ order: 'lock', txid: NEXT.txid })).toMatchObject([{ do: 'send' }, { do: 'switch', funding: NEXT }])
    expect(a.state).toMatchObject({ stage: 'idle', funding: NEXT })
  })
})

describe('orders and messages of nobody', () => {
  it('invariant 11: what is refused changes nothing', () => {
    for (const stage of ['idle', 'asked', 'committing', 'continuing', 'changed'] as const) {
      const { a } = at(stage)
      const before = structuredClone(a.state)
      for (const message of [
        change('factory_change_init', { channelId: new Uint8Array(32) }),
        place('factory_change_funding', OTHER),
        place('factory_change_continue', OTHER),
        locked(txid('0d'.repeat(32)).toString()),
      ])
        give(a, message)
      expect(a.state).toEqual(before)
    }
  })

  it('other bodies of type 32800 are not ours to judge', () => {
    const { a } = new Pair()
    expect(give(a, { kind: 'supported_factory_protocols', protocols: [] })).toEqual([])
    expect(a.read(Uint8Array.of(0, 7))).toEqual([])
  })

  it('has no side effect on the state it was given', () => {
    const { a } = at('changed')
    const before = structuredClone(a.state)
    stepChange(a.state, a.live, { type: 'factory', order: { order: 'lock', txid: NEXT.txid } }, a.context)
    expect(a.state).toEqual(before)
  })
})
