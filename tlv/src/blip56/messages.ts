/**
 * bLIP-56 messages. All share Lightning message type 32800; a *body* is such a message without those two type bytes:
 * `u16 factory_submessage_id | tlv_stream`.
 */

/** `factory_message_id`. Even, so only for peers that announced feature bit 271. */
export const FACTORY_MESSAGE_TYPE = 32800

/** Odd type on which the `SuperScalar/v1` plugin sends its submessages; the layout of its announcement is the same. */
export const SUPERSCALAR_V1_MESSAGE_TYPE = 33001

/** Largest body, in bytes: a Lightning message holds 65,535, two of them its type (BOLT 8). */
export const MAX_BODY = 65_533

/** Values of `factory_submessage_id`. */
export const SubmessageId = {
  supported_factory_protocols: 2,
  factory_piggyback: 4,
  factory_change_init: 6,
  factory_change_ack: 8,
  factory_change_funding: 10,
  factory_change_continue: 12,
  factory_change_locked: 14,
} as const

export interface SupportedFactoryProtocols {
  readonly kind: 'supported_factory_protocols'
  /** 32 bytes each; may be empty. */
  readonly protocols: readonly Uint8Array[]
}

export interface FactoryPiggyback {
  readonly kind: 'factory_piggyback'
  readonly protocolId: Uint8Array // 32
  readonly payload: Uint8Array
}

export interface FactoryChange {
  readonly kind: 'factory_change_init' | 'factory_change_ack'
  readonly payload: Uint8Array | undefined
  readonly channelId: Uint8Array // 32
  /** s64 sat, what the sender puts in (or takes out, below 0). */
  readonly contribution: bigint
  readonly fundingPubkey: Uint8Array // 33
}

export interface FactoryChangeFunding {
  readonly kind: 'factory_change_funding' | 'factory_change_continue'
  readonly channelId: Uint8Array // 32
  readonly fundingTxid: Uint8Array // 32, internal byte order
  readonly fundingVout: number // u16
}

export interface FactoryChangeLocked {
  readonly kind: 'factory_change_locked'
  readonly channelId: Uint8Array // 32
  readonly fundingTxid: Uint8Array // 32, internal byte order
}

export type FactoryMessage =
  SupportedFactoryProtocols | FactoryPiggyback | FactoryChange | FactoryChangeFunding | FactoryChangeLocked

/** Something that we don't know and may ignore: it's OK to be odd. */
export interface UnknownOdd {
  readonly kind: 'unknown_odd'
  readonly id: number
}
