/** The LSP's machine: which rule answers which event. */
import { FactoryError, type Payload } from '@ln-factory/tlv'
import {
  dropPreparing,
  expectsAssistHtlc,
  lapseOffers,
  onAssistCallFailed,
  onAssistDeclined,
  onAssistFunded,
  onAssistHtlc,
  onAssistLooked,
  onAssistRequest,
} from '../../assist/lsp.js'
import {
  onAssistConfirmed,
  onAssistLaunchFailed,
  onAssistSpent,
  onAssistTip,
  onAssistUnconfirmed,
  resumeAssists,
} from '../../assist/settle.js'
import {
  onCloseBroadcast,
  onCloseCallFailed,
  onCloseChannels,
  onCloseConfirmed,
  onCloseMessage,
  onCloseOrder,
  onCloseRefused,
  onCloseRetry,
  onCloseTimer,
  onCloseTip,
  onCloseUnconfirmed,
  resumeClose,
} from '../../close/lsp.js'
import {
  advanceLspExit,
  everyone,
  exitAtDeadline,
  exitForHtlcs,
  onExitBroadcast,
  onExitConfirmed,
  onExitScript,
  onExitSpent,
  onExitUnconfirmed,
  onExitUnspent,
  onForceCloseFailed,
  onSharedSpent,
  onSharedUnspent,
  resumeExit,
  startLspExit,
  watchTree,
} from '../../exit/lsp.js'
import { bury, dropWhereInTheWay } from '../../finality/lsp.js'
import { paysForSale } from '../../liquidity/gate.js'
import { giveUpAll, leaveSales, onSaleAbort, onSaleDisconnected } from '../../liquidity/lsp/sales.js'
import {
  onPaymentExpected,
  onSaleAccept,
  onSaleCallFailed,
  onSaleOpenStarted,
  onSaleRequest,
  onSaleTimer,
  onSellOrder,
} from '../../liquidity/lsp/sell.js'
import {
  onSaleHtlc,
  onSaleNonces,
  onSaleOpenCompleted,
  onSalePartials,
  onSaleReleased,
  onSaleStored,
  refundInTime,
  resumeSales as resumeLspSales,
} from '../../liquidity/lsp/sign.js'
import {
  eachRule,
  StepBuilder,
  type Context,
  type Event,
  type HostDone,
  type Step,
  type TimerName,
} from '../../machine/index.js'
import { blockHeight, type BlockHeight, type InstanceId, type NodeId } from '../../units/index.js'
import { earlyWarning, planTree } from '../../tree/index.js'
import {
  onExpected,
  onMoveChannels,
  onMoveHtlc,
  onMoveKey,
  onMovePaid,
  onMovePart,
  onMovePaymentFailed,
  onRotateOrder,
  pollMoves,
  resumeMoves,
} from '../../turnover/lsp.js'
import { reapWhenEmpty } from '../../turnover/reap.js'
import type { CreateRequest } from '../../runner/api.js'
import { abort, cleanUp, sendAbort, undoLate } from './abort.js'
import { giveUpDoubleSpent, onInputSpent, onInputUnspent } from './double-spent.js'
import { clientPosition } from './factory.js'
import {
  invite,
  onAccept,
  onFundingPrepared,
  onNonces,
  onOpenStarted,
  onPartials,
  onReadsBinding,
  onStored,
  outOfTurn,
  restartTimer,
  waitingFor,
  type LspLive,
} from './forming.js'
import {
  announceFunding,
  launch,
  onChannelReady,
  onChannelsAtResume,
  onConfirmed,
  onFundingAtResume,
  onLaunched,
  onLaunchFailed,
  onOpenCompleted,
  onTip,
  onUnconfirmed,
  watch,
} from './running.js'
import { isForming, type LspState } from './state.js'

type Builder = StepBuilder<LspState>

export const newLspLive = (): LspLive => ({
  keys: undefined,
  tree: undefined,
  round: undefined,
  close: undefined,
  rounds: new Map(),
  payments: new Map(),
  lateOpens: new Set(),
})

/** A factory that is to be: invites everyone. The request has been checked by `planTree`. */
export function createLsp(instance: InstanceId, request: CreateRequest, height: BlockHeight): Step<LspState> {
  const plan = planTree({ params: request.params, capacities: request.clients.map((c) => c.capacity) })
  const step = new StepBuilder<LspState>({
    v: 1,
    role: 'lsp',
    stage: 'inviting',
    instance,
    clients: request.clients.map((c) => ({
      ...c,
      accepted: undefined,
      channelScript: undefined,
      stored: false,
      channelId: undefined,
      readyChannelId: undefined,
    })),
    params: request.params,
    expiry: blockHeight(height + request.lifetime),
    createdAt: height,
    earlyWarning: earlyWarning(request.params, request.clients.length),
    fundingAmount: plan.fundingAmount,
    stepTimeout: request.stepTimeout,
    seen: {},
    spent: [],
    exit: undefined,
    leaves: {},
    update: undefined,
    giving: [],
    alarms: undefined,
    assists: [],
    notice: undefined,
  })
  for (const client of step.state.clients) invite(step, client)
  restartTimer(step)
  return step.log('state', `inviting ${request.clients.length} clients, expiry ${step.state.expiry}`).done()
}

