/**
 * What every output of the tree must hold, from the channels up: what is below it, the anchors and the built-in fees. It follows
 * from the parameters and the capacities, so the funding amount is known before any key or script is.
 */
import { sat, type Sat } from '../units/index.js'
import { ANCHOR, MAX_PAYOUT_SCRIPT, PROGRAM_LENGTH } from './script.js'
import { sizeOf, type Group, type LeafGroup, type TreeGroup } from './shape.js'
import { feeFor, KEY_WITNESS, POISON_WITNESS, signedVsize } from './tx.js'
import type { TreeParams } from './types.js'

/** Signed vB of a child in the tree with `outputs` outputs before its anchor: all are P2TR or P2WSH. */
export const childVsize = (outputs: number): number =>
  signedVsize([...Array.from({ length: outputs }, () => PROGRAM_LENGTH), ANCHOR.script.length], KEY_WITNESS)

/** What a child adds to the sum of its outputs: built-in fee and anchor, in sat. */
export const childOverhead = (params: TreeParams, outputs: number): bigint =>
  feeFor(childVsize(outputs), params.feerate) + ANCHOR.amount

/** Signed vB of the poison of a stock of `clients`, for the longest payout scripts. */
export const poisonVsize = (clients: number): number =>
  signedVsize([...Array.from({ length: clients }, () => MAX_PAYOUT_SCRIPT), ANCHOR.script.length], POISON_WITNESS)

/**
 * A stock: its clients' shares and the cost of its poison, the dearer way to pay them out. The poison's fee is the same
 * whatever the payout scripts are, so the amount is known before them.
 */
export const stockAmount = (params: TreeParams, stock: Group): Sat =>
  sat(
    BigInt(sizeOf(stock)) * params.stockPerClient + feeFor(poisonVsize(sizeOf(stock)), params.feerate) + ANCHOR.amount,
  )

const KICKOFF_OUTPUTS = 1
export const leafOutputs = (leaf: LeafGroup): number => sizeOf(leaf) + leaf.stocks.length

/** Amounts of the shared outputs of one tree. */
export class TreeAmounts {
  readonly #into = new Map<TreeGroup, Sat>()

  constructor(
    private readonly params: TreeParams,
    private readonly capacities: readonly Sat[],
  ) {}

  /** Of the kickoff's output, which the leaf spends. */
  intoLeaf(leaf: LeafGroup): Sat {
    const channels = this.capacities.slice(leaf.from, leaf.to).reduce<bigint>((sum, c) => sum + c, 0n)
    const stocks = leaf.stocks.reduce((sum, stock) => sum + stockAmount(this.params, stock), 0n)
    return sat(channels + stocks + childOverhead(this.params, leafOutputs(leaf)))
  }

  /** Of the output above `group`: the funding output or a static one. */
  into(group: TreeGroup): Sat {
    const known = this.#into.get(group)
    if (known !== undefined) return known
    const amount =
      group.kind === 'leaf'
        ? this.intoLeaf(group) + childOverhead(this.params, KICKOFF_OUTPUTS)
        : group.children.reduce(
            (sum, child) => sum + this.into(child),
            childOverhead(this.params, group.children.length),
          )
    this.#into.set(group, sat(amount))
    return sat(amount)
  }
}
