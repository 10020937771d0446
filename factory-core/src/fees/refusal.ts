/** Why a mempool refused a transaction, in bitcoind's words (Core and Knots use the same). */

/** It would be taken at a higher feerate. */
export const refusedForFee = (error: string | undefined): boolean =>
  error !== undefined && /min relay fee not met|mempool min fee not met|mempool full/i.test(error)

/** Another child of the same anchor pays as much or more. */
export const refusedForReplacement = (error: string | undefined): boolean =>
  error !== undefined && /insufficient fee|rejecting replacement|too many potential replacements/i.test(error)
