/** Assisted exit, client side, up to the HTLC: ask for an output, check what is offered, pay for it. */
import { equalBytes } from '@noble/curves/utils.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { clipText, FactoryError, type AssistOffer, type AssistRefuse } from '@ln-factory/tlv'
import { clientKey } from '../ceremony/client/path.js'
import type { ClientState } from '../ceremony/client/state.js'
import { fromWire } from '../ceremony/terms.js'
import type { HostChannel } from '../host/port.js'
import { idBytes, type Context, type OperatorOrder, type StepBuilder } from '../machine/index.js'
import {
  deriveAssistKey,
  deriveAssistPreimage,
  verifyPreSignature,
  type FactoryKey,
  type FactoryKeyRequest,
} from '../signing/index.js'
import { txidFromBytes } from '../tree/index.js'
import { isMoving } from '../turnover/client.js'
import { blockHeight, blocks, floorSat, sat, type Sat } from '../units/index.js'
import { buildClaim } from './output.js'
import type { AssistTerms, ClientAssist, ClientTerms } from './state.js'
import {
  assistPrice,
  checkFeerate,
  claimFee,
  claimFeerates,
  EXPIRY_SLACK,
  faultOfTimes,
  OFFER_BLOCKS,
  outputAmount,
  timesFor,
  type Horizon,
} from './terms.js'

type Builder = StepBuilder<ClientState>
type Asked = Extract<ClientAssist, { step: 'asked' }>

const horizon = ({ invite }: ClientState): Horizon => ({
  earlyWarning: blocks(invite.earlyWarning),
  expiry: blockHeight(invite.expiry),
  confirmationMargin: fromWire(invite.params).confirmationMargin,
})

const source = (state: ClientState, context: Context, { salt }: ClientAssist): FactoryKeyRequest => ({
  nodeSecret: context.nodeSecret,
  instanceId: state.instance,
  salt,
  peerNodeId: state.lsp,
})

export const freshKey = (state: ClientState, context: Context, assist: ClientAssist): FactoryKey =>
  deriveAssistKey(source(state, context, assist))
export const preimageOf = (state: ClientState, context: Context, assist: ClientAssist): Uint8Array =>
  deriveAssistPreimage(source(state, context, assist))
const hashOf = (state: ClientState, context: Context, assist: ClientAssist): Uint8Array =>
  sha256(preimageOf(state, context, assist))

/** @throws FactoryError `wrong_state`, `bad_parameter`, `peer_offline` */
export function onAssistOrder(
  step: Builder,
  context: Context,
  order: Extract<OperatorOrder, { order: 'assist' }>,
): void {
  const { state } = step
  if (state.stage !== 'active') throw new FactoryError('wrong_state', `the factory is ${state.stage}, not active`)
  if (state.assist !== undefined) throw new FactoryError('wrong_state', 'an assisted exit is under way already')
  // Invariant 9: the key would open them too.
  if (state.sales !== undefined)
    throw new FactoryError(
      'wrong_state',
      'liquidity was sold in this factory: our key opens more than one channel',
      'Leave over Lightning, or with factory-exit.',
    )
  if (isMoving(state)) throw new FactoryError('wrong_state', 'our balance is moving to another factory')
  if (!context.connected(state.lsp)) throw new FactoryError('peer_offline', 'the LSP is not connected')
  checkFeerate(order.feerate)
  timesFor(context.height, horizon(state))
  const { script, feerate, maxFee } = order
  const salt = context.entropy(16)
  const assist = { step: 'looking', salt, payoutScript: script, feerate, maxFee, since: context.height } as const
  step.to({ ...state, assist, notice: undefined })
  step.log('state', 'leaving with the help of the LSP: no new HTLCs')
  step.call({ call: 'channels' })
}

/** The gate has been shut before this look, so what it shows can only shrink. */
export function onAssistChannels(step: Builder, context: Context, channels: readonly HostChannel[]): void {
  const { state } = step
  if (state.stage !== 'active' || state.assist?.step !== 'looking') return
  const { assist } = state
  const channel = channels.find((c) => c.channelId === state.channelId)
  if (channel?.state !== 'normal') return giveUp(step, 'our channel takes no payment now')
  if (channel.htlcs.length > 0) return giveUp(step, 'an HTLC is pending in our channel: try again when it is settled')
  const asked: Asked = { ...assist, step: 'asked', paid: channel.spendable, balance: channel.ours }
  try {
    const fault = faultOfAmount(asked, outputAmount(asked.balance, asked.paid, assistPrice(assist.feerate)))
    if (fault !== undefined) return giveUp(step, fault)
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    return giveUp(step, error.message)
  }
  step.to({ ...state, assist: asked })
  ask(step, context)
}

/** Invariant 10: what reaches us, at the lowest feerate, is our balance less what the operator allowed. */
function faultOfAmount({ balance, payoutScript, feerate, maxFee }: Asked, amount: Sat): string | undefined {
  if (claimFeerates(amount, payoutScript, feerate).length === 0) return `an output of ${amount} sat pays no claim`
  const cost = floorSat(balance) - amount + claimFee(payoutScript, feerate)
  return cost > maxFee ? `it costs ${cost} sat of ${floorSat(balance)}, and ${maxFee} are allowed` : undefined
}

