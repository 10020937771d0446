/** Chains rebuilt from what is remembered of the sales: nothing of them is stored but what was sold, and the signatures. */
import { FactoryError } from '@ln-factory/tlv'
import { signatureItem } from '../ceremony/spend-key.js'
import type { Context } from '../machine/index.js'
import {
  buildChain,
  stocksIn,
  txidBytes,
  type ChainLink,
  type Spend,
  type Stock,
  type TreeParams,
} from '../tree/index.js'
import { blocks, type Blocks, type OutPoint, type ParticipantIndex } from '../units/index.js'
import type { Link } from './state.js'

/** Of the leaf state that it is in: `0.1`, `0.1@2`. */
export const stockName = (stock: Stock): string => stock.distribution.id.slice('dist:stock:'.length)

/** Participants that share it, without the LSP. */
export const clientsOf = (stock: Stock): readonly ParticipantIndex[] => stock.poison.signers.slice(1)

export interface Chain {
  readonly name: string
  readonly stock: Stock
  readonly links: readonly ChainLink[]
}

/** The chain of every stock that `spends` hold, from what was sold. */
export function chainsOf(params: TreeParams, spends: readonly Spend[], sold: readonly Link[]): readonly Chain[] {
  return stocksIn(spends).map((stock) => {
    const name = stockName(stock)
    return { name, stock, links: buildChain({ params, stock, sold: sold.filter((s) => s.stock === name) }) }
  })
}

/** What can be sold from next, and be poisoned, distributed or swept; undefined when all is sold. */
export const restOf = (chain: Chain): Stock | undefined => {
  const last = chain.links.at(-1)
  return last === undefined ? chain.stock : last.rest
}

/** The link that a sale adds. @throws FactoryError `bad_amount`, `bad_proposal` */
export function nextLink(params: TreeParams, chain: Chain, before: readonly Link[], sold: Link): ChainLink {
  const own = before.filter((s) => s.stock === chain.name)
  const made = buildChain({ params, stock: chain.stock, sold: [...own, sold] }).at(-1)
  if (made === undefined) throw new FactoryError('internal', 'a chain without links')
  return made
}

/** BOLT 2: funding txid and output index; the channel is output 0. */
export const channelIdOf = (outpoint: OutPoint): string => Buffer.from(txidBytes(outpoint.txid)).toString('hex')

/** In place of the id of a chain transaction, where there is none yet. */
export const NO_CHAIN = new Uint8Array(32)

/** W of a channel below `depth` chain transactions: each has to confirm before the next. */
export const warningAt = (earlyWarning: number, margin: number, depth: number): Blocks =>
  blocks(earlyWarning + margin * depth)

/** @throws FactoryError `store_corrupt` */
export function storedSignature(context: Context, spend: Spend): Uint8Array {
  const signature = context.item(signatureItem(spend.id))
  if (signature === undefined) throw new FactoryError('store_corrupt', `the signature of ${spend.id} is missing`)
  return signature
}
