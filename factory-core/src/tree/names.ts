/** Names of spends: unique in a factory, the same for everyone, readable in a log. */
import { ROOT, type LeafGroup, type StaticGroup, type StockGroup, type TreeGroup } from './shape.js'

/** The state that a leaf is built with. */
export const FIRST_STATE = 0
/** The first state goes without a mark. */
const ofState = (state: number): string => (state === 0 ? '' : `@${state}`)

export const staticId = (group: StaticGroup): string => `static:${group.path}`
export const kickoffId = (leaf: LeafGroup): string => `kickoff:${leaf.number}`
export const leafId = (leaf: LeafGroup, state: number): string => `leaf:${leaf.number}${ofState(state)}`
export const poisonId = (stock: StockGroup, state: number): string =>
  `poison:${stock.leaf}.${stock.number}${ofState(state)}`
export const distributionId = (outputName: string): string => `dist:${outputName}`
export const payoutId = (payoutName: string): string => `payout:${payoutName}`

/** The output above `group`: the funding output, or one of a static transaction. */
export const sharedName = (group: TreeGroup): string => (group.path === ROOT ? 'funding' : group.path)
export const stockName = (stock: StockGroup, state: number): string =>
  `stock:${stock.leaf}.${stock.number}${ofState(state)}`
/** The payout of output `index` of the distribution of `parent`, or of the payout named `parent`. */
export const payoutName = (parent: string, index: number): string => `${parent}/${index}`

/** The chain transaction number `number` of a stock whose first distribution has the id `distribution`, and what follows it. */
export const chainId = (distribution: string, number: number): string =>
  `chain:${first(distribution).slice('dist:stock:'.length)}/${number}`
/** Of the rest that chain transaction `number` leaves; `id` is that of the stock before it. */
export const restId = (id: string, number: number): string => `${first(id)}/${number}`
const first = (id: string): string => id.split('/')[0] ?? id
