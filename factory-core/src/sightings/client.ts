/** What a client can say of what it sees: its own path is all that it knows. */
import type { ClientLive } from '../ceremony/client/forming.js'
import { storedProposal } from '../ceremony/client/path.js'
import { livePath } from '../ceremony/client/running.js'
import type { ClientState, Joined } from '../ceremony/client/state.js'
import { chainSpends } from '../liquidity/client/exit.js'
import { keyIsGiven } from '../turnover/client.js'
import type { Context, Event, StepBuilder } from '../machine/index.js'
import type { ClientPath } from '../tree/types.js'
import { participantIndex, type OutPoint } from '../units/index.js'
import type { Knowledge } from '../watch/classify.js'
import { forget, record, sharedOutputs } from './record.js'

type Builder = StepBuilder<ClientState>
type OnChain = Extract<ClientState, Joined & { channelId: string }>

export const sharedByClient = (path: ClientPath): readonly OutPoint[] =>
  sharedOutputs(path.spends, [path.channel.outpoint])

function knowledge(state: OnChain, path: ClientPath, context: Context): Knowledge {
  const self = participantIndex(storedProposal(context).clientIndex)
  const leaving = state.stage === 'exiting' || (state.stage === 'settled' && state.how === 'exit')
  const end = state.stage === 'exiting' ? state.exit : state
  const close = 'close' in end && end.close !== undefined && 'txid' in end.close ? end.close.txid : undefined
  return {
    self,
    spends: path.spends,
    superseded: new Set(state.leaf.slice(0, -1).map((choice) => choice.txid)),
    close,
    channels: [path.channel.outpoint],
    leaving: new Set(leaving ? [self] : []),
    handedOver: keyIsGiven(state),
  }
}

export function seenByClient(
  step: Builder,
  context: Context,
  live: ClientLive,
  event: Extract<Event, { type: 'spent' }>,
): void {
  const { state } = step
  if (!('channelId' in state) || !('salt' in state)) return
  const known = knowledge(state, livePath(state, context, live), context)
  const sold = state.sales === undefined ? [] : chainSpends(state, context, live)
  record(step, context, { ...known, spends: [...known.spends, ...sold] }, event)
}

export const unseenByClient = (step: Builder, context: Context, outpoint: OutPoint): void => {
  forget(step, context, outpoint)
}
