/** Two nodes with one channel: base nodes as the draft describes them, factories that agree, and a connection that can break. */
import { decodeFactoryMessage, encodeFactoryMessage } from '@ln-factory/tlv'
import {
  newChange,
  newChangeLive,
  nextFundingTxid,
  receiveChange,
  stepChange,
  type ChangeContext,
  type ChangeEffect,
  type ChangeEvent,
  type ChangeLive,
  type ChangeState,
  type FactoryOrder,
} from '../../src/blip56/index.js'
import { decodeState, encodeState } from '../../src/store/index.js'
import { msat, outPointKey, sat, txid, type OutPoint } from '../../src/units/index.js'

export const CHANNEL = 'c1'.repeat(32)
export const OLD: OutPoint = { txid: txid('0a'.repeat(32)), vout: 1 }
export const NEXT: OutPoint = { txid: txid('0b'.repeat(32)), vout: 3 }
export const OTHER: OutPoint = { txid: txid('0c'.repeat(32)), vout: 0 }
export const key = (n: number): Uint8Array => Uint8Array.from([2, ...new Uint8Array(31), n])

export type Name = 'a' | 'b'
type Wire = { readonly body: Uint8Array } | { readonly commitment: OutPoint }

export class Side {
  state: ChangeState
  live: ChangeLive = newChangeLive()
  readonly effects: ChangeEffect[] = []
  readonly outbox: Wire[] = []
  context: ChangeContext
  /** Commitments of the peer that we hold, by funding. */
  readonly held = new Set([outPointKey(OLD)])
  /** What commitments are signed for, as `resume` and `switch` say. */
  fundings: readonly OutPoint[] = [OLD]
  readonly warnings: string[] = []

  constructor(readonly name: Name) {
    const ours = msat(name === 'a' ? 600_000_000 : 400_000_000)
    const theirs = msat(1_000_000_000n - ours)
    this.context = { balances: { ours, theirs }, commitment: 7n }
    const made = newChange({
      channelId: CHANNEL,
      funding: OLD,
      fundingPubkey: key(this.key()),
      capacity: sat(1_000_000),
    })
    this.state = { ...made, ready: true }
  }

  key(change = 0): number {
    return (this.name === 'a' ? 10 : 20) + change
  }

  do(event: ChangeEvent): ChangeEffect[] {
    return this.took(stepChange(this.state, this.live, event, this.context))
  }

  order(order: FactoryOrder): ChangeEffect[] {
    return this.do({ type: 'factory', order })
  }

  read(body: Uint8Array): ChangeEffect[] {
    return this.took(receiveChange(this.state, this.live, body, this.context))
  }

  private took({ state, effects }: ReturnType<typeof stepChange>): ChangeEffect[] {
    // What is stored is what comes back.
    this.state = decodeState(encodeState(state)) as ChangeState
    for (const effect of effects) {
      this.effects.push(effect)
      if (effect.do === 'send') this.outbox.push({ body: encodeFactoryMessage(effect.message) })
      if (effect.do === 'commit') this.outbox.push({ commitment: effect.funding })
      if (effect.do === 'resume') this.fundings = effect.fundings
      if (effect.do === 'switch') this.fundings = [effect.funding]
      if (effect.do === 'warn') this.warnings.push(effect.reason)
    }
    return [...effects]
  }
}

export const kindOf = (wire: Wire | undefined): string =>
  wire === undefined ? 'nothing' : 'body' in wire ? decodeFactoryMessage(wire.body).kind : 'commitment_signed'

/** What an honest factory answers. */
const answer = (side: Side, effect: ChangeEffect): FactoryOrder | undefined => {
  if (effect.do === 'judge')
    return effect.message === 'factory_change_init'
      ? { order: 'ack', share: { contribution: 0n, fundingPubkey: key(side.key(1)) }, payload: undefined }
      : { order: 'approve' }
  if (effect.do !== 'ask') return undefined
  switch (effect.order) {
    case 'name':
      return { order: 'name', funding: NEXT }
    case 'continue':
      return { order: 'continue' }
    case 'lock':
      return { order: 'lock', txid: NEXT.txid }
  }
}

export class Pair {
  readonly a = new Side('a')
  readonly b = new Side('b')
  /** Questions to a factory that it has not answered. */
  readonly questions: { side: Side; effect: ChangeEffect }[] = []
  /** What arrived, in order. */
  readonly delivered: string[] = []

  constructor() {
    this.quiet('a')
  }

  /** Quiescent, by the wish of one of them. */
  quiet(by: Name): void {
    this.a.do({ type: 'quiescent', initiator: by === 'a' ? 'ours' : 'theirs' })
    this.b.do({ type: 'quiescent', initiator: by === 'b' ? 'ours' : 'theirs' })
  }

  init(contribution = 0n, payload?: Uint8Array): void {
    this.ask(
      this.a,
      this.a.order({ order: 'init', share: { contribution, fundingPubkey: key(this.a.key(1)) }, payload }),
    )
  }

  peer(side: Side): Side {
    return side === this.a ? this.b : this.a
  }

  ask(side: Side, effects: readonly ChangeEffect[]): void {
    for (const effect of effects) if (answer(side, effect) !== undefined) this.questions.push({ side, effect })
  }

  /** The oldest message of `side` arrives. */
  deliver(side: Side): boolean {
    const wire = side.outbox.shift()
    if (wire === undefined) return false
    this.delivered.push(`${side.name} ${kindOf(wire)}`)
    const to = this.peer(side)
    if ('body' in wire) this.ask(to, to.read(wire.body))
    else {
      to.held.add(outPointKey(wire.commitment))
      this.ask(to, to.do({ type: 'commitmentSigned', txid: wire.commitment.txid }))
    }
    return true
  }

  answerNext(index = 0): boolean {
    const [question] = this.questions.splice(index, 1)
    if (question === undefined) return false
    const order = answer(question.side, question.effect)
    // A factory that was asked before a disconnection finds the question gone.
    try {
      if (order !== undefined) this.ask(question.side, question.side.order(order))
    } catch {
      return true
    }
    return true
  }

  /** All that is under way is lost. */
  reconnect(): void {
    for (const side of [this.a, this.b]) {
      side.outbox.length = 0
      side.do({ type: 'disconnected' })
    }
    const next = { a: nextFundingTxid(this.a.state), b: nextFundingTxid(this.b.state) }
    this.ask(this.a, this.a.do({ type: 'reestablished', next: next.b }))
    this.ask(this.b, this.b.do({ type: 'reestablished', next: next.a }))
  }

  run(until: () => boolean = () => false): void {
    while (!until() && (this.deliver(this.a) || this.deliver(this.b) || this.answerNext()));
  }
}
