/** Cooperative close, client side: shut the gate, compare the balance, sign once, keep the result. */
import {
  clipText,
  FactoryError,
  type CloseAggregatedNonce,
  type CloseComplete,
  type ClosePropose,
} from '@ln-factory/tlv'
import type { ClientLive } from '../ceremony/client/forming.js'
import { clientKey, storedKeys } from '../ceremony/client/path.js'
import { fundingOf, livePath } from '../ceremony/client/running.js'
import { clientBase, joined, type ClientState } from '../ceremony/client/state.js'
import { isValid, signatureItem, signRecord, spendAggregate } from '../ceremony/spend-key.js'
import { settle, unsettle } from '../finality/client.js'
import type { HostChannel } from '../host/port.js'
import { ownChannels } from '../liquidity/client/sales.js'
import { idBytes, type Context, type StepBuilder } from '../machine/index.js'
import { generateNonce, openSession } from '../signing/index.js'
import { buildClose, DUST, finalize, type FactoryKeys } from '../tree/index.js'
import type { Spend, TxOutput } from '../tree/types.js'
import { floorSat, msat, sat, sumSat, type BlockHeight, type Sat, type Txid } from '../units/index.js'
import { CLOSE_TX_ITEM, type SignedClose } from './state.js'

type Builder = StepBuilder<ClientState>
type Closing = Extract<ClientState, { stage: 'closing' }>

export function onClosePropose(step: Builder, context: Context, live: ClientLive, message: ClosePropose): void {
  const { state } = step
  const proposal = {
    balance: message.balance,
    outputs: message.outputs.map((o) => ({ amount: o.amount as Sat, script: o.script })),
    lockTime: message.lockTime,
  }
  if (state.stage === 'closing') {
    // A round that is repeated: the same amounts, or nothing.
    if (!sameProposal(state.close, proposal)) return decline(step, 'another close was agreed before')
    return sendNonce(step, context, live)
  }
  if (context.sealed) return decline(step, 'our database is an old copy: what we signed before may be missing in it')
  if (state.stage !== 'active') return decline(step, `our factory is ${state.stage}`)
  if (state.assist !== undefined) return decline(step, 'we are leaving with your help')
  if (message.lockTime !== 0) return decline(step, 'the close has a lock time')
  const fault = faultOf(message)
  if (fault !== undefined) return decline(step, fault)
  live.closeNonce = undefined
  const { channelId, confirmedAt } = state
  step.to({
    ...clientBase(state),
    ...joined(state),
    stage: 'closing',
    channelId,
    confirmedAt,
    close: { step: 'checking', ...proposal },
  })
  step.log('received', `close proposed: our balance is ${message.balance} msat`)
  step.call({ call: 'channels' })
}

/** The gate has been shut before this look at the channel, so what it shows can only shrink by what is pending. */
export function onCloseChannels(
  step: Builder,
  context: Context,
  live: ClientLive,
  channels: readonly HostChannel[],
): void {
  const { state } = step
  if (state.stage !== 'closing' || state.close.step !== 'checking') return
  const fault = faultOfClose(state, context, live, channels)
  if (fault !== undefined) return giveUp(step, state, fault)
  step.to({ ...state, close: { ...state.close, step: 'agreed' } })
  step.log('state', `close agreed: ${state.close.balance} msat`)
  sendNonce(step, context, live)
}

/** Amounts that the wire can carry and money can't be. */
function faultOf(message: ClosePropose): string | undefined {
  try {
    msat(message.balance)
    sumSat(message.outputs.map((o) => sat(o.amount)))
    return undefined
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    return error.message
  }
}

