/** What the commands of the ladder answer; names and units as in results.ts. */
import {
  feesAt,
  type Admission,
  type Decision,
  type Forecast,
  type LadderConfig,
  type Wish,
} from '@ln-factory/core/ladder'
import type { ClientEconomics, FactoryEconomics, LadderPlan } from '@ln-factory/core/runner'
import type { JsonObject } from './command.js'
import { amount, paramsResult } from './results.js'

const maybe = (value: bigint | undefined): number | undefined => (value === undefined ? undefined : amount(value))

export const configResult = (c: LadderConfig): JsonObject => ({
  active_blocks: c.activeBlocks,
  dying_blocks: c.dyingBlocks,
  slots: c.slots,
  factories: c.factories,
  min_clients: c.minClients,
  max_clients: c.maxClients,
  patience: c.patience,
  budget_sat: amount(c.budget),
  max_feerate: c.maxFeerate,
  urgent_feerate: c.urgentFeerate,
  retry_first: c.retryFirst,
  retry_most: c.retryMost,
  depth: c.depth,
  step_timeout: c.stepTimeout,
  params: paramsResult(c.params),
})

export function decisionResult(d: Decision): JsonObject {
  const clients = (list: readonly { readonly id: string; readonly capacity: bigint }[]): JsonObject[] =>
    list.map((c) => ({ id: c.id, capacity_sat: amount(c.capacity) }))
  switch (d.do) {
    case 'create':
      return { do: d.do, join: clients(d.clients), reason: d.reason }
    case 'rotate':
      return { do: d.do, instance_id: d.instance, clients: d.clients, join: clients(d.join), reason: d.reason }
    case 'wait':
      return { do: d.do, instance_id: d.instance, clients: d.clients, height: d.until, reason: d.reason }
    case 'exit':
      return { do: d.do, instance_id: d.instance, clients: d.clients, height: d.by, reason: d.reason }
    case 'reap':
      return { do: d.do, instance_id: d.instance, reason: d.reason }
  }
}

export const forecastResult = (plan: LadderPlan, f: Forecast, feerates: readonly number[]): JsonObject => ({
  from: plan.view.height,
  until: f.until,
  events: f.events.map((e) => ({
    height: e.height,
    do: e.what,
    instance_id: e.instance,
    clients: e.clients,
    vsize: e.vsize,
  })),
  capital: f.capital.map((c) => ({ height: c.height, own_sat: amount(c.own) })),
  peak_sat: amount(f.peak),
  vsize: f.vsize,
  fees: feerates.map((feerate) => ({ feerate_perkb: feerate, fees_sat: amount(feesAt(f.vsize, feerate)) })),
})

export const admissionResult = (a: Admission): JsonObject => ({
  open: a.open,
  only: a.only,
  min_capacity_sat: amount(a.minCapacity),
  max_capacity_sat: amount(a.maxCapacity),
  max_waiting: a.maxWaiting,
})

export const wishResult = (w: Wish): JsonObject => ({
  lsp: w.lsp,
  capacity_sat: amount(w.capacity),
  since: w.since,
  status: w.answer.kind === 'none' ? 'asked' : w.answer.kind,
  place: w.answer.kind === 'accepted' ? w.answer.place : undefined,
  waiting: w.answer.kind === 'accepted' ? w.answer.waiting : undefined,
  reason: w.answer.kind === 'refused' ? w.answer.reason : undefined,
  instance_id: w.instance,
})

const clientResult = (c: ClientEconomics): JsonObject => ({
  id: c.id,
  capacity_sat: amount(c.capacity),
  balance_msat: amount(c.balance),
  coverage_sat: amount(c.coverage),
  coverage_level: c.level,
  exit_floor_sat: amount(c.exitFloor),
  can_exit: c.balance >= c.exitFloor * 1000n,
  routed_msat: maybe(c.routed),
})

export const economicsResult = (f: FactoryEconomics): JsonObject => ({
  instance_id: f.instance,
  role: f.role,
  phase: f.phase,
  paid: {
    funding_sat: maybe(f.paid.funding),
    tree_sat: amount(f.paid.tree),
    children_sat: amount(f.paid.children),
  },
  routed_msat: maybe(f.routed),
  clients: f.clients.map(clientResult),
})
