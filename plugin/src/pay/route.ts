/** Routes: what askrene finds, and what `sendpay` must be told so that a factory's LSP accepts it. Pure. */
import { finalCltvDelta, latestExpiry, minForwardDelta } from '@ln-factory/core/htlc'
import { msat, type BlockHeight, type Msat } from '@ln-factory/core/units'
import { z } from 'zod'
import type { OwnChannel } from './channels.js'

const hop = z.object({
  short_channel_id_dir: z.string(),
  node_id_out: z.string(),
  amount_in_msat: z.int().positive(),
  amount_out_msat: z.int().positive(),
  cltv_out: z.int().nonnegative(),
})

/** Answer of `getroutes`. Delays count from the current height. */
export const foundRoutes = z.object({
  routes: z.array(z.object({ amount_msat: z.int().positive(), path: z.array(hop).min(1) })).min(1),
})
export type FoundRoute = z.output<typeof foundRoutes>['routes'][number]
export type Hop = FoundRoute['path'][number]

/** One part of a payment, ready to be sent. */
export interface Part {
  readonly path: readonly Hop[]
  readonly first: OwnChannel
  readonly delivered: Msat
  readonly fee: Msat
}

/** Blocks that may be found while an HTLC is on its way: no hop must then find its own expiry too near. */
export const HEIGHT_SLACK = 3

/** Least delay, in blocks, with which an HTLC may leave on a factory channel towards `next` (its delay; undefined: the peer is paid). */
export function firstHopDelay(first: OwnChannel, found: number, next: number | undefined): number {
  if (first.gate === undefined) return found
  const { earlyWarning } = first.gate
  const needed = next === undefined ? finalCltvDelta(earlyWarning) : next + minForwardDelta(earlyWarning)
  return Math.max(found, needed)
}

/** Largest delay that the channel's factory allows now; unlimited for an ordinary channel. */
export const largestDelay = ({ gate }: OwnChannel, height: BlockHeight): number =>
  gate === undefined
    ? Infinity
    : latestExpiry(gate.expiry, gate.earlyWarning, gate.confirmationMargin) - height - HEIGHT_SLACK

/**
 * The route with the delay that its first channel's factory needs; undefined when it doesn't leave by one of `channels`, or when
 * the delay would pass what the factory or the payer allows.
 */
export function fitRoute(
  route: FoundRoute,
  channels: readonly OwnChannel[],
  height: BlockHeight,
  maxDelay: number,
): Part | undefined {
  const [head, ...rest] = route.path
  const first = channels.find((c) => `${c.scid}/${c.direction}` === head?.short_channel_id_dir)
  if (head === undefined || first === undefined) return undefined
  const delay = firstHopDelay(first, head.cltv_out, rest[0]?.cltv_out)
  if (delay > Math.min(maxDelay, largestDelay(first, height))) return undefined
  return {
    path: [{ ...head, cltv_out: delay }, ...rest],
    first,
    delivered: msat(route.amount_msat),
    // Our own channel charges nothing: what leaves us beyond the delivered amount goes to others.
    fee: msat(head.amount_out_msat - route.amount_msat),
  }
}

/** `route` of lightningd's `sendpay`. */
export const sendpayRoute = (path: readonly Hop[]): object[] =>
  path.map((h) => ({
    short_channel_id_dir: h.short_channel_id_dir,
    node_id_out: h.node_id_out,
    amount_out_msat: h.amount_out_msat,
    cltv_out: h.cltv_out,
  }))
