/**
 * A client's balance moves to its channel in the next factory, part by part; the preimage of the last part is its factory key
 * (DESIGN.md 5.5). We lose nothing at any step: we pay over the old channel only what the LSP can take by paying the same over
 * the new one, because only we know the preimage. The key leaves when the old channel holds nothing for us any more (invariant 9).
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { hmac } from '@noble/hashes/hmac.js'
import { clipText, type MoveOffer, type MoveReady } from '@ln-factory/tlv'
import type { ClientLive } from '../ceremony/client/forming.js'
import { clientKey } from '../ceremony/client/path.js'
import { fundingOf, livePath } from '../ceremony/client/running.js'
import { settle as settleAt, unsettle } from '../finality/client.js'
import type { ClientState } from '../ceremony/client/state.js'
import { fromWire } from '../ceremony/terms.js'
import type { HostChannel, ReceivedHtlc } from '../host/port.js'
import { incorrectPaymentDetails, latestExpiry, minFinalDelta } from '../htlc/index.js'
import { idBytes, type Context, type HostDone, type StepBuilder } from '../machine/index.js'
import { sightingOf } from '../sightings/record.js'
import { warningAt } from '../liquidity/chain.js'
import { boughtAs } from '../liquidity/gate.js'
import { handOver, handoverHash } from '../signing/index.js'
import {
  blockHeight,
  blocks,
  instanceId,
  msat,
  outPointKey,
  type BlockHeight,
  type Blocks,
  type OutPoint,
} from '../units/index.js'
import type { ClientMove, ClientPart } from './state.js'
import { inDelta, LEAST_PART, maxResidue } from './terms.js'

type Builder = StepBuilder<ClientState>
type Active = Extract<ClientState, { stage: 'active' }>

const POLL = 2
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))

const warning = (state: ClientState): Blocks => blocks(state.invite.earlyWarning)
/** Of one of our channels in it: those that were bought are further from the chain. */
const warningOf = (state: ClientState, channelId: string): Blocks =>
  warningAt(warning(state), state.invite.params.confirmationMargin, boughtAs(state, channelId)?.depth ?? 0)

/** The factory that the balance goes to, if it is live and of the same LSP. */
function target(state: ClientState, context: Context, to: string): Active | undefined {
  const other = context.factory(instanceId(to))
  if (other?.role !== 'client' || other.stage !== 'active') return undefined
  return other.lsp === state.lsp && other.instance !== state.instance && other.move?.moved !== true ? other : undefined
}

const isActive = (state: ClientState): state is Active => state.stage === 'active'

/** Nothing of ours is in this factory any more: neither its exits nor its distributions are ours to publish. */
export const hasMoved = (state: ClientState): boolean => state.move?.moved === true

/** Our factory key has left, and may be the LSP's. */
export const keyIsGiven = (state: ClientState): boolean =>
  hasMoved(state) || (state.move?.part?.last === true && state.move.part.received) || state.assist?.step === 'claiming'

/** While a part is under way, and after all of them, the old channel takes no other HTLC. */
export const isMoving = (state: ClientState): boolean =>
  state.move !== undefined && (state.move.moved || state.move.part !== undefined)

export function onMoveOffer(step: Builder, context: Context, offer: MoveOffer): void {
  const { state } = step
  if (state.assist !== undefined) return
  const to = instanceId(hexOf(offer.newInstance))
  if (!isActive(state)) return
  if (target(state, context, to) === undefined) {
    step.remark(`offer to move to ${to} ignored: it is not active here`)
    return
  }
  const { move } = state
  if (move?.moved === true) return
  if (move?.part === undefined) {
    step.to({
      ...state,
      move: { to, count: move?.count ?? 0, part: undefined, moved: false, most: msat(offer.most) },
    })
    step.call({ call: 'channels' })
  } else resumeMove(step, context)
}

/** The channel that the factory began with, and those that we bought in it. */
const sourcesOf = (state: Active): readonly string[] => [
  ...(state.sales?.chain ?? []).flatMap((link) => (link.bought === undefined ? [] : [link.channelId])),
  state.channelId,
]

