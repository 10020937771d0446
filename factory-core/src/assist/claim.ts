/**
 * Assisted exit, client side, from the HTLC on: claim the output, which hands our factory key over. Begun only when the output is
 * there and ours, and in time: once the claim is seen, the LSP can settle the HTLC, and from the time-out on take the output too.
 */
import { FactoryError } from '@ln-factory/tlv'
import { startExit } from '../ceremony/client/running.js'
import type { ClientLive } from '../ceremony/client/forming.js'
import { clientKey } from '../ceremony/client/path.js'
import type { ClientState } from '../ceremony/client/state.js'
import { refusedForFee } from '../fees/index.js'
import { settle, unsettle } from '../finality/client.js'
import type { BroadcastResult, DirectPayment, HostChannel } from '../host/port.js'
import type { Context, StepBuilder } from '../machine/index.js'
import { adapt, signSchnorr } from '../signing/index.js'
import { outPointKey, type BlockHeight, type OutPoint, type Sat, type Txid } from '../units/index.js'
import { freshKey, giveUp, pay, preimageOf, watchFunding } from './client.js'
import { assistOutput, buildClaim, finalizeClaim, type AssistSpend } from './output.js'
import type { AssistTerms, ClientAssist } from './state.js'
import { CLAIM_PATIENCE, CLAIM_WINDOW, claimFeerates } from './terms.js'

type Builder = StepBuilder<ClientState>
type Claiming = Extract<ClientAssist, { step: 'claiming' }>

const claimsOf = (terms: AssistTerms): AssistSpend[] =>
  claimFeerates(terms.amount, terms.payoutScript, terms.feerate).map((rate) =>
    buildClaim(terms, terms.payoutScript, rate),
  )

export function onAssistConfirmed(step: Builder, id: Txid, height: BlockHeight): void {
  const { state } = step
  const { assist } = state
  if (assist?.step !== 'paying' && assist?.step !== 'claiming') return
  if (assist.terms.outpoint.txid === id) step.to({ ...state, assist: { ...assist, fundedAt: height } })
  else if (assist.step === 'claiming' && claimsOf(assist.terms).some((c) => c.tx.txid === id)) {
    step.to({ ...state, assist: { ...assist, claimedAt: height } })
    step.log('confirmed', `our balance is on chain: ${id} at height ${height}`)
  }
}

export function onAssistUnconfirmed(step: Builder, id: Txid): void {
  const { state } = step
  const { assist } = state
  if (assist?.step !== 'paying' && assist?.step !== 'claiming') return
  if (assist.terms.outpoint.txid === id) step.to({ ...state, assist: { ...assist, fundedAt: undefined } })
  else if (assist.step === 'claiming' && claimsOf(assist.terms).some((c) => c.tx.txid === id)) {
    step.to({ ...state, assist: { ...assist, claimedAt: undefined } })
    if (state.stage === 'settled' && state.how === 'assisted')
      unsettle(step, 'the claim of our balance was reorganised out of the chain')
  }
}

/** Once per block, with what the channel holds: may the claim begin, or is it all over? */
export function onAssistBlock(
  step: Builder,
  context: Context,
  channels: readonly HostChannel[],
  height: BlockHeight,
): void {
  const { state } = step
  const { assist } = state
  if (state.stage !== 'active') return
  const channel = channels.find((c) => c.channelId === state.channelId)
  if (assist?.step === 'paying' && mayClaim(assist, channel, height, context.policy.minDepth))
    step.call({ call: 'utxo', outpoint: assist.terms.outpoint })
  if (assist?.step === 'claiming') finish(step, assist, channel)
}

function mayClaim(
  { fundedAt, terms }: Extract<ClientAssist, { step: 'paying' }>,
  channel: HostChannel | undefined,
  height: BlockHeight,
  minDepth: number,
): boolean {
  if (fundedAt === undefined || height - fundedAt + 1 < minDepth || height + CLAIM_WINDOW > terms.timeout) return false
  // Invariant 9: nothing but this payment is in our channel, and it is on its way out.
  return channel?.htlcs.length === 1 && channel.htlcs.every((htlc) => htlc.direction === 'out')
}

