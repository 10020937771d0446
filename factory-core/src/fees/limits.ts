/** How much the children of tree transactions may cost. */
import { sat, type Sat } from '../units/index.js'

export interface FeeLimits {
  /** One child's fee at the most. */
  readonly perTransaction: Sat
  /** All children of one factory together, the live one of each transaction. */
  readonly perFactory: Sat
}

export const defaultFeeLimits: FeeLimits = { perTransaction: sat(50_000), perFactory: sat(250_000) }

/**
 * What one more child may pay. `others`: fees of the children of the factory's other transactions, confirmed or not; a child
 * that was replaced pays nothing, so only the last of each counts.
 */
export function allowance(limits: FeeLimits, others: readonly Sat[]): Sat {
  const left = others.reduce<bigint>((rest, fee) => rest - fee, limits.perFactory)
  const most = left < limits.perTransaction ? left : limits.perTransaction
  return sat(most > 0n ? most : 0n)
}
