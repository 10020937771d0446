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
import { bumpOf } from '../fees/index.js'
import { settle, unsettle } from '../finality/lsp.js'
import type { BroadcastResult, HostChannel } from '../host/port.js'
import { latestExpiry, mustExit } from '../htlc/index.js'
import type { Context, StepBuilder } from '../machine/index.js'
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
  latestExpiry(state.expiry, state.earlyWarning, state.params.confirmationMargin)

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
  const due = everyone(state).filter((i) => {
    const channel = channels.find((c) => c.channelId === state.clients[i]?.channelId)
    return channel !== undefined && !channel.onChain && mustExit(channel, height, state.earlyWarning)
  })
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
  for (const spend of exitTransactions(tree)) step.effect({ do: 'watchTx', txid: spend.tx.txid, since })
  for (const outpoint of ends(state, tree)) step.effect({ do: 'watchOutpoint', outpoint, since })
}

const treeFor = (state: Reorganisable, context: Context, live: LspLive): FactoryTree =>
  (live.tree ??= treeOf(state, context))

const poisons = (tree: FactoryTree): readonly Spend[] => tree.spends.filter((s) => s.role === 'poison')

/** The outputs whose spending ends the factory: channels and stocks. */
const ends = (state: LspState, tree: FactoryTree): readonly OutPoint[] => [
  ...everyone(state).map((i) => tree.channel(participantAt(i)).outpoint),
  ...poisons(tree).map((p) => p.prevout.outpoint),
]

/** Sent again on every block until it confirms. */
export function advanceLspExit(step: Builder, context: Context, live: LspLive, height: BlockHeight): void {
  const { state } = step
  if (!isOnChain(state)) return
  if (state.exit !== undefined || Object.keys(state.seen).length > 0) {
    const tree = treeFor(state, context, live)
    publishPaths(step, state, tree, context, height)
    if (state.exit !== undefined) closeChannels(step, state, tree, state.exit)
  }
  sweepStocks(step, context, live, height)
}

/** The paths of those who are left; and whoever published a kickoff, its latest state follows. */
function publishPaths(step: Builder, state: OnChain, tree: FactoryTree, context: Context, height: BlockHeight): void {
  const leaving = new Set((state.exit?.clients ?? []).map(participantAt))
  for (const spend of exitTransactions(tree)) {
    const parent = spend.prevout.outpoint.txid
    const answer = spend.role === 'leaf' && state.seen[parent] !== undefined
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

function closeChannels(step: Builder, state: OnChain, tree: FactoryTree, exit: LspExit): void {
  const due = exit.clients.flatMap((i) => {
    const client = state.clients[i]
    const { outpoint } = tree.channel(participantAt(i))
    if (client?.channelId === undefined || state.seen[outpoint.txid] === undefined) return []
    if (state.spent.includes(outPointKey(outpoint)) || exit.closing.includes(client.channelId)) return []
    return [{ peer: client.id, channelId: client.channelId }]
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
  for (const poison of poisons(treeFor(state, context, live))) {
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
  const spend = exitTransactions(treeFor(state, context, live)).find((s) => s.tx.txid === id)
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

/** A channel or a stock is spent: what follows is the host's. When all are, the factory is over. */
export function onExitSpent(
  step: Builder,
  context: Context,
  live: LspLive,
  outpoint: OutPoint,
  height: BlockHeight,
): void {
  const { state } = step
  if (!isReorganisable(state)) return
  const key = outPointKey(outpoint)
  const keys = ends(state, treeFor(state, context, live)).map(outPointKey)
  if (!keys.includes(key) || state.spent.includes(key)) return
  const spent = [...state.spent, key]
  step.to({ ...state, spent })
  if (isOnChain(state) && keys.every((k) => spent.includes(k)))
    settle(step, state, { how: 'exit' }, height, 'every channel and stock is spent on chain: the factory is over')
}

export function onExitUnspent(step: Builder, context: Context, live: LspLive, outpoint: OutPoint): void {
  const { state } = step
  const key = outPointKey(outpoint)
  if (!isReorganisable(state) || !state.spent.includes(key)) return
  const ids = state.clients.flatMap((c, i) =>
    outPointKey(treeFor(state, context, live).channel(participantAt(i)).outpoint) === key ? (c.channelId ?? []) : [],
  )
  // A channel's close is ordered again: the host may have given up what is not on chain any more.
  const exit = state.exit && { ...state.exit, closing: state.exit.closing.filter((id) => !ids.includes(id)) }
  step.to({ ...state, exit, spent: state.spent.filter((k) => k !== key) })
  const text = `the spend of ${key} was reorganised out of the chain`
  if (state.stage === 'settled') unsettle(step, text)
  else step.log('warning', text)
}