export function stepLsp(state: LspState, live: LspLive, event: Event, context: Context): Step<LspState> {
  const step = new StepBuilder(state)
  try {
    onEvent(step, live, event, context)
    if (state.stage !== 'active' && step.state.stage === 'active') watchTree(step, context, live)
    if (state.stage !== 'settled') dropWhereInTheWay(step, context)
    if (state.stage === 'active' && (step.state.stage !== 'active' || step.state.exit !== undefined))
      leaveSales(step, context, live)
    return step.done()
  } catch (error) {
    if (!(error instanceof FactoryError) || event.type === 'operator') throw error
    // Whatever the step had collected is dropped: nothing of it has happened.
    const failed = new StepBuilder(state)
    const guilty = event.type === 'message' ? event.peer : undefined
    if (isForming(state.stage))
      abort(
        failed,
        guilty === undefined ? error : new FactoryError(error.code, `client ${guilty}: ${error.message}`),
        guilty,
      )
    // Invariant 11: a peer's bad message changes nothing.
    else if (guilty !== undefined) failed.remark(`client ${guilty}: ${error.message}`)
    else failed.to({ ...state, notice: error.message }).log('warning', error.message)
    return failed.done()
  }
}

function onEvent(step: Builder, live: LspLive, event: Event, context: Context): void {
  switch (event.type) {
    case 'message':
      if (clientPosition(step.state, event.peer) >= 0) onMessage(step, context, live, event.peer, event.payload)
      break
    case 'connected':
      onConnected(step, event.peer)
      pollMoves(step, context)
      break
    case 'disconnected':
      onDisconnected(step, event.peer)
      onSaleDisconnected(step, context, live, event.peer)
      break
    case 'timer':
      onTimer(step, context, live, event.name)
      break
    case 'done':
      onDone(step, context, live, event.done)
      break
    case 'failed':
      if (event.call.call === 'launch') {
        onLaunchFailed(step, event.error)
        onAssistLaunchFailed(step, event.call.funding.txid, event.error)
      } else if (event.call.call === 'assistLook' || event.call.call === 'assistFund')
        onAssistCallFailed(step, event.call.hash, event.error)
      else if (onSaleCallFailed(step, context, live, event.call, new FactoryError(event.code, event.error))) break
      else if (event.call.call === 'cleanUp') step.effect({ do: 'timer', name: 'retry', seconds: 60 })
      else if (event.call.call === 'payDirect') onMovePaymentFailed(step, event.call.payment.hash, event.error)
      else if (event.call.call === 'forceClose') onForceCloseFailed(step, event.call.channelId, event.error)
      else if (step.state.stage === 'closing') onCloseCallFailed(step, event.call, event.error)
      else if (isForming(step.state.stage))
        abort(step, new FactoryError(event.code, event.error), 'peer' in event.call ? event.call.peer : undefined)
      break
    case 'confirmed':
      onConfirmed(step, context, event.txid, event.height)
      onCloseConfirmed(step, context, event.txid, event.height)
      onExitConfirmed(step, context, live, event.txid, event.height)
      onAssistConfirmed(step, event.txid, event.height)
      break
    case 'unconfirmed':
      onUnconfirmed(step, event.txid)
      onCloseUnconfirmed(step, event.txid)
      onExitUnconfirmed(step, event.txid)
      onAssistUnconfirmed(step, event.txid)
      break
    case 'tip':
      eachRule(
        step,
        () => giveUpDoubleSpent(step, event.height),
        () => onTip(step, context, event.height),
        () => onCloseTip(step, context, event.height),
        () => exitAtDeadline(step, context, live, event.height),
        () => refundInTime(step, live, event.height),
        () => advanceLspExit(step, context, live, event.height),
        () => lapseOffers(step, event.height),
        () => onAssistTip(step, context, event.height),
        () => bury(step, event.height),
        () => pollMoves(step, context),
        () => reapWhenEmpty(step, context),
      )
      break
    case 'resume':
      resume(step, context, live)
      break
    case 'conflict':
      if (isForming(step.state.stage)) abort(step, `refused to sign: ${event.error}`)
      break
    case 'operator':
      if (event.order.order === 'abort') abort(step, event.order.reason)
      else if (event.order.order === 'close') onCloseOrder(step, live, context, event.order)
      else if (event.order.order === 'rotate') onRotateOrder(step, event.order)
      else if (event.order.order === 'sell') onSellOrder(step, context, live, event.order)
      else if (event.order.order === 'buy')
        throw new FactoryError('wrong_state', 'this node is the LSP of this factory: it sells', 'Use factory-sell.')
      else if (event.order.order === 'exit')
        startLspExit(step, context, live, everyone(step.state), 'ordered by the operator')
      break
    case 'spent':
      onInputSpent(step, event.outpoint, event.by, event.height)
      onSharedSpent(step, context, live, event)
      onExitSpent(step, context, live, event.outpoint, event.by, event.height)
      onAssistSpent(step, event.outpoint, event.by, event.tx)
      break
    case 'unspent':
      onInputUnspent(step, event.outpoint)
      onSharedUnspent(step, context, event.outpoint)
      onExitUnspent(step, context, live, event.outpoint)
      break
    case 'channels':
      exitForHtlcs(step, context, live, event.channels, event.height)
      break
    case 'htlcReceived':
      if (expectsAssistHtlc(step.state, event.htlc)) onAssistHtlc(step, context, event.htlc)
      else if (paysForSale(step.state, event.htlc)) onSaleHtlc(step, context, live, event.htlc)
      else onMoveHtlc(step, context, event.htlc)
      break
    case 'channelsChanged':
      break
  }
}

