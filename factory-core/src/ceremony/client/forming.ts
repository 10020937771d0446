/** The ceremony from invitation to a checked channel, client side. */
import {
  clipText,
  encodePayload,
  FactoryError,
  PROTOCOL_ID,
  type AggregatedNonces,
  type Invite,
  type Propose,
  type Signatures,
} from '@ln-factory/tlv'
import type { FundingCheck, HostChannel, OpenRequest } from '../../host/port.js'
import { idBytes, type Context, type StepBuilder } from '../../machine/index.js'
import { generateNonce, openSession, type GeneratedNonce, type SecretNonce } from '../../signing/index.js'
import type { FactoryKeys } from '../../tree/index.js'
import type { ClientPath } from '../../tree/types.js'
import { msat, sat, type InstanceId, type NodeId, type Txid } from '../../units/index.js'
import { isValid, signatureItem, signRecord, spendAggregate } from '../spend-key.js'
import { checkPolicy, checkTerms } from '../terms.js'
import { clientKey, pathOf, storedKeys, storedPath } from './path.js'
import { clientBase, joined, PROPOSAL_ITEM, type ClientState } from './state.js'

/** What is kept in memory between two events. */
export interface ClientLive {
  /** Of all participants, with what was aggregated so far; while signatures are made and checked. */
  keys: FactoryKeys | undefined
  path: ClientPath | undefined
  /** One per path transaction; used up by `onAggregatedNonces`. */
  nonces: SecretNonce[] | undefined
  /** Of the close under way: the same for a round that is repeated, until it has signed. */
  closeNonce: GeneratedNonce | undefined
  /** Of the sale under way, likewise. */
  saleNonces: { readonly txid: Txid; readonly nonces: readonly GeneratedNonce[] } | undefined
}

type Builder = StepBuilder<ClientState>

/** Steps that the LSP takes with everyone before it is our turn again. */
const PATIENCE = 10

export function firstState(instance: InstanceId, lsp: NodeId, invite: Invite, context: Context): ClientState {
  const answerBefore = context.now + invite.respondWithin
  const createdAt = context.height
  return {
    v: 1,
    role: 'client',
    instance,
    lsp,
    invite,
    createdAt,
    seen: {},
    leaf: [],
    update: undefined,
    gift: undefined,
    alarms: undefined,
    assist: undefined,
    notice: undefined,
    stage: 'invited',
    answerBefore,
  }
}

/** A new invitation: terms that can't work and terms outside the limits are refused at once, the rest by policy or operator. */
export function onInvite(step: Builder, context: Context): void {
  const { state } = step
  step.log(
    'received',
    `invitation from ${state.lsp}: ${state.invite.capacity} sat, ${state.invite.clients} clients, expiry ${state.invite.expiry}`,
  )
  try {
    checkTerms(state.invite, context)
    checkPolicy(state.invite, context.policy, context.height)
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    return refuse(step, error.message)
  }
  if (context.policy.autoAccept.includes(state.lsp)) accept(step)
  else step.effect({ do: 'timer', name: 'step', seconds: state.invite.respondWithin })
}

export function refuse(step: Builder, reason: string): void {
  step.to({ ...clientBase(step.state), stage: 'refused', reason })
  step.log('state', `refused: ${reason}`)
  step.effect({ do: 'cancelTimer', name: 'step' })
  step.send(step.state.lsp, { kind: 'refuse', instanceId: idBytes(step.state.instance), reason: clipText(reason, 200) })
}

export function accept(step: Builder): void {
  step.to({ ...clientBase(step.state), stage: 'joining' })
  step.call({ call: 'newScript' })
}

export function onScript(step: Builder, context: Context, payoutScript: Uint8Array): void {
  const { state } = step
  if (state.stage !== 'joining') return
  step.to({ ...clientBase(state), stage: 'accepted', opened: false, salt: context.entropy(16), payoutScript })
  sendAccept(step, context)
}

/**
 * After a restart: the disk may be an old copy, and what was signed since is not on it. A key that has signed nothing is the
 * one that is made now (invariant 8).
 */
