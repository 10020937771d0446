/** Cooperative close, LSP side: drain, fix the amounts, sign with all, broadcast. */
import { clipText, FactoryError, type CloseNonce, type ClosePartialSignature } from '@ln-factory/tlv'
import { isBound } from '../assist/state.js'
import { base } from '../ceremony/lsp/abort.js'
import { accepted, clientPosition, factoryKeys, lspKey, participantAt } from '../ceremony/lsp/factory.js'
import type { LspLive } from '../ceremony/lsp/forming.js'
import { SigningRound } from '../ceremony/lsp/round.js'
import type { LspState } from '../ceremony/lsp/state.js'
import { signatureItem, signRecord } from '../ceremony/spend-key.js'
import { settle, unsettle } from '../finality/lsp.js'
import type { BroadcastResult, HostChannel } from '../host/port.js'
import { soldChannels } from '../liquidity/lsp/sales.js'
import { idBytes, type Context, type HostCall, type OperatorOrder, type StepBuilder } from '../machine/index.js'
import { buildClose, closeOutputs, finalize, type FactoryKeys } from '../tree/index.js'
import type { Spend, TxOutput } from '../tree/types.js'
import { blockHeight, floorSat, msat, type BlockHeight, type NodeId, type Txid } from '../units/index.js'
import { CLOSE_SPEND_ID, CLOSE_TX_ITEM, type LspClose, type SignedLspClose } from './state.js'

type Builder = StepBuilder<LspState>
type Closing = Extract<LspState, { stage: 'closing' }>

/** Seconds between two looks at HTLCs that must settle first, and between two broadcasts. */
const POLL = 2
const REBROADCAST = 60

export function onCloseOrder(
  step: Builder,
  live: LspLive,
  context: Context,
  order: Extract<OperatorOrder, { order: 'close' }>,
): void {
  const { state } = step
  if (context.sealed)
    throw new FactoryError(
      'restored',
      'this database is an old copy: what was signed for this factory may be missing in it, so nothing new is signed',
      'Use factory-exit, or let the clients leave.',
    )
  if (Object.keys(state.seen).length > 0 || state.exit !== undefined)
    throw new FactoryError(
      'wrong_state',
      'part of the tree is on chain: the funding is spent',
      'Use factory-exit for the rest.',
    )
  if (state.assists.some(isBound))
    throw new FactoryError('wrong_state', 'a client is leaving with our help: wait until it has', 'factory-show')
  if (state.stage === 'active') {
    const close: LspClose = { step: 'draining', feerate: order.feerate, script: order.script }
    step.to({ ...state, stage: 'closing', close, notice: undefined })
    step.log('state', 'closing: no new HTLCs')
    step.call({ call: 'channels' })
    step.effect({ do: 'timer', name: 'step', seconds: state.stepTimeout })
  } else if (state.stage === 'closing') {
    step.to({ ...state, notice: undefined })
    resumeClose(step, live, context, undefined)
  } else throw new FactoryError('wrong_state', `the factory is ${state.stage}; only an active one can be closed`)
}

export function onCloseChannels(
  step: Builder,
  live: LspLive,
  context: Context,
  channels: readonly HostChannel[],
): void {
  const { state } = step
  if (state.stage !== 'closing' || state.close.step !== 'draining') return
  const { feerate, script } = state.close
  const ours = state.clients.map((c) => channels.find((ch) => ch.channelId === c.channelId))
  const sold = soldChannels(state).map((s) => ({ ...s, channel: channels.find((ch) => ch.channelId === s.channelId) }))
  const busy = [...ours, ...sold.map((s) => s.channel)].reduce((sum, ch) => sum + (ch?.htlcs.length ?? 0), 0)
  if (busy > 0) {
    step.effect({ do: 'timer', name: 'retry', seconds: POLL })
    return
  }
  const lost = state.clients.find((_, i) => ours[i] === undefined)
  if (lost !== undefined) return giveUp(step, state, `the channel with ${lost.id} is gone from this node`)
  const gone = sold.find((s) => s.channel === undefined)
  if (gone !== undefined) return giveUp(step, state, `the channel sold to ${gone.peer} is gone from this node`)
  const theirs = (capacity: bigint, channel: HostChannel | undefined): bigint =>
    capacity * 1000n - (channel?.ours ?? 0n)
  const balances = state.clients.map((c, i) =>
    msat(
      sold
        .filter((s) => s.peer === c.id)
        .reduce((sum, s) => sum + theirs(s.capacity, s.channel), theirs(c.capacity, ours[i])),
    ),
  )
  try {
    const { outputs, fee, lspAmount } = closeOutputs({
      fundingAmount: state.fundingAmount,
      balances: state.clients.map((c, i) => ({
        script: accepted(c).payoutScript,
        amount: floorSat(balances[i] ?? msat(0)),
      })),
      lspScript: script,
      feerate,
    })
    const proposed: Closing = {
      ...state,
      close: { step: 'proposed', balances, outputs, fee, ours: lspAmount, binding: false },
    }
    step.to(proposed)
    propose(step, live, context)
    step.effect({ do: 'timer', name: 'step', seconds: state.stepTimeout })
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    giveUp(step, state, error.message)
  }
}

