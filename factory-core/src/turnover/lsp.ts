/**
 * The LSP moves its clients to the next factory: it holds a client's HTLC over the old channel, pays the same hash over the new one,
 * and settles with the preimage it is given for it. The preimage of the last part is the client's factory key (DESIGN.md 5.5).
 * We lose nothing at any step: nothing is paid before the HTLC that pays it back is held, with time to enforce it on chain.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { clipText, FactoryError, type MoveKey, type MovePart } from '@ln-factory/tlv'
import { isGone, isLeaving } from '../assist/state.js'
import { accepted, clientPosition, participantAt } from '../ceremony/lsp/factory.js'
import type { LspState } from '../ceremony/lsp/state.js'
import type { DirectPayment, HostChannel, ReceivedHtlc } from '../host/port.js'
import {
  incorrectPaymentDetails,
  latestExpiry,
  minFinalDelta,
  minForwardDelta,
  temporaryNodeFailure,
} from '../htlc/index.js'
import { idBytes, type Context, type OperatorOrder, type StepBuilder } from '../machine/index.js'
import { warningAt } from '../liquidity/chain.js'
import { soldAs } from '../liquidity/gate.js'
import { SecretKey } from '../signing/index.js'
import { instanceId, msat, type Blocks, type InstanceId, type NodeId } from '../units/index.js'
import { keyItem, preimageItem, type LspMove, type LspPart } from './state.js'
import { maxResidue, outDelta } from './terms.js'

type Builder = StepBuilder<LspState>
type Active = Extract<LspState, { stage: 'active' }>

/** Seconds between two looks at clients that have not moved. */
const POLL = 5
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const isActive = (state: LspState): state is Active => state.stage === 'active'

/** A client's channels in this factory: the first one, and those that it bought. */
export const clientChannels = (state: LspState, position: number): readonly string[] => [
  ...(state.sales?.signed ?? []).flatMap((s) => (s.buyer === participantAt(position) ? [s.channelId] : [])),
  ...(state.clients[position]?.channelId === undefined ? [] : [state.clients[position].channelId]),
]

/** Of one of them: those that were bought are further from the chain. */
const warningOf = (state: LspState, channelId: string): Blocks =>
  warningAt(state.earlyWarning, state.params.confirmationMargin, soldAs(state, channelId)?.depth ?? 0)

const moveOver = (state: LspState, channelId: string): LspMove | undefined =>
  state.moves?.find((m) => clientChannels(state, m.position).includes(channelId))

export const moveOf = (state: LspState, position: number): LspMove | undefined =>
  state.moves?.find((m) => m.position === position)

/** Its channel in this factory is empty: nothing is routed over it, and nobody has to be left on its account. */
export const hasLeft = (state: LspState, position: number): boolean => {
  const stage = moveOf(state, position)?.stage
  return stage === 'moved' || stage === 'keyless' || state.assists.some((a) => a.client === position && isGone(a))
}

/** Takes no HTLC but those of the move. */
export const isMoving = (state: LspState, position: number): boolean =>
  hasLeft(state, position) || moveOf(state, position)?.part !== undefined

export function onRotateOrder(step: Builder, order: Extract<OperatorOrder, { order: 'rotate' }>): void {
  const { state } = step
  if (!isActive(state))
    throw new FactoryError('wrong_state', `the factory is ${state.stage}; only an active one can be rotated`)
  const before = state.rotation?.targets ?? []
  const targets = before.includes(order.to) ? before : [...before, order.to]
  step.to({ ...state, rotation: { targets, script: order.script, feerate: order.feerate } })
  step.log('state', `its clients move to ${order.to}`)
  step.effect({ do: 'timer', name: 'move', seconds: POLL })
}

/** Where a client that is still here goes: the first of the ordered factories that is live and has a channel for it. */
function destination(
  state: LspState,
  context: Context,
  position: number,
): { to: Active; channelId: string } | undefined {
  const id = state.clients[position]?.id
  for (const target of state.rotation?.targets ?? []) {
    const to = context.factory(target)
    if (to?.role !== 'lsp' || to.stage !== 'active' || to.exit !== undefined) continue
    const channelId = to.clients.find((c) => c.id === id)?.channelId
    if (channelId !== undefined) return { to, channelId }
  }
  return undefined
}

const staying = (state: LspState): number[] =>
  state.clients
    .map((_, i) => i)
    .filter((i) => !hasLeft(state, i) && !state.assists.some((a) => a.client === i && isLeaving(a)))

