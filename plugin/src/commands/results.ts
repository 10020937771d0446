/** What the commands answer: field names and units as Core Lightning's own (`_sat`, `_msat`, `outnum`), everything a plain number. */
import type {
  ChannelSummary,
  FactoryDetails,
  FactorySummary,
  MoveSummary,
  PathTxSummary,
  PendingInvite,
  Policy,
} from '@ln-factory/core/runner'
import type { TreeParams } from '@ln-factory/core/tree'
import type { OutPoint } from '@ln-factory/core/units'
import { FactoryError } from '@ln-factory/tlv'
import type { JsonObject } from './command.js'

/** JSON has no bigint, and readers of JSON no exact number above 2^53 (90,071 bitcoin in msat). */
export function amount(value: bigint): number {
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw new FactoryError('internal', `amount ${value} can't be told exactly`)
  return number
}
const maybe = (value: bigint | undefined): number | undefined => (value === undefined ? undefined : amount(value))

const funding = (outpoint: OutPoint | undefined): JsonObject =>
  outpoint === undefined ? {} : { funding_txid: outpoint.txid, funding_outnum: outpoint.vout }

export const paramsResult = (p: TreeParams): JsonObject => ({
  arity: p.arity,
  fanout: p.fanout,
  states: p.states,
  step: p.step,
  confirmation_margin: p.confirmationMargin,
  safety_margin: p.safetyMargin,
  stock_csv: p.stockCsv,
  stock_per_client_sat: amount(p.stockPerClient),
  feerate_perkb: p.feerate,
})

const channelResult = (c: ChannelSummary): JsonObject => ({
  peer_id: c.peer,
  channel_id: c.channelId,
  capacity_sat: amount(c.capacity),
  to_us_msat: maybe(c.ours),
  funding_txid: c.outpoint?.txid,
  funding_outnum: c.outpoint?.vout,
  bought: c.bought && { depth: c.bought.depth, live: c.bought.live },
})

const moveResult = (m: MoveSummary): JsonObject => ({ peer_id: m.peer, to: m.to, stage: m.stage, parts: m.parts })

export const summaryResult = (f: FactorySummary): JsonObject => ({
  instance_id: f.instance,
  role: f.role,
  phase: f.phase,
  stage: f.stage,
  lsp: f.lsp,
  clients: f.clients,
  ...funding(f.funding),
  funding_sat: maybe(f.fundingAmount),
  expiry: f.expiry,
  early_warning: f.earlyWarning,
  channels: f.channels.map(channelResult),
  moves: f.moves.map(moveResult),
  alarm: f.alarm,
  notice: f.notice,
})

export const transactionResult = (t: PathTxSummary): JsonObject => ({
  id: t.id,
  role: t.role,
  class: t.class,
  txid: t.txid,
  vsize: t.vsize,
  fee_sat: amount(t.fee),
  amount_sat: amount(t.amount),
  sequence: t.sequence,
  locktime: t.lockTime,
  signed: t.signed,
  blockheight: t.confirmed,
})

export const detailsResult = (f: FactoryDetails): JsonObject => ({
  ...summaryResult(f),
  params: paramsResult(f.params),
  transactions: f.transactions.map(transactionResult),
  seen: f.sightings.map(({ outpoint, by, height, sight, id }) => ({
    txid: outpoint.txid,
    outnum: outpoint.vout,
    spent_by: by,
    blockheight: height,
    sight,
    id,
  })),
  exit: {
    transactions: f.exit.transactions,
    vsize: f.exit.vsize,
    fee_sat: amount(f.exit.fee),
    blocks: f.exit.blocks,
  },
  coverage_sat: maybe(f.coverage),
  leaving: f.assists.map((a) => ({
    peer_id: a.client,
    step: a.step,
    ...(a.output === undefined
      ? {}
      : {
          txid: a.output.outpoint.txid,
          outnum: a.output.outpoint.vout,
          amount_sat: amount(a.output.amount),
          timeout: a.output.timeout,
        }),
  })),
  last_htlc_height: f.lastHtlcHeight,
  next: f.next,
})

export const inviteResult = (i: PendingInvite): JsonObject => ({
  instance_id: i.instance,
  lsp: i.lsp,
  capacity_sat: amount(i.capacity),
  push_msat: amount(i.push),
  clients: i.clients,
  expiry: i.expiry,
  early_warning: i.earlyWarning,
  params: paramsResult(i.params),
  answer_before: i.answerBefore,
})

export const policyResult = (p: Policy): JsonObject => ({
  accept_from: p.autoAccept,
  min_capacity_sat: amount(p.minCapacity),
  max_capacity_sat: amount(p.maxCapacity),
  min_lifetime: p.minLifetime,
  max_lifetime: p.maxLifetime,
  max_early_warning: p.maxEarlyWarning,
  max_clients: p.maxClients,
  max_feerate_perkb: p.maxFeerate,
  min_depth: p.minDepth,
  sells: p.sales.sells,
  sale_base_msat: amount(p.sales.base),
  sale_rate_msat: amount(p.sales.rate),
  sale_min_sat: amount(p.sales.min),
  sale_max_sat: amount(p.sales.max),
  sale_deny: p.sales.deny,
  unasked_price_msat: amount(p.sales.unaskedPrice),
})
