/**
 * A later state of a leaf (Decker-Wattenhofer): the same kickoff output, less to wait for, other channels, and stocks of other
 * sizes. LSP and client build it with the same function from the same numbers; a client leaves out what only others sign.
 */
import { FactoryError } from '@ln-factory/tlv'
import { sat, type BlockHeight, type Sat } from '../units/index.js'
import { childOverhead, leafOutputs, stockAmount } from './amounts.js'
import { checkCapacity, require32 } from './checks.js'
import { payingOverhead, share } from './distribute.js'
import type { FactoryKeys } from './keys.js'
import { FIRST_STATE, stockName } from './names.js'
import { MIN_STOCK_SHARE } from './params.js'
import { isP2wsh, isPayoutScript } from './script.js'
import { leafAt } from './route.js'
import { shapeOf, sizeOf, type Group, type LeafGroup, type StockGroup } from './shape.js'
import { distributionSpend, leafSpend, output, poisonSpend, type Prevout } from './spends.js'
import { stockScripts } from './stock.js'
import type { Spend, TreeParams, TxOutput } from './types.js'

/** What distinguishes one state of a leaf from another. */
export interface LeafTerms {
  /** 0 to states - 1. */
  readonly state: number
  /** SHA-256 of the state's poison preimage. */
  readonly poisonHash: Uint8Array
  /** Of the leaf's clients, in order: capacity and funding script of each channel. */
  readonly channels: readonly TxOutput[]
  /** What each client of a stock has in it, by stock; at least 1000 sat. */
  readonly shares: readonly Sat[]
}

export interface LeafStateSpec {
  readonly params: TreeParams
  readonly expiry: BlockHeight
  /** Of all participants, LSP first. */
  readonly keys: FactoryKeys
  /** Number of the leaf. */
  readonly leaf: number
  /** The kickoff's output, which every state of the leaf spends. */
  readonly kickoff: Prevout
  readonly terms: LeafTerms
  /** Payout script of the client at a position; undefined for those whose stock is none of ours. */
  readonly payoutScript: (position: number) => Uint8Array | undefined
}

export interface LeafState {
  readonly leaf: Spend
  /** Poison, then distribution, of each stock whose clients' payout scripts are known. */
  readonly stocks: readonly Spend[]
  /** By position of the client in the whole tree. */
  readonly channel: (position: number) => Prevout
}

function leafOf(spec: LeafStateSpec): LeafGroup {
  const leaf = shapeOf(spec.params, spec.keys.keys.length - 1).leaves[spec.leaf]
  if (leaf === undefined) throw new FactoryError('bad_parameter', `there is no leaf ${spec.leaf}`)
  return leaf
}

/** Positions of clients in the whole tree, ascending. */
export interface LeafPlace {
  readonly leaf: number
  readonly positions: readonly number[]
  /** Of each of its stocks. */
  readonly stocks: readonly (readonly number[])[]
}

const positionsOf = (group: Group): number[] => Array.from({ length: sizeOf(group) }, (_, i) => group.from + i)
const placeOf = (leaf: LeafGroup): LeafPlace => ({
  leaf: leaf.number,
  positions: positionsOf(leaf),
  stocks: leaf.stocks.map(positionsOf),
})

/** Who shares leaf `leaf`. @throws FactoryError `bad_parameter` when there is none */
export function leafClients(params: TreeParams, clients: number, leaf: number): LeafPlace {
  const group = shapeOf(params, clients).leaves[leaf]
  if (group === undefined) throw new FactoryError('bad_parameter', `there is no leaf ${leaf}`)
  return placeOf(group)
}

/** The leaf that the client at `position` is in. */
export const leafPlaceOf = (params: TreeParams, clients: number, position: number): LeafPlace =>
  placeOf(leafAt(shapeOf(params, clients), position))

function checkTerms(spec: LeafStateSpec, leaf: LeafGroup): void {
  const { terms, params } = spec
  const bad = (why: string): FactoryError =>
    new FactoryError('bad_proposal', `state ${terms.state} of leaf ${leaf.number}: ${why}`, 'nothing was signed')
  if (!Number.isInteger(terms.state) || terms.state < FIRST_STATE || terms.state >= params.states)
    throw bad(`there are states 0 to ${params.states - 1}`)
  require32('the poison hash', terms.poisonHash, 'bad_proposal')
  if (terms.channels.length !== sizeOf(leaf)) throw bad(`${terms.channels.length} channels for ${sizeOf(leaf)} clients`)
  for (const [i, channel] of terms.channels.entries()) {
    checkCapacity(leaf.from + i + 1, channel.amount)
    if (!isP2wsh(channel.script)) throw bad(`the channel script of client ${leaf.from + i + 1} is not P2WSH`)
  }
  if (terms.shares.length !== leaf.stocks.length)
    throw bad(`${terms.shares.length} stocks instead of ${leaf.stocks.length}`)
  for (const amount of terms.shares)
    if (amount < MIN_STOCK_SHARE) throw bad(`a share of ${amount} sat in a stock, and the least is ${MIN_STOCK_SHARE}`)
}