/** On every block and every few seconds while somebody is on the way. */
export function pollMoves(step: Builder, context: Context): void {
  const { state } = step
  if (!isActive(state) || state.rotation === undefined || staying(state).length === 0) return
  // A client that comes, and a block that makes the next factory live, are told to us anyway.
  const ready = staying(state).some(
    (i) => context.connected(peerAt(state, i)) && destination(state, context, i) !== undefined,
  )
  if (!ready) return
  step.effect({ do: 'timer', name: 'move', seconds: POLL })
  step.call({ call: 'channels' })
}

const peerAt = (state: LspState, position: number): NodeId => {
  const client = state.clients[position]
  if (client === undefined) throw new FactoryError('internal', `no client at ${position}`)
  return client.id
}

export function onMoveChannels(step: Builder, context: Context, channels: readonly HostChannel[]): void {
  if (!isActive(step.state) || step.state.rotation === undefined) return
  // The host pays a hash once; what it was never asked for, because we died, it is asked for now.
  payRests(step, context)
  for (const position of staying(step.state)) {
    const { state } = step
    if (!isActive(state) || !context.connected(peerAt(state, position))) continue
    const goal = destination(state, context, position)
    if (goal === undefined) continue
    const move = moveOf(state, position)
    if (move?.part?.step === 'asked') answerPart(step, context, state, move, move.part, channels)
    else if (move?.part === undefined || move.part.step === 'ready') offer(step, state, position, goal, channels)
  }
}

/** Repeated while nothing happens: the client goes on where it stands. */
function offer(
  step: Builder,
  state: Active,
  position: number,
  { to, channelId }: { to: Active; channelId: string },
  channels: readonly HostChannel[],
): void {
  const next = channels.find((c) => c.channelId === channelId)
  if (next?.state !== 'normal') return
  step.send(peerAt(state, position), {
    kind: 'move_offer',
    instanceId: idBytes(state.instance),
    newInstance: idBytes(to.instance),
    most: next.spendable,
  })
}

function setMove(step: Builder, position: number, change: Partial<LspMove>, to?: InstanceId): void {
  const { state } = step
  const before = moveOf(state, position)
  const target = to ?? before?.to
  if (target === undefined) throw new FactoryError('internal', `no move of client ${position}`)
  const fresh: LspMove = { position, to: target, count: 0, part: undefined, settled: [], stage: 'moving' }
  const moves = [
    ...(state.moves ?? []).filter((m) => m.position !== position),
    { ...fresh, ...before, to: target, ...change },
  ]
  step.to({ ...state, moves: moves.sort((a, b) => a.position - b.position) })
}

export function onMovePart(step: Builder, context: Context, peer: NodeId, message: MovePart): void {
  const { state } = step
  const position = clientPosition(state, peer)
  if (!isActive(state) || hasLeft(state, position)) return
  const refuse = (reason: string): void => {
    step.send(peer, {
      kind: 'move_refuse',
      instanceId: idBytes(state.instance),
      index: message.index,
      reason: clipText(reason, 200),
    })
  }
  const goal = destination(state, context, position)
  const to = instanceId(hexOf(message.newInstance))
  if (goal?.to.instance !== to) return refuse('this is not where you were asked to go')
  const move = moveOf(state, position)
  const hash = hexOf(message.hash)
  if (move?.part !== undefined && move.part.step !== 'asked') {
    const same =
      move.part.hash === hash && move.part.amountIn === message.amountIn && move.part.amountOut === message.amountOut
    // Once paid onward it is finished first; until then the client may think again.
    if (same) return ready(step, peer, move.part)
    if (move.part.step === 'paying') return refuse('another part is under way')
  }
  if (message.index !== (move?.count ?? 0)) return refuse(`part ${move?.count ?? 0} is next`)
  if (move?.settled.includes(hash) === true) return refuse('this hash was paid before')
  const part: LspPart = {
    index: message.index,
    last: message.last === 1,
    hash,
    amountIn: msat(message.amountIn),
    amountOut: msat(message.amountOut),
    secretOut: message.secret,
    step: 'asked',
    secretIn: undefined,
    htlc: undefined,
  }
  setMove(step, position, { part }, to)
  step.call({ call: 'channels' })
}