function onMessage(step: Builder, context: Context, live: LspLive, peer: NodeId, payload: Payload): void {
  switch (payload.kind) {
    case 'accept':
      return onAccept(step, context, live, peer, payload)
    case 'reads_channel_in_factory':
      return onReadsBinding(step, peer)
    case 'refuse':
      if (step.state.stage === 'inviting')
        abort(step, new FactoryError('policy_refused', `client ${peer} refused: ${payload.reason}`), peer)
      return
    case 'nonces':
      return onNonces(step, live, peer, payload)
    case 'partial_signatures':
      return onPartials(step, live, peer, payload)
    case 'stored':
      return onStored(step, context, live, peer)
    case 'channel_ready':
      return onChannelReady(step, peer, Buffer.from(payload.channelId).toString('hex'))
    case 'abort':
      if (isForming(step.state.stage)) abort(step, `client ${peer} aborted: ${payload.reason}`, peer)
      else onCloseRefused(step, peer, payload.reason)
      return
    case 'sync':
      return onSync(step, context, live, peer)
    case 'move_part':
      return onMovePart(step, context, peer, payload)
    case 'move_key':
      return onMoveKey(step, peer, payload)
    case 'sale_request':
      return onSaleRequest(step, context, live, peer, payload)
    case 'sale_accept':
      return onSaleAccept(step, peer, payload)
    case 'sale_nonces':
      return onSaleNonces(step, context, live, peer, payload)
    case 'sale_partial_signatures':
      return onSalePartials(step, context, live, peer, payload)
    case 'sale_stored':
      return onSaleStored(step, context, live, peer, payload)
    case 'sale_abort':
      return onSaleAbort(step, context, live, peer, payload)
    case 'close_nonce':
    case 'close_partial_signature':
      return onCloseMessage(step, context, live, peer, payload)
    case 'assist_request':
      return onAssistRequest(step, context, peer, payload)
    case 'assist_refuse':
      return onAssistDeclined(step, peer, payload)
    default:
      return outOfTurn(step, peer, payload.kind)
  }
}

/** The client tells where it stands after a reconnection; it gets what it may have missed. */
function onSync(step: Builder, context: Context, live: LspLive, peer: NodeId): void {
  const { state } = step
  if (state.stage === 'aborted') sendAbort(step, peer, state.reason)
  else if (state.stage === 'confirming' || state.stage === 'active') {
    announceFunding(step, peer)
    resumeLspSales(step, context, live, peer)
  } else if (state.stage === 'closing') resumeClose(step, live, context, peer)
}

function onConnected(step: Builder, peer: NodeId): void {
  const client = step.state.clients[clientPosition(step.state, peer)]
  if (client === undefined) return
  if (step.state.stage === 'inviting' && client.accepted === undefined) invite(step, client)
}

/** A pending open dies with the connection: from the first open until the channel is completed nobody may be away. */
function onDisconnected(step: Builder, peer: NodeId): void {
  const client = step.state.clients[clientPosition(step.state, peer)]
  if (client === undefined) return
  const { stage } = step.state
  const pending = stage === 'opening' || stage === 'signing' || stage === 'delivering' || stage === 'completing'
  if (pending && client.channelId === undefined)
    abort(
      step,
      new FactoryError('peer_offline', `client ${peer} disconnected while its channel was being opened`),
      peer,
    )
}

