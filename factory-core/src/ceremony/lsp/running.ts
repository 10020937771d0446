/** From completed channels to an active factory, LSP side. */
import { idBytes, type Context, type StepBuilder } from '../../machine/index.js'
import { blockHeight, type BlockHeight, type NodeId } from '../../units/index.js'
import type { HostChannel } from '../../host/port.js'
import { abort, base, undoLate } from './abort.js'
import { clientPosition, participantAt, treeOf } from './factory.js'
import { setClient, type LspLive } from './forming.js'
import type { Funded, LspBase, LspState } from './state.js'

type Builder = StepBuilder<LspState>

/** Seconds between two tries to broadcast the funding. */
const LAUNCH_RETRY = 30

export function onOpenCompleted(step: Builder, peer: NodeId, channelId: string): void {
  const { state } = step
  if (state.stage === 'aborted') {
    // The abort was faster than the host: what it opened since is undone too, and known for another try.
    setClient(step, clientPosition(state, peer), { channelId })
    return undoLate(step)
  }
  if (state.stage !== 'completing') return
  setClient(step, clientPosition(state, peer), { channelId })
  step.log('host', `channel ${channelId} with ${peer} completed`)
  launchWhenReady(step)
}

export function onChannelReady(step: Builder, peer: NodeId, channelId: string): void {
  if (step.state.stage !== 'completing') return
  setClient(step, clientPosition(step.state, peer), { readyChannelId: channelId })
  launchWhenReady(step)
}

/** Invariant 2: the funding leaves only when every client has stored every signature and checked its channel. */
function launchWhenReady(step: Builder): void {
  const { state } = step
  if (state.stage !== 'completing') return
  const liar = state.clients.find(
    (c) => c.channelId !== undefined && c.readyChannelId !== undefined && c.channelId !== c.readyChannelId,
  )
  if (liar !== undefined)
    return abort(step, `client ${liar.id} checked another channel than the one we opened`, liar.id)
  if (!state.clients.every((c) => c.stored && c.channelId !== undefined && c.readyChannelId !== undefined)) return
  const launching: LspState = { ...base(state), stage: 'launching', funding: state.funding }
  step.to(launching)
  step.effect({ do: 'cancelTimer', name: 'step' })
  step.log('state', 'all signatures stored, all channels checked: broadcasting the funding')
  watch(step)
  launch(step, launching)
}

export function launch(step: Builder, state: LspBase & Funded & { readonly doubleSpent?: unknown }): void {
  if (state.doubleSpent !== undefined) return
  step.call({
    call: 'launch',
    funding: state.funding,
    channels: state.clients.flatMap((c) => (c.channelId === undefined ? [] : [c.channelId])),
  })
}

export function onLaunched(step: Builder): void {
  const { state } = step
  if (state.stage !== 'launching') return
  step.to({ ...base(state), stage: 'confirming', funding: state.funding, confirmedAt: undefined, notice: undefined })
  step.log('broadcast', `funding ${state.funding.txid}`)
  watch(step)
  for (const c of state.clients) announceFunding(step, c.id)
}

/** The inputs may be spent or the fee too low; the coins are pledged, so it is tried again until it works. */
export function onLaunchFailed(step: Builder, error: string): void {
  if (step.state.stage !== 'launching') return
  step.to({ ...step.state, notice: `funding not broadcast yet: ${error}` })
  step.effect({ do: 'timer', name: 'retry', seconds: LAUNCH_RETRY })
}

export function announceFunding(step: Builder, peer: NodeId): void {
  step.send(peer, { kind: 'funding_broadcast', instanceId: idBytes(step.state.instance) })
}

/** Everything of the tree that may appear on chain from now on. */
export function watch(step: Builder): void {
  const { state } = step
  if (!('funding' in state) || state.funding === undefined) return
  const { txid, vout } = state.funding
  step.effect({ do: 'watchTx', txid, since: state.createdAt })
  step.effect({ do: 'watchOutpoint', outpoint: { txid, vout }, since: state.createdAt })
  if (state.stage === 'launching' || state.stage === 'confirming')
    for (const outpoint of state.funding.inputs ?? [])
      step.effect({ do: 'watchOutpoint', outpoint, since: state.createdAt })
}

export function onTip(step: Builder, context: Context, height: BlockHeight): void {
  const { state } = step
  // Whatever took it out of the chain, or kept it away: as long as it is not in a block it is sent again.
  if ('confirmedAt' in state && state.confirmedAt === undefined && state.stage !== 'settled') launch(step, state)
  if (state.stage !== 'confirming' || state.confirmedAt === undefined) return
  if (height - state.confirmedAt + 1 < context.policy.minDepth) return
  step.to({ ...base(state), stage: 'active', funding: state.funding, confirmedAt: state.confirmedAt })
  step.log('state', `active: funding confirmed at ${state.confirmedAt}`)
}

export function onConfirmed(step: Builder, context: Context, id: string, height: BlockHeight): void {
  const { state } = step
  // The process may have died between the broadcast and hearing of it: what is on chain has been launched.
  if (state.stage === 'launching' && state.funding.txid === id) onLaunched(step)
  const launched = step.state
  if ('confirmedAt' in launched && launched.stage !== 'confirming' && launched.funding.txid === id)
    step.to({ ...launched, confirmedAt: height })
  if (launched.stage !== 'confirming' || launched.funding.txid !== id || launched.confirmedAt === height) return
  step.to({ ...launched, confirmedAt: height })
  step.log('confirmed', `funding at height ${height}`)
  onTip(step, context, blockHeight(Math.max(height, context.height)))
}

/** A reorganisation took the funding back: the gate shuts until it is confirmed again. */
export function onUnconfirmed(step: Builder, id: string): void {
  const { state } = step
  if (!('confirmedAt' in state) || state.funding.txid !== id) return
  if (state.stage === 'active' || state.stage === 'confirming')
    step.to({ ...base(state), stage: 'confirming', funding: state.funding, confirmedAt: undefined })
  else step.to({ ...state, confirmedAt: undefined })
  step.log('warning', 'the funding was reorganised out of the chain')
  launch(step, state)
}

/**
 * After a restart in `completing`, first of all: is the funding on chain? Then this disk is an old copy, and to abort would drop
 * channels that hold money (invariant 8).
 */
export function onFundingAtResume(step: Builder, output: unknown): void {
  const { state } = step
  if (state.stage !== 'completing') return
  if (output === undefined) {
    step.call({ call: 'channels' })
    return
  }
  step.to({ ...base(state), stage: 'launching', funding: state.funding })
  step.log('warning', 'the funding is on chain already: this state is older than the factory')
  onLaunched(step)
}

/**
 * After a restart in `completing`: pending opens did not survive, completed channels did. Either all are there, or the
 * ceremony is given up.
 */
export function onChannelsAtResume(
  step: Builder,
  context: Context,
  live: LspLive,
  channels: readonly HostChannel[],
): void {
  const { state } = step
  if (state.stage !== 'completing') return
  const tree = (live.tree ??= treeOf(state, context))
  state.clients.forEach((client, i) => {
    const { outpoint } = tree.channel(participantAt(i))
    const found = channels.find(
      (c) => c.peer === client.id && c.funding.txid === outpoint.txid && c.funding.vout === outpoint.vout,
    )
    if (found !== undefined) setClient(step, i, { channelId: found.channelId })
  })
  const missing = step.state.clients.filter((c) => c.channelId === undefined)
  if (missing.length > 0) return abort(step, `restarted before ${missing.length} channels were completed`)
  launchWhenReady(step)
}
