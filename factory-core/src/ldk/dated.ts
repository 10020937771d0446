/**
 * LDK dates its `channel_update` by the last block that the channel saw, and a channel that has seen none by 2 seconds after
 * 1970. lightningd drops what is older than two weeks, and then can't name the channel in its invoices. Such an update gets
 * today's date, and is signed again.
 */
import * as ldk from 'lightningdevkit'
import { u32 } from './convert.js'

/** Seconds: half of what is too old for BOLT 7. */
const STALE = 7 * 24 * 3600

/** The same event; or the update in it, of now. */
export function dated(event: ldk.MessageSendEvent, signer: ldk.NodeSigner): ldk.MessageSendEvent {
  if (!(event instanceof ldk.MessageSendEvent_SendChannelUpdate)) return event
  const now = Math.floor(Date.now() / 1000)
  const contents = event.msg.get_contents()
  if (u32(contents.get_timestamp()) > now - STALE) return event
  contents.set_timestamp(now)
  const signed = signer.sign_gossip_message(ldk.UnsignedGossipMessage.constructor_channel_update(contents))
  if (!(signed instanceof ldk.Result_ECDSASignatureNoneZ_OK)) return event
  return ldk.MessageSendEvent.constructor_send_channel_update(
    event.node_id,
    ldk.ChannelUpdate.constructor_new(signed.res, contents),
  )
}
