/**
 * Sold liquidity: a chain of transactions below a stock. Each spends what the one before left of the stock and makes two things of
 * it: the buyer's new channel, and the rest, a stock like the one before. States are chained, never replaced, so whoever
 * suspects all others need only remember what it has signed.
 *
 * Everything follows from the stock's own poison and distribution, which the LSP and its clients all have, so they build the same
 * bytes from the channels that were sold.
 */
import { FactoryError } from '@ln-factory/tlv'
import { outPointKey, sat, type Sat } from '../units/index.js'
import { childOverhead, poisonVsize } from './amounts.js'
import { payingOverhead } from './distribute.js'
import { MIN_CAPACITY, MIN_STOCK_SHARE } from './params.js'
import { ANCHOR, isP2wsh } from './script.js'
import { chainSpend, output, restSpend, type Prevout } from './spends.js'
import { feeFor } from './tx.js'
import type { Spend, TreeParams, TxOutput } from './types.js'

/** What all clients of a stock and the LSP have signed of it. */
export interface Stock {
  readonly poison: Spend
  readonly distribution: Spend
}

/** All stocks that `spends` poison, a tree's or a client's path's, in order. */
export function stocksIn(spends: readonly Spend[]): readonly Stock[] {
  const distributions = new Map(
    spends.filter((s) => s.role === 'distribution').map((s) => [outPointKey(s.prevout.outpoint), s]),
  )
  return spends.flatMap((poison) => {
    const distribution = distributions.get(outPointKey(poison.prevout.outpoint))
    return poison.role === 'poison' && distribution !== undefined ? [{ poison, distribution }] : []
  })
}

/** A channel that was sold from it. */
export interface Sold {
  readonly capacity: Sat
  /** Funding script of the channel: P2WSH, 34 bytes. */
  readonly channelScript: Uint8Array
}

export interface ChainLink {
  readonly chain: Spend
  /** The buyer's channel: output 0. */
  readonly channel: Prevout
  /** What is left to sell; undefined when this sale took all. */
  readonly rest: Stock | undefined
  /** In the order in which nonces and signatures travel: the chain transaction, distribution and poison of the rest. */
  readonly spends: readonly Spend[]
}

/** Poison and distribution pay each client at least this much of a rest. */
const leastRest = (params: TreeParams, clients: number): bigint => {
  const poison = feeFor(poisonVsize(clients), params.feerate) + ANCHOR.amount
  return BigInt(clients) * MIN_STOCK_SHARE + poison
}

const WITH_REST = 2
const WITHOUT_REST = 1

export interface ForSale {
  /** Largest channel that leaves a rest; undefined when every channel of `MIN_CAPACITY` leaves too little for one. */
  readonly most: Sat | undefined
  /** The one larger channel that can be sold: it takes all. Undefined when even that is under `MIN_CAPACITY`. */
  readonly whole: Sat | undefined
}

/** What can be sold of a stock next. Between `most` and `whole` the rest would be too small to be paid out. */
export function forSale(params: TreeParams, stock: Stock): ForSale {
  const { amount } = stock.poison.prevout
  const most = amount - childOverhead(params, WITH_REST) - leastRest(params, clientsOf(stock))
  const whole = amount - childOverhead(params, WITHOUT_REST)
  const sellable = (a: bigint): Sat | undefined => (a < MIN_CAPACITY ? undefined : sat(a))
  return { most: sellable(most), whole: sellable(whole) }
}

const clientsOf = (stock: Stock): number => stock.poison.tx.outputs.length - 1

/** @throws FactoryError `bad_amount` saying what can be sold */
export function checkSold(params: TreeParams, stock: Stock, capacity: Sat): void {
  const { most, whole } = forSale(params, stock)
  if (whole === undefined) throw new FactoryError('bad_amount', 'nothing is left of the stock to sell a channel from')
  if (capacity === whole || (most !== undefined && capacity >= MIN_CAPACITY && capacity <= most)) return
  const parts = most === undefined ? '' : `${MIN_CAPACITY} to ${most} sat, or `
  throw new FactoryError(
    'bad_amount',
    `${capacity} sat can't be sold of this stock`,
    `it has ${parts}all: ${whole} sat`,
  )
}

/** Equal parts; what doesn't divide goes to the first. */
function shares(total: bigint, scripts: readonly Uint8Array[]): TxOutput[] {
  const each = total / BigInt(scripts.length)
  return scripts.map((script, i) => ({
    amount: sat(i === 0 ? total - each * BigInt(scripts.length - 1) : each),
    script,
  }))
}

function restOf(params: TreeParams, stock: Stock, number: number, prevout: Prevout): Stock {
  const scripts = stock.poison.tx.outputs.slice(0, -1).map((o) => o.script)
  const poisoned = prevout.amount - feeFor(poisonVsize(scripts.length), params.feerate) - ANCHOR.amount
  const overhead = payingOverhead(
    params,
    scripts.map((s) => s.length),
  )
  return {
    poison: restSpend(stock.poison, number, prevout, shares(poisoned, scripts)),
    distribution: restSpend(stock.distribution, number, prevout, shares(prevout.amount - overhead, scripts)),
  }
}

function link(params: TreeParams, stock: Stock, number: number, sold: Sold): ChainLink {
  checkSold(params, stock, sold.capacity)
  if (!isP2wsh(sold.channelScript))
    throw new FactoryError('bad_proposal', 'the script of the sold channel is not P2WSH')
  const { amount, script } = stock.poison.prevout
  const channel = { amount: sold.capacity, script: sold.channelScript }
  const all = sold.capacity === forSale(params, stock).whole
  const left = amount - sold.capacity - childOverhead(params, WITH_REST)
  const outputs = all ? [channel] : [channel, { amount: sat(left), script }]
  const chain = chainSpend(stock.distribution, number, outputs)
  const rest = all ? undefined : restOf(params, stock, number, output(chain, 1))
  return {
    chain,
    channel: output(chain, 0),
    rest,
    spends: rest === undefined ? [chain] : [chain, rest.distribution, rest.poison],
  }
}

/**
 * The whole chain of a stock.
 * @param sold in the order in which it was sold
 * @throws FactoryError `bad_amount` when a channel can't be sold of what is left; `bad_proposal` for a script that is no channel's
 */
export function buildChain(chain: {
  readonly params: TreeParams
  readonly stock: Stock
  readonly sold: readonly Sold[]
}): readonly ChainLink[] {
  const { params } = chain
  let left: Stock | undefined = chain.stock
  return chain.sold.map((sold, i) => {
    if (left === undefined) throw new FactoryError('bad_amount', 'nothing is left of the stock to sell a channel from')
    const made = link(params, left, i + 1, sold)
    left = made.rest
    return made
  })
}
