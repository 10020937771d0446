/** When something on chain is over for good. */
import { REORG_DEPTH } from '../watch/position.js'
import type { BlockHeight } from '../units/index.js'

/**
 * Confirmations from which on the end of a factory is believed: as many as the follower can take back. Until then whatever ended it is
 * watched, the channels are kept, and everything that an exit needs stays at hand.
 */
export const FINAL_DEPTH = REORG_DEPTH

export const isFinal = (at: BlockHeight, tip: BlockHeight): boolean => tip - at + 1 >= FINAL_DEPTH
