/** Factories as people see them: phases, balances, transactions, and what happens next. */
import type { ClientState, LspState } from '../ceremony/index.js'
import { treeOf } from '../ceremony/lsp/factory.js'
import { storedPath } from '../ceremony/client/path.js'
import { fromWire } from '../ceremony/terms.js'
import { signatureItem } from '../ceremony/spend-key.js'
import { exitBlocks, exitSpends, exitTransactions, lspDeadline } from '../exit/index.js'
import { FINAL_DEPTH } from '../finality/depth.js'
import { lastHtlcHeight } from '../htlc/index.js'
import type { HostChannel } from '../host/port.js'
import type { Context } from '../machine/index.js'
import { exitSteps, planTree } from '../tree/index.js'
import type { ClientPath, Spend } from '../tree/types.js'
import {
  blockHeight,
  blocks,
  LSP,
  participantIndex,
  sat,
  sumSat,
  type BlockHeight,
  type Blocks,
  type NodeId,
  type OutPoint,
} from '../units/index.js'
import type { ChannelSummary, FactoryDetails, FactorySummary, MoveSummary, PathTxSummary, Phase } from './api.js'
import type { Machine } from './machine.js'

const LSP_PHASES: Readonly<Record<LspState['stage'], Phase>> = {
  inviting: 'forming',
  preparing: 'forming',
  opening: 'forming',
  signing: 'forming',
  delivering: 'forming',
  completing: 'forming',
  launching: 'confirming',
  confirming: 'confirming',
  active: 'active',
  closing: 'closing',
  exiting: 'exiting',
  settled: 'closed',
  exited: 'exited',
  closed: 'closed',
  aborted: 'aborted',
}

const CLIENT_PHASES: Readonly<Record<ClientState['stage'], Phase>> = {
  invited: 'forming',
  joining: 'forming',
  accepted: 'forming',
  signing: 'forming',
  signed: 'forming',
  stored: 'forming',
  ready: 'confirming',
  active: 'active',
  closing: 'closing',
  exiting: 'exiting',
  settled: 'closed',
  closed: 'closed',
  refused: 'aborted',
  aborted: 'aborted',
}

export function phaseOf(machine: Machine): Phase {
  const { state, role } = machine
  if ((state.stage === 'settled' || state.stage === 'closed') && 'how' in state && state.how === 'exit') return 'exited'
  return role === 'lsp' ? LSP_PHASES[machine.state.stage] : CLIENT_PHASES[machine.state.stage]
}

export function summarize(
  machine: Machine,
  self: NodeId,
  channels: readonly HostChannel[],
  context: Context,
): FactorySummary {
  return machine.role === 'lsp' ? lspSummary(machine, self, channels) : clientSummary(machine, channels, context)
}

const channelOf = (channels: readonly HostChannel[], id: string | undefined): HostChannel | undefined =>
  id === undefined ? undefined : channels.find((c) => c.channelId === id)

function lspSummary(
  machine: Extract<Machine, { role: 'lsp' }>,
  self: NodeId,
  channels: readonly HostChannel[],
): FactorySummary {
  const { state } = machine
  const funding: OutPoint | undefined =
    'funding' in state && state.funding !== undefined
      ? { txid: state.funding.txid, vout: state.funding.vout }
      : undefined
  return {
    instance: state.instance,
    role: 'lsp',
    phase: phaseOf(machine),
    stage: state.stage,
    lsp: self,
    clients: state.clients.length,
    funding,
    fundingAmount: state.fundingAmount,
    expiry: state.expiry,
    earlyWarning: state.earlyWarning,
    channels: state.clients.map((c): ChannelSummary => {
      const channel = channelOf(channels, c.channelId)
      return {
        peer: c.id,
        channelId: c.channelId,
        capacity: c.capacity,
        ours: channel?.ours,
        outpoint: channel?.funding,
      }
    }),
    moves: (state.moves ?? []).flatMap((m): MoveSummary[] => {
      const peer = state.clients[m.position]?.id
      return peer === undefined ? [] : [{ peer, to: m.to, stage: m.stage, parts: m.count }]
    }),
    notice: state.stage === 'aborted' ? state.reason : state.notice,
  }
}

function pathOf(state: ClientState, context: Context): ClientPath | undefined {
  return 'salt' in state && state.stage !== 'accepted' ? storedPath(state, context) : undefined
}

function clientSummary(
  machine: Extract<Machine, { role: 'client' }>,
  channels: readonly HostChannel[],
  context: Context,
): FactorySummary {
  const { state } = machine
  const path = pathOf(state, context)
  const channelId = 'channelId' in state ? state.channelId : undefined
  const funding = path?.spends[0]?.prevout
  return {
    instance: state.instance,
    role: 'client',
    phase: phaseOf(machine),
    stage: state.stage,
    lsp: state.lsp,
    clients: state.invite.clients,
    funding: funding?.outpoint,
    fundingAmount: funding?.amount,
    expiry: blockHeight(state.invite.expiry),
    earlyWarning: blocks(state.invite.earlyWarning),
    channels: [
      {
        peer: state.lsp,
        channelId,
        capacity: sat(state.invite.capacity),
        ours: channelOf(channels, channelId)?.ours,
        outpoint: path?.channel.outpoint,
      },
    ],
    moves:
      state.move === undefined
        ? []
        : [
            {
              peer: state.lsp,
              to: state.move.to,
              stage: state.move.moved ? 'moved' : 'moving',
              parts: state.move.count,
            },
          ],
    notice: state.stage === 'aborted' || state.stage === 'refused' ? state.reason : state.notice,
  }
}

