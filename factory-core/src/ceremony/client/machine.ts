/** A client's machine: which rule answers which event. */
import {
  onAssistBlock,
  onAssistBroadcast,
  onAssistConfirmed,
  onAssistOutput,
  onAssistPaymentFailed,
  onAssistTip,
  onAssistUnconfirmed,
  resumeAssist,
} from '../../assist/claim.js'
import {
  giveUp as giveUpAssist,
  onAssistChannels,
  onAssistConnected,
  onAssistOffer,
  onAssistOrder,
  onAssistRefuse,
  onAssistSilence,
} from '../../assist/client.js'
import { advanceDistribution, onDistributionUnconfirmed, settleWhenDistributed } from '../../exit/distribution.js'
import { bury, dropWhereInTheWay } from '../../finality/client.js'
import { seenByClient, unseenByClient } from '../../sightings/client.js'
import { clipText, encodePayload, FactoryError, type Invite, type Payload } from '@ln-factory/tlv'
import {
  onCloseAborted,
  onCloseAggregatedNonce,
  onCloseChannels,
  onCloseComplete,
  onCloseConfirmed,
  onClosePropose,
  onCloseTip,
  onCloseUnchecked,
  onCloseUnconfirmed,
} from '../../close/client.js'
import {
  grantSaleOpen,
  onBuyOrder,
  onSaleChannels,
  onSaleFundingChecked,
  onSaleOffer,
  onSalePropose,
  onSaleTimer,
  pay,
} from '../../liquidity/client/buy.js'
import { resumeChain } from '../../liquidity/client/exit.js'
import { dropSale, onSaleAbort } from '../../liquidity/client/sales.js'
import {
  onSaleAggregatedNonces,
  onSaleConflict,
  onSaleLive,
  onSaleSignatures,
  resumeSales,
} from '../../liquidity/client/sign.js'
import {
  eachRule,
  idBytes,
  StepBuilder,
  type Context,
  type Event,
  type HostDone,
  type OperatorOrder,
  type Step,
} from '../../machine/index.js'
import type { InstanceId, NodeId } from '../../units/index.js'
import {
  accept,
  awaitChannel,
  firstState,
  grantOpen,
  onAggregatedNonces,
  onChannels,
  onFundingChecked,
  onInvite,
  onPropose,
  onScript,
  onSignatures,
  outOfTurn,
  refuse,
  renewKey,
  sendAccept,
  type ClientLive,
} from './forming.js'
import {
  advanceExit,
  exitForHtlcs,
  onConfirmed,
  onExitBroadcast,
  onForceCloseFailed,
  onFundingOutput,
  onSpent,
  onTip,
  onUnconfirmed,
  onUnspent,
  startExit,
  watch,
} from './running.js'
import {
  onMoveChannels,
  onMoveDone,
  onMovedSpent,
  onMovedUnspent,
  onMoveHtlc,
  onMoveOffer,
  onMovePaymentFailed,
  onMoveReady,
  onMoveRefused,
  resumeMove,
  watchMoved,
} from '../../turnover/client.js'
import { clientBase, type ClientState } from './state.js'

type Builder = StepBuilder<ClientState>

export const newClientLive = (): ClientLive => ({
  keys: undefined,
  path: undefined,
  nonces: undefined,
  closeNonce: undefined,
  saleNonces: undefined,
})

/** The first message of a factory that this node has not heard of. */
export function createClient(instance: InstanceId, lsp: NodeId, invite: Invite, context: Context): Step<ClientState> {
  const step = new StepBuilder<ClientState>(firstState(instance, lsp, invite, context))
  onInvite(step, context)
  return step.done()
}

/** Zero-conf was granted: remember it, so that it is granted once. */
export function grantOpenStep(state: ClientState): Step<ClientState> {
  const step = new StepBuilder(state)
  grantOpen(step)
  grantSaleOpen(step)
  return step.done()
}

export function stepClient(state: ClientState, live: ClientLive, event: Event, context: Context): Step<ClientState> {
  const step = new StepBuilder(state)
  try {
    onEvent(step, context, live, event)
    if (state.move?.moved !== true && step.state.move?.moved === true) watchMoved(step, context, live)
    if (state.stage !== 'settled') dropWhereInTheWay(step, context)
    return step.done()
  } catch (error) {
    if (!(error instanceof FactoryError) || event.type === 'operator') throw error
    // Whatever the step had collected is dropped: nothing of it has happened.
    const failed = new StepBuilder(state)
    if (isForming(state)) abort(failed, error.message)
    // Invariant 11: a bad message changes nothing.
    else if (event.type === 'message') failed.remark(`${state.lsp}: ${error.message}`)
    else failed.to({ ...state, notice: error.message }).log('warning', error.message)
    return failed.done()
  }
}