/**
 * @throws FactoryError `bad_proposal`, `bad_amount`: nothing of it may be signed. The outputs, the anchor and the fee of the agreed
 *   feerate must come to exactly what the kickoff's output holds.
 */
export function buildLeafState(spec: LeafStateSpec): LeafState {
  const { params, keys, terms, kickoff, expiry } = spec
  const leaf = leafOf(spec)
  checkTerms(spec, leaf)
  const stocks = leaf.stocks.map((stock) => {
    const own = { ...params, stockPerClient: terms.shares[stock.number] ?? sat(0) }
    return { stock, params: own, scripts: stockScripts(own, keys, stock, terms.poisonHash) }
  })
  const outputs: TxOutput[] = [
    ...terms.channels.map(({ amount, script }) => ({ amount, script })),
    ...stocks.map((s) => ({ amount: stockAmount(s.params, s.stock), script: s.scripts.script })),
  ]
  const needed = outputs.reduce((sum, o) => sum + o.amount, childOverhead(params, leafOutputs(leaf)))
  if (needed !== kickoff.amount)
    throw new FactoryError(
      'bad_amount',
      `state ${terms.state} of leaf ${leaf.number} needs ${needed} sat, and its kickoff gives ${kickoff.amount}`,
      'nothing was signed',
    )
  const spend = leafSpend(params, leaf, terms.state, kickoff, outputs)
  const signed: Spend[] = []
  for (const { stock, params: own, scripts } of stocks) {
    const payouts = payoutsOf(spec, stock)
    if (payouts === undefined) continue
    const from = output(spend, sizeOf(leaf) + stock.number)
    const pay = (amounts: readonly bigint[]): TxOutput[] =>
      payouts.map((script, i) => ({ amount: sat(amounts[i] ?? 0n), script }))
    const shares = payouts.map(() => own.stockPerClient)
    const rest =
      from.amount -
      payingOverhead(
        params,
        payouts.map((s) => s.length),
      )
    signed.push(poisonSpend(stock, terms.state, scripts, from, pay(shares)))
    const divided = share(stock.children, rest, () => own.stockPerClient)
    const name = stockName(stock, terms.state)
    signed.push(distributionSpend(expiry, name, stock, scripts.keyPath, from, pay(divided)))
  }
  return { leaf: spend, stocks: signed, channel: (position) => output(spend, channelAt(leaf, position)) }
}

function channelAt(leaf: LeafGroup, position: number): number {
  if (position < leaf.from || position >= leaf.to)
    throw new FactoryError('bad_parameter', `client ${position + 1} is not in leaf ${leaf.number}`)
  return position - leaf.from
}

function payoutsOf(spec: LeafStateSpec, stock: StockGroup): Uint8Array[] | undefined {
  const scripts = stock.children.map(({ from }) => spec.payoutScript(from))
  const known = scripts.filter((s) => s !== undefined)
  if (known.length < scripts.length) return undefined
  for (const [i, script] of known.entries())
    if (!isPayoutScript(script))
      throw new FactoryError('bad_proposal', `the payout script of client ${stock.from + i + 1} can't be paid`)
  return known
}

/**
 * Stock shares after channels of a leaf change their size: each stock pays for its own clients. What doesn't divide by the number
 * of its clients goes to the channel of the last one.
 * @param before capacities by client of the leaf, shares by stock
 * @param wanted capacities by client of the leaf
 * @throws FactoryError `insufficient_funds` naming the stock
 */
export function rebalance(
  stocks: readonly (readonly number[])[],
  before: { readonly capacities: readonly Sat[]; readonly shares: readonly Sat[] },
  wanted: readonly Sat[],
): { readonly capacities: readonly Sat[]; readonly shares: readonly Sat[] } {
  const capacities = [...wanted]
  const sumAt = (list: readonly Sat[], places: readonly number[]): bigint =>
    places.reduce((sum, i) => sum + (list[i] ?? 0n), 0n)
  if (stocks.length === 0 && sumAt(wanted, [...wanted.keys()]) !== sumAt(before.capacities, [...wanted.keys()]))
    throw new FactoryError('insufficient_funds', 'this factory has no stocks: what one channel gains another must lose')
  const shares = stocks.map((places, number) => {
    const clients = BigInt(places.length)
    const total = (before.shares[number] ?? 0n) * clients + sumAt(before.capacities, places) - sumAt(wanted, places)
    if (total < MIN_STOCK_SHARE * clients)
      throw new FactoryError(
        'insufficient_funds',
        `stock ${number} would be left with ${total} sat, and needs ${MIN_STOCK_SHARE * clients}`,
        'ask for less capacity',
      )
    const last = places.at(-1) ?? 0
    capacities[last] = sat((capacities[last] ?? 0n) + (total % clients))
    return sat(total / clients)
  })
  return { capacities, shares }
}