/** Invariant 10: what we are paid is what we have, and the others are paid no more than there is. */
function faultOfClose(
  state: Closing,
  context: Context,
  live: ClientLive,
  channels: readonly HostChannel[],
): string | undefined {
  const own = ownChannels(state, context, live).map(({ channelId }) => channels.find((c) => c.channelId === channelId))
  if (own.some((c) => c === undefined)) return 'our channel is gone'
  if (own.some((c) => c !== undefined && c.htlcs.length > 0)) return 'an HTLC is pending in our channel'
  const { balance, outputs } = state.close
  const ours = msat(own.reduce((sum, c) => sum + (c?.ours ?? 0n), 0n))
  if (ours !== balance) return `our balance is ${ours} msat, not ${balance}`
  const due = floorSat(ours)
  const paid = outputs.filter((o) => Buffer.compare(o.script, state.payoutScript) === 0)
  const amount = sumSat(paid.map((o) => o.amount))
  if (amount !== due && !(due < DUST && paid.length === 0)) return `the close pays us ${amount} sat instead of ${due}`
  if (sumSat(outputs.map((o) => o.amount)) > fundingAmount(state, context, live))
    return 'the close pays out more than the funding holds'
  try {
    closeSpend(state, context, live)
    return undefined
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    return error.message
  }
}

/** The host can't show us the channel: without that there is no agreement. */
export function onCloseUnchecked(step: Builder, error: string): void {
  const { state } = step
  if (state.stage === 'closing' && state.close.step === 'checking') giveUp(step, state, error)
}

const fundingAmount = (state: Closing, context: Context, live: ClientLive): bigint =>
  livePath(state, context, live).spends[0]?.prevout.amount ?? 0n

const liveKeys = (context: Context, live: ClientLive): FactoryKeys => (live.keys ??= storedKeys(context))

function closeSpend(state: Closing, context: Context, live: ClientLive): Spend {
  const path = livePath(state, context, live)
  const first = path.spends[0]
  if (first === undefined) throw new FactoryError('internal', 'a path without transactions')
  return buildClose({
    funding: { outpoint: fundingOf(path), amount: first.prevout.amount },
    keys: liveKeys(context, live),
    outputs: state.close.outputs,
    lockTime: state.close.lockTime,
  })
}

function sendNonce(step: Builder, context: Context, live: ClientLive): void {
  const { state } = step
  if (state.stage !== 'closing' || state.close.step === 'checking') return
  const spend = closeSpend(state, context, live)
  const { secretKey } = clientKey(state, context)
  // A round may be repeated while our answer to the last one is on its way: it must be right for either.
  live.closeNonce ??= generateNonce({
    secretKey,
    aggregate: spendAggregate(spend, liveKeys(context, live)),
    message: spend.sighash,
    entropy: () => context.entropy(32),
  })
  step.send(state.lsp, { kind: 'close_nonce', instanceId: idBytes(state.instance), nonce: live.closeNonce.public })
}

export function onCloseAggregatedNonce(
  step: Builder,
  context: Context,
  live: ClientLive,
  message: CloseAggregatedNonce,
): void {
  const { state } = step
  const nonce = live.closeNonce
  if (state.stage !== 'closing' || state.close.step === 'checking' || nonce === undefined) return
  live.closeNonce = undefined
  const spend = closeSpend(state, context, live)
  const session = openSession({
    aggregate: spendAggregate(spend, liveKeys(context, live)),
    message: spend.sighash,
    aggregatedNonce: message.nonce,
  })
  const signature = session.sign(nonce.secret, clientKey(state, context).secretKey)
  step.record(signRecord(spend))
  const confirmedAt = state.close.step === 'signed' ? state.close.confirmedAt : undefined
  step.to({ ...state, close: { ...state.close, step: 'signed', txid: spend.tx.txid, confirmedAt } })
  step.log('signed', `cooperative close ${spend.tx.txid}: our balance is frozen`)
  step.effect({ do: 'watchTx', txid: spend.tx.txid, since: state.createdAt })
  step.send(state.lsp, { kind: 'close_partial_signature', instanceId: idBytes(state.instance), signature })
}

/** We can broadcast it as well as the LSP can, and do. */
export function onCloseComplete(step: Builder, context: Context, live: ClientLive, message: CloseComplete): void {
  const { state } = step
  if (state.stage !== 'closing' || state.close.step !== 'signed') return
  const spend = closeSpend(state, context, live)
  if (!isValid(message.signature, spend, liveKeys(context, live)))
    throw new FactoryError('bad_signature', "the LSP's signature for the close is not valid")
  live.keys = undefined
  const tx = finalize(spend, message.signature)
  step.item(signatureItem(spend.id), message.signature).item(CLOSE_TX_ITEM, tx)
  step.log('state', `close complete: ${spend.tx.txid}`)
  step.call({ call: 'broadcast', tx, txid: spend.tx.txid })
}