function onEvent(step: Builder, context: Context, live: ClientLive, event: Event): void {
  switch (event.type) {
    case 'message':
      if (event.peer === step.state.lsp) onMessage(step, context, live, event.payload)
      return
    case 'connected':
      if (event.peer !== step.state.lsp) return
      sync(step, context, live)
      return onAssistConnected(step, context)
    case 'disconnected':
      // An invitation is worth what the connection is: the LSP repeats it on the next one.
      if (event.peer === step.state.lsp && step.state.stage === 'invited') forget(step, 'the LSP is gone')
      // The LSP gives up too: its pending open died with the connection. Our nonces are used or lost.
      if (event.peer === step.state.lsp && (step.state.stage === 'signing' || step.state.stage === 'signed'))
        abort(step, 'disconnected while signing')
      if (event.peer === step.state.lsp) dropSale(step, live, 'the connection to the LSP is gone')
      return
    case 'timer':
      if (event.name === 'move') resumeMove(step, context)
      else if (event.name === 'sale') onSaleTimer(step, live)
      else if (step.state.stage === 'invited') refuse(step, 'the operator gave no answer in time')
      else if (isForming(step.state)) abort(step, `the LSP was silent while we were ${step.state.stage}`)
      return
    case 'done':
      return onDone(step, context, live, event.done)
    case 'failed':
      if (event.call.call === 'checkFunding')
        onDone(step, context, live, {
          call: 'checkFunding',
          channelId: event.call.channelId,
          check: { result: 'unknown', why: event.error },
        })
      else if (event.call.call === 'newScript') abort(step, event.error)
      else if (event.call.call === 'forceClose') onForceCloseFailed(step, event.call.channelId, event.error)
      else if (event.call.call === 'channels' && step.state.stage === 'closing') onCloseUnchecked(step, event.error)
      else if (event.call.call === 'channels' && step.state.assist?.step === 'looking') giveUpAssist(step, event.error)
      else if (event.call.call === 'payDirect') {
        onMovePaymentFailed(step, event.call.payment.hash, event.error)
        onAssistPaymentFailed(step, context, live, event.call.payment, event.error)
      } else step.log('warning', `${event.call.call}: ${event.error}`)
      return
    case 'confirmed':
      onConfirmed(step, context, live, event.txid, event.height)
      onAssistConfirmed(step, event.txid, event.height)
      settleWhenDistributed(step, context, live)
      return onCloseConfirmed(step, context, event.txid, event.height)
    case 'unconfirmed':
      onUnconfirmed(step, context, live, event.txid)
      onAssistUnconfirmed(step, event.txid)
      onDistributionUnconfirmed(step, context, live)
      return onCloseUnconfirmed(step, event.txid)
    case 'spent':
      seenByClient(step, context, live, event)
      onSpent(step, context, live, event.outpoint, event.by, event.height)
      return onMovedSpent(step, context, live, event.outpoint, event.height)
    case 'unspent':
      unseenByClient(step, context, event.outpoint)
      onUnspent(step, context, live, event.outpoint)
      return onMovedUnspent(step, context, live, event.outpoint)
    case 'tip':
      return eachRule(
        step,
        () => onTip(step, context, live, event.height),
        () => advanceDistribution(step, context, live, event.height),
        () => onAssistSilence(step, context, event.height),
        () => onAssistTip(step, context, event.height),
        () => onCloseTip(step, context, event.height),
        () => pay(step, context, live),
        () => bury(step, event.height),
      )
    case 'channels':
      return eachRule(
        step,
        () => exitForHtlcs(step, context, live, event.channels, event.height),
        () => onAssistBlock(step, context, event.channels, event.height),
      )
    case 'channelsChanged':
      if (step.state.stage === 'stored' || step.state.sales?.pending?.step === 'checking')
        step.call({ call: 'channels' })
      return
    case 'htlcReceived':
      return onMoveHtlc(step, context, event.htlc)
    case 'resume':
      return resume(step, context, live)
    case 'conflict':
      if (isForming(step.state)) abort(step, `refused to sign: ${event.error}`)
      else onSaleConflict(step, live, event.error)
      return
    case 'operator':
      return onOrder(step, context, live, event.order)
  }
}

