/** Assisted exit, LSP side, up to the HTLC: prepare an output, offer it, and broadcast it only when it is paid for. */
import { equalBytes } from '@noble/curves/utils.js'
import { clipText, FactoryError, type AssistRefuse, type AssistRequest } from '@ln-factory/tlv'
import { accepted, clientPosition } from '../ceremony/lsp/factory.js'
import type { LspState } from '../ceremony/lsp/state.js'
import { targetFeerate } from '../fees/index.js'
import type { FundingTx, HeldDecision, ReceivedHtlc } from '../host/port.js'
import { incorrectPaymentDetails } from '../htlc/index.js'
import { idBytes, type Context, type HostDone, type StepBuilder } from '../machine/index.js'
import { deriveAssistKey, preSign, type FactoryKey } from '../signing/index.js'
import { isPayoutScript, txidBytes } from '../tree/index.js'
import { isMoving } from '../turnover/lsp.js'
import { preimageItem } from '../turnover/state.js'
import { msat, type NodeId } from '../units/index.js'
import { assistOutput, buildClaim } from './output.js'
import { watchOutput } from './settle.js'
import { requestOf, type AssistRequested, type AssistTerms, type LspAssist } from './state.js'
import {
  assistPrice,
  checkFeerate,
  claimFeerates,
  latestHtlc,
  OFFER_BLOCKS,
  outputAmount,
  timesFor,
  type Horizon,
} from './terms.js'

type Builder = StepBuilder<LspState>
type Preparing = Extract<LspAssist, { step: 'preparing' }>

/** Blocks in which the transaction that makes the output should confirm: what the price is reckoned for. */
const FUNDING_TARGET = 6

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const horizon = ({ earlyWarning, expiry, params }: LspState): Horizon => ({
  earlyWarning,
  expiry,
  confirmationMargin: params.confirmationMargin,
})

export function freshKey(state: LspState, context: Context, { salt, client }: AssistRequested): FactoryKey {
  const peerNodeId = state.clients[client]?.id
  if (peerNodeId === undefined) throw new FactoryError('store_corrupt', `no client ${client}`)
  return deriveAssistKey({ nodeSecret: context.nodeSecret, instanceId: state.instance, salt, peerNodeId })
}

const byHash = (state: LspState, hash: string): LspAssist | undefined =>
  state.assists.find((a) => hexOf(a.hash) === hash)

/** What `assist` has become, or without a second argument that it is forgotten. */
export function replace(step: Builder, assist: LspAssist, next?: LspAssist): void {
  const { state } = step
  const assists = state.assists.flatMap((a) => (a.client !== assist.client ? [a] : next === undefined ? [] : [next]))
  step.to({ ...state, assists })
}

function refuse(step: Builder, peer: NodeId, hash: Uint8Array, reason: string): void {
  step.send(peer, {
    kind: 'assist_refuse',
    instanceId: idBytes(step.state.instance),
    hash,
    reason: clipText(reason, 255),
  })
}

export function onAssistRequest(step: Builder, context: Context, peer: NodeId, message: AssistRequest): void {
  const { state } = step
  const client = clientPosition(state, peer)
  const before = state.assists.find((a) => a.client === client)
  if (before !== undefined && equalBytes(before.hash, message.hash)) {
    if (before.step === 'offered') sendOffer(step, before.client, before.terms)
    return
  }
  const fault = faultOfRequest(state, context, client, before, message)
  if (fault !== undefined) return refuse(step, peer, message.hash, fault)
  // The client asks anew: it has forgotten, or given up, what it was offered.
  if (before !== undefined) forget(step, before)
  const requested: AssistRequested = {
    since: context.height,
    client,
    salt: context.entropy(16),
    clientKey: message.key,
    hash: message.hash,
    payoutScript: message.payoutScript,
    paid: msat(message.amount),
    feerate: message.feerate,
  }
  step.to({ ...step.state, assists: [...step.state.assists, { ...requested, step: 'preparing', draft: undefined }] })
  step.log('received', `${peer} asks for an output on chain for ${message.amount} msat`)
  step.call({ call: 'assistLook', hash: hexOf(message.hash), amount: requested.paid })
}

