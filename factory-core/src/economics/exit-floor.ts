/** What it costs a client to leave alone at today's feerate: a smaller balance can't be taken to the chain at a profit. */
import { sat, type Sat } from '../units/index.js'

/** A transaction of the exit whose fee was fixed when it was signed. */
export interface FixedFee {
  readonly vsize: number
  readonly fee: Sat
}

/** The child that adds to a fee: one P2A input, one coin, one change. vB. */
const CHILD_VSIZE = 152
/** Commitment with both outputs and anchors. vB; its own fee is the LSP's, who opened the channel, taken for the least that is relayed. */
export const COMMITMENT_VSIZE = 310
/** Sweep of the client's output of it. vB. */
export const SWEEP_VSIZE = 121
const LEAST_FEERATE = 1000

const feeOf = (vsize: number, feerate: number): bigint => BigInt(Math.ceil((vsize * feerate) / 1000))

/** What must be added so that it is mined at `feerate` together with its child; nothing when its own fee is enough. */
function addition({ vsize, fee }: FixedFee, feerate: number): bigint {
  if (fee >= feeOf(vsize, feerate)) return 0n
  return feeOf(vsize + CHILD_VSIZE, feerate) - fee
}

/**
 * @param path the tree's transactions on the client's way
 * @param feerate sat per 1000 vB
 */
export function exitFloor(path: readonly FixedFee[], feerate: number): Sat {
  const rate = Math.max(feerate, LEAST_FEERATE)
  const commitment = { vsize: COMMITMENT_VSIZE, fee: sat(feeOf(COMMITMENT_VSIZE, LEAST_FEERATE)) }
  const fixed = [...path, commitment].reduce((sum, tx) => sum + addition(tx, rate), 0n)
  return sat(fixed + feeOf(SWEEP_VSIZE, rate))
}