const transaction = (spend: Spend, seen: Readonly<Record<string, BlockHeight>>, context: Context): PathTxSummary => ({
  id: spend.id,
  role: spend.role,
  class: spend.class,
  txid: spend.tx.txid,
  vsize: spend.vsize,
  fee: spend.fee,
  amount: spend.prevout.amount,
  sequence: spend.tx.sequence,
  lockTime: spend.tx.lockTime,
  signed: context.item(signatureItem(spend.id)) !== undefined,
  confirmed: seen[spend.tx.txid],
})

/** An exit, as it stands: a client's path, or the LSP's whole tree. */
export function exitPlan(
  machine: Machine,
  context: Context,
): { transactions: readonly PathTxSummary[]; blocks: Blocks } {
  if (machine.role === 'client') {
    const path = pathOf(machine.state, context)
    const margin = fromWire(machine.state.invite.params).confirmationMargin
    if (path === undefined) return { transactions: [], blocks: blocks(0) }
    return {
      transactions: exitSpends(path).map((spend) => transaction(spend, machine.state.seen, context)),
      blocks: exitBlocks(path, margin),
    }
  }
  const { state } = machine
  if (!('funding' in state) || state.funding === undefined) return { transactions: [], blocks: blocks(0) }
  const tree = treeOf({ ...state, funding: state.funding }, context)
  return {
    transactions: exitTransactions(tree).map((spend) => transaction(spend, state.seen, context)),
    blocks: state.earlyWarning,
  }
}

export function describe(
  machine: Machine,
  self: NodeId,
  channels: readonly HostChannel[],
  context: Context,
): FactoryDetails {
  const summary = summarize(machine, self, channels, context)
  const params = machine.role === 'lsp' ? machine.state.params : fromWire(machine.state.invite.params)
  const common = {
    ...summary,
    params,
    lastHtlcHeight: lastHtlcHeight(summary.expiry, summary.earlyWarning, params.confirmationMargin),
    next: nextSentence(machine, summary),
  }
  if (machine.role === 'lsp') {
    const { state } = machine
    const complete =
      'funding' in state && state.funding !== undefined && state.clients.every((c) => c.channelScript !== undefined)
    const tree = complete ? treeOf({ ...state, funding: state.funding }, context) : undefined
    const plan = planTree({ params, capacities: state.clients.map((c) => c.capacity) })
    return {
      ...common,
      transactions: (tree?.spends ?? []).map((s) => transaction(s, state.seen, context)),
      exit: { transactions: plan.depth, vsize: plan.exitVsize, fee: plan.exitFee, blocks: plan.earlyWarning },
      coverage: undefined,
    }
  }
  const { state } = machine
  const path = pathOf(state, context)
  const steps =
    path === undefined ? exitSteps(params, state.invite.clients, participantIndex(LSP + 1)) : exitSpends(path)
  return {
    ...common,
    transactions: (path?.spends ?? []).map((s) => transaction(s, state.seen, context)),
    exit: {
      transactions: steps.length,
      vsize: steps.reduce((sum, s) => sum + s.vsize, 0),
      fee: sumSat(steps.map((s) => s.fee)),
      blocks: path === undefined ? blocks(state.invite.earlyWarning) : exitBlocks(path, params.confirmationMargin),
    },
    coverage: path?.coverage,
  }
}

function nextSentence(machine: Machine, { expiry, earlyWarning }: FactorySummary): string {
  if (machine.state.stage === 'settled')
    return `Nothing, unless a reorganisation takes the end at height ${machine.state.height} back; it is final with ${FINAL_DEPTH} confirmations.`
  switch (phaseOf(machine)) {
    case 'forming':
      return 'The ceremony goes on, or is given up when a step takes too long. Nothing is on chain.'
    case 'confirming':
      return 'Waits for the funding to be deep enough; until then no HTLC is let into its channels.'
    case 'active':
      return machine.role === 'lsp'
        ? `Close it before height ${lspDeadline(machine.state)}: then this node publishes the whole tree by itself, because from height ${expiry} on the distributions pay everything to the clients.`
        : `Leaves by itself when an HTLC comes within ${earlyWarning} blocks of its end; from height ${expiry} on publishes the distribution, which pays at least coverage.`
    case 'closing':
      return 'Waits until all have signed the close and it confirms.'
    case 'exiting':
      return 'Publishes the path level by level, each when the one before is confirmed, then closes the channel.'
    case 'closed':
    case 'exited':
    case 'aborted':
      return 'Nothing: it is over.'
  }
}
