/** From a checked channel to an active factory, and out of it alone, client side. */
import { FactoryError } from '@ln-factory/tlv'
import { isPaidOut } from '../../assist/state.js'
import { bumpOf } from '../../fees/index.js'
import type { BroadcastResult, HostChannel } from '../../host/port.js'
import { exitSpends, nextExitStep } from '../../exit/plan.js'
import { settle, unsettle } from '../../finality/client.js'
import {
  advanceChain,
  chainSpends,
  htlcDue,
  isUncovered,
  onChainCloseFailed,
  onChainSpent,
  onChainUnspent,
  watchChain,
} from '../../liquidity/client/exit.js'
import { ownChannels } from '../../liquidity/client/sales.js'
import { type Context, type StepBuilder } from '../../machine/index.js'
import { sharedByClient } from '../../sightings/client.js'
import { finalize } from '../../tree/index.js'
import type { ClientPath, Spend } from '../../tree/types.js'
import { outPointKey, type BlockHeight, type OutPoint, type Sat, type Txid } from '../../units/index.js'
import { signatureItem } from '../spend-key.js'
import { fromWire } from '../terms.js'
import type { ClientLive } from './forming.js'
import { storedPath } from './path.js'
import { clientBase, joined, type ClientState, type Joined } from './state.js'

type Builder = StepBuilder<ClientState>
type WithPath = ClientState & Joined

type OnChain = Extract<ClientState, { stage: 'ready' | 'active' | 'closing' | 'exiting' | 'settled' }>

/** Something of ours may be on chain, or leave it again. */
const hasPath = (state: ClientState): state is OnChain =>
  state.stage === 'ready' ||
  state.stage === 'active' ||
  state.stage === 'closing' ||
  state.stage === 'exiting' ||
  state.stage === 'settled'

export const livePath = (state: WithPath, context: Context, live: ClientLive): ClientPath =>
  (live.path ??= storedPath(state, context))

export const fundingOf = (path: ClientPath): OutPoint => {
  const first = path.spends[0]
  if (first === undefined) throw new FactoryError('internal', 'a path without transactions')
  return first.prevout.outpoint
}

/** Everything of our path that may appear on chain. */
export function watch(step: Builder, context: Context, live: ClientLive): void {
  const { state } = step
  if (!hasPath(state)) return
  const path = livePath(state, context, live)
  const since = state.createdAt
  step.effect({ do: 'watchTx', txid: fundingOf(path).txid, since })
  for (const spend of path.spends) step.effect({ do: 'watchTx', txid: spend.tx.txid, since })
  for (const outpoint of sharedByClient(path)) step.effect({ do: 'watchOutpoint', outpoint, since })
  watchChain(step, state, context, live)
}

export function onConfirmed(step: Builder, context: Context, live: ClientLive, id: Txid, height: BlockHeight): void {
  const { state } = step
  if (!hasPath(state)) return
  const path = livePath(state, context, live)
  if (id === fundingOf(path).txid) {
    if (state.stage === 'closing') step.to({ ...state, confirmedAt: height })
    if (state.stage !== 'ready' || state.confirmedAt === height) return
    step.to({ ...state, confirmedAt: height })
    step.log('confirmed', `funding at height ${height}`)
    return onTip(step, context, live, height > context.height ? height : context.height)
  }
  const spend = [...path.spends, ...chainSpends(state, context, live)].find((s) => s.tx.txid === id)
  if (spend === undefined || state.seen[id] === height) return
  step.to({ ...step.state, seen: { ...state.seen, [id]: height } })
  step.log('confirmed', `${spend.id} (${id}) at height ${height}`)
  advanceExit(step, context, live, height > context.height ? height : context.height)
}

export function onUnconfirmed(step: Builder, context: Context, live: ClientLive, id: Txid): void {
  const { state } = step
  if (!hasPath(state)) return
  const path = livePath(state, context, live)
  if (id === fundingOf(path).txid && state.stage === 'closing') step.to({ ...state, confirmedAt: undefined })
  if (id === fundingOf(path).txid && (state.stage === 'ready' || state.stage === 'active')) {
    step.to({
      ...clientBase(state),
      ...joined(state),
      stage: 'ready',
      channelId: state.channelId,
      confirmedAt: undefined,
    })
    step.log('warning', 'the funding was reorganised out of the chain')
  }
  if (state.seen[id] !== undefined) {
    const seen = Object.fromEntries(Object.entries(state.seen).filter(([txid]) => txid !== id))
    step.to({ ...step.state, seen })
    step.log('warning', `${id} was reorganised out of the chain`)
  }
}

