/**
 * May this HTLC live in a factory's channel? DESIGN.md invariant 6. A stock node checks HTLCs as if every channel were on
 * chain; this is what it doesn't know. Pure: the same event gives the same answer, so a host may repeat it after a restart.
 */
import type { HtlcDecision, HtlcEvent } from '../host/port.js'
import type { GatedChannel } from '../runner/api.js'
import {
  expiryTooFar,
  expiryTooSoon,
  incorrectCltvExpiry,
  incorrectPaymentDetails,
  temporaryChannelFailure,
  temporaryNodeFailure,
} from './failure.js'
import { latestExpiry, minExpiryDelta, minFinalDelta, minForwardDelta } from './margins.js'

const CONTINUE: HtlcDecision = { kind: 'continue' }
const fail = (failure: string, reason: string): HtlcDecision => ({ kind: 'fail', failure, reason })

/**
 * @param channels our factory channels the HTLC comes in on and leaves by; undefined for a channel that is none
 * @returns `continue` when neither is a factory's, or when every rule holds
 */
export function decideHtlc(channels: {
  readonly event: HtlcEvent
  readonly in: GatedChannel | undefined
  readonly out: GatedChannel | undefined
}): HtlcDecision {
  const { event } = channels
  const payee = event.outChannelId === undefined && event.cltvOut === undefined
  if (channels.in !== undefined) {
    const refusal = payee ? refuseAsPayee(event, channels.in) : refuseIncoming(event, channels.in)
    if (refusal !== undefined) return refusal
  }
  if (channels.out !== undefined) {
    const refusal = refuseOutgoing(event, channels.out)
    if (refusal !== undefined) return refusal
  }
  return CONTINUE
}

const label = (side: 'in' | 'out', channel: GatedChannel): string =>
  `${side === 'in' ? 'incoming' : 'outgoing'} channel of factory ${channel.instance.slice(0, 16)}`
const latest = (channel: GatedChannel): number =>
  latestExpiry(channel.expiry, channel.earlyWarning, channel.confirmationMargin)

function refuseAsPayee(event: HtlcEvent, channel: GatedChannel): HtlcDecision | undefined {
  const where = label('in', channel)
  if (channel.gate === 'shut') return fail(temporaryNodeFailure(), `${where} takes no HTLC now`)
  const details = incorrectPaymentDetails(event.amountIn, event.height)
  const earliest = event.height + minFinalDelta(channel.earlyWarning)
  if (event.cltvIn < earliest) return fail(details, `${where}: pays us, expires at ${event.cltvIn}, before ${earliest}`)
  if (event.cltvIn > latest(channel))
    return fail(details, `${where}: pays us, expires at ${event.cltvIn}, after ${latest(channel)}`)
  return undefined
}

function refuseIncoming(event: HtlcEvent, channel: GatedChannel): HtlcDecision | undefined {
  const where = label('in', channel)
  // BOLT 4 has no code for "the channel it came in on". This one makes the payer look for another way, and keeps the node.
  if (channel.gate === 'shut') return fail(temporaryChannelFailure(), `${where} takes no HTLC now`)
  // A host that can't tell the outgoing expiry leaves us nothing to check: refuse rather than hope.
  if (event.cltvOut === undefined) return fail(temporaryChannelFailure(), `${where}: no outgoing expiry`)
  const needed = minForwardDelta(channel.earlyWarning)
  if (event.cltvIn - event.cltvOut < needed)
    return fail(
      incorrectCltvExpiry(event.cltvOut),
      `${where}: forwarding needs ${needed} blocks, got ${event.cltvIn - event.cltvOut}`,
    )
  return refuseExpiry(where, event.cltvIn, event.height, channel)
}

function refuseOutgoing(event: HtlcEvent, channel: GatedChannel): HtlcDecision | undefined {
  const where = label('out', channel)
  if (channel.gate === 'shut') return fail(temporaryChannelFailure(), `${where} takes no HTLC now`)
  if (event.cltvOut === undefined) return fail(temporaryChannelFailure(), `${where}: no outgoing expiry`)
  return refuseExpiry(where, event.cltvOut, event.height, channel)
}

function refuseExpiry(where: string, cltv: number, height: number, channel: GatedChannel): HtlcDecision | undefined {
  const earliest = height + minExpiryDelta(channel.earlyWarning)
  if (cltv < earliest) return fail(expiryTooSoon(), `${where}: expires at ${cltv}, before ${earliest}`)
  if (cltv > latest(channel)) return fail(expiryTooFar(), `${where}: expires at ${cltv}, after ${latest(channel)}`)
  return undefined
}
