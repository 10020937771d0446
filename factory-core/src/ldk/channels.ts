/** LDK's channels as the port shows them. */
import * as ldk from 'lightningdevkit'
import { hex } from '@scure/base'
import type { ChannelState, HostChannel, PendingHtlc } from '../host/port.js'
import { msat, sat, type Msat } from '../units/index.js'
import { channelIdOf, nodeIdOf, outPointOf, present, scidText, someU64, u32, u64 } from './convert.js'
import type { LdkNode } from './node.js'

const ANSWERED = [
  ldk.InboundHTLCStateDetails.LDKInboundHTLCStateDetails_AwaitingRemoteRevokeToRemoveFulfill,
  ldk.InboundHTLCStateDetails.LDKInboundHTLCStateDetails_AwaitingRemoteRevokeToRemoveFail,
]

function htlcsOf(c: ldk.ChannelDetails): PendingHtlc[] {
  const incoming = c.get_pending_inbound_htlcs().map((h): PendingHtlc => {
    const state = h.get_state()
    const answered = state instanceof ldk.Option_InboundHTLCStateDetailsZ_Some && ANSWERED.includes(state.some)
    return { direction: 'in', expiry: u32(h.get_cltv_expiry()), answered }
  })
  const outgoing = c
    .get_pending_outbound_htlcs()
    .map((h): PendingHtlc => ({ direction: 'out', expiry: u32(h.get_cltv_expiry()), answered: false }))
  return [...incoming, ...outgoing]
}

/**
 * Our balance, exactly. LDK only tells what can be sent and received, each less the reserve that it must leave, and neither below
 * 0; as a channel is larger than two reserves, one of the two is always above it.
 */
function balance(c: ldk.ChannelDetails): Msat {
  const out = u64(c.get_outbound_capacity_msat())
  if (out > 0n) {
    const pending = c.get_pending_outbound_htlcs().reduce((sum, h) => sum + u64(h.get_amount_msat()), 0n)
    return msat(out + (someU64(c.get_unspendable_punishment_reserve()) ?? 0n) * 1000n + pending)
  }
  const pending = c.get_pending_inbound_htlcs().reduce((sum, h) => sum + u64(h.get_amount_msat()), 0n)
  const theirs =
    u64(c.get_inbound_capacity_msat()) +
    u64(c.get_counterparty().get_unspendable_punishment_reserve()) * 1000n +
    pending
  const all = u64(c.get_channel_value_satoshis()) * 1000n
  return msat(theirs > all ? 0n : all - theirs)
}

function stateOf(c: ldk.ChannelDetails): ChannelState {
  const shutdown = c.get_channel_shutdown_state()
  const open =
    !(shutdown instanceof ldk.Option_ChannelShutdownStateZ_Some) ||
    shutdown.some === ldk.ChannelShutdownState.LDKChannelShutdownState_NotShuttingDown
  if (!open) return 'closing'
  return c.get_is_channel_ready() ? 'normal' : 'opening'
}

export function listChannels(node: LdkNode): HostChannel[] {
  const live = new Map<string, HostChannel>()
  for (const c of node.manager.list_channels()) {
    const txo = c.get_funding_txo()
    if (!present(txo)) continue
    const channelId = channelIdOf(c.get_channel_id())
    const record = node.records.get(channelId)
    const alias = someU64(c.get_outbound_scid_alias())
    live.set(channelId, {
      peer: nodeIdOf(c.get_counterparty().get_node_id()),
      channelId,
      funding: outPointOf(txo),
      capacity: sat(u64(c.get_channel_value_satoshis())),
      ours: balance(c),
      spendable: msat(u64(c.get_next_outbound_htlc_limit_msat())),
      htlcs: htlcsOf(c),
      state: stateOf(c),
      onChain: record?.confirmed !== undefined,
      alias: alias === undefined ? undefined : scidText(alias),
    })
  }
  for (const r of node.records.all()) {
    if (r.state !== 'closing' || live.has(r.channelId)) continue
    live.set(r.channelId, {
      peer: r.peer,
      channelId: r.channelId,
      funding: r.funding,
      capacity: sat(r.capacity),
      ours: msat(r.last),
      spendable: msat(0),
      htlcs: [],
      state: 'closing',
      onChain: r.confirmed !== undefined,
      alias: undefined,
    })
  }
  return [...live.values()]
}

/** Channel that a forward names by this short channel id or alias. */
export function channelAt(node: LdkNode, scid: bigint): string | undefined {
  const found = node.manager
    .list_channels()
    .find((c) => someU64(c.get_short_channel_id()) === scid || someU64(c.get_outbound_scid_alias()) === scid)
  return found === undefined ? undefined : channelIdOf(found.get_channel_id())
}

/** Incoming HTLCs with this payment hash. */
export function incoming(
  node: LdkNode,
  paymentHash: Uint8Array,
): { channelId: string; id: bigint; amount: Msat; expiry: number }[] {
  const wanted = hex.encode(paymentHash)
  return node.manager.list_channels().flatMap((c) =>
    c
      .get_pending_inbound_htlcs()
      .filter((h) => hex.encode(h.get_payment_hash()) === wanted)
      .map((h) => ({
        channelId: channelIdOf(c.get_channel_id()),
        id: u64(h.get_htlc_id()),
        amount: msat(u64(h.get_amount_msat())),
        expiry: u32(h.get_cltv_expiry()),
      })),
  )
}

/** What LDK's router knows the channel by, as our end. */
export function scidsOf(c: ldk.ChannelDetails): bigint[] {
  return [someU64(c.get_short_channel_id()), someU64(c.get_outbound_scid_alias())].flatMap((scid) => scid ?? [])
}
