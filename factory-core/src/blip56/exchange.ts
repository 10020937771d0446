/** The points at which something has been said in both directions: then, and only then, the change goes on. */
import { FactoryError } from '@ln-factory/tlv'
import { balancesAfter, capacityAfter, idle, sameOutPoint, stay, warn } from './steps.js'
import type { ChangeContext, ChangeEffect, ChangeState, ChangeStep } from './types.js'

/** Both sides named the funding: commit to it. What they named must be the same. */
export function enterCommitting({ state, effects }: ChangeStep, context: ChangeContext): ChangeStep {
  if (state.stage !== 'naming' || state.sent === undefined || state.received === undefined) return { state, effects }
  const { ours, theirs, sent, received } = state
  if (!sameOutPoint(sent, received)) return after(effects, warn(idle(state), 'the peer named another funding'))
  try {
    const balances = balancesAfter(context.balances, ours, theirs)
    const nextCapacity = capacityAfter(state.capacity, ours, theirs)
    const next: ChangeState = { ...idle(state), stage: 'committing', ours, theirs, next: sent, balances, nextCapacity }
    return after(effects, stay(next, { do: 'commit', funding: sent, balances, capacity: nextCapacity }))
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    return after(effects, warn(idle(state), error.message))
  }
}

/** Both sides continued: the channel runs on the old and the new funding. */
export function resumeIfContinued({ state, effects }: ChangeStep): ChangeStep {
  if (state.stage !== 'continuing' || !state.sent || !state.received) return { state, effects }
  const next: ChangeState = { ...state, stage: 'changed', sent: false, received: false }
  return after(
    effects,
    stay(next, { do: 'resume', fundings: [state.funding, state.next] }, { do: 'ask', order: 'lock' }),
  )
}

/** Both sides locked: the old funding is history. */
export function enterIdleIfLocked({ state, effects }: ChangeStep): ChangeStep {
  if (state.stage !== 'changed' || !state.sent || !state.received) return { state, effects }
  const { next: funding, nextCapacity: capacity, ours } = state
  const locked = idle(state, { funding, capacity, fundingPubkey: ours.fundingPubkey })
  return after(effects, stay(locked, { do: 'switch', funding, capacity }))
}

const after = (before: readonly ChangeEffect[], step: ChangeStep): ChangeStep => ({
  state: step.state,
  effects: [...before, ...step.effects],
})
