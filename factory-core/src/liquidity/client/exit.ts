/** Bought channels on their way to the chain: after the leaf, each chain transaction when the one before is confirmed. */
import type { ClientLive } from '../../ceremony/client/forming.js'
import { livePath } from '../../ceremony/client/running.js'
import type { HostChannel } from '../../host/port.js'
import { latestExpiry, mustExit } from '../../htlc/index.js'
import { bumpOf } from '../../fees/index.js'
import type { Context } from '../../machine/index.js'
import { finalize, type ChainLink, type Spend } from '../../tree/index.js'
import {
  blockHeight,
  floorSat,
  msat,
  outPointKey,
  type BlockHeight,
  type OutPoint,
  type Txid,
} from '../../units/index.js'
import { restOf, storedSignature } from '../chain.js'
import {
  clientChain,
  ownChannels,
  ownWarning,
  paramsOf,
  salesOf,
  setSales,
  soldLinks,
  type Builder,
  type WithPath,
} from './sales.js'

/** What of our chain may appear on chain, besides our path. */
export function chainSpends(state: WithPath, context: Context, live: ClientLive): readonly Spend[] {
  const chain = clientChain(state, context, live)
  if (chain === undefined) return []
  const rest = restOf(chain)
  return [
    ...chain.links.map((l) => l.chain),
    ...(rest === undefined || chain.links.length === 0 ? [] : [rest.distribution]),
  ]
}

export function watchLink(step: Builder, link: ChainLink, ours: boolean): void {
  const since = step.state.createdAt
  step.effect({ do: 'watchTx', txid: link.chain.tx.txid, since })
  step.effect({ do: 'watchOutpoint', outpoint: link.chain.prevout.outpoint, since })
  if (link.rest !== undefined) step.effect({ do: 'watchTx', txid: link.rest.distribution.tx.txid, since })
  if (ours) step.effect({ do: 'watchOutpoint', outpoint: link.channel.outpoint, since })
}

export function watchChain(step: Builder, state: WithPath, context: Context, live: ClientLive): void {
  const chain = clientChain(state, context, live)
  if (chain === undefined) return
  for (const { sold, link } of soldLinks(state, chain)) watchLink(step, link, sold.bought !== undefined)
}

/**
 * Whoever put the leaf on chain, what was sold of its stock follows at once: until then the LSP alone, after its CSV, or the old
 * distribution, after the expiry, could take what the buyers' channels hold. We pay for it where it leads to ours.
 */
export function advanceChain(step: Builder, context: Context, live: ClientLive): void {
  const { state } = step
  if (state.stage !== 'active' && state.stage !== 'closing' && state.stage !== 'exiting') return
  const chain = clientChain(state, context, live)
  if (chain === undefined || chain.links.length === 0) return
  const links = soldLinks(state, chain)
  const lastOwn = Math.max(0, ...links.filter((l) => l.sold.bought !== undefined).map((l) => l.depth))
  const next = links.find(({ link }) => state.seen[link.chain.tx.txid] === undefined)
  if (next !== undefined && state.seen[next.link.chain.prevout.outpoint.txid] !== undefined) {
    const { chain: spend } = next.link
    const tx = finalize(spend, storedSignature(context, spend))
    const { confirmationMargin } = paramsOf(state)
    if (next.depth <= lastOwn)
      step.call({ call: 'broadcast', tx, txid: spend.tx.txid, bump: bumpOf(spend, confirmationMargin) })
    else step.call({ call: 'broadcast', tx, txid: spend.tx.txid })
  }
  if (state.stage !== 'exiting') return
  const { closing, spent } = salesOf(state)
  const due = ownChannels(state, context, live).filter(
    ({ depth, channelId, outpoint }) =>
      depth > 0 &&
      state.seen[outpoint.txid] !== undefined &&
      !closing.includes(channelId) &&
      !spent.includes(outPointKey(outpoint)),
  )
  if (due.length === 0) return
  setSales(step, { closing: [...closing, ...due.map((d) => d.channelId)] })
  for (const { peer, channelId } of due) step.call({ call: 'forceClose', peer, channelId })
}

/** After a restart: what was ordered of the host is ordered again. */
export function resumeChain(step: Builder): void {
  const { state } = step
  if (state.stage !== 'exiting') return
  for (const channelId of salesOf(state).closing) step.call({ call: 'forceClose', peer: state.lsp, channelId })
}

/** @returns whether it was a bought channel */
export function onChainCloseFailed(step: Builder, channelId: string): boolean {
  const { closing } = salesOf(step.state)
  if (!closing.includes(channelId)) return false
  setSales(step, { closing: closing.filter((id) => id !== channelId) })
  return true
}

/** Has one of our channels an HTLC that must be settled on chain? Each has its own W. */
export const htlcDue = (
  state: WithPath,
  context: Context,
  live: ClientLive,
  channels: readonly HostChannel[],
  height: BlockHeight,
): boolean =>
  ownChannels(state, context, live).some((own) => {
    const channel = channels.find((c) => c.channelId === own.channelId)
    return channel !== undefined && !channel.onChain && mustExit(channel, height, ownWarning(state, own))
  })

/**
 * The distributions were signed before our purchases and pay what they paid then. Who has more than that leaves while there is time
 * (invariant 5).
 */
export function isUncovered(
  state: WithPath,
  context: Context,
  live: ClientLive,
  channels: readonly HostChannel[],
  height: BlockHeight,
): boolean {
  const own = ownChannels(state, context, live)
  const deepest = own.at(-1)
  if (deepest === undefined || deepest.depth === 0) return false
  const { confirmationMargin } = paramsOf(state)
  const latest = latestExpiry(blockHeight(state.invite.expiry), ownWarning(state, deepest), confirmationMargin)
  if (height < latest) return false
  const mine = channels.filter((c) => own.some((o) => o.channelId === c.channelId))
  if (mine.every((c) => c.onChain)) return false
  const balance = mine.reduce((sum, c) => sum + c.ours, 0n)
  return floorSat(msat(balance)) > livePath(state, context, live).coverage
}

/**
 * Our channels, and everything below an output that `by` spent instead of a chain transaction of ours, are over.
 * @returns whether all of ours are
 */
export function onChainSpent(
  step: Builder,
  context: Context,
  live: ClientLive,
  state: WithPath,
  outpoint: OutPoint,
  by: Txid,
): boolean {
  const own = ownChannels(state, context, live)
  const { spent } = salesOf(state)
  const over = new Set(spent)
  const key = outPointKey(outpoint)
  if (own.some((c) => outPointKey(c.outpoint) === key)) over.add(key)
  const links = clientChain(state, context, live)?.links ?? []
  const taken = links.findIndex((l) => outPointKey(l.chain.prevout.outpoint) === key && l.chain.tx.txid !== by)
  if (taken >= 0) for (const c of own) if (c.depth > taken) over.add(outPointKey(c.outpoint))
  if (over.size > spent.length) {
    setSales(step, { spent: [...over] })
    if (taken >= 0) step.log('warning', `${by} took the stock below which channels of ours were sold`)
  }
  return own.every((c) => over.has(outPointKey(c.outpoint)))
}

export function onChainUnspent(step: Builder, outpoint: OutPoint): void {
  const { spent } = salesOf(step.state)
  const key = outPointKey(outpoint)
  if (spent.includes(key)) setSales(step, { spent: spent.filter((k) => k !== key) })
}