export function renewKey(step: Builder, context: Context): void {
  const { state } = step
  if (state.stage !== 'accepted') return
  step.to({ ...state, salt: context.entropy(16) })
  sendAccept(step, context)
}

export function sendAccept(step: Builder, context: Context): void {
  const { state } = step
  if (state.stage !== 'accepted') return
  if (context.blip56?.channelInFactory === true)
    step.send(state.lsp, { kind: 'reads_channel_in_factory', instanceId: idBytes(state.instance) })
  step.send(state.lsp, {
    kind: 'accept',
    instanceId: idBytes(state.instance),
    factoryKey: clientKey(state, context).publicKey,
    keySalt: state.salt,
    payoutScript: state.payoutScript,
  })
  step.effect({ do: 'timer', name: 'step', seconds: PATIENCE * state.invite.respondWithin })
}

/** Invariant 6: zero-conf for the one open that this ceremony announced, and for nothing else. */
export function expectsOpen(state: ClientState, request: OpenRequest): boolean {
  return (
    state.stage === 'accepted' &&
    !state.opened &&
    state.lsp === request.peer &&
    sat(state.invite.capacity) === request.capacity &&
    msat(state.invite.push) === request.push &&
    (request.binding === undefined || isBoundTo(state, request.binding))
  )
}

/** An open that says which factory it is for must say this one. */
const isBoundTo = ({ instance, invite }: ClientState, binding: NonNullable<OpenRequest['binding']>): boolean =>
  binding.protocol === PROTOCOL_ID && binding.instance === instance && binding.earlyWarning === invite.earlyWarning

export function grantOpen(step: Builder): void {
  if (step.state.stage === 'accepted')
    step.to({ ...step.state, opened: true }).log('host', 'zero-conf granted to the announced open')
}

export function onPropose(step: Builder, context: Context, live: ClientLive, propose: Propose): void {
  const { state } = step
  if (state.stage !== 'accepted') return outOfTurn(step, 'propose')
  const { path, keys } = pathOf(state, propose, context)
  live.path = path
  live.keys = keys
  const { secretKey } = clientKey(state, context)
  const nonces = path.spends.map((spend) =>
    generateNonce({
      secretKey,
      aggregate: spendAggregate(spend, keys),
      message: spend.sighash,
      entropy: () => context.entropy(32),
    }),
  )
  live.nonces = nonces.map((n) => n.secret)
  step.to({ ...clientBase(state), ...joined(state), stage: 'signing' })
  step.item(PROPOSAL_ITEM, encodePayload(propose))
  step.log(
    'received',
    `proposal: funding ${path.spends[0]?.prevout.outpoint.txid ?? ''}, ${path.spends.length} transactions rebuilt`,
  )
  step.send(state.lsp, { kind: 'nonces', instanceId: idBytes(state.instance), nonces: nonces.map((n) => n.public) })
  step.effect({ do: 'timer', name: 'step', seconds: PATIENCE * state.invite.respondWithin })
}

export function onAggregatedNonces(step: Builder, context: Context, live: ClientLive, message: AggregatedNonces): void {
  const { state } = step
  const { path, nonces } = live
  if (state.stage !== 'signing' || path === undefined || nonces === undefined) return outOfTurn(step, message.kind)
  live.nonces = undefined
  const keys = (live.keys ??= storedKeys(context))
  const { secretKey } = clientKey(state, context)
  if (message.nonces.length !== path.spends.length)
    throw new FactoryError(
      'bad_message',
      `${message.nonces.length} aggregated nonces for ${path.spends.length} transactions`,
    )
  const signatures = path.spends.map((spend, i) => {
    const aggregatedNonce = message.nonces[i]
    const nonce = nonces[i]
    if (aggregatedNonce === undefined || nonce === undefined)
      throw new FactoryError('internal', `no nonce for ${spend.id}`)
    step.record(signRecord(spend))
    return openSession({ aggregate: spendAggregate(spend, keys), message: spend.sighash, aggregatedNonce }).sign(
      nonce,
      secretKey,
    )
  })
  step.to({ ...clientBase(state), ...joined(state), stage: 'signed' })
  step.log('signed', `${path.spends.length} partial signatures`)
  step.send(state.lsp, { kind: 'partial_signatures', instanceId: idBytes(state.instance), signatures })
}