/** What comes on top of the last part must be what the channel really holds, and no more than a reserve can be. */
function answerPart(
  step: Builder,
  context: Context,
  state: Active,
  move: LspMove,
  part: LspPart,
  channels: readonly HostChannel[],
): void {
  const peer = peerAt(state, move.position)
  const ids = clientChannels(state, move.position)
  const old = ids.flatMap((id) => channels.find((c) => c.channelId === id) ?? [])
  const refuse = (reason: string): void => {
    setMove(step, move.position, { part: undefined })
    step.send(peer, { kind: 'move_refuse', instanceId: idBytes(state.instance), index: part.index, reason })
  }
  if (old.length < ids.length) return refuse('an old channel is gone')
  // Ours is still on its way out of the commitments: the client will see the same and wait.
  if (old.some((c) => c.htlcs.length > 0)) return
  const theirs = old.reduce((sum, c) => sum + c.capacity * 1000n - c.ours, 0n)
  const most = old.reduce((sum, c) => sum + maxResidue(c.capacity), 0n)
  if (part.last && part.amountOut !== theirs)
    return refuse(`your channels hold ${theirs} msat of yours, not ${part.amountOut}`)
  if (part.last && part.amountOut - part.amountIn > most)
    return refuse(`${part.amountOut - part.amountIn} msat on top of the payment are too many`)
  if (part.amountIn > theirs) return refuse('more than the channel holds')
  if (part.amountIn > 0n) {
    step.call({ call: 'expectPayment', hash: part.hash, amount: part.amountIn })
    return
  }
  if (part.amountOut === 0n) {
    const waiting: LspPart = { ...part, step: 'ready', secretIn: new Uint8Array(32) }
    setMove(step, move.position, { part: waiting })
    ready(step, peer, waiting)
    return
  }
  // Less than a reserve, and the key for it: nothing comes in, so nothing has to be held.
  setMove(step, move.position, { part: { ...part, step: 'paying' } })
  payRests(step, context)
}

function ready(step: Builder, peer: NodeId, part: LspPart): void {
  if (part.secretIn === undefined) return
  step.send(peer, {
    kind: 'move_ready',
    instanceId: idBytes(step.state.instance),
    index: part.index,
    secret: part.secretIn,
  })
}

export function onExpected(step: Builder, hash: string, secretIn: Uint8Array): void {
  const move = step.state.moves?.find((m) => m.part?.hash === hash && m.part.step === 'asked')
  if (move?.part === undefined) return
  const part: LspPart = { ...move.part, step: 'ready', secretIn }
  setMove(step, move.position, { part })
  ready(step, peerAt(step.state, move.position), part)
}

/** An HTLC of a move, over its client's old channel; also one that was settled, told again after a restart. */
export function lspExpects(state: LspState, htlc: ReceivedHtlc): boolean {
  const move = moveOver(state, htlc.channelId)
  return move !== undefined && (move.part?.hash === htlc.hash || move.settled.includes(htlc.hash))
}

export function onMoveHtlc(step: Builder, context: Context, htlc: ReceivedHtlc): void {
  const { state } = step
  const move = moveOver(state, htlc.channelId)
  const preimage = move?.settled.includes(htlc.hash) === true ? context.item(preimageItem(htlc.hash)) : undefined
  if (preimage !== undefined) {
    step.effect({ do: 'answerHtlc', htlc: htlc.id, decision: { kind: 'settle', preimage } })
    return
  }
  const fail = (reason: string): void => {
    const failure = incorrectPaymentDetails(htlc.amount, context.height)
    step.effect({ do: 'answerHtlc', htlc: htlc.id, decision: { kind: 'fail', failure, reason } })
  }
  const part = move?.part
  if (!isActive(state) || move === undefined || part?.hash !== htlc.hash) return fail('nothing moves')
  if (part.step === 'paying') {
    if (part.htlc !== htlc.id) return fail('this part is paid already')
    // Told again after a restart: so is the payment onward.
    return payOn(step, state, context, move, part, htlc)
  }
  if (part.step !== 'ready') return fail('not ready for it')
  if (htlc.amount !== part.amountIn) return fail(`${htlc.amount} msat instead of ${part.amountIn}`)
  const goal = destination(state, context, move.position)
  if (goal?.to.instance !== move.to) return fail('the new factory is not live')
  const early = warningOf(state, htlc.channelId)
  const earliest = context.height + outDelta(goal.to.earlyWarning) + minForwardDelta(early)
  const latest = latestExpiry(state.expiry, early, state.params.confirmationMargin)
  if (htlc.expiry < earliest || htlc.expiry > latest)
    return fail(`expires at ${htlc.expiry}, not within ${earliest} to ${latest}`)
  const paying: LspPart = { ...part, step: 'paying', htlc: htlc.id }
  setMove(step, move.position, { part: paying })
  step.log(
    'state',
    `part ${part.index} of ${peerAt(state, move.position)}: ${part.amountIn} msat held, paying ${part.amountOut} in ${move.to}`,
  )
  payOn(step, state, context, move, paying, htlc)
}