/** What a part is made of depends on what the channels hold. */
export function onMoveChannels(step: Builder, context: Context, channels: readonly HostChannel[]): void {
  const { state } = step
  if (!isActive(state) || state.move === undefined || state.move.moved || state.assist !== undefined) return
  const sources = sourcesOf(state)
  const old = sources.flatMap((id) => channels.find((c) => c.channelId === id) ?? [])
  // A channel that the node does not tell of may hold something: nothing moves before it does.
  if (old.length < sources.length || target(state, context, state.move.to) === undefined) return
  if (state.move.part === undefined) return newPart(step, state, state.move, context, old)
  if (state.move.part.htlc !== undefined) settle(step, state, state.move, context, old, state.move.part.htlc)
}

function newPart(step: Builder, state: Active, move: ClientMove, context: Context, old: readonly HostChannel[]): void {
  // What is under way must end first, or it would be counted twice.
  const busy = old.some((c) => c.htlcs.length > 0 || c.state !== 'normal')
  if (busy || state.update !== undefined || state.sales?.pending !== undefined) {
    step.effect({ do: 'timer', name: 'move', seconds: POLL })
    return
  }
  const part = plan(state, move, context, old)
  if (part === undefined) return
  step.to({ ...state, move: { ...move, part } })
  step.log('state', `moving ${part.amountOut} msat to ${move.to}${part.last ? ', the rest, for our factory key' : ''}`)
  if (part.amountOut > 0n) step.call({ call: 'expectPayment', hash: part.hash, amount: part.amountOut })
  else sendPart(step, part, new Uint8Array(32))
}

/** Undefined when the LSP can pay nothing now. */
function plan(state: Active, move: ClientMove, context: Context, old: readonly HostChannel[]): ClientPart | undefined {
  const index = move.count
  const common = { index, secretOut: undefined, secretIn: undefined, htlc: undefined, received: false }
  const all = old.reduce((sum, c) => sum + c.ours, 0n)
  const [source, another] = old.filter((c) => c.spendable >= LEAST_PART)
  const amountIn = source?.spendable ?? msat(0)
  const from = source?.channelId ?? state.channelId
  const most = old.reduce((sum, c) => sum + maxResidue(c.capacity), 0n)
  if (another === undefined && all <= move.most && all - amountIn <= most) {
    const hash = hexOf(handoverHash(clientKey(state, context).secretKey))
    return { ...common, from, last: true, hash, amountIn, amountOut: msat(all), paid: amountIn === 0n }
  }
  const amount = amountIn < move.most ? amountIn : move.most
  if (amount < LEAST_PART) return undefined
  const hash = hexOf(sha256(partPreimage(state, context, index)))
  return { ...common, from, last: false, hash, amountIn: amount, amountOut: amount, paid: false }
}

/** Of a part that is not the last: ours alone until it is settled, and the same after a restart. */
function partPreimage(state: ClientState, context: Context, index: number): Uint8Array {
  return hmac(sha256, context.nodeSecret, new TextEncoder().encode(`ln-factory/move/${state.instance}/${index}`))
}

function sendPart(step: Builder, part: ClientPart, secret: Uint8Array): void {
  const { state } = step
  if (state.move === undefined) return
  step.send(state.lsp, {
    kind: 'move_part',
    instanceId: idBytes(state.instance),
    newInstance: idBytes(state.move.to),
    index: part.index,
    last: part.last ? 1 : 0,
    hash: bytesOf(part.hash),
    amountIn: part.amountIn,
    amountOut: part.amountOut,
    secret,
  })
}

export function onMoveDone(step: Builder, done: HostDone): void {
  const { state } = step
  const { move } = state
  if (!isActive(state) || move?.part === undefined) return
  const { part } = move
  if (done.call === 'expectPayment' && done.hash === part.hash && part.secretOut === undefined) {
    step.to({ ...state, move: { ...move, part: { ...part, secretOut: done.secret } } })
    sendPart(step, part, done.secret)
  }
  // Asked for more than once, it is told more than once.
  if (done.call === 'payDirect' && done.payment.hash === part.hash && !part.paid)
    setPart(step, state, move, { ...part, paid: true })
}