function ask(step: Builder, context: Context): void {
  const { state } = step
  if (state.assist?.step !== 'asked') return
  const { assist } = state
  step.send(state.lsp, {
    kind: 'assist_request',
    instanceId: idBytes(state.instance),
    key: freshKey(state, context, assist).publicKey,
    hash: hashOf(state, context, assist),
    payoutScript: assist.payoutScript,
    amount: assist.paid,
    feerate: assist.feerate,
  })
}

/** The LSP may not have got our request, or lost it. */
export const onAssistConnected = ask

export function onAssistOffer(step: Builder, context: Context, message: AssistOffer): void {
  const { state } = step
  if (state.stage !== 'active' || state.assist?.step !== 'asked') return
  const { assist } = state
  if (!equalBytes(message.hash, hashOf(state, context, assist))) return
  const terms: ClientTerms = {
    balance: assist.balance,
    clientKey: freshKey(state, context, assist).publicKey,
    lspKey: message.key,
    hash: message.hash,
    timeout: blockHeight(message.timeout),
    htlcExpiry: blockHeight(message.htlcExpiry),
    outpoint: { txid: txidFromBytes(message.fundingTxid), vout: message.fundingVout },
    amount: sat(message.amount),
    payoutScript: assist.payoutScript,
    feerate: assist.feerate,
    paid: assist.paid,
    paymentSecret: message.paymentSecret,
    preSignatures: message.preSignatures,
  }
  const point = clientKey(state, context).publicKey
  const fault =
    faultOfTimes(terms, context.height, horizon(state)) ??
    faultOfAmount(assist, terms.amount) ??
    faultOfSigs(terms, point)
  if (fault !== undefined) {
    giveUp(step, `the LSP's offer is refused: ${fault}`)
    step.send(state.lsp, {
      kind: 'assist_refuse',
      instanceId: idBytes(state.instance),
      hash: message.hash,
      reason: clipText(fault, 255),
    })
    return
  }
  const { salt, payoutScript, feerate, maxFee, since } = assist
  const paying = { step: 'paying', salt, payoutScript, feerate, maxFee, since, terms, fundedAt: undefined } as const
  step.to({ ...state, assist: paying })
  step.log('received', `an output of ${terms.amount} sat for ${terms.paid} msat, in ${terms.outpoint.txid}`)
  watchFunding(step, terms)
  pay(step, context)
}

/** Invariant 1: each claim is rebuilt here, and its pre-signature must open to our factory key and nothing else. */
function faultOfSigs(terms: AssistTerms, point: Uint8Array): string | undefined {
  const rates = claimFeerates(terms.amount, terms.payoutScript, terms.feerate)
  if (rates.length !== terms.preSignatures.length)
    return `${terms.preSignatures.length} pre-signatures for ${rates.length} claims`
  const wrong = rates.findIndex((rate, i) => {
    const preSignature = terms.preSignatures[i] ?? new Uint8Array()
    const message = buildClaim(terms, terms.payoutScript, rate).sighash
    return !verifyPreSignature({ preSignature, message, publicKey: terms.lspKey.subarray(1), point })
  })
  return wrong < 0 ? undefined : `pre-signature ${wrong} does not sign our claim for our factory key`
}

export function watchFunding(step: Builder, terms: AssistTerms): void {
  step.effect({ do: 'watchTx', txid: terms.outpoint.txid, since: step.state.createdAt })
}

/** Also after a restart: the host waits for a payment that is under way, and pays no hash twice. */
export function pay(step: Builder, context: Context): void {
  const { state } = step
  if (state.stage !== 'active' || state.assist?.step !== 'paying') return
  const { terms } = state.assist
  // Never so short that our own rule for offered HTLCs would have us leave at once: the LSP refuses what is too late.
  const delta = Math.max(terms.htlcExpiry - context.height + EXPIRY_SLACK, state.invite.earlyWarning + OFFER_BLOCKS)
  step.call({
    call: 'payDirect',
    payment: {
      peer: state.lsp,
      channelId: state.channelId,
      hash: Buffer.from(terms.hash).toString('hex'),
      amount: terms.paid,
      secret: terms.paymentSecret,
      delta,
    },
  })
}

export function onAssistRefuse(step: Builder, context: Context, message: AssistRefuse): void {
  const { assist } = step.state
  // Once we pay, only the HTLC says what became of it.
  if (assist?.step !== 'asked' || !equalBytes(message.hash, hashOf(step.state, context, assist))) return
  giveUp(step, `the LSP does not help: ${message.reason}`)
}

/** An LSP that says nothing must not keep our channel shut. */
export function onAssistSilence(step: Builder, context: Context, height: number): void {
  const { assist } = step.state
  if (assist?.step !== 'asked' || height <= assist.since + OFFER_BLOCKS) return
  const hash = hashOf(step.state, context, assist)
  giveUp(step, 'the LSP made no offer')
  step.send(step.state.lsp, {
    kind: 'assist_refuse',
    instanceId: idBytes(step.state.instance),
    hash,
    reason: 'too late',
  })
}

/** Nothing is at stake any more: the factory goes on. */
export function giveUp(step: Builder, why: string): void {
  const notice = `the assisted exit was given up: ${why}`
  step.to({ ...step.state, assist: undefined, notice })
  step.log('warning', notice)
}
