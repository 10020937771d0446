/**
 * The LSP leaves some clients, or all: publishes their paths level by level, closes their channels unilaterally, and takes
 * stocks back after their CSV. All of it must be done before the expiry: from then on the distributions pay everything to the clients.
 */
import { FactoryError } from '@ln-factory/tlv'
import { base } from '../ceremony/lsp/abort.js'
import { lspKey, participantAt, treeOf } from '../ceremony/lsp/factory.js'
import type { LspLive } from '../ceremony/lsp/forming.js'
import type { LspExit, LspState } from '../ceremony/lsp/state.js'
import { signatureItem } from '../ceremony/spend-key.js'
import { restOf, warningAt } from '../liquidity/chain.js'
import { longestChain, lspChains, soldChannels, soldLinks } from '../liquidity/lsp/sales.js'
import { bumpOf } from '../fees/index.js'
import { settle, unsettle } from '../finality/lsp.js'
import type { BroadcastResult, HostChannel } from '../host/port.js'
import { latestExpiry, mustExit } from '../htlc/index.js'
import type { Context, Event, StepBuilder } from '../machine/index.js'
import { seenByLsp, sharedByLsp, unseenByLsp } from '../sightings/lsp.js'
import { signSchnorr } from '../signing/index.js'
import { buildStockSweep, finalize, finalizeStockSweep, type StockSweep } from '../tree/index.js'
import type { FactoryTree, Spend } from '../tree/types.js'
import { blockHeight, outPointKey, type BlockHeight, type OutPoint, type Txid } from '../units/index.js'
import { readyAt } from './plan.js'

type Builder = StepBuilder<LspState>
/** The stages in which the tree may be on chain. */
type OnChain = Extract<LspState, { stage: 'active' | 'closing' | 'exiting' }>

/** sat per 1000 vB of a stock's sweep; grows by as much for every `SWEEP_PATIENCE` blocks that it waits. */
const SWEEP_FEERATE = 2000
const SWEEP_PATIENCE = 6
const MAX_SWEEP_FEERATE = 200_000

const isChild = (s: Spend): boolean => s.role === 'static' || s.role === 'kickoff' || s.role === 'leaf'
const isOnChain = (state: LspState): state is OnChain =>
  state.stage === 'active' || state.stage === 'closing' || state.stage === 'exiting'

export const exitTransactions = (tree: FactoryTree): readonly Spend[] => tree.spends.filter(isChild)

/** Last block at which the LSP may still start: no HTLC outlives it, and W blocks are left before the distributions are valid. */
export const lspDeadline = (state: LspState): BlockHeight =>
  latestExpiry(
    state.expiry,
    warningAt(state.earlyWarning, state.params.confirmationMargin, longestChain(state)),
    state.params.confirmationMargin,
  )

/** @param leaving positions in `clients` */
export function startLspExit(
  step: Builder,
  context: Context,
  live: LspLive,
  leaving: readonly number[],
  why: string,
): void {
  const { state } = step
  if (!isOnChain(state))
    throw new FactoryError('wrong_state', `the factory is ${state.stage}: there is nothing on chain to exit from`)
  const before = state.exit?.clients ?? []
  const clients = [...new Set([...before, ...leaving])].sort((a, b) => a - b)
  if (clients.length === before.length) return
  const close = state.stage === 'closing' && state.close.step === 'signed' ? state.close : state.exit?.close
  const exit: LspExit = { script: state.exit?.script, closing: state.exit?.closing ?? [], clients, close }
  const { funding, confirmedAt } = state
  // A close that is not signed by all yet can't win against a published tree; a signed one may still confirm.
  if (clients.length === state.clients.length) step.to({ ...base(state), exit, stage: 'exiting', funding, confirmedAt })
  else step.to({ ...state, exit })
  step.log('state', `exit from ${clients.length} of ${state.clients.length} channels: ${why}`)
  if (exit.script === undefined) step.call({ call: 'newScript' })
  advanceLspExit(step, context, live, context.height)
}

export const everyone = (state: LspState): number[] => state.clients.map((_, i) => i)

/** The LSP acts by itself when nobody did: doing nothing until the expiry would give everything away. */
export function exitAtDeadline(step: Builder, context: Context, live: LspLive, height: BlockHeight): void {
  const { state } = step
  // A signed close is sent again with every block and needs no help, unless somebody's path took the funding from it.
  const signed = state.stage === 'closing' && state.close.step === 'signed' && Object.keys(state.seen).length === 0
  if ((state.stage === 'active' || state.stage === 'closing') && !signed && height >= lspDeadline(state))
    startLspExit(step, context, live, everyone(state), `the deadline at height ${lspDeadline(state)} has come`)
}