function onTimer(step: Builder, context: Context, live: LspLive, name: TimerName): void {
  const { state } = step
  if (name === 'step' && isForming(state.stage)) {
    const silent = waitingFor(state, live)
    const late = new FactoryError('peer_silent', `no answer within ${state.stepTimeout} s from ${silent.join(', ')}`)
    return abort(step, late, silent[0])
  }
  if (name === 'sale') return onSaleTimer(step, context, live)
  if (name === 'step' && state.stage === 'closing') return onCloseTimer(step, live)
  if (name === 'move') {
    pollMoves(step, context)
    return reapWhenEmpty(step, context)
  }
  if (name !== 'retry') return
  if (state.stage === 'launching') launch(step, state)
  if (state.stage === 'closing') onCloseRetry(step, context)
  if (state.stage === 'aborted' && !state.cleaned) step.call(cleanUp(state))
}

function onDone(step: Builder, context: Context, live: LspLive, done: HostDone): void {
  const { state } = step
  switch (done.call) {
    case 'fundingPrepare':
      if (state.stage === 'preparing') return onFundingPrepared(step, done.funding)
      // The abort was faster than the host: what it prepared since is undone too.
      if (state.stage === 'aborted') undoLate(step.to({ ...state, funding: done.funding, cleaned: false }))
      return
    case 'openStart':
      if (state.stage === 'active') return onSaleOpenStarted(step, context, live, done.peer, done.script)
      return onOpenStarted(step, context, live, done.peer, done.script)
    case 'openComplete':
      if (!isForming(state.stage) && state.stage !== 'aborted')
        return onSaleOpenCompleted(step, context, live, done.peer, done.channelId)
      return onOpenCompleted(step, done.peer, done.channelId)
    case 'launch':
      return onLaunched(step)
    case 'release':
      return onSaleReleased(step, context, live, done.channelId)
    case 'cleanUp':
      if (state.stage === 'aborted') step.to({ ...state, cleaned: true })
      return
    case 'channels':
      if (state.stage === 'completing') return onChannelsAtResume(step, context, live, done.channels)
      onMoveChannels(step, context, done.channels)
      return onCloseChannels(step, live, context, done.channels)
    case 'expectPayment':
      onPaymentExpected(step, context, live, done.hash, done.secret)
      return onExpected(step, done.hash, done.secret)
    case 'payDirect':
      return onMovePaid(step, done.payment.hash, done.preimage)
    case 'utxo':
      return onFundingAtResume(step, done.output)
    case 'newScript':
      return onExitScript(step, done.script)
    case 'assistLook':
      return onAssistLooked(step, context, done)
    case 'assistFund':
      return onAssistFunded(step, context, done)
    case 'broadcast':
      onExitBroadcast(step, done.txid, done.result)
      return onCloseBroadcast(step, done.result)
    default:
      return
  }
}

/** Memory is gone: what can go on does, what can't is given up, and what must be watched is watched again. */
function resume(step: Builder, context: Context, live: LspLive): void {
  dropPreparing(step)
  resumeAssists(step, context)
  const { state } = step
  switch (state.stage) {
    case 'inviting':
      for (const c of state.clients) if (c.accepted === undefined) invite(step, c)
      return restartTimer(step)
    case 'preparing':
    case 'opening':
    case 'signing':
    case 'delivering':
      return abort(
        step,
        `restarted while ${state.stage}`,
        undefined,
        // The host's answers died with the process.
        state.clients.map((c) => c.id),
      )
    case 'completing':
      step.call({ call: 'utxo', outpoint: { txid: state.funding.txid, vout: state.funding.vout } })
      return restartTimer(step)
    case 'launching':
      watch(step)
      return launch(step, state)
    case 'confirming':
      watch(step)
      return watchTree(step, context, live)
    case 'active':
      giveUpAll(step, context, live, new FactoryError('aborted', 'the LSP was restarted'))
      // The host's answers died with the process.
      live.lateOpens.clear()
      watch(step)
      resumeMoves(step, context)
      reapWhenEmpty(step, context)
      return resumeExit(step, context, live)
    case 'closing':
      watch(step)
      resumeExit(step, context, live)
      return resumeClose(step, live, context, undefined)
    case 'aborted':
      if (!state.cleaned) step.call(cleanUp(state))
      return
    case 'exiting':
      watch(step)
      return resumeExit(step, context, live)
    case 'settled':
      watch(step)
      watchTree(step, context, live)
      if (state.how === 'cooperative') step.effect({ do: 'watchTx', txid: state.close.txid, since: state.createdAt })
      return
    case 'closed':
    case 'exited':
      return
  }
}
