import type { ForwardedFee } from '@ln-factory/core/host'
import { msat } from '@ln-factory/core/units'
import { z } from 'zod'
import type { HostRpc } from '../rpc/index.js'
import type { Channels } from './channels.js'
import { parse } from './replies.js'

const listForwards = z.object({
  forwards: z.array(
    z.object({
      in_channel: z.string(),
      out_channel: z.string().optional(),
      fee_msat: z.number().int().nonnegative().optional(),
    }),
  ),
})

/** lightningd names channels by short id or alias; one that it has forgotten stays without a name. */
export async function settledForwards(rpc: HostRpc, channels: Channels): Promise<ForwardedFee[]> {
  const answer = await rpc.call('listforwards', { status: 'settled' })
  const { forwards } = parse(listForwards, 'listforwards', answer)
  const byScid = await channels.shortIds()
  const idOf = (scid: string | undefined): string => (scid === undefined ? '' : (byScid.get(scid) ?? ''))
  return forwards.map((f) => ({
    inChannelId: idOf(f.in_channel),
    outChannelId: idOf(f.out_channel),
    fee: msat(f.fee_msat ?? 0),
  }))
}