/** An HTLC that must be settled on chain takes its client's path there, W blocks before its end; the others stay. */
export function exitForHtlcs(
  step: Builder,
  context: Context,
  live: LspLive,
  channels: readonly HostChannel[],
  height: BlockHeight,
): void {
  const { state } = step
  if (state.stage !== 'active') return
  const sold = soldLinks(state, context, live)
  const isDue = (channelId: string | undefined, depth: number): boolean => {
    const channel = channels.find((c) => c.channelId === channelId)
    const w = warningAt(state.earlyWarning, state.params.confirmationMargin, depth)
    return channel !== undefined && !channel.onChain && mustExit(channel, height, w)
  }
  const due = everyone(state).filter(
    (i) =>
      isDue(state.clients[i]?.channelId, 0) ||
      sold.some((s) => s.sale.buyer === participantAt(i) && isDue(s.sale.channelId, s.depth)),
  )
  if (due.length > 0) startLspExit(step, context, live, due, 'an HTLC must be settled on chain')
}

/** What is on chain can leave it also while the funding itself is not there, and after the end. */
type Reorganisable = Extract<LspState, { stage: 'confirming' | 'settled' }> | OnChain
const isReorganisable = (state: LspState): state is Reorganisable =>
  isOnChain(state) || state.stage === 'confirming' || state.stage === 'settled'

/** Everything of the tree that may appear on chain, published by whomever. */
export function watchTree(step: Builder, context: Context, live: LspLive): void {
  const { state } = step
  if (!isReorganisable(state)) return
  const since = state.createdAt
  const tree = treeFor(state, context, live)
  // Of a stock each link spends what the one before left.
  const left = soldLinks(state, context, live).map((s) => s.link.chain.prevout.outpoint)
  for (const spend of [...exitTransactions(tree), ...chainTransactions(state, context, live)])
    step.effect({ do: 'watchTx', txid: spend.tx.txid, since })
  for (const outpoint of [...sharedByLsp(state, tree), ...ends(state, context, live), ...stocks(tree), ...left])
    step.effect({ do: 'watchOutpoint', outpoint, since })
}

const treeFor = (state: Reorganisable, context: Context, live: LspLive): FactoryTree =>
  (live.tree ??= treeOf(state, context))

const poisons = (tree: FactoryTree): readonly Spend[] => tree.spends.filter((s) => s.role === 'poison')

const stocks = (tree: FactoryTree): readonly OutPoint[] => poisons(tree).map((p) => p.prevout.outpoint)

/** The outputs whose spending ends the factory: channels, also those that were sold, and what is left of the stocks. */
const ends = (state: Reorganisable, context: Context, live: LspLive): readonly OutPoint[] => [
  ...everyone(state).map((i) => treeFor(state, context, live).channel(participantAt(i)).outpoint),
  ...soldLinks(state, context, live).map((s) => s.link.channel.outpoint),
  ...rests(state, context, live).map((p) => p.prevout.outpoint),
]

/** Poisons of what is left of each stock. */
const rests = (state: Reorganisable, context: Context, live: LspLive): readonly Spend[] =>
  lspChains(state, context, live).flatMap((chain) => restOf(chain)?.poison ?? [])

const chainTransactions = (state: Reorganisable, context: Context, live: LspLive): readonly Spend[] =>
  soldLinks(state, context, live).map((s) => s.link.chain)

/** Sent again on every block until it confirms. */
export function advanceLspExit(step: Builder, context: Context, live: LspLive, height: BlockHeight): void {
  const { state } = step
  if (!isOnChain(state)) return
  if (state.exit !== undefined || Object.keys(state.seen).length > 0) {
    const tree = treeFor(state, context, live)
    publishPaths(step, state, [...exitTransactions(tree), ...chainTransactions(state, context, live)], context, height)
    if (state.exit !== undefined) closeChannels(step, state, context, live, state.exit)
  }
  sweepStocks(step, context, live, height)
}

/** The paths of those who are left; and whoever published a kickoff, its latest state follows. */
function publishPaths(
  step: Builder,
  state: OnChain,
  spends: readonly Spend[],
  context: Context,
  height: BlockHeight,
): void {
  const leaving = new Set((state.exit?.clients ?? []).map(participantAt))
  for (const spend of spends) {
    const parent = spend.prevout.outpoint.txid
    // What was sold follows the leaf at once: until then the old distribution, from the expiry on, could take it.
    const answer = (spend.role === 'leaf' || spend.role === 'chain') && state.seen[parent] !== undefined
    if (state.seen[spend.tx.txid] !== undefined) continue
    if (!answer && !spend.signers.some((i) => leaving.has(i))) continue
    if (parent !== state.funding.txid && state.seen[parent] === undefined) continue
    if (height < readyAt(spend, state.seen[parent])) continue
    const signature = context.item(signatureItem(spend.id))
    if (signature === undefined) {
      // The other branches do not depend on it.
      step.remark(`the signature of ${spend.id} is missing in the store`)
      continue
    }
    const bump = bumpOf(spend, state.params.confirmationMargin)
    step.call({ call: 'broadcast', tx: finalize(spend, signature), txid: spend.tx.txid, bump })
  }
}

