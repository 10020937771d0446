/** bLIP-56's message and feature bit, through LDK's custom messages. */
import * as ldk from 'lightningdevkit'
import { FactoryError } from '@ln-factory/tlv'
import type { NodeId } from '../units/index.js'
import { bitsOf, keyBytes, nodeIdOf, u16 } from './convert.js'

const FACTORY_MESSAGE = 32800
/** Odd type on which another factory protocol announces itself. */
const OTHER_PROTOCOL_MESSAGE = 33001
const FACTORY_FEATURES = [270, 271]
const OURS = 271
/** Longer ones are a panic in LDK: 65,535 less the type, less one. */
const MAX_BODY = 65_533

export interface MessageEvents {
  message(peer: NodeId, body: Uint8Array): void
  otherProtocol(peer: NodeId, body: Uint8Array): void
  connected(peer: NodeId): void
  disconnected(peer: NodeId): void
}

class Body {
  constructor(
    readonly type: number,
    readonly bytes: Uint8Array,
  ) {}
  type_id(): number {
    return this.type
  }
  debug_str(): string {
    return `${this.type}: ${this.bytes.length} bytes`
  }
  write(): Uint8Array {
    return this.bytes
  }
}

export class Messages {
  readonly handler: ldk.CustomMessageHandler
  /** Connected peers, and whether they offer factories. */
  readonly peers = new Map<NodeId, boolean>()
  private outbox: ldk.TwoTuple_PublicKeyTypeZ[] = []
  /** What Rust may still point at. */
  private sent: unknown[] = []

  constructor(events: MessageEvents) {
    this.handler = ldk.CustomMessageHandler.new_impl(
      {
        handle_custom_message: (message, from) => {
          const peer = nodeIdOf(from)
          const body = Uint8Array.from(message.write())
          if (u16(message.type_id()) === FACTORY_MESSAGE) events.message(peer, body)
          else events.otherProtocol(peer, body)
          return ldk.Result_NoneLightningErrorZ.constructor_ok()
        },
        get_and_clear_pending_msg: () => {
          const out = this.outbox
          this.outbox = []
          this.sent = [out]
          return out
        },
        peer_connected: (id, init) => {
          const bits = bitsOf(init.get_features().le_flags())
          const peer = nodeIdOf(id)
          this.peers.set(
            peer,
            FACTORY_FEATURES.some((bit) => bits.includes(bit)),
          )
          events.connected(peer)
          return ldk.Result_NoneNoneZ.constructor_ok()
        },
        peer_disconnected: (id) => {
          const peer = nodeIdOf(id)
          this.peers.delete(peer)
          events.disconnected(peer)
        },
        provided_node_features: () => {
          const features = ldk.NodeFeatures.constructor_empty()
          features.set_optional_custom_bit(OURS)
          return features
        },
        provided_init_features: () => {
          const features = ldk.InitFeatures.constructor_empty()
          features.set_optional_custom_bit(OURS)
          return features
        },
      },
      {
        read: (type, buffer) => {
          const known = u16(type) === FACTORY_MESSAGE || u16(type) === OTHER_PROTOCOL_MESSAGE
          return ldk.Result_COption_TypeZDecodeErrorZ.constructor_ok(
            known
              ? ldk.Option_TypeZ.constructor_some(ldk.Type.new_impl(new Body(u16(type), Uint8Array.from(buffer))))
              : ldk.Option_TypeZ.constructor_none(),
          )
        },
      },
    )
  }

  /** @throws FactoryError `peer_offline`, `peer_unsupported`, `bad_parameter` (a body above 65,533 bytes) */
  send(peer: NodeId, body: Uint8Array): void {
    this.requireFactories(peer)
    if (body.length > MAX_BODY) throw new FactoryError('bad_parameter', `a message of ${body.length} bytes is too long`)
    const type = ldk.Type.new_impl(new Body(FACTORY_MESSAGE, body))
    this.outbox.push(ldk.TwoTuple_PublicKeyTypeZ.constructor_new(keyBytes(peer), type))
  }

  /** @throws FactoryError `peer_offline`, `peer_unsupported` */
  requireFactories(peer: NodeId): void {
    const factories = this.peers.get(peer)
    if (factories === undefined) throw new FactoryError('peer_offline', `${peer} is not connected`)
    if (!factories)
      throw new FactoryError('peer_unsupported', `${peer} does not offer pluggable channel factories (feature bit 271)`)
  }
}
