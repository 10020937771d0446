/**
 * The LSP leaves: publishes the whole tree, level by level, closes every channel unilaterally, and takes its stocks back after their
 * CSV. It must be done before the expiry: from then on the distributions pay everything to the clients.
 */
import { FactoryError } from '@ln-factory/tlv'
import { base } from '../ceremony/lsp/abort.js'
import { lspKey, participantAt, treeOf } from '../ceremony/lsp/factory.js'
import type { LspLive } from '../ceremony/lsp/forming.js'
import type { LspState } from '../ceremony/lsp/state.js'
import { signatureItem } from '../ceremony/spend-key.js'
import type { BroadcastResult } from '../host/port.js'
import { latestExpiry } from '../htlc/index.js'
import type { Context, StepBuilder } from '../machine/index.js'
import { signSchnorr } from '../signing/index.js'
import { buildStockSweep, finalize, finalizeStockSweep } from '../tree/index.js'
import type { FactoryTree, Spend } from '../tree/types.js'
import { blockHeight, outPointKey, type BlockHeight, type OutPoint, type Txid } from '../units/index.js'
import { readyAt } from './plan.js'

type Builder = StepBuilder<LspState>
type Exiting = Extract<LspState, { stage: 'exiting' }>

/** sat per 1000 vB of a stock's sweep; grows by as much for every `SWEEP_PATIENCE` blocks that it waits. */
const SWEEP_FEERATE = 2000
const SWEEP_PATIENCE = 6

const isChild = (s: Spend): boolean => s.role === 'static' || s.role === 'kickoff' || s.role === 'leaf'

export const exitTransactions = (tree: FactoryTree): readonly Spend[] => tree.spends.filter(isChild)

/** Last block at which the LSP may still start: no HTLC outlives it, and W blocks are left before the distributions are valid. */
export const lspDeadline = (state: LspState): BlockHeight =>
  latestExpiry(state.expiry, state.earlyWarning, state.params.confirmationMargin)

export function startLspExit(step: Builder, context: Context, live: LspLive, why: string): void {
  const { state } = step
  if (state.stage === 'exiting') return
  if (state.stage !== 'active' && state.stage !== 'closing')
    throw new FactoryError('wrong_state', `the factory is ${state.stage}: there is nothing on chain to exit from`)
  const { funding } = state
  step.to({
    ...base(state),
    stage: 'exiting',
    funding,
    since: context.height,
    script: undefined,
    closing: [],
    spent: [],
  })
  step.log('state', `exit: ${why}`)
  step.call({ call: 'newScript' })
  watchExit(step, context, live)
  advanceLspExit(step, context, live, context.height)
}

/** The LSP acts by itself when nobody did: doing nothing until the expiry would give everything away. */
export function exitAtDeadline(step: Builder, context: Context, live: LspLive, height: BlockHeight): void {
  const { state } = step
  const signed = state.stage === 'closing' && state.close.step === 'signed'
  if ((state.stage === 'active' || state.stage === 'closing') && !signed && height >= lspDeadline(state))
    startLspExit(step, context, live, `the deadline at height ${lspDeadline(state)} has come`)
}

export function watchExit(step: Builder, context: Context, live: LspLive): void {
  const { state } = step
  if (state.stage !== 'exiting') return
  const since = state.createdAt
  const tree = treeFor(state, context, live)
  for (const spend of exitTransactions(tree)) step.effect({ do: 'watchTx', txid: spend.tx.txid, since })
  for (const outpoint of ends(state, tree)) step.effect({ do: 'watchOutpoint', outpoint, since })
}

const treeFor = (state: Exiting, context: Context, live: LspLive): FactoryTree => (live.tree ??= treeOf(state, context))

const poisons = (tree: FactoryTree): readonly Spend[] => tree.spends.filter((s) => s.role === 'poison')

/** The outputs whose spending ends the factory: channels and stocks. */
const ends = (state: Exiting, tree: FactoryTree): readonly OutPoint[] => [
  ...state.clients.map((_, i) => tree.channel(participantAt(i)).outpoint),
  ...poisons(tree).map((p) => p.prevout.outpoint),
]