function closeSpend(state: Closing, outputs: readonly TxOutput[], keys: FactoryKeys): Spend {
  const outpoint = { txid: state.funding.txid, vout: state.funding.vout }
  return buildClose({ funding: { outpoint, amount: state.fundingAmount }, keys, outputs, lockTime: 0 })
}

/** (Re)start the signing round over amounts that are already on disk. */
function propose(step: Builder, live: LspLive, context: Context): void {
  const { state } = step
  if (state.stage !== 'closing' || state.close.step !== 'proposed') return
  const { outputs, balances } = state.close
  const keys = factoryKeys(state, context)
  const spend = closeSpend(state, outputs, keys)
  live.round = new SigningRound([spend], keys, lspKey(state, context).secretKey, () => context.entropy(32))
  live.close = spend
  state.clients.forEach((c, i) => {
    step.send(c.id, {
      kind: 'close_propose',
      instanceId: idBytes(state.instance),
      balance: balances[i] ?? 0n,
      lockTime: 0,
      outputs,
    })
  })
}

export function onCloseMessage(
  step: Builder,
  context: Context,
  live: LspLive,
  peer: NodeId,
  message: CloseNonce | ClosePartialSignature,
): void {
  const { state } = step
  const { round, close: spend } = live
  if (state.stage !== 'closing' || state.close.step !== 'proposed' || round === undefined || spend === undefined) return
  const participant = participantAt(clientPosition(state, peer))
  const all = state.clients.map((_, i) => participantAt(i))
  try {
    if (message.kind === 'close_nonce') {
      if (round.hasNonces(participant)) return
      round.addNonces(participant, [spend.id], [message.nonce])
      if (!all.every((p) => round.hasNonces(p))) return
      round.aggregate()
      step.to({ ...state, close: { ...state.close, binding: true } })
      const [nonce] = round.aggregatedNonces([spend.id])
      for (const c of state.clients)
        step.send(c.id, {
          kind: 'close_aggregated_nonce',
          instanceId: idBytes(state.instance),
          nonce: nonce ?? new Uint8Array(),
        })
      return
    }
    if (!round.isAggregated || round.hasPartials(participant)) return
    round.addPartials(participant, [spend.id], [message.signature])
    if (all.every((p) => round.hasPartials(p))) sign(step, state, state.close, live, spend)
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    fail(step, state, `client ${peer}: ${error.message}`)
  }
}

function sign(
  step: Builder,
  state: Closing,
  close: Extract<LspClose, { step: 'proposed' }>,
  live: LspLive,
  spend: Spend,
): void {
  const result = live.round?.finish()
  live.round = undefined
  if (result === undefined) return
  if (!result.ok) {
    const guilty = result.culprits.map((i) => state.clients[i - 1]?.id ?? 'the LSP itself')
    return fail(step, state, `bad partial signature by ${guilty.join(', ')}`)
  }
  const signature = result.signatures.get(spend.id) ?? new Uint8Array()
  const tx = finalize(spend, signature)
  step.to({
    ...state,
    close: {
      step: 'signed',
      txid: spend.tx.txid,
      fee: close.fee,
      ours: close.ours,
      vsize: spend.vsize,
      accepted: false,
      confirmedAt: undefined,
    },
    notice: undefined,
  })
  step.record(signRecord(spend)).item(signatureItem(spend.id), signature).item(CLOSE_TX_ITEM, tx)
  step.log('signed', `cooperative close ${spend.tx.txid}`)
  for (const c of state.clients)
    step.send(c.id, { kind: 'close_complete', instanceId: idBytes(state.instance), signature })
  step.effect({ do: 'cancelTimer', name: 'step' })
  broadcast(step, spend.tx.txid, tx)
}

function broadcast(step: Builder, id: Txid, tx: Uint8Array): void {
  step.effect({ do: 'watchTx', txid: id, since: step.state.createdAt })
  step.call({ call: 'broadcast', tx, txid: id })
}

export function onCloseBroadcast(step: Builder, result: BroadcastResult): void {
  const { state } = step
  if (state.stage !== 'closing' || state.close.step !== 'signed') return
  if (result.accepted) {
    step.to({ ...state, close: { ...state.close, accepted: true }, notice: undefined })
    step.log('broadcast', `cooperative close ${state.close.txid}`)
  } else {
    step.to({ ...state, notice: `the close was not accepted: ${result.error ?? 'no reason given'}` })
    step.effect({ do: 'timer', name: 'retry', seconds: REBROADCAST })
  }
}

function signedClose(state: LspState): SignedLspClose | undefined {
  if (state.stage === 'exiting') return state.exit?.close
  return state.stage === 'closing' && state.close.step === 'signed' ? state.close : undefined
}