/** The LSP holds what we pay until it has paid us. */
export function onMoveReady(step: Builder, context: Context, ready: MoveReady): void {
  const { state } = step
  const { move } = state
  if (!isActive(state) || move?.part?.index !== ready.index) return
  const { part } = move
  // It has the key already, and asks for it because what it was given was not taken for it.
  if (move.moved || part.amountOut === 0n) return giveKey(step, state, move, context)
  if (part.amountIn === 0n || part.paid) return
  if (part.secretIn === undefined) step.to({ ...state, move: { ...move, part: { ...part, secretIn: ready.secret } } })
  payPart(step, context)
}

function payPart(step: Builder, context: Context): void {
  const { state } = step
  const { move } = state
  if (!isActive(state) || move?.part?.secretIn === undefined || move.part.paid) return
  const next = target(state, context, move.to)
  if (next === undefined) return
  const { hash, amountIn, secretIn, from } = move.part
  const payment = { peer: state.lsp, channelId: from, hash, amount: amountIn, secret: secretIn }
  step.call({ call: 'payDirect', payment: { ...payment, delta: inDelta(warningOf(state, from), warning(next)) } })
}

/** Is this the HTLC that brings a part? Told again after a restart, also when it is settled already. */
export function clientExpects(
  state: ClientState,
  htlc: ReceivedHtlc,
  channelOf: (to: ClientMove['to']) => string | undefined,
): boolean {
  const { move } = state
  return move?.part?.hash === htlc.hash && channelOf(move.to) === htlc.channelId
}

export function onMoveHtlc(step: Builder, context: Context, htlc: ReceivedHtlc): void {
  const { state } = step
  const { move } = state
  const fail = (reason: string): void => {
    const failure = incorrectPaymentDetails(htlc.amount, context.height)
    step.effect({ do: 'answerHtlc', htlc: htlc.id, decision: { kind: 'fail', failure, reason } })
  }
  if (!isActive(state) || move?.part === undefined) return fail('nothing moves')
  const { part } = move
  if (part.received) return part.htlc === htlc.id ? release(step, state, part, context) : fail('this part was paid')
  const next = target(state, context, move.to)
  if (next === undefined) return fail('the new factory is not active')
  if (htlc.amount < part.amountOut) return fail(`${htlc.amount} msat instead of ${part.amountOut}`)
  const { invite } = next
  const margin = fromWire(invite.params).confirmationMargin
  const earliest = context.height + minFinalDelta(warning(next))
  const latest = latestExpiry(blockHeight(invite.expiry), warning(next), margin)
  if (htlc.expiry < earliest || htlc.expiry > latest)
    return fail(`expires at ${htlc.expiry}, not within ${earliest} to ${latest}`)
  if (part.htlc !== undefined && part.htlc !== htlc.id) return fail('this part is being paid')
  step.to({ ...state, move: { ...move, part: { ...part, htlc: htlc.id } } })
  step.call({ call: 'channels' })
}

/** Invariant 9: the key is given when no old channel holds anything for us but what this very payment takes. */
function settle(
  step: Builder,
  state: Active,
  move: ClientMove,
  context: Context,
  old: readonly HostChannel[],
  htlc: string,
): void {
  const { part } = move
  if (part === undefined) return
  if (part.received) return release(step, state, part, context)
  const ours = old.reduce((sum, c) => sum + c.ours, 0n)
  const htlcs = old.flatMap((c) => c.htlcs)
  const under = part.amountIn > 0n ? 1 : 0
  const empty = ours === part.amountOut && htlcs.length === under && htlcs.every((h) => h.direction === 'out')
  if (part.last && !empty) {
    const reason = `the old channels hold ${ours} msat and ${htlcs.length} HTLCs`
    step.log('warning', `key not handed over: ${reason}`)
    const failure = incorrectPaymentDetails(part.amountOut, context.height)
    step.effect({ do: 'answerHtlc', htlc, decision: { kind: 'fail', failure, reason } })
    step.to({ ...state, move: { ...move, part: { ...part, htlc: undefined } } })
    return
  }
  setPart(step, state, move, { ...part, received: true })
  release(step, state, part, context)
}

function release(step: Builder, state: Active, part: ClientPart, context: Context): void {
  if (part.htlc === undefined) return
  const preimage = part.last ? handOver(clientKey(state, context).secretKey) : partPreimage(state, context, part.index)
  step.effect({ do: 'answerHtlc', htlc: part.htlc, decision: { kind: 'settle', preimage } })
}