/** Sent again on every block until it confirms. */
export function advanceLspExit(step: Builder, context: Context, live: LspLive, height: BlockHeight): void {
  const { state } = step
  if (state.stage !== 'exiting') return
  const tree = treeFor(state, context, live)
  for (const spend of exitTransactions(tree)) {
    if (state.seen[spend.tx.txid] !== undefined) continue
    const parent = spend.prevout.outpoint.txid
    if (parent !== state.funding.txid && state.seen[parent] === undefined) continue
    if (height < readyAt(spend, state.seen[parent])) continue
    const signature = context.item(signatureItem(spend.id))
    if (signature === undefined) throw new FactoryError('store_corrupt', `the signature of ${spend.id} is missing`)
    step.call({ call: 'broadcast', tx: finalize(spend, signature), txid: spend.tx.txid })
  }
  closeChannels(step, tree)
  sweepStocks(step, state, tree, context, height)
}

function closeChannels(step: Builder, tree: FactoryTree): void {
  const { state } = step
  if (state.stage !== 'exiting') return
  const due = state.clients.flatMap((client, i) => {
    const { outpoint } = tree.channel(participantAt(i))
    const { channelId, id } = client
    const over = state.spent.includes(outPointKey(outpoint))
    if (channelId === undefined || over || state.seen[outpoint.txid] === undefined) return []
    return state.closing.includes(channelId) ? [] : [{ peer: id, channelId }]
  })
  if (due.length === 0) return
  step.to({ ...state, closing: [...state.closing, ...due.map((d) => d.channelId)] })
  for (const { peer, channelId } of due) step.call({ call: 'forceClose', peer, channelId })
}

function sweepStocks(step: Builder, state: Exiting, tree: FactoryTree, context: Context, height: BlockHeight): void {
  const { script } = state
  if (script === undefined) return
  for (const poison of poisons(tree)) {
    const { outpoint } = poison.prevout
    const leaf = state.seen[outpoint.txid]
    if (leaf === undefined || state.spent.includes(outPointKey(outpoint))) continue
    const ripe = leaf + state.params.stockCsv - 1
    if (height < ripe) continue
    const feerate = SWEEP_FEERATE * (1 + Math.floor((height - ripe) / SWEEP_PATIENCE))
    const { secretKey, publicKey } = lspKey(state, context)
    const sweep = buildStockSweep({ params: state.params, lspKey: publicKey, poison, script, feerate })
    const signature = signSchnorr({ secretKey, message: sweep.sighash, aux: context.entropy(32) })
    step.call({ call: 'broadcast', tx: finalizeStockSweep(sweep, signature), txid: sweep.tx.txid })
  }
}

export function onExitScript(step: Builder, script: Uint8Array): void {
  if (step.state.stage === 'exiting' && step.state.script === undefined) step.to({ ...step.state, script })
}

export function onExitConfirmed(step: Builder, context: Context, live: LspLive, id: Txid, height: BlockHeight): void {
  const { state } = step
  if (state.stage !== 'exiting') return
  const spend = exitTransactions(treeFor(state, context, live)).find((s) => s.tx.txid === id)
  if (spend === undefined) return
  step.to({ ...state, seen: { ...state.seen, [id]: height } })
  step.log('confirmed', `${spend.id} (${id}) at height ${height}`)
  advanceLspExit(step, context, live, blockHeight(Math.max(height, context.height)))
}

export function onExitUnconfirmed(step: Builder, id: Txid): void {
  const { state } = step
  if (state.stage !== 'exiting' || state.seen[id] === undefined) return
  step.to({ ...state, seen: Object.fromEntries(Object.entries(state.seen).filter(([txid]) => txid !== id)) })
  step.log('warning', `${id} was reorganised out of the chain`)
}

export function onExitBroadcast(step: Builder, id: Txid, result: BroadcastResult): void {
  if (step.state.stage !== 'exiting') return
  if (result.accepted) step.log('broadcast', id)
  else
    step.log(
      'warning',
      `${id} was not accepted, trying again with the next block: ${result.error ?? 'no reason given'}`,
    )
}

/** A channel or a stock is spent: what follows is the host's. When all are, the factory is over. */
export function onExitSpent(step: Builder, context: Context, live: LspLive, outpoint: OutPoint): void {
  const { state } = step
  if (state.stage !== 'exiting') return
  const key = outPointKey(outpoint)
  const keys = ends(state, treeFor(state, context, live)).map(outPointKey)
  if (!keys.includes(key) || state.spent.includes(key)) return
  const spent = [...state.spent, key]
  step.to({ ...state, spent })
  if (!keys.every((k) => spent.includes(k))) return
  step.to({ ...base(step.state), stage: 'exited', funding: state.funding })
  step.log('state', 'every channel and stock is spent on chain: the factory is over')
}