/** The LSP took the proposal back. After our signature is out that changes nothing: the amounts stay frozen. */
export function onCloseAborted(step: Builder, live: ClientLive, reason: string): void {
  const { state } = step
  if (state.stage !== 'closing' || state.close.step === 'signed') return
  live.closeNonce = undefined
  reopen(step, state, `close given up by the LSP: ${reason}`)
}

export function onCloseConfirmed(step: Builder, context: Context, id: Txid, height: BlockHeight): void {
  const { state } = step
  const close = signedClose(state)
  if (close?.txid !== id || (state.stage !== 'closing' && state.stage !== 'exiting')) return
  // The close was faster than the exit that we had ordered: our path can't appear any more.
  step.to({
    ...clientBase(state),
    ...joined(state),
    stage: 'closing',
    channelId: state.channelId,
    confirmedAt: state.stage === 'closing' ? state.confirmedAt : undefined,
    close: { ...close, confirmedAt: height },
    notice: undefined,
  })
  step.log('confirmed', `cooperative close at height ${height}`)
  onCloseTip(step, context, height > context.height ? height : context.height)
}

export function onCloseUnconfirmed(step: Builder, id: Txid): void {
  const { state } = step
  const text = 'the close was reorganised out of the chain'
  if (state.stage === 'settled' && state.how === 'cooperative' && state.close.txid === id) return unsettle(step, text)
  const close = signedClose(state)
  if (state.stage !== 'closing' || close?.txid !== id) return
  step.to({ ...state, close: { ...close, confirmedAt: undefined } })
  step.log('warning', text)
}

/**
 * Sent again with every block until it confirms. Our channel is kept until it is final: what a reorganisation takes back, a path that
 * somebody publishes could replace.
 */
export function onCloseTip(step: Builder, context: Context, height: BlockHeight): void {
  const { state } = step
  const close = signedClose(state)
  if (state.stage !== 'closing' || close === undefined) return
  if (close.confirmedAt === undefined) {
    const tx = context.item(CLOSE_TX_ITEM)
    if (tx !== undefined) step.call({ call: 'broadcast', tx, txid: close.txid })
    return
  }
  if (height - close.confirmedAt + 1 < context.policy.minDepth) return
  const { confirmedAt } = state
  settle(step, state, { how: 'cooperative', confirmedAt, close }, close.confirmedAt, 'closed cooperatively')
}

function signedClose(state: ClientState): SignedClose | undefined {
  if (state.stage === 'exiting') return state.exit.close
  return state.stage === 'closing' && state.close.step === 'signed' ? state.close : undefined
}

function giveUp(step: Builder, state: Closing, reason: string): void {
  reopen(step, state, `close refused: ${reason}`)
  decline(step, reason)
}

function reopen(step: Builder, state: Closing, notice: string): void {
  const { channelId, confirmedAt } = state
  const common = { ...clientBase(state), ...joined(state), channelId, notice }
  if (confirmedAt === undefined) step.to({ ...common, stage: 'ready', confirmedAt })
  else step.to({ ...common, stage: 'active', confirmedAt })
  step.log('warning', notice)
}

function decline(step: Builder, reason: string): void {
  const { lsp, instance } = step.state
  step.send(lsp, { kind: 'abort', instanceId: idBytes(instance), reason: clipText(`close refused: ${reason}`, 500) })
}

function sameProposal(a: { balance: bigint; outputs: readonly TxOutput[]; lockTime: number }, b: typeof a): boolean {
  return (
    a.balance === b.balance &&
    a.lockTime === b.lockTime &&
    a.outputs.length === b.outputs.length &&
    a.outputs.every((o, i) => {
      const other = b.outputs[i]
      return other !== undefined && o.amount === other.amount && Buffer.compare(o.script, other.script) === 0
    })
  )
}
