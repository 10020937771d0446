/** The end of a factory on chain, client side: taken for one at once, believed when it is buried, given up when it is reorganised. */
import { isClaiming } from '../assist/state.js'
import type { Context, StepBuilder } from '../machine/index.js'
import { clientBase, joined, type ClientEnd, type ClientState, type Joined } from '../ceremony/client/state.js'
import type { BlockHeight } from '../units/index.js'
import { FINAL_DEPTH, isFinal } from './depth.js'

const boughtChannels = ({ sales }: ClientState): string[] =>
  sales?.chain.flatMap((l) => (l.bought === undefined ? [] : [l.channelId])) ?? []

type Builder = StepBuilder<ClientState>

export function settle(
  step: Builder,
  before: Joined & { readonly channelId: string },
  end: ClientEnd,
  height: BlockHeight,
  text: string,
): void {
  const { channelId } = before
  const common = { ...clientBase(step.state), ...joined(before), notice: undefined }
  step.to({ ...common, ...end, stage: 'settled', channelId, height })
  step.log('state', `${text}; final after ${FINAL_DEPTH} confirmations`)
}

/** A reorganisation took the end back: what led there goes on. */
export function unsettle(step: Builder, text: string): void {
  const { state } = step
  if (state.stage !== 'settled') return
  const { channelId } = state
  const common = { ...clientBase(state), ...joined(state), channelId, notice: undefined }
  switch (state.how) {
    case 'cooperative': {
      const close = { ...state.close, confirmedAt: undefined }
      step.to({ ...common, stage: 'closing', confirmedAt: state.confirmedAt, close })
      break
    }
    case 'exit':
      // The host may have given up what is not on chain any more: it is asked again.
      step.to({ ...common, stage: 'exiting', exit: { ...state.exit, channelClosing: false } })
      if (step.state.sales !== undefined) step.to({ ...step.state, sales: { ...step.state.sales, closing: [] } })
      break
    case 'moved':
    case 'assisted':
      step.to({ ...common, stage: 'active', confirmedAt: state.confirmedAt })
      break
    case 'distribution':
      step.to({ ...common, ...state.from })
  }
  step.log('warning', `${text}: this factory goes on`)
}

/** Too deep for any reorganisation that we follow: nothing is watched any more, and the channel can be forgotten. */
export function bury(step: Builder, tip: BlockHeight): void {
  const { state } = step
  if (state.stage !== 'settled' || !isFinal(state.height, tip) || isClaiming(state.assist)) return
  const { how, channelId } = state
  step.to({ ...clientBase(state), ...joined(state), stage: 'closed', how, channelId })
  step.log('state', `final: ended at height ${state.height}`)
  step.effect({ do: 'unwatch' })
  // Of an exit the host sees the end itself.
  if (how === 'exit') return
  for (const id of [channelId, ...boughtChannels(state)]) step.call({ call: 'drop', peer: state.lsp, channelId: id })
}

/** As at the LSP: where the node would pay over it. */
export function dropWhereInTheWay(step: Builder, context: Context): void {
  const { state } = step
  if (context.choosesForwardingChannel || state.stage !== 'settled') return
  if (state.how === 'cooperative' || state.how === 'moved')
    step.call({ call: 'drop', peer: state.lsp, channelId: state.channelId })
}
