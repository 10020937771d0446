/** What the peer may send, and when. What it may not is answered by `warning` and the end of the connection. */
import type { FactoryChange, FactoryChangeFunding } from '@ln-factory/tlv'
import { enterCommitting, enterIdleIfLocked, resumeIfContinued } from './exchange.js'
import { baseOf, channelIdOf, isCovered, sameOutPoint, stay, txidOf, warn } from './steps.js'
import type { ChangeContext, ChangeLive, ChangeMessage, ChangeState, ChangeStep } from './types.js'

export function onMessage(
  state: ChangeState,
  live: ChangeLive,
  message: ChangeMessage,
  context: ChangeContext,
): ChangeStep {
  if (channelIdOf(message) !== state.channelId) return warn(state, 'not a channel in a factory')
  switch (message.kind) {
    case 'factory_change_init':
      return onInit(state, live, message, context)
    case 'factory_change_ack':
      return onAck(state, message, context)
    case 'factory_change_funding':
      return onFunding(state, message, context)
    case 'factory_change_continue':
      return onContinue(state, message)
    case 'factory_change_locked':
      return onLocked(state, txidOf(message.fundingTxid))
  }
}

const shareOf = ({ contribution, fundingPubkey }: FactoryChange) => ({ contribution, fundingPubkey })

const judge = (message: FactoryChange) =>
  ({ do: 'judge', message: message.kind, share: shareOf(message), payload: message.payload }) as const

function onInit(state: ChangeState, live: ChangeLive, message: FactoryChange, context: ChangeContext): ChangeStep {
  if (live.quiescence === undefined) return warn(state, 'factory_change_init while the channel is not quiescent')
  if (live.quiescence === 'ours') return warn(state, 'factory_change_init of one who did not initiate the quiescence')
  if (state.stage !== 'idle') return warn(state, `factory_change_init while another change is ${state.stage}`)
  if (!isCovered(message.contribution, context.balances.theirs))
    return warn(state, 'factory_change_init takes out more than the balance of its sender')
  return stay({ ...baseOf(state), stage: 'deciding', theirs: shareOf(message) }, judge(message))
}

function onAck(state: ChangeState, message: FactoryChange, context: ChangeContext): ChangeStep {
  if (state.stage !== 'asked') return warn(state, 'factory_change_ack, and we sent no factory_change_init')
  if (!isCovered(message.contribution, context.balances.theirs))
    return warn(state, 'factory_change_ack takes out more than the balance of its sender')
  const { ours } = state
  return stay(
    {
      ...baseOf(state),
      stage: 'naming',
      ours,
      theirs: shareOf(message),
      checked: false,
      sent: undefined,
      received: undefined,
    },
    judge(message),
  )
}

const outPointOf = ({ fundingTxid, fundingVout }: FactoryChangeFunding) => ({
  txid: txidOf(fundingTxid),
  vout: fundingVout,
})

function onFunding(state: ChangeState, message: FactoryChangeFunding, context: ChangeContext): ChangeStep {
  if (state.stage !== 'naming') return warn(state, `factory_change_funding while the change is ${state.stage}`)
  if (state.received !== undefined) return warn(state, 'factory_change_funding came twice')
  // What our factory has not named yet is compared when it does.
  return enterCommitting(stay({ ...state, received: outPointOf(message) }), context)
}

function onContinue(state: ChangeState, message: FactoryChangeFunding): ChangeStep {
  const named = outPointOf(message)
  switch (state.stage) {
    case 'continuing':
      if (!sameOutPoint(named, state.next)) return warn(state, 'factory_change_continue names another funding')
      return resumeIfContinued(stay({ ...state, received: true }))
    case 'changed':
      if (sameOutPoint(named, state.next)) return stay(state) // repeated after a restart
      break
    case 'idle':
      if (state.locked !== undefined && sameOutPoint(named, state.funding)) return stay(state)
      break
    default:
  }
  return warn(state, `factory_change_continue out of turn: the change is ${state.stage}`)
}

function onLocked(state: ChangeState, txid: ReturnType<typeof txidOf>): ChangeStep {
  if (state.stage === 'changed') {
    if (txid !== state.next.txid) return warn(state, 'factory_change_locked names another funding')
    return enterIdleIfLocked(stay({ ...state, received: true }))
  }
  // Repeated after a reconnection.
  if (state.stage === 'idle' && state.locked?.txid === txid) return stay(state)
  return warn(state, `factory_change_locked out of turn: the change is ${state.stage}`)
}
