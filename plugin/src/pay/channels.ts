/** This node's channels as payments see them: lightningd's figures and the factory's rules for each. */
import type { FactoryApi, GatedChannel } from '@ln-factory/core/runner'
import { msat, nodeId, type Msat, type NodeId } from '@ln-factory/core/units'
import { z } from 'zod'
import type { Rpc } from '../commands/command.js'
import { ask } from '../commands/node-state.js'

export interface OwnChannel {
  readonly channelId: string
  readonly peer: NodeId
  /** What lightningd's routes call it: the real scid, or our alias for one that is not on chain. */
  readonly scid: string
  /** 0 when our node id is the lesser one (BOLT 7). */
  readonly direction: 0 | 1
  /** The peer's alias: what a route hint to us must name. */
  readonly remoteAlias: string | undefined
  readonly spendable: Msat
  readonly receivable: Msat
  /** Can carry an HTLC as far as lightningd is concerned: normal, and the peer is there. */
  readonly usable: boolean
  /** Its factory's rules; undefined for an ordinary channel. */
  readonly gate: GatedChannel | undefined
}

const SCID = /^\d{1,8}x\d{1,8}x\d{1,5}$/
const scid = z.string().regex(SCID)
const amount = z.int().nonnegative()

const listed = z.object({
  channels: z.array(
    z.object({
      peer_id: z.string(),
      peer_connected: z.boolean(),
      state: z.string(),
      channel_id: z.string().optional(),
      short_channel_id: scid.optional(),
      direction: z.union([z.literal(0), z.literal(1)]).optional(),
      alias: z.object({ local: scid.optional(), remote: scid.optional() }).optional(),
      spendable_msat: amount.optional(),
      receivable_msat: amount.optional(),
    }),
  ),
})

/** Channels that have, or had, a name in routes; those still opening are left out. */
export async function ownChannels(rpc: Rpc, api: FactoryApi): Promise<OwnChannel[]> {
  const { channels } = await ask(rpc, 'listpeerchannels', {}, listed)
  return channels.flatMap((c) => {
    const name = c.short_channel_id ?? c.alias?.local
    if (name === undefined || c.channel_id === undefined) return []
    const peer = nodeId(c.peer_id)
    return [
      {
        channelId: c.channel_id,
        peer,
        scid: name,
        direction: c.direction ?? directionOf(api.nodeId, peer),
        remoteAlias: c.alias?.remote,
        spendable: msat(c.spendable_msat ?? 0),
        receivable: msat(c.receivable_msat ?? 0),
        usable: c.state === 'CHANNELD_NORMAL' && c.peer_connected,
        gate: api.gated(c.channel_id),
      },
    ]
  })
}

/** BOLT 7: 0 from the lesser node id to the greater. */
export const directionOf = (from: NodeId, to: NodeId): 0 | 1 => (from < to ? 0 : 1)
