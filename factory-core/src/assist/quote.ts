/** What an assisted exit costs, for whom it is to be ordered. */
import { targetFeerate } from '../fees/index.js'
import type { Feerates } from '../host/port.js'
import { floorSat, sat, type BlockHeight, type OutPoint, type Sat } from '../units/index.js'
import type { ClientAssist } from './state.js'
import { assistPrice, claimFee } from './terms.js'

/** Blocks in which the claim should confirm at its lowest feerate. */
const CLAIM_TARGET = 6
const LEAST = 1000
/** How much more than the price at the wanted feerate is allowed: the LSP reckons with its own estimate. */
const TOLERANCE = 3n

export const assistFeerate = (rates: Feerates | undefined): number =>
  Math.max(LEAST, Math.ceil(rates === undefined ? 0 : targetFeerate(rates, CLAIM_TARGET)))

export const defaultMaxFee = (payoutScript: Uint8Array, feerate: number): Sat =>
  sat((assistPrice(feerate) + claimFee(payoutScript, feerate)) * TOLERANCE)

/** Undefined while nothing is agreed. */
export function agreedAssist(
  assist: ClientAssist,
): { outpoint: OutPoint; amount: Sat; fee: Sat; timeout: BlockHeight } | undefined {
  if (assist.step !== 'paying' && assist.step !== 'claiming') return undefined
  const { outpoint, amount, timeout, payoutScript, feerate, balance } = assist.terms
  return { outpoint, amount, timeout, fee: sat(floorSat(balance) - amount + claimFee(payoutScript, feerate)) }
}
