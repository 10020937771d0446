/**
 * What LDK must not see or say as it is. Channel messages pass here on their way to the channel manager, and back.
 * - An HTLC that the factory's rules refuse gets an onion that doesn't open: LDK fails it before it leaves by another channel.
 * - `error` about a factory's channel makes LDK broadcast a commitment that nobody can use: it is kept from LDK. So is `shutdown`.
 * - Nothing more is said or heard about channels that were dropped.
 */
import * as ldk from 'lightningdevkit'
import type { NodeId } from '../units/index.js'
import { channelIdOf, nodeIdOf } from './convert.js'

export interface GateOwner {
  /** Reason to refuse this HTLC, or undefined. */
  refuses(message: ldk.UpdateAddHTLC): string | undefined
  isFactory(channelId: string): boolean
  isDropped(channelId: string): boolean
  hasFactoryWith(peer: NodeId): boolean
  log(level: 'info' | 'warn' | 'error', text: string): void
  /** The peer's words about a channel that is not open yet. */
  openRefused(peer: NodeId, temporaryId: string, words: string): void
}

/** Bytes of update_add_htlc before the onion (BOLT 2), and of the onion (BOLT 4); its HMAC is at the end. */
const ONION_START = 32 + 8 + 8 + 32 + 4
const ONION_BYTES = 1366

/** The same HTLC, with an onion whose HMAC is wrong. */
function spoiled(message: ldk.UpdateAddHTLC): ldk.UpdateAddHTLC {
  const bytes = Uint8Array.from(message.write())
  const last = ONION_START + ONION_BYTES - 1
  bytes[last] = (bytes[last] ?? 0) ^ 1
  const read = ldk.UpdateAddHTLC.constructor_read(bytes)
  if (!(read instanceof ldk.Result_UpdateAddHTLCDecodeErrorZ_OK)) throw new Error('an HTLC that LDK wrote did not read')
  return read.res
}

export class ChannelGate {
  readonly handler: ldk.ChannelMessageHandler
  private held: ldk.MessageSendEvent[] = []