export function onCloseConfirmed(step: Builder, context: Context, txid: Txid, height: BlockHeight): void {
  const { state } = step
  const close = signedClose(state)
  if ((state.stage !== 'closing' && state.stage !== 'exiting') || close?.txid !== txid) return
  step.to({
    ...base(state),
    stage: 'closing',
    funding: state.funding,
    // The close was faster than an exit that was under way: the tree can't appear any more.
    exit: undefined,
    confirmedAt: state.confirmedAt,
    close: { ...close, accepted: true, confirmedAt: height },
    notice: undefined,
  })
  step.log('confirmed', `cooperative close at height ${height}`)
  onCloseTip(step, context, blockHeight(Math.max(height, context.height)))
}

export function onCloseUnconfirmed(step: Builder, txid: Txid): void {
  const { state } = step
  const text = 'the close was reorganised out of the chain'
  if (state.stage === 'settled' && state.how === 'cooperative' && state.close.txid === txid) return unsettle(step, text)
  const close = signedClose(state)
  if (state.stage !== 'closing' || close?.txid !== txid) return
  step.to({ ...state, close: { ...close, confirmedAt: undefined } })
  step.log('warning', text)
}

/**
 * Sent again with every block until it confirms. Our channels are kept until it is final: what a reorganisation takes back, a path
 * that somebody publishes could replace.
 */
export function onCloseTip(step: Builder, context: Context, height: BlockHeight): void {
  const { state } = step
  const close = signedClose(state)
  if (state.stage !== 'closing' || close === undefined) return
  if (close.confirmedAt === undefined) return sendAgain(step, context, close)
  if (height - close.confirmedAt + 1 < context.policy.minDepth) return
  settle(step, state, { how: 'cooperative', close }, close.confirmedAt, 'closed cooperatively')
}

/** The step's time is over: amounts that nobody can have signed are taken back; others stay, to be signed later. */
export function onCloseTimer(step: Builder, live: LspLive): void {
  const { state } = step
  if (state.stage !== 'closing' || state.close.step === 'signed') return
  const silent = state.clients.filter((_, i) => live.round?.awaits(participantAt(i)) ?? true).map((c) => c.id)
  const what = state.close.step === 'draining' ? 'HTLCs did not settle' : `no answer from ${silent.join(', ')}`
  fail(step, state, `${what} within ${state.stepTimeout} s`)
}

export function onCloseRetry(step: Builder, context: Context): void {
  const { state } = step
  if (state.stage !== 'closing') return
  if (state.close.step === 'draining') step.call({ call: 'channels' })
  if (state.close.step === 'signed') sendAgain(step, context, state.close)
}

function sendAgain(step: Builder, context: Context, close: { txid: Txid }): void {
  const tx = context.item(CLOSE_TX_ITEM)
  if (tx !== undefined) broadcast(step, close.txid, tx)
}

/** A host that can't answer now is asked again: while draining until the time is over, then without end. */
export function onCloseCallFailed(step: Builder, call: HostCall, error: string): void {
  if (call.call !== 'channels' && call.call !== 'broadcast') return
  step.remark(`${call.call}: ${error}`)
  step.effect({ do: 'timer', name: 'retry', seconds: call.call === 'channels' ? POLL : REBROADCAST })
}

/** A client does not agree. What binds is kept. */
export function onCloseRefused(step: Builder, peer: NodeId, reason: string): void {
  const { state } = step
  if (state.stage === 'closing' && state.close.step === 'proposed') fail(step, state, `client ${peer}: ${reason}`)
}

function fail(step: Builder, state: Closing, reason: string): void {
  if (state.close.step === 'proposed' && state.close.binding) {
    step.to({ ...state, notice: `close not signed: ${reason}; order it again when all are there` })
    step.log('warning', `close not signed: ${reason}`)
  } else giveUp(step, state, reason)
}

function giveUp(step: Builder, state: Closing, reason: string): void {
  const { funding, confirmedAt } = state
  const notice = `close given up: ${reason}`
  step.to(
    confirmedAt === undefined
      ? { ...base(state), stage: 'confirming', funding, confirmedAt, notice }
      : { ...base(state), stage: 'active', funding, confirmedAt, notice },
  )
  step.log('warning', `close given up: ${reason}`)
  step.effect({ do: 'cancelTimer', name: 'step' })
  for (const c of state.clients)
    step.send(c.id, {
      kind: 'abort',
      instanceId: idBytes(state.instance),
      reason: clipText(`close given up: ${reason}`, 500),
    })
}

/** After a restart, a reconnection or a second order: go on where the state stands. */
export function resumeClose(step: Builder, live: LspLive, context: Context, peer: NodeId | undefined): void {
  const { state } = step
  if (state.stage !== 'closing') return
  switch (state.close.step) {
    case 'draining':
      step.call({ call: 'channels' })
      if (peer === undefined) step.effect({ do: 'timer', name: 'step', seconds: state.stepTimeout })
      return
    case 'proposed':
      propose(step, live, context)
      // A client that comes back again and again must not hold up the others' channels for ever.
      if (peer === undefined) step.effect({ do: 'timer', name: 'step', seconds: state.stepTimeout })
      return
    case 'signed': {
      sendAgain(step, context, state.close)
      const signature = context.item(signatureItem(CLOSE_SPEND_ID))
      if (peer !== undefined && signature !== undefined)
        step.send(peer, { kind: 'close_complete', instanceId: idBytes(state.instance), signature })
    }
  }
}