function closeChannels(step: Builder, state: OnChain, context: Context, live: LspLive, exit: LspExit): void {
  const tree = treeFor(state, context, live)
  const sold = soldLinks(state, context, live)
  const due = exit.clients.flatMap((i) => {
    const client = state.clients[i]
    if (client?.channelId === undefined) return []
    const first = { peer: client.id, channelId: client.channelId, outpoint: tree.channel(participantAt(i)).outpoint }
    const bought = sold
      .filter((s) => s.sale.buyer === participantAt(i))
      .map((s) => ({ peer: client.id, channelId: s.sale.channelId, outpoint: s.link.channel.outpoint }))
    return [first, ...bought].filter(
      ({ channelId, outpoint }) =>
        state.seen[outpoint.txid] !== undefined &&
        !state.spent.includes(outPointKey(outpoint)) &&
        !exit.closing.includes(channelId),
    )
  })
  if (due.length === 0) return
  step.to({ ...state, exit: { ...exit, closing: [...exit.closing, ...due.map((d) => d.channelId)] } })
  for (const { peer, channelId } of due) step.call({ call: 'forceClose', peer, channelId })
}

/** A stock whose leaf is on chain, by whomever, comes back to the LSP. */
function sweepStocks(step: Builder, context: Context, live: LspLive, height: BlockHeight): void {
  const { state } = step
  if (!isOnChain(state) || Object.keys(state.seen).length === 0) return
  const script = state.exit?.script
  for (const poison of rests(state, context, live)) {
    const { outpoint } = poison.prevout
    const leaf = state.seen[outpoint.txid]
    if (leaf === undefined || state.spent.includes(outPointKey(outpoint))) continue
    const ripe = leaf + state.params.stockCsv - 1
    if (height < ripe) continue
    if (script === undefined) {
      step.call({ call: 'newScript' })
      return
    }
    const feerate = SWEEP_FEERATE * (1 + Math.floor((height - ripe) / SWEEP_PATIENCE))
    const { secretKey, publicKey } = lspKey(state, context)
    const sweep = affordable(feerate, (f) =>
      buildStockSweep({ params: state.params, lspKey: publicKey, poison, script, feerate: f }),
    )
    if (sweep === undefined) continue
    const signature = signSchnorr({ secretKey, message: sweep.sighash, aux: context.entropy(32) })
    step.call({ call: 'broadcast', tx: finalizeStockSweep(sweep, signature), txid: sweep.tx.txid })
  }
}

/** After a restart: what was ordered of the host is ordered again. */
export function resumeExit(step: Builder, context: Context, live: LspLive): void {
  const { state } = step
  watchTree(step, context, live)
  if (state.exit?.script === undefined && state.exit !== undefined) step.call({ call: 'newScript' })
  for (const c of state.clients)
    if (c.channelId !== undefined && state.exit?.closing.includes(c.channelId) === true)
      step.call({ call: 'forceClose', peer: c.id, channelId: c.channelId })
  for (const { peer, channelId } of soldChannels(state))
    if (state.exit?.closing.includes(channelId) === true) step.call({ call: 'forceClose', peer, channelId })
  advanceLspExit(step, context, live, context.height)
}

/** The highest feerate up to the wanted one that the stock can pay. A stock that can pay none must not hold up the rest. */
function affordable(feerate: number, build: (feerate: number) => StockSweep): StockSweep | undefined {
  for (let f = Math.min(feerate, MAX_SWEEP_FEERATE); f >= SWEEP_FEERATE; f -= SWEEP_FEERATE) {
    try {
      return build(f)
    } catch (error) {
      if (!(error instanceof FactoryError) || error.code !== 'insufficient_funds') throw error
    }
  }
  return undefined
}

export function onExitScript(step: Builder, script: Uint8Array): void {
  const { exit } = step.state
  if (exit?.script !== undefined) return
  step.to({ ...step.state, exit: { clients: [], closing: [], close: undefined, ...exit, script } })
}