function faultOfRequest(
  state: LspState,
  context: Context,
  client: number,
  before: LspAssist | undefined,
  message: AssistRequest,
): string | undefined {
  if (state.stage !== 'active') return `the factory is ${state.stage}`
  if (state.exit?.clients.includes(client) === true) return 'your path is being published'
  if (isMoving(state, client)) return 'your balance is moving to another factory'
  if (before?.step === 'unclaimed') return 'an output was made for you, and you did not claim it'
  if (before !== undefined && before.step !== 'preparing' && before.step !== 'offered')
    return 'another assisted exit is under way'
  if (byHash(state, hexOf(message.hash)) !== undefined) return 'this hash is in use'
  if (!isPayoutScript(message.payoutScript)) return 'the script is none of P2WPKH, P2WSH, P2TR'
  try {
    checkFeerate(message.feerate)
    timesFor(context.height, horizon(state))
    return undefined
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    return error.message
  }
}

/** The gate has been shut before this look: the balance stays what it is. */
export function onAssistLooked(step: Builder, context: Context, done: Extract<HostDone, { call: 'assistLook' }>): void {
  const { state } = step
  const assist = byHash(state, done.hash)
  if (assist?.step !== 'preparing' || assist.draft !== undefined) return
  const client = state.clients[assist.client]
  const channel = done.channels.find((c) => c.channelId === client?.channelId)
  if (client === undefined || channel?.state !== 'normal' || channel.onChain)
    return decline(step, assist, 'our channel takes no payment now')
  if (channel.htlcs.length > 0) return decline(step, assist, 'an HTLC is pending in our channel')
  const estimate = done.feerates === undefined ? 0 : targetFeerate(done.feerates, FUNDING_TARGET)
  try {
    const balance = msat(client.capacity * 1000n - channel.ours)
    const amount = outputAmount(balance, assist.paid, assistPrice(Math.max(assist.feerate, Math.ceil(estimate))))
    if (claimFeerates(amount, assist.payoutScript, assist.feerate).length === 0)
      return decline(step, assist, `an output of ${amount} sat pays no claim`)
    const times = timesFor(context.height, horizon(state))
    const draft = { ...times, amount, back: done.script, paymentSecret: done.secret }
    const drafted: Preparing = { ...assist, draft }
    replace(step, assist, drafted)
    const lspKey = freshKey(state, context, assist).publicKey
    const { clientKey, hash } = assist
    const { script } = assistOutput({ clientKey, lspKey, hash, timeout: times.timeout })
    step.call({ call: 'assistFund', hash: done.hash, script, amount })
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    decline(step, assist, error.message)
  }
}

/** The transaction is there, unsigned: its output can be pre-signed for. */
export function onAssistFunded(
  step: Builder,
  context: Context,
  { hash, funding }: Extract<HostDone, { call: 'assistFund' }>,
): void {
  const { state } = step
  const assist = byHash(state, hash)
  if (assist?.step !== 'preparing' || assist.draft === undefined) return release(step, funding)
  const { secretKey, publicKey: lspKey } = freshKey(state, context, assist)
  const { timeout, htlcExpiry, amount, back, paymentSecret } = assist.draft
  const requested = requestOf(assist)
  const { clientKey, payoutScript, feerate, paid } = requested
  const outpoint = { txid: funding.txid, vout: funding.vout }
  const output = { clientKey, lspKey, hash: assist.hash, timeout, outpoint, amount }
  const client = state.clients[assist.client]
  if (client === undefined) throw new FactoryError('internal', `no client ${assist.client}`)
  const point = accepted(client).key
  const preSignatures = claimFeerates(amount, payoutScript, feerate).map((rate) => {
    const message = buildClaim(output, payoutScript, rate).sighash
    return preSign({ secretKey, message, point, aux: context.entropy(32) })
  })
  const terms: AssistTerms = { ...output, htlcExpiry, payoutScript, feerate, paid, paymentSecret, preSignatures }
  replace(step, assist, { ...requested, step: 'offered', terms, funding, back })
  step.log('state', `offering ${client.id} an output of ${amount} sat in ${funding.txid}`)
  sendOffer(step, assist.client, terms)
}

function sendOffer(step: Builder, client: number, terms: AssistTerms): void {
  const peer = step.state.clients[client]?.id
  if (peer === undefined) return
  step.send(peer, {
    kind: 'assist_offer',
    instanceId: idBytes(step.state.instance),
    hash: terms.hash,
    key: terms.lspKey,
    fundingTxid: txidBytes(terms.outpoint.txid),
    fundingVout: terms.outpoint.vout,
    amount: terms.amount,
    timeout: terms.timeout,
    htlcExpiry: terms.htlcExpiry,
    paymentSecret: terms.paymentSecret,
    preSignatures: terms.preSignatures,
  })
}

