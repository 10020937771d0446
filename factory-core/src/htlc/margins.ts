/**
 * The CLTV arithmetic of a channel that is not on chain. W (early warning) is how many blocks before an HTLC's expiry its
 * factory's exit must start, so every bound that BOLT 2 gives for an ordinary channel grows by W. All results are in blocks.
 */
import { blockHeight, blocks, type BlockHeight, type Blocks } from '../units/index.js'

/** Blocks in which a preimage we know must be brought to chain; BOLT 2's recommended `min_final_cltv_expiry_delta`. */
export const CLAIM_BLOCKS = 18

/** What a forwarding node needs between its incoming and its outgoing HTLC, when both channels are on chain (BOLT 2). */
export const FORWARD_BLOCKS = 34

/** Kept on top of W + 18 in invoices: blocks that pass, and claims that wait, before the payment arrives. */
export const INVOICE_MARGIN = 36

/** Least distance to the expiry of any HTLC that is added to the channel: the exit must not have to start at once. */
export const minExpiryDelta = (earlyWarning: Blocks): Blocks => blocks(earlyWarning + 1)

/** Least distance to the expiry of an HTLC that pays us: time to exit, then to claim. */
export const minFinalDelta = (earlyWarning: Blocks): Blocks => blocks(earlyWarning + CLAIM_BLOCKS)

/** Least `cltv_in - cltv_out` of an HTLC that comes in on the channel and is forwarded. */
export const minForwardDelta = (earlyWarning: Blocks): Blocks => blocks(earlyWarning + FORWARD_BLOCKS)

/** `min_final_cltv_expiry_delta` of an invoice that is paid over the channel. */
export const finalCltvDelta = (earlyWarning: Blocks, margin: number = INVOICE_MARGIN): Blocks =>
  blocks(earlyWarning + CLAIM_BLOCKS + margin)

/**
 * Latest `cltv_expiry` that the channel may carry: the exit that it may need (W blocks), and one confirmation, end before the
 * distributions become valid. 0 when the factory is too short to carry any.
 */
export const latestExpiry = (expiry: BlockHeight, earlyWarning: Blocks, confirmationMargin: Blocks): BlockHeight =>
  blockHeight(Math.max(0, expiry - earlyWarning - confirmationMargin))

/** Last block at which any HTLC can be added: its expiry is then both the nearest and the farthest allowed. */
export const lastHtlcHeight = (expiry: BlockHeight, earlyWarning: Blocks, confirmationMargin: Blocks): BlockHeight =>
  blockHeight(Math.max(0, latestExpiry(expiry, earlyWarning, confirmationMargin) - minExpiryDelta(earlyWarning)))

/** Last block at which a payment for an invoice with `finalCltvDelta` can arrive. */
export const lastInvoiceHeight = (expiry: BlockHeight, earlyWarning: Blocks, confirmationMargin: Blocks): BlockHeight =>
  blockHeight(Math.max(0, latestExpiry(expiry, earlyWarning, confirmationMargin) - finalCltvDelta(earlyWarning)))
