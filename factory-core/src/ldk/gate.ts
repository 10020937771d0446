/**
 * What LDK must not see or say as it is. Channel messages pass here on their way to the channel manager, and back.
 * - An HTLC that the factory's rules refuse is failed before it leaves by another channel (`refusal.ts`).
 * - `error` about a factory's channel makes LDK broadcast a commitment that nobody can use: it is kept from LDK. So is `shutdown`.
 * - Nothing more is said or heard about channels that were dropped.
 */
import * as ldk from 'lightningdevkit'
import { temporaryNodeFailure } from '../htlc/index.js'
import type { HtlcDecision } from '../host/port.js'
import type { NodeId } from '../units/index.js'
import { channelIdOf, nodeIdOf } from './convert.js'
import { spoiled, type Refusals } from './refusal.js'

/** `failure` is a BOLT 4 failure message in hex; `reason` goes to the log. */
export type Refused = Extract<HtlcDecision, { kind: 'fail' }>

export interface GateOwner {
  /** Why this HTLC is not to be forwarded, or undefined. */
  refuses(message: ldk.UpdateAddHTLC): Refused | undefined
  /** What LDK says of a channel's fees, with a date that others believe. */
  dated(event: ldk.MessageSendEvent): ldk.MessageSendEvent
  isFactory(channelId: string): boolean
  isDropped(channelId: string): boolean
  hasFactoryWith(peer: NodeId): boolean
  log(level: 'info' | 'warn' | 'error', text: string): void
  /** The peer's words about a channel that is not open yet. */
  openRefused(peer: NodeId, temporaryId: string, words: string): void
}

export class ChannelGate {
  readonly handler: ldk.ChannelMessageHandler
  private held: ldk.MessageSendEvent[] = []

  constructor(
    private readonly manager: ldk.ChannelManager,
    private readonly refusals: Refusals,
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
    for (const event of events)
      if (!this.silenced(event)) this.held.push(this.owner.dated(this.refusals.rewrite(event)))
    return this.held.length > 0
  }

  private checked(message: ldk.UpdateAddHTLC): ldk.UpdateAddHTLC {
    try {
      const refused = this.owner.refuses(message)
      if (refused === undefined) return message
      this.owner.log('info', `HTLC refused: ${refused.reason}`)
      this.refusals.add(message, refused.failure)
    } catch (error) {
      // No exception may cross into WASM; and what can't be judged is not let in.
      this.owner.log(
        'warn',
        `HTLC refused, as it can't be judged: ${error instanceof Error ? error.message : String(error)}`,
      )
      this.refusals.add(message, temporaryNodeFailure())
    }
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
