/** How a distribution, and the payouts below it, divide a shared output among the clients. The LSP's side. */
import { FactoryError } from '@ln-factory/tlv'
import { ANCHOR, PROGRAM_LENGTH } from './script.js'
import { entriesOf, sizeOf, type Group } from './shape.js'
import { feeFor, KEY_WITNESS, signedVsize } from './tx.js'
import type { TreeClient, TreeParams } from './types.js'

/** Fee and anchor of a distribution or payout whose outputs have these script lengths, in sat. */
export const payingOverhead = (params: TreeParams, scriptLengths: readonly number[]): bigint =>
  feeFor(signedVsize([...scriptLengths, ANCHOR.script.length], KEY_WITNESS), params.feerate) + ANCHOR.amount

export interface Division {
  readonly entries: readonly Group[]
  /** By entry. */
  readonly amounts: readonly bigint[]
}

export class Distributor {
  readonly #needs = new Map<Group, bigint>()

  constructor(
    private readonly params: TreeParams,
    private readonly clients: readonly TreeClient[],
  ) {}

  private client(position: number): TreeClient {
    const client = this.clients[position]
    if (client === undefined) throw new FactoryError('internal', `no client at position ${position}`)
    return client
  }

  private overhead(entries: readonly Group[]): bigint {
    const length = (e: Group): number => (sizeOf(e) === 1 ? this.client(e.from).payoutScript.length : PROGRAM_LENGTH)
    return payingOverhead(this.params, entries.map(length))
  }

  /** The least that an entry must be paid: capacity and stock share of each client, and what its payouts cost. */
  private need(group: Group): bigint {
    if (sizeOf(group) === 1) return this.client(group.from).capacity + this.params.stockPerClient
    const known = this.#needs.get(group)
    if (known !== undefined) return known
    const entries = entriesOf(group)
    const need = entries.reduce((sum, entry) => sum + this.need(entry), this.overhead(entries))
    this.#needs.set(group, need)
    return need
  }

  /**
   * Divides what a funding or static output, or an output for a group, holds: to each client its capacity and its share.
   * @throws FactoryError `internal` when it doesn't cover the needs, which the tree's amounts rule out
   */
  divide(group: Group, amount: bigint): Division {
    const entries = entriesOf(group)
    return { entries, amounts: share(entries, amount - this.overhead(entries), (entry) => this.need(entry)) }
  }

  /** Divides what a stock holds: to each client its share. @throws as `divide` */
  divideStock(stock: Group, amount: bigint): Division {
    const entries = stock.children
    const { stockPerClient } = this.params
    return { entries, amounts: share(entries, amount - this.overhead(entries), () => stockPerClient) }
  }
}

/**
 * What is more than everyone's need (fees of the tree that are saved) goes to all alike, by number of clients; what doesn't
 * divide goes to the first.
 * @param amount without fee and anchor
 * @throws FactoryError `internal` when it doesn't cover the needs
 */
export function share(entries: readonly Group[], amount: bigint, needOf: (entry: Group) => bigint): bigint[] {
  const needs = entries.map(needOf)
  const surplus = needs.reduce((rest, need) => rest - need, amount)
  if (surplus < 0n) throw new FactoryError('internal', `a distribution lacks ${-surplus} sat`)
  const clients = BigInt(entries.reduce((sum, entry) => sum + sizeOf(entry), 0))
  const extra = entries.map((entry) => (surplus * BigInt(sizeOf(entry))) / clients)
  const rest = extra.reduce((sum, e) => sum - e, surplus)
  return needs.map((need, i) => need + (extra[i] ?? 0n) + (i === 0 ? rest : 0n))
}