function payOn(
  step: Builder,
  state: Active,
  context: Context,
  move: LspMove,
  part: LspPart,
  held: ReceivedHtlc | undefined,
): void {
  const goal = destination(state, context, move.position)
  if (goal === undefined) return
  const wanted = outDelta(goal.to.earlyWarning)
  // What is left of the HTLC that pays it back, less the time to enforce that one.
  const most =
    held === undefined ? wanted : held.expiry - context.height - minForwardDelta(warningOf(state, held.channelId))
  const payment: DirectPayment = {
    peer: peerAt(state, move.position),
    channelId: goal.channelId,
    hash: part.hash,
    amount: part.amountOut,
    secret: part.secretOut,
    // With less the client could take it, and let the HTLC that pays us back expire while we leave the factory.
    delta: most < minFinalDelta(goal.to.earlyWarning) ? 0 : Math.min(wanted, most),
  }
  step.call({ call: 'payDirect', payment })
}

/** Small rests come in without an HTLC: they are paid when the channels have been looked at. */
export function payRests(step: Builder, context: Context): void {
  const { state } = step
  if (!isActive(state)) return
  for (const move of state.moves ?? [])
    if (move.part?.step === 'paying' && move.part.amountIn === 0n)
      payOn(step, state, context, move, move.part, undefined)
}

/** The client has been paid, and this is what it gave for it. */
export function onMovePaid(step: Builder, hash: string, preimage: Uint8Array): void {
  const move = step.state.moves?.find((m) => m.part?.hash === hash)
  if (move?.part === undefined) return
  if (hexOf(sha256(preimage)) !== hash) throw new FactoryError('host_failed', `the preimage of ${hash} is not one`)
  finish(step, move, move.part, preimage)
}

function finish(step: Builder, move: LspMove, part: LspPart, preimage: Uint8Array): void {
  const { position } = move
  const settled = [...move.settled, part.hash]
  step.item(preimageItem(part.hash), preimage)
  if (part.last) close(step, move, preimage)
  else setMove(step, position, { count: move.count + 1, part: undefined })
  setMove(step, position, { settled })
  if (part.htlc !== undefined)
    step.effect({ do: 'answerHtlc', htlc: part.htlc, decision: { kind: 'settle', preimage } })
}

/** r*G == P_client: then the key is ours. */
function close(step: Builder, move: LspMove, preimage: Uint8Array): void {
  const { state } = step
  const { position } = move
  const id = peerAt(state, position)
  const client = state.clients[position]
  const fits = client !== undefined && isKey(preimage, accepted(client).key)
  if (fits) step.item(keyItem(position), preimage)
  setMove(step, position, { part: undefined, stage: fits ? 'moved' : 'keyless' })
  // Not in this step: the key has to be on disk before it signs.
  step.effect({ do: 'timer', name: 'move', seconds: 1 })
  step.log(
    fits ? 'state' : 'warning',
    fits ? `${id} has left, and its key is ours` : `${id} has left, but what it gave is not its factory key`,
  )
  if (!fits)
    step.send(id, {
      kind: 'move_ready',
      instanceId: idBytes(state.instance),
      index: move.count,
      secret: new Uint8Array(32),
    })
}

function isKey(bytes: Uint8Array, point: Uint8Array): boolean {
  try {
    return Buffer.compare(SecretKey.fromBytes(bytes).publicKey, point) === 0
  } catch (error) {
    if (error instanceof FactoryError) return false
    throw error
  }
}

/** In a message: nothing was left to pay for it, or what was paid for was not it. */
export function onMoveKey(step: Builder, peer: NodeId, { key }: MoveKey): void {
  const position = clientPosition(step.state, peer)
  const move = moveOf(step.state, position)
  if (move === undefined) return
  const nothing = move.part?.last === true && move.part.amountOut === 0n && move.part.step === 'ready'
  if (nothing || move.stage === 'keyless') close(step, move, key)
}

/** The client took nothing: its HTLC goes back, and it is offered again. */
export function onMovePaymentFailed(step: Builder, hash: string, error: string): void {
  const move = step.state.moves?.find((m) => m.part?.hash === hash)
  if (move?.part === undefined) return
  const { htlc, index } = move.part
  setMove(step, move.position, { part: undefined })
  step.log('warning', `part ${index} of ${peerAt(step.state, move.position)} failed: ${error}`)
  if (htlc !== undefined)
    step.effect({ do: 'answerHtlc', htlc, decision: { kind: 'fail', failure: temporaryNodeFailure(), reason: error } })
}

/** After a restart: HTLCs are told again by the host, payments onward are asked for again (they are paid once). */
export function resumeMoves(step: Builder, context: Context): void {
  pollMoves(step, context)
  payRests(step, context)
}
