/**
 * What a lost connection undoes and a new one repeats. From the moment that our `factory_change_funding` has left, the peer may
 * hold both names and our commitment, so the change is remembered; before that it ends with the quiescence (BOLT 2).
 */
import type { Txid } from '../units/index.js'
import { enterCommitting } from './exchange.js'
import { fundingMessage, idle, lockedMessage, stay } from './steps.js'
import type { ChangeContext, ChangeEffect, ChangeState, ChangeStep, Committed } from './types.js'

export function onDisconnected(state: ChangeState): ChangeStep {
  switch (state.stage) {
    case 'asked':
    case 'deciding':
      return stay(idle(state))
    case 'naming':
      return stay(state.sent === undefined ? idle(state) : state)
    default:
      return stay(state)
  }
}

/**
 * `next_funding_txid` of our `channel_reestablish`: the funding for which we may lack the peer's commitment or its
 * `factory_change_continue`.
 */
export function nextFundingTxid(state: ChangeState): Txid | undefined {
  switch (state.stage) {
    case 'naming':
      return state.sent?.txid
    case 'committing':
      return state.next.txid
    case 'continuing':
      return state.received ? undefined : state.next.txid
    default:
      return undefined
  }
}

/** @param next `next_funding_txid` of the peer's `channel_reestablish` */
export function onReestablished(state: ChangeState, next: Txid | undefined, context: ChangeContext): ChangeStep {
  switch (state.stage) {
    case 'idle':
      return stay(state, ...lockedAgain(state, context))
    case 'asked':
    case 'deciding':
      return stay(idle(state))
    case 'naming':
      // That it names ours says what its lost factory_change_funding said.
      if (state.sent === undefined || next !== state.sent.txid) return stay(idle(state))
      return enterCommitting(stay({ ...state, received: state.received ?? state.sent }), context)
    case 'committing':
      // A peer that has forgotten the change will never continue it, and neither have we.
      return next === state.next.txid ? stay(state, commitAgain(state)) : stay(idle(state))
    case 'continuing':
      return stay(
        state,
        ...(next === state.next.txid ? [commitAgain(state)] : []),
        state.sent ? continueAgain(state, state) : { do: 'ask', order: 'continue' },
      )
    case 'changed':
      return stay(
        state,
        ...(next === state.next.txid ? [commitAgain(state)] : []),
        continueAgain(state, state),
        { do: 'resume', fundings: [state.funding, state.next] },
        ...(state.sent ? lockedAgain(state, context) : [{ do: 'ask', order: 'lock' } as const]),
      )
  }
}

const commitAgain = ({ next, balances, nextCapacity }: Committed): ChangeEffect => ({
  do: 'commit',
  funding: next,
  balances,
  capacity: nextCapacity,
})

const continueAgain = (state: ChangeState, { next }: Committed): ChangeEffect => ({
  do: 'send',
  message: fundingMessage('factory_change_continue', state, next),
})

/** As long as no commitment has been made since, the peer may not have it. */
function lockedAgain(state: ChangeState, { commitment }: ChangeContext): ChangeEffect[] {
  const { locked } = state
  if (locked?.commitment !== commitment) return []
  return [{ do: 'send', message: lockedMessage(state, locked.txid) }]
}
