/**
 * BOLT 4 failure messages, in hex: `u16 code`, then the code's data. Those with the UPDATE bit carry a `channel_update`, which is
 * optional in today's BOLT 4 and left empty here (`u16 len` = 0): the channels are private, and their real rules (W) can't be
 * told by a `channel_update` anyway.
 */
import type { BlockHeight, Msat } from '../units/index.js'

const UPDATE = 0x1000
const NODE = 0x2000
const PERM = 0x4000

const hex = (value: number | bigint, bytes: number): string => value.toString(16).padStart(bytes * 2, '0')
const code = (value: number): string => hex(value, 2)
const NO_UPDATE = hex(0, 2)

/** We can't take it now; another node may. */
export const temporaryNodeFailure = (): string => code(NODE | 2)

/** The outgoing channel can't take it now. */
export const temporaryChannelFailure = (): string => code(UPDATE | 7) + NO_UPDATE

/** `cltv_in - cltv_out` is less than we need; BOLT 4 has the outgoing HTLC's expiry reported. */
export const incorrectCltvExpiry = (outgoing: number): string => code(UPDATE | 13) + hex(outgoing, 4) + NO_UPDATE

/** Expires too near. */
export const expiryTooSoon = (): string => code(UPDATE | 14) + NO_UPDATE

/** Expires too far: only a forwarding node may say so. */
export const expiryTooFar = (): string => code(21)

/** A payee's answer to an expiry it can't live with; the same as for an unknown invoice, so that it tells a prober nothing. */
export const incorrectPaymentDetails = (amount: Msat, height: BlockHeight): string =>
  code(PERM | 15) + hex(amount, 8) + hex(height, 4)
