/** Cooperative close, client side: shut the gate, compare the balance, sign once, keep the result. */
import {
  clipText,
  FactoryError,
  type CloseAggregatedNonce,
  type CloseComplete,
  type ClosePropose,
} from '@ln-factory/tlv'
import type { ClientLive } from '../ceremony/client/forming.js'
import { clientKey, storedProposal } from '../ceremony/client/path.js'
import { fundingOf, livePath } from '../ceremony/client/running.js'
import { clientBase, joined, type ClientState } from '../ceremony/client/state.js'
import { isValid, signatureItem, signRecord, spendAggregate } from '../ceremony/spend-key.js'
import type { HostChannel } from '../host/port.js'
import { idBytes, type Context, type StepBuilder } from '../machine/index.js'
import { generateNonce, openSession } from '../signing/index.js'
import { buildClose, DUST, finalize } from '../tree/index.js'
import type { Spend, TxOutput } from '../tree/types.js'
import { floorSat, msat, sat, sumSat, type Txid } from '../units/index.js'
import { CLOSE_TX_ITEM } from './state.js'

type Builder = StepBuilder<ClientState>
type Closing = Extract<ClientState, { stage: 'closing' }>

export function onClosePropose(step: Builder, context: Context, live: ClientLive, message: ClosePropose): void {
  const { state } = step
  const outputs = message.outputs.map((o) => ({ amount: sat(o.amount), script: o.script }))
  const proposal = { balance: message.balance, outputs, lockTime: message.lockTime }
  if (state.stage === 'closing') {
    // A round that is repeated: the same amounts, or nothing.
    if (!sameProposal(state.close, proposal)) return decline(step, 'another close was agreed before')
    return sendNonce(step, context, live)
  }
  if (state.stage !== 'active') return
  if (message.lockTime !== 0) return decline(step, 'the close has a lock time')
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
  const channel = channels.find((c) => c.channelId === state.channelId)
  if (channel === undefined) return giveUp(step, state, 'our channel is gone')
  if (channel.pendingHtlcs > 0) return giveUp(step, state, 'an HTLC is pending in our channel')
  if (channel.ours !== msat(state.close.balance))
    return giveUp(step, state, `our balance is ${channel.ours} msat, not ${state.close.balance}`)
  const due = floorSat(channel.ours)
  const paid = state.close.outputs.filter((o) => Buffer.compare(o.script, state.payoutScript) === 0)
  const amount = sumSat(paid.map((o) => o.amount))
  if (amount !== due && !(due < DUST && paid.length === 0))
    return giveUp(step, state, `the close pays us ${amount} sat instead of ${due}`)
  if (sumSat(state.close.outputs.map((o) => o.amount)) > fundingAmount(state, context, live))
    return giveUp(step, state, 'the close pays out more than the funding holds')
  step.to({ ...state, close: { ...state.close, step: 'agreed' } })
  step.log('state', `close agreed: ${due} sat to our wallet`)
  sendNonce(step, context, live)
}

const fundingAmount = (state: Closing, context: Context, live: ClientLive): bigint =>
  livePath(state, context, live).spends[0]?.prevout.amount ?? 0n

function closeSpend(state: Closing, context: Context, live: ClientLive): Spend {
  const path = livePath(state, context, live)
  const first = path.spends[0]
  if (first === undefined) throw new FactoryError('internal', 'a path without transactions')
  return buildClose({
    funding: { outpoint: fundingOf(path), amount: first.prevout.amount },
    keys: storedProposal(context).keys,
    outputs: state.close.outputs,
    lockTime: state.close.lockTime,
  })
}

function sendNonce(step: Builder, context: Context, live: ClientLive): void {
  const { state } = step
  if (state.stage !== 'closing' || state.close.step === 'checking') return
  const spend = closeSpend(state, context, live)
  const { secretKey } = clientKey(state, context)
  const nonce = generateNonce({
    secretKey,
    aggregate: spendAggregate(spend, storedProposal(context).keys),
    message: spend.sighash,
    entropy: () => context.entropy(32),
  })
  live.closeNonce = nonce.secret
  step.send(state.lsp, { kind: 'close_nonce', instanceId: idBytes(state.instance), nonce: nonce.public })
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
    aggregate: spendAggregate(spend, storedProposal(context).keys),
    message: spend.sighash,
    aggregatedNonce: message.nonce,
  })
  const signature = session.sign(nonce, clientKey(state, context).secretKey)
  step.record(signRecord(spend))
  step.to({ ...state, close: { ...state.close, step: 'signed', txid: spend.tx.txid } })
  step.log('signed', `cooperative close ${spend.tx.txid}: our balance is frozen`)
  step.effect({ do: 'watchTx', txid: spend.tx.txid, since: state.createdAt })
  step.send(state.lsp, { kind: 'close_partial_signature', instanceId: idBytes(state.instance), signature })
}

/** We can broadcast it as well as the LSP can, and do. */
export function onCloseComplete(step: Builder, context: Context, live: ClientLive, message: CloseComplete): void {
  const { state } = step
  if (state.stage !== 'closing' || state.close.step !== 'signed') return
  const spend = closeSpend(state, context, live)
  if (!isValid(message.signature, spend, storedProposal(context).keys))
    throw new FactoryError('bad_signature', "the LSP's signature for the close is not valid")
  const tx = finalize(spend, message.signature)
  step.item(signatureItem(spend.id), message.signature).item(CLOSE_TX_ITEM, tx)
  step.log('state', `close complete: ${spend.tx.txid}`)
  step.call({ call: 'broadcast', tx, txid: spend.tx.txid })
}

/** The LSP took the proposal back. After our signature is out that changes nothing: the amounts stay frozen. */
export function onCloseAborted(step: Builder, reason: string): void {
  const { state } = step
  if (state.stage !== 'closing' || state.close.step === 'signed') return
  reopen(step, state, `close given up by the LSP: ${reason}`)
}

export function onCloseConfirmed(step: Builder, id: Txid): void {
  const { state } = step
  if (state.stage !== 'closing' || state.close.step !== 'signed' || state.close.txid !== id) return
  step.to({
    ...clientBase(state),
    ...joined(state),
    stage: 'closed',
    how: 'cooperative',
    channelId: state.channelId,
    notice: undefined,
  })
  step.log('state', 'closed cooperatively')
  step.call({ call: 'drop', peer: state.lsp, channelId: state.channelId })
}

function giveUp(step: Builder, state: Closing, reason: string): void {
  reopen(step, state, `close refused: ${reason}`)
  decline(step, reason)
}

function reopen(step: Builder, state: Closing, notice: string): void {
  const { channelId, confirmedAt } = state
  step.to({ ...clientBase(state), ...joined(state), stage: 'active', channelId, confirmedAt, notice })
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
