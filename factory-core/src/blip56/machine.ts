/** One channel's funding changes: which rule answers which event. No I/O; `state` is stored before an effect is executed. */
import { decodeFactoryMessage, FactoryError } from '@ln-factory/tlv'
import type { OutPoint, Sat, Txid } from '../units/index.js'
import { onMessage } from './messages.js'
import { onOrder } from './orders.js'
import { onDisconnected, onReestablished } from './reconnect.js'
import { baseOf, stay, warn } from './steps.js'
import type { ChangeContext, ChangeEvent, ChangeLive, ChangeState, ChangeStep } from './types.js'

/** A channel that was just opened with `channel_in_factory`. */
export const newChange = (channel: {
  readonly channelId: string
  readonly funding: OutPoint
  readonly fundingPubkey: Uint8Array
  readonly capacity: Sat
}): ChangeState => ({ ...channel, v: 1, ready: false, shutdown: false, locked: undefined, stage: 'idle' })

export const newChangeLive = (): ChangeLive => ({ quiescence: undefined })

/**
 * No update may enter the channel: from `factory_change_init` to the second `factory_change_continue`, also across
 * reconnections, which end the quiescence itself.
 */
export const isHeld = ({ stage }: ChangeState): boolean => stage !== 'idle' && stage !== 'changed'

/** @throws FactoryError for an order of the factory that the draft forbids; nothing else throws */
export function stepChange(
  state: ChangeState,
  live: ChangeLive,
  event: ChangeEvent,
  context: ChangeContext,
): ChangeStep {
  const step = onEvent(state, live, event, context)
  if (step.effects.some((effect) => effect.do === 'resume')) live.quiescence = undefined
  return step
}

function onEvent(state: ChangeState, live: ChangeLive, event: ChangeEvent, context: ChangeContext): ChangeStep {
  switch (event.type) {
    case 'message':
      return onMessage(state, live, event.message, context)
    case 'factory':
      return onOrder(state, live, event.order, context)
    case 'quiescent':
      live.quiescence = event.initiator
      return stay(state)
    case 'channelReady':
      return stay({ ...state, ready: true })
    case 'shutdown':
      return stay({ ...state, shutdown: true })
    case 'commitmentSigned':
      return onCommitmentSigned(state, event.txid)
    case 'disconnected':
      live.quiescence = undefined
      return onDisconnected(state)
    case 'reestablished':
      return onReestablished(state, event.next, context)
  }
}

/** The body of a message of type 32800 about a change. One that can't be read ends the connection. */
export function receiveChange(
  state: ChangeState,
  live: ChangeLive,
  body: Uint8Array,
  context: ChangeContext,
): ChangeStep {
  try {
    const message = decodeFactoryMessage(body)
    switch (message.kind) {
      case 'unknown_odd':
      case 'supported_factory_protocols':
      case 'factory_piggyback':
        return stay(state)
      default:
        return stepChange(state, live, { type: 'message', message }, context)
    }
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    return warn(state, error.message)
  }
}

function onCommitmentSigned(state: ChangeState, txid: Txid): ChangeStep {
  switch (state.stage) {
    case 'committing': {
      if (txid !== state.next.txid) break
      const { ours, theirs, next, balances, nextCapacity } = state
      return stay(
        {
          ...baseOf(state),
          stage: 'continuing',
          sent: false,
          received: false,
          ours,
          theirs,
          next,
          balances,
          nextCapacity,
        },
        { do: 'ask', order: 'continue' },
      )
    }
    case 'continuing':
    case 'changed':
      if (txid === state.next.txid) return stay(state) // repeated after a reconnection
      break
    default:
  }
  return warn(state, `commitment_signed for a funding that is not expected: the change is ${state.stage}`)
}
