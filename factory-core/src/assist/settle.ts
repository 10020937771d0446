/** Assisted exit, LSP side, once an HTLC is held: the output confirms, and is claimed, or comes back. */
import { accepted } from '../ceremony/lsp/factory.js'
import type { LspState } from '../ceremony/lsp/state.js'
import { temporaryChannelFailure } from '../htlc/index.js'
import type { Context, StepBuilder } from '../machine/index.js'
import { signSchnorr } from '../signing/index.js'
import { keyItem, preimageItem } from '../turnover/state.js'
import { outPointKey, type BlockHeight, type OutPoint, type Txid } from '../units/index.js'
import { freshKey, replace } from './lsp.js'
import { buildTakeBack, finalizeTakeBack, readClaim, type AssistSpend } from './output.js'
import { isBound, offerOf, requestOf, type AssistOffered, type LspAssist } from './state.js'
import { CLAIM_PATIENCE, claimFeerates, RETURN_DEPTH } from './terms.js'

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

type Builder = StepBuilder<LspState>
type Bound = Extract<LspAssist, { step: 'funding' | 'returned' }>

const bound = (state: LspState): Bound[] => state.assists.filter((a): a is Bound => isBound(a))

/** At the feerates of a claim, which is larger: there is always something left. */
const takeBacks = ({ terms, back }: AssistOffered): AssistSpend[] =>
  claimFeerates(terms.amount, back, terms.feerate).map((rate) => buildTakeBack(terms, back, rate))

export function watchOutput(step: Builder, offered: AssistOffered): void {
  const since = step.state.createdAt
  const { outpoint } = offered.terms
  step.effect({ do: 'watchTx', txid: outpoint.txid, since })
  step.effect({ do: 'watchOutpoint', outpoint, since })
  for (const { tx } of takeBacks(offered)) step.effect({ do: 'watchTx', txid: tx.txid, since })
}

export function onAssistConfirmed(step: Builder, id: Txid, height: BlockHeight): void {
  for (const assist of bound(step.state)) {
    if (assist.step === 'funding' && assist.terms.outpoint.txid === id) {
      replace(step, assist, { ...assist, fundedAt: height })
      step.log('confirmed', `the output for client ${assist.client} at height ${height}`)
    } else if (takeBacks(assist).some(({ tx }) => tx.txid === id)) {
      const { htlc } = assist
      replace(step, assist, { ...requestOf(assist), ...offerOf(assist), step: 'returned', htlc, returnedAt: height })
      step.log('confirmed', `the output that client ${assist.client} did not claim is ours again: ${id}`)
    }
  }
}

export function onAssistUnconfirmed(step: Builder, id: Txid): void {
  for (const assist of bound(step.state)) {
    if (assist.step === 'funding' && assist.terms.outpoint.txid === id)
      replace(step, assist, { ...assist, fundedAt: undefined })
    else if (assist.step === 'returned' && takeBacks(assist).some(({ tx }) => tx.txid === id)) {
      const { htlc } = assist
      replace(step, assist, { ...requestOf(assist), ...offerOf(assist), step: 'funding', htlc, fundedAt: undefined })
    }
  }
}

/** The claim tells us the preimage, which settles the HTLC, and the client's key. */
export function onAssistSpent(step: Builder, outpoint: OutPoint, by: Txid, raw: Uint8Array): void {
  const { state } = step
  const assist = bound(state).find((a) => outPointKey(a.terms.outpoint) === outPointKey(outpoint))
  const client = assist === undefined ? undefined : state.clients[assist.client]
  if (assist === undefined || client === undefined) return
  const revealed = readClaim(raw, assist.terms, assist.terms.preSignatures, accepted(client).key)
  if (revealed === undefined) return
  const { htlc } = assist
  replace(step, assist, {
    ...requestOf(assist),
    htlc,
    step: 'claimed',
    keyed: revealed.secret !== undefined,
  })
  step.item(preimageItem(hexOf(assist.hash)), revealed.preimage)
  if (revealed.secret !== undefined) step.item(keyItem(assist.client), revealed.secret)
  step.log('state', `client ${client.id} has left: claimed in ${by}`)
  if (revealed.secret === undefined) step.log('warning', `${by} does not give the key of client ${client.id}`)
  step.effect({ do: 'answerHtlc', htlc, decision: { kind: 'settle', preimage: revealed.preimage } })
}

/** With every block: the output until it confirms; from the time-out on, back with it; and then the HTLC. */
export function onAssistTip(step: Builder, context: Context, height: BlockHeight): void {
  for (const assist of bound(step.state)) {
    if (assist.step === 'returned') letGo(step, assist, height)
    else {
      if (assist.fundedAt === undefined) step.call({ call: 'launch', channels: [], funding: assist.funding })
      if (height >= assist.terms.timeout) takeBack(step, context, assist, height)
    }
  }
}

function takeBack(step: Builder, context: Context, assist: Bound, height: BlockHeight): void {
  const spends = takeBacks(assist)
  const spend = spends[Math.min(spends.length - 1, Math.floor((height - assist.terms.timeout) / CLAIM_PATIENCE))]
  if (spend === undefined) return
  const { secretKey } = freshKey(step.state, context, assist)
  const signature = signSchnorr({ secretKey, message: spend.sighash, aux: context.entropy(32) })
  step.call({ call: 'broadcast', tx: finalizeTakeBack(spend, signature), txid: spend.tx.txid })
}

/** Only when no reorganisation brings the claim in instead: then we would have paid twice. */
function letGo(step: Builder, assist: Extract<LspAssist, { step: 'returned' }>, height: BlockHeight): void {
  if (height - assist.returnedAt + 1 < RETURN_DEPTH) return
  const { client, htlc } = assist
  replace(step, assist, { ...requestOf(assist), htlc, step: 'unclaimed' })
  step.log('state', `client ${client} did not claim its output: its payment is failed`)
  const reason = 'the output was not claimed'
  step.effect({ do: 'answerHtlc', htlc, decision: { kind: 'fail', failure: temporaryChannelFailure(), reason } })
}

/** The funding could not be signed or sent: it is tried again with the next block, and the client's HTLC waits for it. */
export function onAssistLaunchFailed(step: Builder, txid: Txid, error: string): void {
  const assist = bound(step.state).find((a) => a.terms.outpoint.txid === txid)
  if (assist === undefined) return
  step.to({ ...step.state, notice: `the output for client ${assist.client} was not broadcast yet: ${error}` })
}

export function resumeAssists(step: Builder, context: Context): void {
  for (const assist of bound(step.state)) watchOutput(step, assist)
  onAssistTip(step, context, context.height)
}