function onMessage(step: Builder, context: Context, live: ClientLive, payload: Payload): void {
  switch (payload.kind) {
    case 'invite':
      return onInviteAgain(step, context, payload)
    case 'propose':
      return onPropose(step, context, live, payload)
    case 'aggregated_nonces':
      return onAggregatedNonces(step, context, live, payload)
    case 'signatures':
      return onSignatures(step, context, live, payload)
    case 'funding_broadcast':
      return onFundingBroadcast(step, live)
    case 'abort':
      return onAbort(step, live, payload.reason)
    case 'sale_offer':
      return onSaleOffer(step, context, live, payload)
    case 'sale_propose':
      return onSalePropose(step, context, live, payload)
    case 'sale_aggregated_nonces':
      return onSaleAggregatedNonces(step, context, live, payload)
    case 'sale_signatures':
      return onSaleSignatures(step, context, live, payload)
    case 'sale_live':
      return onSaleLive(step, context, live, payload)
    case 'sale_abort':
      return onSaleAbort(step, live, payload)
    case 'close_propose':
      return onClosePropose(step, context, live, payload)
    case 'close_aggregated_nonce':
      return onCloseAggregatedNonce(step, context, live, payload)
    case 'close_complete':
      return onCloseComplete(step, context, live, payload)
    case 'move_offer':
      return onMoveOffer(step, context, payload)
    case 'move_ready':
      return onMoveReady(step, context, payload)
    case 'move_refuse':
      return onMoveRefused(step, payload.index, payload.reason)
    case 'assist_offer':
      return onAssistOffer(step, context, payload)
    case 'assist_refuse':
      return onAssistRefuse(step, context, payload)
    case 'sync':
      return
    default:
      return outOfTurn(step, payload.kind)
  }
}

/** The LSP repeats an invitation after a reconnection; the same instance with other terms is a fraud or a fault. */
function onInviteAgain(step: Builder, context: Context, invite: Invite): void {
  const { state } = step
  if (!sameInvite(state.invite, invite)) {
    const reason = 'duplicate instance: this instance_id was used with other terms'
    step.remark(`${state.lsp}: ${reason}`)
    step.send(state.lsp, { kind: 'refuse', instanceId: idBytes(state.instance), reason })
  } else if (state.stage === 'accepted') sendAccept(step, context)
  else outOfTurn(step, 'invite')
}

function sameInvite(a: Invite, b: Invite): boolean {
  return Buffer.compare(encodePayload(a), encodePayload(b)) === 0
}

/** The LSP says the factory is live: a close that was being agreed is off. */
function onFundingBroadcast(step: Builder, live: ClientLive): void {
  step.remark(`funding of ${step.state.instance} broadcast`)
  onCloseAborted(step, live, 'it says the factory is active')
}

function onAbort(step: Builder, live: ClientLive, reason: string): void {
  const { state } = step
  if (state.stage === 'closing') return onCloseAborted(step, live, reason)
  if (state.stage === 'ready') {
    // Its word is not enough: should the funding appear nevertheless, everything to exit is here.
    const notice = `The LSP aborted: ${reason}`
    if (state.notice === notice) return
    step.to({ ...state, notice })
    step.log('received', `abort: ${reason}`)
    return
  }
  if (!isForming(state)) {
    step.remark(`abort of ${state.instance} ignored: we are ${state.stage}`)
    return
  }
  step.to({ ...clientBase(state), stage: 'aborted', reason: `by the LSP: ${reason}`, channelId: undefined })
  step.log('state', `aborted by the LSP: ${reason}`)
  step.effect({ do: 'cancelTimer', name: 'step' })
}

const isForming = (state: ClientState): boolean =>
  ['invited', 'joining', 'accepted', 'signing', 'signed', 'stored'].includes(state.stage)

function forget(step: Builder, reason: string): void {
  step.to({ ...clientBase(step.state), stage: 'refused', reason })
  step.effect({ do: 'cancelTimer', name: 'step' })
}

function abort(step: Builder, reason: string): void {
  const { state } = step
  step.to({ ...clientBase(state), stage: 'aborted', reason, channelId: undefined })
  step.log('state', `aborted: ${reason}`)
  step.effect({ do: 'cancelTimer', name: 'step' })
  step.send(state.lsp, { kind: 'abort', instanceId: idBytes(state.instance), reason: clipText(reason, 500) })
}