export function onTip(step: Builder, context: Context, live: ClientLive, height: BlockHeight): void {
  const { state } = step
  if (
    state.stage === 'ready' &&
    state.confirmedAt !== undefined &&
    height - state.confirmedAt + 1 >= context.policy.minDepth
  ) {
    const path = livePath(state, context, live)
    // Ours signed for script and amount of what it spends: a transaction of our path in a block proves the funding.
    if (
      path.spends.some((s) => s.prevout.outpoint.txid === fundingOf(path).txid && state.seen[s.tx.txid] !== undefined)
    )
      activate(step, state, state.confirmedAt)
    else step.call({ call: 'utxo', outpoint: fundingOf(path) })
  }
  advanceExit(step, context, live, height)
  forgetUnfunded(step, height)
}

/** A funding that never came: the LSP aborted, or could not broadcast. After the expiry it would pay us anyway. */
function forgetUnfunded(step: Builder, height: BlockHeight): void {
  const { state } = step
  if (state.stage !== 'ready' || state.confirmedAt !== undefined || height < state.invite.expiry) return
  const reason = state.notice ?? 'the funding was not confirmed before the expiry'
  step.to({ ...clientBase(state), stage: 'aborted', reason, channelId: state.channelId })
  step.log('state', `aborted: ${reason}`)
  step.call({ call: 'drop', peer: state.lsp, channelId: state.channelId })
}

/** Invariant 6: active only when the funding on chain is the output that the path spends. */
export function onFundingOutput(
  step: Builder,
  context: Context,
  live: ClientLive,
  output: { amount: Sat; script: Uint8Array } | undefined,
): void {
  const { state } = step
  if (state.stage !== 'ready' || state.confirmedAt === undefined) return
  const path = livePath(state, context, live)
  const expected = path.spends[0]?.prevout
  const fits =
    output !== undefined &&
    expected !== undefined &&
    output.amount === expected.amount &&
    Buffer.compare(output.script, expected.script) === 0
  if (!fits) {
    step.to({ ...state, notice: 'The funding on chain is not the output that was agreed: this factory stays shut.' })
    step.log('warning', 'funding output missing or different')
    return
  }
  activate(step, state, state.confirmedAt)
}

function activate(step: Builder, state: Extract<ClientState, { stage: 'ready' }>, confirmedAt: BlockHeight): void {
  const { channelId } = state
  step.to({ ...clientBase(state), ...joined(state), stage: 'active', channelId, confirmedAt })
  step.log('state', `active: funding confirmed at ${confirmedAt}`)
}

export function startExit(step: Builder, context: Context, live: ClientLive): void {
  const { state } = step
  if (state.stage === 'exiting') return
  if (state.move?.moved === true)
    throw new FactoryError('wrong_state', `everything of ours in this factory has moved to ${state.move.to}`)
  const onChain = state.stage === 'ready' && state.confirmedAt !== undefined
  if (state.stage !== 'active' && state.stage !== 'closing' && !onChain)
    throw new FactoryError('wrong_state', `the factory is ${state.stage}: there is nothing on chain to exit from`)
  const close = state.stage === 'closing' && state.close.step === 'signed' ? state.close : undefined
  const exit = { since: context.height, channelClosing: false, close }
  step.to({ ...clientBase(state), ...joined(state), stage: 'exiting', channelId: state.channelId, exit })
  step.log('state', 'exit ordered')
  advanceExit(step, context, live, context.height)
}

/** An HTLC that must be settled on chain takes our path there, W blocks before its end. */
export function exitForHtlcs(
  step: Builder,
  context: Context,
  live: ClientLive,
  channels: readonly HostChannel[],
  height: BlockHeight,
): void {
  const { state } = step
  if (state.stage !== 'active' || state.move?.moved === true || isPaidOut(state.assist)) return
  const due = htlcDue(state, context, live, channels, height)
  if (!due && !isUncovered(state, context, live, channels, height)) return
  const why = due ? 'an HTLC must be settled on chain' : 'our balance is more than the distributions pay'
  step.log('warning', `${why}: leaving the factory`)
  startExit(step, context, live)
}