export function onSignatures(step: Builder, context: Context, live: ClientLive, message: Signatures): void {
  const { state } = step
  if (state.stage !== 'signed') return outOfTurn(step, message.kind)
  const path = (live.path ??= storedPath(state, context))
  const keys = (live.keys ??= storedKeys(context))
  if (message.signatures.length !== path.spends.length)
    throw new FactoryError(
      'bad_message',
      `${message.signatures.length} signatures for ${path.spends.length} transactions`,
    )
  path.spends.forEach((spend, i) => {
    const signature = message.signatures[i]
    if (signature === undefined || !isValid(signature, spend, keys))
      throw new FactoryError('bad_signature', `the LSP's signature for ${spend.id} is not valid`)
    step.item(signatureItem(spend.id), signature)
  })
  live.keys = undefined
  step.to({ ...clientBase(state), ...joined(state), stage: 'stored' })
  step.log('state', `all ${path.spends.length} signatures verified and stored`)
  step.send(state.lsp, { kind: 'stored', instanceId: idBytes(state.instance) })
  awaitChannel(step)
}

/** An LSP that never opens the channel costs us nothing, but must not be waited for for ever. */
export function awaitChannel(step: Builder): void {
  step.effect({ do: 'timer', name: 'step', seconds: PATIENCE * step.state.invite.respondWithin })
  step.call({ call: 'channels' })
}

/** Looks for our channel among the host's; its script is asked for next. */
export function onChannels(step: Builder, context: Context, live: ClientLive, channels: readonly HostChannel[]): void {
  const { state } = step
  if (state.stage !== 'stored') return
  const { channel } = (live.path ??= storedPath(state, context))
  const found = channels.find(
    (c) => c.peer === state.lsp && c.funding.txid === channel.outpoint.txid && c.funding.vout === channel.outpoint.vout,
  )
  if (found === undefined) return
  const balance = found.ours
  if (found.capacity !== channel.amount)
    throw new FactoryError('channel_mismatch', `the channel holds ${found.capacity} sat instead of ${channel.amount}`)
  if (balance !== msat(state.invite.push))
    throw new FactoryError('channel_mismatch', `our balance is ${balance} msat instead of ${state.invite.push}`)
  step.call({ call: 'checkFunding', channelId: found.channelId })
}

export function onFundingChecked(
  step: Builder,
  context: Context,
  live: ClientLive,
  channelId: string,
  check: FundingCheck,
): void {
  const { state } = step
  if (state.stage !== 'stored') return
  const { channel } = (live.path ??= storedPath(state, context))
  let notice: string | undefined
  if (check.result === 'unknown') {
    notice = `The channel's funding script could not be checked (${check.why}): that the leaf pays our channel is the LSP's word.`
    step.log('warning', notice)
  } else if (Buffer.compare(check.script, channel.script) !== 0)
    throw new FactoryError('channel_mismatch', 'the leaf does not pay the 2-of-2 of this channel')
  step.to({ ...clientBase(state), ...joined(state), stage: 'ready', channelId, confirmedAt: undefined, notice })
  step.effect({ do: 'cancelTimer', name: 'step' })
  step.log('state', `channel ${channelId} checked on ${channel.outpoint.txid}:${channel.outpoint.vout}`)
  step.send(state.lsp, {
    kind: 'channel_ready',
    instanceId: idBytes(state.instance),
    channelId: Uint8Array.from(Buffer.from(channelId, 'hex')),
  })
}

/** Changes nothing; an LSP that goes on with what we have given up is told so again. */
export function outOfTurn(step: Builder, kind: string): void {
  const { state } = step
  step.remark(`${kind} of ${state.instance} ignored: we are ${state.stage}`)
  if (state.stage === 'aborted')
    step.send(state.lsp, { kind: 'abort', instanceId: idBytes(state.instance), reason: clipText(state.reason, 500) })
}
