/** Factories as people see them: phases, balances, transactions, and what happens next. */
import type { ClientAssist, LspAssist } from '../assist/index.js'
import type { ClientState, LspState } from '../ceremony/index.js'
import { treeOf } from '../ceremony/lsp/factory.js'
import { storedPath } from '../ceremony/client/path.js'
import { fromWire } from '../ceremony/terms.js'
import { signatureItem } from '../ceremony/spend-key.js'
import { exitBlocks, exitSpends, exitTransactions, lspDeadline } from '../exit/index.js'
import { FINAL_DEPTH } from '../finality/depth.js'
import { lastHtlcHeight } from '../htlc/index.js'
import { boughtAs, soldAs } from '../liquidity/gate.js'
import { chainSpends } from '../liquidity/client/exit.js'
import { soldChannels, soldLinks } from '../liquidity/lsp/sales.js'
import type { HostChannel } from '../host/port.js'
import type { Context } from '../machine/index.js'
import { sharedByClient } from '../sightings/client.js'
import { sharedByLsp } from '../sightings/lsp.js'
import { sightingOf } from '../sightings/record.js'
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
  type Sat,
} from '../units/index.js'
import type {
  AssistSummary,
  ChannelSummary,
  FactoryDetails,
  FactorySummary,
  MoveSummary,
  PathTxSummary,
  Phase,
  SightingSummary,
} from './api.js'
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

const firstAlarm = ({ alarms }: LspState | ClientState): string | undefined => Object.values(alarms ?? {})[0]

const sightings = (outputs: readonly OutPoint[], context: Context): SightingSummary[] =>
  outputs.flatMap((outpoint) => {
    const seen = sightingOf(outpoint, context.item)
    return seen === undefined ? [] : [{ outpoint, by: seen.by, height: seen.height, sight: seen.sight, id: seen.id }]
  })

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
    channels: state.clients
      .map((c): ChannelSummary => {
        const channel = channelOf(channels, c.channelId)
        return {
          peer: c.id,
          channelId: c.channelId,
          capacity: c.capacity,
          ours: channel?.ours,
          outpoint: channel?.funding,
        }
      })
      .concat(state.sales === undefined ? [] : soldSummaries(state, channels)),
    moves: (state.moves ?? []).flatMap((m): MoveSummary[] => {
      const peer = state.clients[m.position]?.id
      return peer === undefined ? [] : [{ peer, to: m.to, stage: m.stage, parts: m.count }]
    }),
    alarm: firstAlarm(state),
    notice: state.stage === 'aborted' ? state.reason : state.notice,
  }
}

/** Sold channels, each after those above it. */
function soldSummaries(state: LspState, channels: readonly HostChannel[]): ChannelSummary[] {
  return soldChannels(state).map(({ peer, channelId, capacity, live }) =>
    soldSummary(channels, { peer, channelId, capacity, live, depth: soldAs(state, channelId)?.depth ?? 0 }),
  )
}

function boughtSummaries(state: ClientState, channels: readonly HostChannel[]): ChannelSummary[] {
  return (state.sales?.chain ?? []).flatMap(({ channelId, capacity, bought }) =>
    bought === undefined
      ? []
      : soldSummary(channels, {
          peer: state.lsp,
          channelId,
          capacity,
          live: bought.live,
          depth: boughtAs(state, channelId)?.depth ?? 0,
        }),
  )
}