/** The host could not: it is asked again with the next block. */
export function onForceCloseFailed(step: Builder, channelId: string, error: string): void {
  const { exit } = step.state
  if (exit === undefined) return
  const notice = `channel ${channelId} could not be closed, trying again with the next block: ${error}`
  step.to({ ...step.state, notice, exit: { ...exit, closing: exit.closing.filter((id) => id !== channelId) } })
}

export function onExitConfirmed(step: Builder, context: Context, live: LspLive, id: Txid, height: BlockHeight): void {
  const { state } = step
  if (!isReorganisable(state) || state.seen[id] === height) return
  const spends = [...exitTransactions(treeFor(state, context, live)), ...chainTransactions(state, context, live)]
  const spend = spends.find((s) => s.tx.txid === id)
  if (spend === undefined) return
  step.to({ ...state, seen: { ...state.seen, [id]: height } })
  step.log('confirmed', `${spend.id} (${id}) at height ${height}`)
  advanceLspExit(step, context, live, blockHeight(Math.max(height, context.height)))
}

export function onExitUnconfirmed(step: Builder, id: Txid): void {
  const { state } = step
  if (!isReorganisable(state) || state.seen[id] === undefined) return
  step.to({ ...state, seen: Object.fromEntries(Object.entries(state.seen).filter(([txid]) => txid !== id)) })
  step.log('warning', `${id} was reorganised out of the chain`)
}

export function onExitBroadcast(step: Builder, id: Txid, result: BroadcastResult): void {
  if (step.state.exit === undefined) return
  if (result.accepted) step.log('broadcast', id)
  else
    step.log(
      'warning',
      `${id} was not accepted, trying again with the next block: ${result.error ?? 'no reason given'}`,
    )
}

/** Whatever shared output a block spends gets a name. */
export function onSharedSpent(
  step: Builder,
  context: Context,
  live: LspLive,
  event: Extract<Event, { type: 'spent' }>,
): void {
  const { state } = step
  if (!isReorganisable(state)) return
  const sold = soldLinks(state, context, live).flatMap((s) => s.link.spends)
  seenByLsp(step, context, treeFor(state, context, live), sold, event)
}

export const onSharedUnspent = (step: Builder, context: Context, outpoint: OutPoint): void => {
  unseenByLsp(step, context, outpoint)
}

/** A channel or a stock is spent: what follows is the host's. When all are, the factory is over. */
export function onExitSpent(
  step: Builder,
  context: Context,
  live: LspLive,
  outpoint: OutPoint,
  by: Txid,
  height: BlockHeight,
): void {
  const { state } = step
  if (!isReorganisable(state)) return
  const keys = ends(state, context, live).map(outPointKey)
  const over = [outpoint, ...lostWith(state, context, live, outpoint, by)].map(outPointKey)
  const spent = [...new Set([...state.spent, ...over.filter((k) => keys.includes(k))])]
  if (spent.length === state.spent.length) return
  step.to({ ...state, spent })
  if (isOnChain(state) && keys.every((k) => spent.includes(k)))
    settle(step, state, { how: 'exit' }, height, 'every channel and stock is spent on chain: the factory is over')
}

/** What can't appear any more because `by` took the output that a chain transaction was to spend. */
function lostWith(state: Reorganisable, context: Context, live: LspLive, outpoint: OutPoint, by: Txid): OutPoint[] {
  const key = outPointKey(outpoint)
  return lspChains(state, context, live).flatMap((chain) => {
    const at = chain.links.findIndex((l) => outPointKey(l.chain.prevout.outpoint) === key && l.chain.tx.txid !== by)
    if (at < 0) return []
    const rest = restOf(chain)?.poison.prevout.outpoint
    return [...chain.links.slice(at).map((l) => l.channel.outpoint), ...(rest === undefined ? [] : [rest])]
  })
}

export function onExitUnspent(step: Builder, context: Context, live: LspLive, outpoint: OutPoint): void {
  const { state } = step
  const key = outPointKey(outpoint)
  if (!isReorganisable(state) || !state.spent.includes(key)) return
  const ids = state.clients.flatMap((c, i) =>
    outPointKey(treeFor(state, context, live).channel(participantAt(i)).outpoint) === key ? (c.channelId ?? []) : [],
  )
  for (const { sale, link } of soldLinks(state, context, live))
    if (outPointKey(link.channel.outpoint) === key) ids.push(sale.channelId)
  // A channel's close is ordered again: the host may have given up what is not on chain any more.
  const exit = state.exit && { ...state.exit, closing: state.exit.closing.filter((id) => !ids.includes(id)) }
  step.to({ ...state, exit, spent: state.spent.filter((k) => k !== key) })
  const text = `the spend of ${key} was reorganised out of the chain`
  if (state.stage === 'settled') unsettle(step, text)
  else step.log('warning', text)
}
