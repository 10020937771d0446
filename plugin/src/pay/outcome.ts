/** How one part of a payment ended, in lightningd's words (`sendpay`, `waitsendpay`) and in ours. */
import { z } from 'zod'
import type { Rpc } from '../commands/command.js'
import { ask } from '../commands/node-state.js'
import { HostRpcError, HostUnansweredError } from '../rpc/errors.js'

export type Outcome =
  | { readonly kind: 'paid'; readonly preimage: string }
  /** The payee refused it for good. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** It didn't get through; `erring` tells what to avoid, where that is known. */
  | { readonly kind: 'failed'; readonly reason: string; readonly erring: Erring | undefined }
  /** Not known: it may be under way. */
  | { readonly kind: 'unknown'; readonly reason: string }

export interface Erring {
  readonly scidDir: string
  /** It may take a smaller amount; otherwise it can't be used at all. */
  readonly temporary: boolean
}

export interface PartId {
  readonly payment_hash: string
  readonly partid: number
  readonly groupid: number
}

/** lightningd's error codes (its manual of waitsendpay). */
const STILL_PENDING = 200
const DESTINATION_FAILED = 203
const ROUTE_FAILED = 204
/** Nothing was ever sent under this id. */
const NEVER_SENT = 208

/** BOLT 4. */
const PERM = 0x4000
const TEMPORARY_CHANNEL_FAILURE = 0x1007
const MPP_TIMEOUT = 23

const failure = z.object({
  erring_index: z.int().optional(),
  erring_channel: z.string().optional(),
  erring_direction: z.int().optional(),
  failcode: z.int().optional(),
  failcodename: z.string().optional(),
})

/** An error that lightningd answered with to `sendpay` or `waitsendpay`. */
export function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof HostRpcError)) {
    return { kind: 'unknown', reason: error instanceof Error ? error.message : String(error) }
  }
  const reason = error.rpcMessage
  if (error.rpcCode === STILL_PENDING) return { kind: 'unknown', reason }
  if (error.rpcCode === NEVER_SENT) return { kind: 'failed', reason: 'lightningd did not send it', erring: undefined }
  if (error.rpcCode !== DESTINATION_FAILED && error.rpcCode !== ROUTE_FAILED) {
    // What lightningd itself refuses (already paid otherwise, bad parameters) does not get better by trying again.
    return { kind: 'refused', reason }
  }
  const parsed = failure.safeParse(error.data)
  const data = parsed.success ? parsed.data : {}
  const { erring_channel: scid, erring_direction: direction, failcode } = data
  const erring: Erring | undefined =
    scid === undefined || direction === undefined || scid === '0x0x0'
      ? undefined
      : { scidDir: `${scid}/${direction}`, temporary: failcode === TEMPORARY_CHANNEL_FAILURE }
  if (error.rpcCode === ROUTE_FAILED) return { kind: 'failed', reason, erring }
  // The payee waited in vain for our other parts: nobody on this part's way is to blame.
  if (failcode === MPP_TIMEOUT) return { kind: 'failed', reason, erring: undefined }
  if (failcode === undefined || (failcode & PERM) !== 0) return { kind: 'refused', reason }
  return { kind: 'failed', reason, erring }
}

const complete = z.object({ payment_preimage: z.string().regex(/^[0-9a-f]{64}$/) })

/** Seconds that lightningd is asked to wait at a time. */
const POLL = 30
const RECONNECT = 1000

/**
 * Waits until the part has ended, or `deadline` (milliseconds of Date.now) has passed: then it is `unknown`. Never gives up on a
 * part for a lost connection to lightningd.
 */
export async function waitForPart(rpc: Rpc, id: PartId, deadline: () => number): Promise<Outcome> {
  for (;;) {
    const left = Math.ceil((deadline() - Date.now()) / 1000)
    try {
      const timeout = Math.min(POLL, Math.max(0, left))
      const { payment_preimage } = await ask(rpc, 'waitsendpay', { ...id, timeout }, complete, 0)
      return { kind: 'paid', preimage: payment_preimage }
    } catch (error) {
      const outcome = outcomeOf(error)
      if (outcome.kind !== 'unknown' || left <= 0) return outcome
      if (error instanceof HostUnansweredError) await new Promise((resolve) => setTimeout(resolve, RECONNECT))
      else if (!(error instanceof HostRpcError)) throw error
    }
  }
}