/** Sent again on every block until it confirms: a mempool may drop it, or may not have had room for it. */
export function advanceExit(step: Builder, context: Context, live: ClientLive, height: BlockHeight): void {
  advancePath(step, context, live, height)
  advanceChain(step, context, live)
}

function advancePath(step: Builder, context: Context, live: ClientLive, height: BlockHeight): void {
  const { state } = step
  if (state.stage !== 'exiting' && state.stage !== 'active') return
  const path = livePath(state, context, live)
  const next = nextExitStep(path, state.seen, height)
  if (next.do === 'broadcast' && (state.stage === 'exiting' || answersKickoff(next.spend, state.seen))) {
    const signature = context.item(signatureItem(next.spend.id))
    if (signature === undefined) throw new FactoryError('store_corrupt', `the signature of ${next.spend.id} is missing`)
    const bump = bumpOf(next.spend, fromWire(state.invite.params).confirmationMargin)
    step.call({ call: 'broadcast', tx: finalize(next.spend, signature), txid: next.spend.tx.txid, bump })
  }
  if (state.stage === 'exiting' && next.do === 'close' && !state.exit.channelClosing) {
    step.to({ ...state, exit: { ...state.exit, channelClosing: true } })
    step.log('state', 'our path is on chain; closing the channel unilaterally')
    step.call({ call: 'forceClose', peer: state.lsp, channelId: state.channelId })
  }
}

/** Whoever published the kickoff, its latest state follows: a kickoff output has no distribution. */
const answersKickoff = (spend: Spend, seen: Readonly<Record<string, BlockHeight>>): boolean =>
  spend.role === 'leaf' && seen[spend.prevout.outpoint.txid] !== undefined

/** The host could not: it is asked again with the next block. */
export function onForceCloseFailed(step: Builder, channelId: string, error: string): void {
  const { state } = step
  if (state.stage !== 'exiting' || onChainCloseFailed(step, channelId)) return
  const notice = `the channel could not be closed, trying again with the next block: ${error}`
  step.to({ ...state, notice, exit: { ...state.exit, channelClosing: false } })
}

const refusalOf = (id: Txid): string => `${id} was not accepted`

export function onExitBroadcast(
  step: Builder,
  context: Context,
  live: ClientLive,
  id: Txid,
  result: BroadcastResult,
): void {
  const { state } = step
  if (!hasPath(state)) return
  if (result.accepted) {
    step.log('broadcast', id)
    if (state.notice?.startsWith(refusalOf(id)) === true) step.to({ ...state, notice: undefined })
  } else if (state.stage === 'exiting' && exitSpends(livePath(state, context, live)).some((s) => s.tx.txid === id))
    step.to({
      ...state,
      notice: `${refusalOf(id)}, trying again with the next block: ${result.error ?? 'no reason given'}`,
    })
}

/** Our channel's output was spent in a block: the rest is the host's (commitment, HTLCs, sweeps). */
export function onSpent(
  step: Builder,
  context: Context,
  live: ClientLive,
  outpoint: OutPoint,
  by: Txid,
  height: BlockHeight,
): void {
  const { state } = step
  if (!hasPath(state) || state.stage === 'settled') return
  if (!onChainSpent(step, context, live, state, outpoint, by)) return
  const close = state.stage === 'closing' && state.close.step === 'signed' ? state.close : undefined
  const exit = state.stage === 'exiting' ? state.exit : { since: height, channelClosing: true, close }
  settle(step, state, { how: 'exit', exit }, height, 'the channel is closed on chain')
}

export function onUnspent(step: Builder, context: Context, live: ClientLive, outpoint: OutPoint): void {
  const { state } = step
  if (!hasPath(state)) return
  onChainUnspent(step, outpoint)
  if (state.stage !== 'settled' || state.how !== 'exit' || !isChannel(state, context, live, outpoint)) return
  unsettle(step, 'the close of the channel was reorganised out of the chain')
}

const isChannel = (state: OnChain, context: Context, live: ClientLive, outpoint: OutPoint): boolean =>
  ownChannels(state, context, live).some((c) => outPointKey(c.outpoint) === outPointKey(outpoint))