  constructor(
    private readonly manager: ldk.ChannelManager,
    private readonly owner: GateOwner,
  ) {
    const inner = manager.as_ChannelMessageHandler()
    this.handler = ldk.ChannelMessageHandler.new_impl(
      {
        handle_open_channel: (peer, m) => inner.handle_open_channel(peer, m),
        handle_open_channel_v2: (peer, m) => inner.handle_open_channel_v2(peer, m),
        handle_accept_channel: (peer, m) => inner.handle_accept_channel(peer, m),
        handle_accept_channel_v2: (peer, m) => inner.handle_accept_channel_v2(peer, m),
        handle_funding_created: (peer, m) => inner.handle_funding_created(peer, m),
        handle_funding_signed: (peer, m) => inner.handle_funding_signed(peer, m),
        handle_channel_ready: (peer, m) => inner.handle_channel_ready(peer, m),
        handle_shutdown: (peer, m) => {
          const id = channelIdOf(m.get_channel_id())
          if (owner.isFactory(id))
            owner.log('warn', `shutdown of factory channel ${id} ignored: its factory closes, not it`)
          else inner.handle_shutdown(peer, m)
        },
        handle_closing_signed: (peer, m) => inner.handle_closing_signed(peer, m),
        handle_stfu: (peer, m) => inner.handle_stfu(peer, m),
        handle_tx_add_input: (peer, m) => inner.handle_tx_add_input(peer, m),
        handle_tx_add_output: (peer, m) => inner.handle_tx_add_output(peer, m),
        handle_tx_remove_input: (peer, m) => inner.handle_tx_remove_input(peer, m),
        handle_tx_remove_output: (peer, m) => inner.handle_tx_remove_output(peer, m),
        handle_tx_complete: (peer, m) => inner.handle_tx_complete(peer, m),
        handle_tx_signatures: (peer, m) => inner.handle_tx_signatures(peer, m),
        handle_tx_init_rbf: (peer, m) => inner.handle_tx_init_rbf(peer, m),
        handle_tx_ack_rbf: (peer, m) => inner.handle_tx_ack_rbf(peer, m),
        handle_tx_abort: (peer, m) => inner.handle_tx_abort(peer, m),
        handle_update_add_htlc: (peer, m) => inner.handle_update_add_htlc(peer, this.checked(m)),
        handle_update_fulfill_htlc: (peer, m) => inner.handle_update_fulfill_htlc(peer, m),
        handle_update_fail_htlc: (peer, m) => inner.handle_update_fail_htlc(peer, m),
        handle_update_fail_malformed_htlc: (peer, m) => inner.handle_update_fail_malformed_htlc(peer, m),
        handle_commitment_signed: (peer, m) => inner.handle_commitment_signed(peer, m),
        handle_revoke_and_ack: (peer, m) => inner.handle_revoke_and_ack(peer, m),
        handle_update_fee: (peer, m) => inner.handle_update_fee(peer, m),
        handle_announcement_signatures: (peer, m) => inner.handle_announcement_signatures(peer, m),
        peer_disconnected: (peer) => inner.peer_disconnected(peer),
        peer_connected: (peer, init, inbound) => inner.peer_connected(peer, init, inbound),
        handle_channel_reestablish: (peer, m) => {
          if (!owner.isDropped(channelIdOf(m.get_channel_id()))) inner.handle_channel_reestablish(peer, m)
        },
        handle_channel_update: (peer, m) => inner.handle_channel_update(peer, m),
        handle_error: (peer, m) => {
          this.onError(peer, m, inner)
        },
        provided_node_features: () => inner.provided_node_features(),
        provided_init_features: (peer) => inner.provided_init_features(peer),
        get_chain_hashes: () => inner.get_chain_hashes(),
        message_received: () => inner.message_received(),
      },
      {
        get_and_clear_pending_msg_events: () => {
          const out = this.held
          this.held = []
          return out
        },
      },
    )
  }

  /**
   * Take what the manager wants to say; it is said at the next `process_events`. The state that it rests on is stored in between:
   * asking the manager for messages can move it.
   */
  collect(): boolean {
    const events = this.manager.as_MessageSendEventsProvider().get_and_clear_pending_msg_events()
    for (const event of events) if (!this.silenced(event)) this.held.push(event)
    return this.held.length > 0
  }

  private checked(message: ldk.UpdateAddHTLC): ldk.UpdateAddHTLC {
    let reason: string | undefined
    try {
      reason = this.owner.refuses(message)
    } catch (error) {
      // No exception may cross into WASM; and what can't be judged is not let in.
      reason = error instanceof Error ? error.message : String(error)
    }
    if (reason === undefined) return message
    this.owner.log('info', `HTLC refused: ${reason}`)
    return spoiled(message)
  }

  private onError(peer: Uint8Array, message: ldk.ErrorMessage, inner: ldk.ChannelMessageHandler): void {
    const id = channelIdOf(message.get_channel_id())
    const from = nodeIdOf(peer)
    const words = message.get_data()
    const all = /^0+$/.test(id)
    if (this.owner.isDropped(id)) return
    if (this.owner.isFactory(id) || (all && this.owner.hasFactoryWith(from))) {
      this.owner.log('warn', `${from} gave up channel ${id}, which its factory still backs: ${words}`)
      return
    }
    this.owner.openRefused(from, id, words)
    inner.handle_error(peer, message)
  }

  private silenced(event: ldk.MessageSendEvent): boolean {
    if (!(event instanceof ldk.MessageSendEvent_HandleError)) return false
    const { action } = event
    if (!(action instanceof ldk.ErrorAction_SendErrorMessage || action instanceof ldk.ErrorAction_DisconnectPeer))
      return false
    return this.owner.isDropped(channelIdOf(action.msg.get_channel_id()))
  }
}