/** The output as it is on chain. From here on our factory key is the LSP's. */
export function onAssistOutput(
  step: Builder,
  context: Context,
  outpoint: OutPoint,
  output: { amount: Sat; script: Uint8Array } | undefined,
): void {
  const { state } = step
  if (state.stage !== 'active' || state.assist?.step !== 'paying') return
  const { assist } = state
  const { terms } = assist
  if (outPointKey(outpoint) !== outPointKey(terms.outpoint) || context.height + CLAIM_WINDOW > terms.timeout) return
  if (
    output === undefined ||
    output.amount !== terms.amount ||
    Buffer.compare(output.script, assistOutput(terms).script) !== 0
  ) {
    step.to({ ...state, notice: `the LSP's output in ${terms.outpoint.txid} is not the one it offered: not claimed` })
    return
  }
  const { salt, payoutScript, feerate, maxFee, since, fundedAt } = assist
  const common = { salt, payoutScript, feerate, maxFee, since, terms, fundedAt }
  step.to({
    ...state,
    assist: { step: 'claiming', ...common, rung: 0, rungSince: context.height, claimedAt: undefined },
  })
  step.log('state', 'claiming the output: our factory key goes to the LSP with it')
  watchClaims(step, terms)
  publish(step, context)
}

function watchClaims(step: Builder, terms: AssistTerms): void {
  for (const { tx } of claimsOf(terms)) step.effect({ do: 'watchTx', txid: tx.txid, since: step.state.createdAt })
}

function publish(step: Builder, context: Context): void {
  const { state } = step
  if (state.assist?.step !== 'claiming' || !('salt' in state)) return
  const { assist } = state
  const claim = claimsOf(assist.terms)[assist.rung]
  const preSignature = assist.terms.preSignatures[assist.rung]
  if (claim === undefined || preSignature === undefined)
    throw new FactoryError('store_corrupt', `the assisted exit has no claim ${assist.rung}`)
  const { secretKey } = freshKey(state, context, assist)
  const tx = finalizeClaim(claim, {
    lsp: adapt(preSignature, clientKey(state, context).secretKey),
    client: signSchnorr({ secretKey, message: claim.sighash, aux: context.entropy(32) }),
    preimage: preimageOf(state, context, assist),
  })
  step.call({ call: 'broadcast', tx, txid: claim.tx.txid })
}

/** Sent again on every block until it confirms, and at the next feerate when that takes long. */
export function onAssistTip(step: Builder, context: Context, height: BlockHeight): void {
  const { state } = step
  if (state.assist?.step !== 'claiming' || state.assist.claimedAt !== undefined) return
  if (height >= state.assist.rungSince + CLAIM_PATIENCE) climb(step, height)
  publish(step, context)
}

function climb(step: Builder, height: BlockHeight): boolean {
  const { state } = step
  const { assist } = state
  if (assist?.step !== 'claiming' || assist.rung + 1 >= assist.terms.preSignatures.length) return false
  step.to({ ...state, assist: { ...assist, rung: assist.rung + 1, rungSince: height } })
  return true
}

export function onAssistBroadcast(step: Builder, context: Context, id: Txid, result: BroadcastResult): void {
  const { assist } = step.state
  if (assist?.step !== 'claiming') return
  const rung = claimsOf(assist.terms).findIndex((c) => c.tx.txid === id)
  if (rung < 0) return
  if (result.accepted) step.log('broadcast', id)
  else if (rung === assist.rung && refusedForFee(result.error) && climb(step, context.height)) publish(step, context)
  else step.remark(`claim ${id} was not accepted: ${result.error ?? 'no reason given'}`)
}

/** In a block, and the HTLC settled: nothing in this factory is ours any more. Before that our host must stay there for the LSP. */
function finish(step: Builder, { claimedAt }: Claiming, channel: HostChannel | undefined): void {
  const { state } = step
  if (state.stage !== 'active' || claimedAt === undefined) return
  if (channel !== undefined && channel.htlcs.length > 0) return
  settle(step, state, { how: 'assisted', confirmedAt: state.confirmedAt }, claimedAt, 'left with the help of the LSP')
}

/** The HTLC is gone without having been settled. */
export function onAssistPaymentFailed(
  step: Builder,
  context: Context,
  live: ClientLive,
  payment: DirectPayment,
  error: string,
): void {
  const { state } = step
  const { assist } = state
  if (assist?.step !== 'paying' && assist?.step !== 'claiming') return
  if (payment.hash !== Buffer.from(assist.terms.hash).toString('hex')) return
  if (assist.step === 'paying') return giveUp(step, error)
  // Our balance is ours again, and our key the LSP's: it must not stay in this factory.
  step.log('warning', `the LSP failed the payment for an output that we claim: ${error}`)
  if (state.stage === 'active') startExit(step, context, live)
}

export function resumeAssist(step: Builder, context: Context): void {
  const { assist, stage } = step.state
  if (assist?.step === 'looking' && stage === 'active') step.call({ call: 'channels' })
  if (assist?.step !== 'paying' && assist?.step !== 'claiming') return
  watchFunding(step, assist.terms)
  if (assist.step === 'paying') pay(step, context)
  else {
    watchClaims(step, assist.terms)
    if (assist.claimedAt === undefined) publish(step, context)
  }
}
