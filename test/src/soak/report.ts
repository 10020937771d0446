/** A soak's result as text; `--report` has the same and every transaction as JSON. */
import type { Counts } from './generation.js'
import type { Balance } from './ledger.js'
import type { Tally } from './payments.js'

export interface Soak {
  readonly seed: number
  readonly minutes: number
  readonly nodes: { readonly lightningd: string; readonly bitcoind: string; readonly clients: number }
  readonly payments: Tally
  readonly reasons: Readonly<Record<string, number>>
  readonly counts: Counts
  /** What did not end as it should have. */
  readonly troubles: readonly string[]
  readonly balance: Balance
}

const row = (name: string, value: string | number): string => `${name.padEnd(44)} ${String(value)}`

export function report({ seed, minutes, nodes, payments, reasons, counts, troubles, balance }: Soak): string {
  const { accounts, transactions, fees, anchors, ownerless, unexplained, lost } = balance
  return [
    row('seed', seed),
    row('minutes', minutes),
    row('nodes', `1 LSP, ${nodes.clients} clients, 1 outside; lightningd ${nodes.lightningd}; ${nodes.bitcoind}`),
    row('payments tried', payments.tried),
    row('  settled', payments.settled),
    row('  failed', payments.failed),
    row('  unanswered (node died or slow)', payments.unanswered),
    ...Object.entries(counts).map(([what, times]) => row(what, times)),
    row('troubles', troubles.length),
    ...troubles.map((text) => `  ${text}`),
    row('transactions on chain', transactions.length),
    row(
      '  vB',
      transactions.reduce((total, t) => total + t.vsize, 0),
    ),
    row('  fees, sat', fees),
    row('anchors left, sat', `${anchors.sat} in ${anchors.count}`),
    row(
      'outputs without an owner, sat',
      ownerless.reduce((total, o) => total + o.sat, 0),
    ),
    row('unexplained, sat', unexplained),
    row('lost, sat', lost),
    '',
    'node        should have       has             difference (its on-chain fees and dust), sat',
    ...accounts.map(
      (a) =>
        `${a.node.padEnd(10)}  ${String(a.after + a.difference).padEnd(16)}  ${String(a.after).padEnd(14)}  ${a.difference}`,
    ),
    ...Object.entries(reasons).map(([reason, times]) => `${times} x ${reason}`),
  ].join('\n')
}
