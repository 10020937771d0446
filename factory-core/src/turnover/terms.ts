/** What both sides must agree on before a balance moves: how much may come on top, and how far the two HTLCs are apart. */
import { finalCltvDelta, minForwardDelta } from '../htlc/index.js'
import { blocks, msat, sat, type Blocks, type Msat, type Sat } from '../units/index.js'

/** Blocks that may pass between an HTLC's offer and its arrival. */
const SLACK = 6

/**
 * Most that a channel may hold for a client beyond what it can send: its reserve (1 % at most, or a host's own minimum), and what
 * an HTLC must be larger than. The LSP pays it on top of the last part, because the client's key gives it.
 */
export const maxResidue = (capacity: Sat): Msat => msat((capacity / 100n) * 1000n + 3_000_000n)

/** Below this the rest is not worth an HTLC over the old channel: the LSP pays it all on top. */
export const LEAST_PART: Msat = msat(1_000_000n)

/** `cltv_expiry` of the HTLC over the new channel, from now: its client can leave the new factory and claim. */
export const outDelta = (newEarlyWarning: Blocks): Blocks => finalCltvDelta(newEarlyWarning)

/** `cltv_expiry` of the HTLC over the old channel, from now: the LSP can leave the old factory after the new one's end. */
export const inDelta = (oldEarlyWarning: Blocks, newEarlyWarning: Blocks): Blocks =>
  blocks(outDelta(newEarlyWarning) + minForwardDelta(oldEarlyWarning) + SLACK)

/** Capacity of the next channel: as large as before; larger when the balance would not leave the LSP a reserve of 2 % and what a commitment costs. */
export const roomFor = (capacity: Sat, balance: bigint): Sat => {
  const needed = balance + balance / 50n + 5000n
  return needed > capacity ? sat(needed) : capacity
}