function onOrder(step: Builder, context: Context, live: ClientLive, order: OperatorOrder): void {
  const { state } = step
  switch (order.order) {
    case 'answer':
      if (state.stage !== 'invited')
        throw new FactoryError('wrong_state', `the invitation can't be answered: it is ${state.stage}`)
      return order.accept ? accept(step) : refuse(step, order.reason)
    case 'exit':
      return startExit(step, context, live)
    case 'assist':
      return onAssistOrder(step, context, order)
    case 'abort':
      if (!isForming(state))
        throw new FactoryError('wrong_state', `the factory is ${state.stage} and can't be aborted`, 'Use factory-exit.')
      return abort(step, order.reason)
    case 'buy':
      return onBuyOrder(step, context, live, order)
    case 'sell':
    case 'close':
    case 'rotate':
      throw new FactoryError(
        'wrong_state',
        order.order === 'sell' ? 'only the LSP sells liquidity' : 'only the LSP can close or rotate a factory',
        order.order === 'sell' ? 'A client buys with factory-buy.' : 'A client leaves alone with factory-exit.',
      )
  }
}

function onDone(step: Builder, context: Context, live: ClientLive, done: HostDone): void {
  switch (done.call) {
    case 'newScript':
      return onScript(step, context, done.script)
    case 'channels':
      onChannels(step, context, live, done.channels)
      onMoveChannels(step, context, done.channels)
      onSaleChannels(step, context, live, done.channels)
      onAssistChannels(step, context, done.channels)
      return onCloseChannels(step, context, live, done.channels)
    case 'checkFunding':
      onSaleFundingChecked(step, context, live, done.channelId, done.check)
      onFundingChecked(step, context, live, done.channelId, done.check)
      return watch(step, context, live)
    case 'utxo':
      onAssistOutput(step, context, done.outpoint, done.output)
      return onFundingOutput(step, context, live, done.output)
    case 'expectPayment':
    case 'payDirect':
      return onMoveDone(step, done)
    case 'broadcast':
      onAssistBroadcast(step, context, done.txid, done.result)
      return onExitBroadcast(step, context, live, done.txid, done.result)
    default:
      return
  }
}

/** On (re)connection: tell the LSP where we stand, and send again what it may not have got. */
function sync(step: Builder, context: Context, live: ClientLive): void {
  const { state } = step
  if (['settled', 'closed', 'aborted', 'refused'].includes(state.stage)) return
  step.send(state.lsp, { kind: 'sync', instanceId: idBytes(state.instance), stage: state.stage })
  resumeSales(step, context, live)
  if (state.stage === 'accepted') sendAccept(step, context)
  if (state.stage === 'stored') step.send(state.lsp, { kind: 'stored', instanceId: idBytes(state.instance) })
  if (state.stage === 'ready')
    step.send(state.lsp, {
      kind: 'channel_ready',
      instanceId: idBytes(state.instance),
      channelId: Uint8Array.from(Buffer.from(state.channelId, 'hex')),
    })
}

/** Memory is gone: what can go on does, what can't is given up, and what must be watched is watched again. */
function resume(step: Builder, context: Context, live: ClientLive): void {
  resumeAssist(step, context)
  const { state } = step
  switch (state.stage) {
    case 'invited':
      if (context.now >= state.answerBefore) refuse(step, 'the operator gave no answer in time')
      else step.effect({ do: 'timer', name: 'step', seconds: state.answerBefore - context.now })
      return
    case 'joining':
      step.call({ call: 'newScript' })
      return
    case 'accepted':
      // An open that was granted is part of a ceremony that goes on with the key we had.
      return state.opened ? abort(step, 'restarted while the channel was being opened') : renewKey(step, context)
    case 'signing':
    case 'signed':
      return abort(step, `restarted while ${state.stage}`)
    case 'stored':
      return awaitChannel(step)
    case 'ready':
      return watch(step, context, live)
    case 'active':
      dropSale(step, live, 'restarted')
      watch(step, context, live)
      watchMoved(step, context, live)
      return resumeMove(step, context)
    case 'closing': {
      watch(step, context, live)
      if (state.close.step === 'checking') step.call({ call: 'channels' })
      if (state.close.step === 'signed') step.effect({ do: 'watchTx', txid: state.close.txid, since: state.createdAt })
      return onCloseTip(step, context, context.height)
    }
    case 'exiting':
      watch(step, context, live)
      if (state.exit.close !== undefined)
        step.effect({ do: 'watchTx', txid: state.exit.close.txid, since: state.createdAt })
      if (state.exit.channelClosing) step.call({ call: 'forceClose', peer: state.lsp, channelId: state.channelId })
      resumeChain(step)
      return advanceExit(step, context, live, context.height)
    case 'settled':
      watch(step, context, live)
      watchMoved(step, context, live)
      if (state.how === 'cooperative') step.effect({ do: 'watchTx', txid: state.close.txid, since: state.createdAt })
      return
    case 'closed':
    case 'refused':
    case 'aborted':
      return
  }
}
