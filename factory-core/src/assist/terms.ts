/** The numbers of an assisted exit: when what must have happened, and what it costs. Heights and blocks; docs/protocol.md. */
import { FactoryError } from '@ln-factory/tlv'
import { FORWARD_BLOCKS, latestExpiry } from '../htlc/index.js'
import { DUST } from '../tree/params.js'
import { feeFor, signedVsize } from '../tree/tx.js'
import { blockHeight, floorSat, msat, sat, type BlockHeight, type Blocks, type Msat, type Sat } from '../units/index.js'

/** Blocks from the offer to the height at which the LSP may take its output back. */
export const OUTPUT_BLOCKS = 144
/** Blocks that an offer stands while no HTLC comes for it. */
export const OFFER_BLOCKS = 12
/** What a client must have left to the time-out when it is made the offer: the output confirms, is buried, and is claimed. */
export const MIN_WINDOW = 72
const MAX_WINDOW = 1008
/** A claim is not begun later than so many blocks before the time-out: once it is seen, it must win. */
export const CLAIM_WINDOW = 36
/** Blocks that the LSP has, after the time-out, to take its output back before the HTLC matters again. */
export const RETURN_BLOCKS = 36

/** By so many blocks the client's HTLC may outlive what was asked: the chain goes on while it is offered. */
export const EXPIRY_SLACK = 3

/** Most that may stay behind in the channel: what a host can't send. */
export const MAX_RESIDUE = sat(2000)

/** Confirmations of the transaction that took the output back, before the HTLC is let go. */
export const RETURN_DEPTH = 12

/** Blocks between two feerates of the claim. */
export const CLAIM_PATIENCE = 4
const MAX_FEERATES = 8
const MIN_FEERATE = 1000
const MAX_FEERATE = 1_000_000

/** Both signatures, the preimage, its script, its control block. */
const CLAIM_WITNESS = [64, 64, 32, 107, 65]
const TAKE_BACK_WITNESS = [64, 40, 65]
/** vB of a funding transaction with an input, a change and the output; and of the transaction that takes the output back. */
const FUNDING_VSIZE = 200
export const TAKE_BACK_VSIZE = signedVsize([34], TAKE_BACK_WITNESS)

/** Fee of a claim, in sat. */
export const claimFee = (payoutScript: Uint8Array, feerate: number): Sat =>
  sat(feeFor(claimVsize(payoutScript), feerate))

export const claimVsize = (payoutScript: Uint8Array): number => signedVsize([payoutScript.length], CLAIM_WITNESS)

/** What the LSP is paid, in sat: its two transactions, whether it needs the second or not. */
export const assistPrice = (feerate: number): Sat => sat(feeFor(FUNDING_VSIZE + TAKE_BACK_VSIZE, feerate))

/**
 * The feerates at which the claim of an output can be made, lowest first, sat per 1000 vB: each twice the one before, as long as half
 * of the output is left. Empty when not even the first leaves that.
 */
export function claimFeerates(amount: Sat, payoutScript: Uint8Array, feerate: number): number[] {
  const most = amount / 2n
  const rates = Array.from({ length: MAX_FEERATES }, (_, i) => feerate * 2 ** i)
  return rates.filter((rate) => {
    const fee = claimFee(payoutScript, rate)
    return fee <= most && amount - fee >= DUST
  })
}

/** @throws FactoryError `bad_parameter` */
export function checkFeerate(feerate: number): void {
  if (!Number.isSafeInteger(feerate) || feerate < MIN_FEERATE || feerate > MAX_FEERATE)
    throw new FactoryError('bad_parameter', `a feerate of ${feerate} sat per 1000 vB is not between 1000 and 1,000,000`)
}

export interface Times {
  readonly timeout: BlockHeight
  /** Least `cltv_expiry` of the client's HTLC. */
  readonly htlcExpiry: BlockHeight
}

/** What bounds the HTLCs of a factory. */
export interface Horizon {
  readonly earlyWarning: Blocks
  readonly expiry: BlockHeight
  readonly confirmationMargin: Blocks
}

/** The LSP needs W + 34 blocks between the last moment at which it may learn the preimage and the end of the HTLC. */
const htlcExpiryFor = (timeout: number, earlyWarning: Blocks): BlockHeight =>
  blockHeight(timeout + RETURN_BLOCKS + earlyWarning + FORWARD_BLOCKS)

export const latestHtlc = ({ expiry, earlyWarning, confirmationMargin }: Horizon): BlockHeight =>
  latestExpiry(expiry, earlyWarning, confirmationMargin)

/** @throws FactoryError `wrong_state` when the factory ends before such an HTLC could */
export function timesFor(height: BlockHeight, horizon: Horizon): Times {
  const timeout = blockHeight(height + OUTPUT_BLOCKS)
  const htlcExpiry = htlcExpiryFor(timeout, horizon.earlyWarning)
  if (htlcExpiry + OFFER_BLOCKS + EXPIRY_SLACK > latestHtlc(horizon))
    throw new FactoryError(
      'wrong_state',
      `the factory expires too soon: an HTLC until ${htlcExpiry} must end by ${latestHtlc(horizon)}`,
      'Leave over Lightning or with factory-exit.',
    )
  return { timeout, htlcExpiry }
}

/** Why a client can't take these times, if it can't. */
export function faultOfTimes(
  { timeout, htlcExpiry }: Times,
  height: BlockHeight,
  horizon: Horizon,
): string | undefined {
  if (timeout < height + MIN_WINDOW) return `the output can be taken back at ${timeout}, in ${timeout - height} blocks`
  if (timeout > height + MAX_WINDOW) return `the output is held until ${timeout}, ${timeout - height} blocks`
  if (htlcExpiry < htlcExpiryFor(timeout, horizon.earlyWarning))
    return `an HTLC until ${htlcExpiry} ends too soon after the time-out at ${timeout}`
  if (htlcExpiry + EXPIRY_SLACK > latestHtlc(horizon))
    return `an HTLC until ${htlcExpiry} ends after ${latestHtlc(horizon)}`
  return undefined
}

/**
 * What the output holds: what the client pays, what stays behind in its channel and is the LSP's with the key, less the price.
 * @throws FactoryError `bad_amount` when more than `MAX_RESIDUE` would stay behind, or nothing is left
 */
export function outputAmount(balance: Msat, paid: Msat, price: Sat): Sat {
  if (paid > balance) throw new FactoryError('bad_amount', `${paid} msat are more than the balance of ${balance}`)
  const residue = floorSat(msat(balance - paid))
  if (residue > MAX_RESIDUE)
    throw new FactoryError('bad_amount', `${residue} sat would stay behind, ${MAX_RESIDUE} are the most`)
  const total = floorSat(balance)
  if (total < price + DUST) throw new FactoryError('bad_amount', `${total} sat don't pay the price of ${price}`)
  return sat(total - price)
}
