/** The end of a factory on chain, LSP side: taken for one at once, believed when it is buried, given up when it is reorganised. */
import { isBound } from '../assist/state.js'
import type { Context, StepBuilder } from '../machine/index.js'
import { base } from '../ceremony/lsp/abort.js'
import type { Funded, LspEnd, LspState } from '../ceremony/lsp/state.js'
import { soldChannels } from '../liquidity/lsp/sales.js'
import type { BlockHeight } from '../units/index.js'
import { FINAL_DEPTH, isFinal } from './depth.js'

type Builder = StepBuilder<LspState>

export function settle(
  step: Builder,
  before: Funded & { readonly confirmedAt: BlockHeight | undefined },
  end: LspEnd,
  height: BlockHeight,
  text: string,
): void {
  const { funding, confirmedAt } = before
  step.to({ ...base(step.state), ...end, stage: 'settled', height, funding, confirmedAt, notice: undefined })
  step.log('state', `${text}; final after ${FINAL_DEPTH} confirmations`)
}

/** A reorganisation took the end back: what led there goes on. */
export function unsettle(step: Builder, text: string): void {
  const { state } = step
  if (state.stage !== 'settled') return
  const { funding, confirmedAt } = state
  const common = { ...base(state), funding, confirmedAt, notice: undefined }
  if (state.how === 'cooperative') {
    step.to({ ...common, stage: 'closing', close: { ...state.close, confirmedAt: undefined } })
  } else {
    // The tree is on chain, whoever put it there: every channel and stock that is left must be brought home.
    const exit = {
      script: undefined,
      close: undefined,
      ...state.exit,
      clients: state.clients.map((_, i) => i),
      closing: [],
    }
    step.to({ ...common, stage: 'exiting', exit })
    if (exit.script === undefined) step.call({ call: 'newScript' })
  }
  step.log('warning', `${text}: this factory goes on`)
}

/** Too deep for any reorganisation that we follow: nothing is watched any more, and the channels can be forgotten. */
export function bury(step: Builder, tip: BlockHeight): void {
  const { state } = step
  if (state.stage !== 'settled' || !isFinal(state.height, tip) || state.assists.some(isBound)) return
  const { funding } = state
  if (state.how === 'cooperative') {
    step.to({ ...base(state), stage: 'closed', funding, closeTxid: state.close.txid })
    for (const c of state.clients)
      if (c.channelId !== undefined) step.call({ call: 'drop', peer: c.id, channelId: c.channelId })
    for (const { peer, channelId } of soldChannels(state)) step.call({ call: 'drop', peer, channelId })
  } else step.to({ ...base(state), stage: 'exited', funding })
  step.log('state', `final: ended at height ${state.height}`)
  step.effect({ do: 'unwatch' })
}

/**
 * A host that takes any channel with a peer would send payments over those that are over, and lose every one of them: there they go as soon as
 * the end is deep enough for the policy. What a deeper reorganisation brings back, such a node can't answer.
 */
export function dropWhereInTheWay(step: Builder, context: Context): void {
  const { state } = step
  if (context.choosesForwardingChannel || state.stage !== 'settled' || state.how !== 'cooperative') return
  for (const c of state.clients)
    if (c.channelId !== undefined) step.call({ call: 'drop', peer: c.id, channelId: c.channelId })
}