function soldSummary(
  channels: readonly HostChannel[],
  {
    peer,
    channelId,
    capacity,
    live,
    depth,
  }: { peer: NodeId; channelId: string; capacity: Sat; live: boolean; depth: number },
): ChannelSummary {
  const channel = channelOf(channels, channelId)
  return { peer, channelId, capacity, ours: channel?.ours, outpoint: channel?.funding, bought: { depth, live } }
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
      ...boughtSummaries(state, channels),
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
    alarm: firstAlarm(state),
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
      transactions: [...exitSpends(path), ...boughtPath(machine, context)].map((spend) =>
        transaction(spend, machine.state.seen, context),
      ),
      blocks: blocks(exitBlocks(path, margin) + margin * boughtPath(machine, context).length),
    }
  }
  const { state } = machine
  if (!('funding' in state) || state.funding === undefined) return { transactions: [], blocks: blocks(0) }
  const tree = treeOf({ ...state, funding: state.funding }, context)
  const sold = soldLinks({ ...state, funding: state.funding }, context, machine.live).map((s) => s.link.chain)
  return {
    transactions: [...exitTransactions(tree), ...sold].map((spend) => transaction(spend, state.seen, context)),
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
    assists: assistSummaries(machine, self),
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
      transactions: [...(tree?.spends ?? []), ...soldSpends(machine, context)].map((s) =>
        transaction(s, state.seen, context),
      ),
      sightings: tree === undefined ? [] : sightings(sharedByLsp(state, tree), context),
      exit: { transactions: plan.depth, vsize: plan.exitVsize, fee: plan.exitFee, blocks: plan.earlyWarning },
      coverage: undefined,
    }
  }
  const { state } = machine
  const path = pathOf(state, context)
  const below = boughtPath(machine, context)
  const steps =
    path === undefined
      ? exitSteps(params, state.invite.clients, participantIndex(LSP + 1))
      : [...exitSpends(path), ...below]
  return {
    ...common,
    transactions: [...(path?.spends ?? []), ...boughtSpends(machine, context)].map((s) =>
      transaction(s, state.seen, context),
    ),
    sightings: path === undefined ? [] : sightings(sharedByClient(path), context),
    exit: {
      transactions: steps.length,
      vsize: steps.reduce((sum, s) => sum + s.vsize, 0),
      fee: sumSat(steps.map((s) => s.fee)),
      blocks:
        path === undefined
          ? blocks(state.invite.earlyWarning)
          : blocks(exitBlocks(path, params.confirmationMargin) + params.confirmationMargin * below.length),
    },
    coverage: path?.coverage,
  }
}

/** All that was signed of the chain of our stock. */
function boughtSpends({ state, live }: Extract<Machine, { role: 'client' }>, context: Context): readonly Spend[] {
  if (state.sales === undefined || !('channelId' in state) || state.channelId === undefined || !('salt' in state))
    return []
  return chainSpends(state, context, live)
}

/** Chain transactions that an exit publishes: down to our last channel. */
function boughtPath(machine: Extract<Machine, { role: 'client' }>, context: Context): readonly Spend[] {
  const depths = machine.state.sales?.chain.map((l, i) => (l.bought === undefined ? 0 : i + 1)) ?? []
  return boughtSpends(machine, context)
    .filter((s) => s.role === 'chain')
    .slice(0, Math.max(0, ...depths))
}

function soldSpends({ state, live }: Extract<Machine, { role: 'lsp' }>, context: Context): readonly Spend[] {
  if (!('funding' in state) || state.funding === undefined) return []
  return soldLinks({ ...state, funding: state.funding }, context, live).flatMap((s) => s.link.spends)
}

function assistSummaries(machine: Machine, self: NodeId): AssistSummary[] {
  if (machine.role === 'lsp')
    return machine.state.assists.flatMap((a) => {
      const id = machine.state.clients[a.client]?.id
      return id === undefined ? [] : [assistSummary(id, a)]
    })
  return machine.state.assist === undefined ? [] : [assistSummary(self, machine.state.assist)]
}

function assistSummary(client: NodeId, assist: ClientAssist | LspAssist): AssistSummary {
  if (!('terms' in assist)) return { client, step: assist.step, output: undefined }
  const { outpoint, amount, timeout } = assist.terms
  return { client, step: assist.step, output: { outpoint, amount, timeout } }
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

/** What was signed of the chains below this factory's stocks. */
export const chainOf = (machine: Machine, context: Context): readonly Spend[] =>
  machine.role === 'lsp' ? soldSpends(machine, context) : boughtSpends(machine, context)