/** Nothing was left, not even for an HTLC: the key costs us nothing. */
function giveKey(step: Builder, state: Active, move: ClientMove, context: Context): void {
  if (move.part?.last !== true) return
  const key = handOver(clientKey(state, context).secretKey)
  if (!move.moved) setPart(step, state, move, { ...move.part, received: true, paid: true })
  step.send(state.lsp, { kind: 'move_key', instanceId: idBytes(state.instance), key })
}

function setPart(step: Builder, state: Active, move: ClientMove, part: ClientPart): void {
  if (!part.received || !part.paid) {
    step.to({ ...state, move: { ...move, part } })
    return
  }
  if (part.last) {
    step.to({ ...state, move: { ...move, part, moved: true } })
    step.log('state', `all of our balance is in ${move.to}, and our key for this factory is the LSP's`)
    step.effect({ do: 'cancelTimer', name: 'move' })
    return
  }
  step.to({ ...state, move: { ...move, count: move.count + 1, part: undefined } })
  step.call({ call: 'channels' })
}

/** Our HTLC came back: nothing of the part has happened, unless the LSP has paid it, and then it is due. */
export function onMovePaymentFailed(step: Builder, hash: string, error: string): void {
  const { state } = step
  const { move } = state
  if (!isActive(state) || move?.part?.hash !== hash) return
  step.log('warning', `part ${move.part.index} of the move failed: ${error}`)
  if (!move.part.received) step.to({ ...state, move: { ...move, part: undefined } })
  else step.effect({ do: 'timer', name: 'move', seconds: POLL })
}

/** The LSP can't take this part. Before we have paid, nothing has happened. */
export function onMoveRefused(step: Builder, index: number, reason: string): void {
  const { state } = step
  const { move } = state
  if (!isActive(state) || move?.part?.index !== index) return
  step.remark(`part ${index} of the move refused: ${clipText(reason, 200)}`)
  if (move.part.secretIn === undefined && !move.part.received) step.to({ ...state, move: { ...move, part: undefined } })
}

/** After a restart, a reconnection or a new offer: go on where the part stands. */
export function resumeMove(step: Builder, context: Context): void {
  const { state } = step
  const { move } = state
  if (!isActive(state) || move === undefined || move.moved) return
  const { part } = move
  if (part === undefined) step.call({ call: 'channels' })
  else if (part.secretIn !== undefined) payPart(step, context)
  else if (part.secretOut !== undefined || part.amountOut === 0n)
    sendPart(step, part, part.secretOut ?? new Uint8Array(32))
  else step.call({ call: 'expectPayment', hash: part.hash, amount: part.amountOut })
}

/** The LSP takes the funding back when all have left; who spends it is nothing to us any more. */
export function watchMoved(step: Builder, context: Context, live: ClientLive): void {
  const { state } = step
  if ((!isActive(state) && state.stage !== 'settled') || !hasMoved(state)) return
  const outpoint = fundingOf(livePath(state, context, live))
  step.effect({ do: 'watchOutpoint', outpoint, since: state.createdAt })
  // It may have gone before we knew that we have left: that was told once.
  const seen = sightingOf(outpoint, context.item)
  if (seen !== undefined) onMovedSpent(step, context, live, outpoint, seen.height)
}

export function onMovedSpent(
  step: Builder,
  context: Context,
  live: ClientLive,
  outpoint: OutPoint,
  height: BlockHeight,
): void {
  const { state } = step
  if (!isActive(state) || !hasMoved(state) || !isFunding(state, context, live, outpoint)) return
  settleAt(step, state, { how: 'moved', confirmedAt: state.confirmedAt }, height, 'the old factory is spent on chain')
}

export function onMovedUnspent(step: Builder, context: Context, live: ClientLive, outpoint: OutPoint): void {
  const { state } = step
  if (state.stage !== 'settled' || state.how !== 'moved' || !isFunding(state, context, live, outpoint)) return
  unsettle(step, 'what spent the old funding was reorganised out of the chain')
}

const isFunding = (
  state: Active | Extract<ClientState, { stage: 'settled' }>,
  context: Context,
  live: ClientLive,
  outpoint: OutPoint,
): boolean => outPointKey(outpoint) === outPointKey(fundingOf(livePath(state, context, live)))