export function onAssistCallFailed(step: Builder, hash: string, error: string): void {
  const assist = byHash(step.state, hash)
  if (assist?.step === 'preparing') decline(step, assist, `no output can be made now: ${error}`)
}

function decline(step: Builder, assist: LspAssist, reason: string): void {
  const peer = step.state.clients[assist.client]?.id
  forget(step, assist)
  step.log('state', `no assisted exit for ${peer ?? ''}: ${reason}`)
  if (peer !== undefined) refuse(step, peer, assist.hash, reason)
}

/** Before an HTLC is held for it, nothing depends on an offer but our coins. */
function forget(step: Builder, assist: LspAssist): void {
  replace(step, assist)
  if (assist.step === 'offered') release(step, assist.funding)
}

const release = (step: Builder, funding: FundingTx): void => {
  step.call({ call: 'cleanUp', opens: [], channels: [], funding })
}

/** The client does not take it. */
export function onAssistDeclined(step: Builder, peer: NodeId, message: AssistRefuse): void {
  const assist = byHash(step.state, hexOf(message.hash))
  if (assist?.client !== clientPosition(step.state, peer)) return
  if (assist.step !== 'preparing' && assist.step !== 'offered') return
  step.log('received', `${peer} does not take the output: ${message.reason}`)
  forget(step, assist)
}

/** Offers lapse; what a restart interrupted is asked for again by the client. */
export function lapseOffers(step: Builder, height: number): void {
  for (const assist of step.state.assists)
    if ((assist.step === 'preparing' || assist.step === 'offered') && height > assist.since + OFFER_BLOCKS)
      decline(step, assist, 'no payment came for the output')
}

export function dropPreparing(step: Builder): void {
  for (const assist of step.state.assists) if (assist.step === 'preparing') replace(step, assist)
}

/** HTLCs of this hash from this client are ours to answer, whatever has become of the exit. */
export const expectsAssistHtlc = (state: LspState, { hash, channelId }: ReceivedHtlc): boolean => {
  const assist = byHash(state, hash)
  return assist !== undefined && state.clients[assist.client]?.channelId === channelId
}

export function onAssistHtlc(step: Builder, context: Context, htlc: ReceivedHtlc): void {
  const { state } = step
  const assist = byHash(state, htlc.hash)
  if (assist === undefined || !expectsAssistHtlc(state, htlc)) return
  const answer = (decision: HeldDecision): void => {
    step.effect({ do: 'answerHtlc', htlc: htlc.id, decision })
  }
  const fail = (reason: string): void => {
    answer({ kind: 'fail', failure: incorrectPaymentDetails(htlc.amount, context.height), reason })
  }
  switch (assist.step) {
    case 'preparing':
      return fail('no output was offered for it yet')
    case 'unclaimed':
      return fail('the output for it was taken back')
    case 'claimed': {
      const preimage = context.item(preimageItem(htlc.hash))
      if (preimage === undefined) throw new FactoryError('store_corrupt', `the preimage of ${htlc.hash} is missing`)
      return answer({ kind: 'settle', preimage })
    }
    case 'funding':
    case 'returned':
      // The one that is held is told again after a restart.
      return htlc.id === assist.htlc ? undefined : fail('another HTLC pays for the output')
    case 'offered': {
      const fault = faultOfHtlc(state, context, assist, htlc)
      if (fault !== undefined) return fail(fault)
      const { terms, funding } = assist
      replace(step, assist, { ...assist, step: 'funding', htlc: htlc.id, fundedAt: undefined })
      step.log('state', `paid for: broadcasting the output of ${terms.amount} sat in ${funding.txid}`)
      watchOutput(step, assist)
      step.call({ call: 'launch', channels: [], funding })
    }
  }
}

function faultOfHtlc(
  state: LspState,
  context: Context,
  { since, terms, client }: Extract<LspAssist, { step: 'offered' }>,
  htlc: ReceivedHtlc,
): string | undefined {
  if (state.stage !== 'active' || state.exit?.clients.includes(client) === true) return 'the channel is being closed'
  if (context.height > since + OFFER_BLOCKS) return 'the offer has lapsed'
  if (htlc.amount < terms.paid) return `it carries ${htlc.amount} msat, not ${terms.paid}`
  if (htlc.expiry < terms.htlcExpiry) return `it ends at ${htlc.expiry}, before ${terms.htlcExpiry}`
  if (htlc.expiry > latestHtlc(horizon(state))) return `it ends at ${htlc.expiry}, after ${latestHtlc(horizon(state))}`
  return undefined
}
