import { FactoryError } from '../error.js'
import { decodeField, encodeField, fixed, point, s64, struct, u16 } from '../field.js'
import { Reader } from '../reader.js'
import { decodeTlvStream, encodeTlvStream, type TlvRecord } from '../stream.js'
import { Writer } from '../writer.js'
import {
  MAX_BODY,
  SubmessageId,
  type FactoryChange,
  type FactoryChangeFunding,
  type FactoryChangeLocked,
  type FactoryMessage,
  type UnknownOdd,
} from './messages.js'

/** TLV types of `factory_message_tlvs`. Which of them a submessage may hold depends on the submessage. */
const PROTOCOL_ID_TLV = 0n
const PROTOCOL_IDS_TLV = 512n
const PAYLOAD_TLV = 1024n
const CHANGE_TLV = 1536n
const FUNDING_TLV = 2560n
const CONTINUE_TLV = 3072n
const LOCKED_TLV = 3584n

/** What a `factory_piggyback` body holds beside a long payload: submessage id 2, TLV 0 34, type and length of TLV 1024 6. */
export const PAYLOAD_OVERHEAD = 42

const hash32 = fixed(32)
const change = struct<Omit<FactoryChange, 'kind' | 'payload'>>({
  channelId: hash32,
  contribution: s64,
  fundingPubkey: point,
})
const changeFunding = struct<Omit<FactoryChangeFunding, 'kind'>>({
  channelId: hash32,
  fundingTxid: hash32,
  fundingVout: u16,
})
const changeLocked = struct<Omit<FactoryChangeLocked, 'kind'>>({ channelId: hash32, fundingTxid: hash32 })

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer()
  for (const part of parts) hash32.write(writer, part)
  return writer.finish()
}

function records(m: FactoryMessage): TlvRecord[] {
  switch (m.kind) {
    case 'supported_factory_protocols':
      return [{ type: PROTOCOL_IDS_TLV, value: concat(m.protocols) }]
    case 'factory_piggyback':
      return [
        { type: PROTOCOL_ID_TLV, value: encodeField(hash32, m.protocolId) },
        { type: PAYLOAD_TLV, value: m.payload },
      ]
    case 'factory_change_init':
    case 'factory_change_ack':
      return [
        ...(m.payload === undefined ? [] : [{ type: PAYLOAD_TLV, value: m.payload }]),
        { type: CHANGE_TLV, value: encodeField(change, m) },
      ]
    case 'factory_change_funding':
      return [{ type: FUNDING_TLV, value: encodeField(changeFunding, m) }]
    case 'factory_change_continue':
      return [{ type: CONTINUE_TLV, value: encodeField(changeFunding, m) }]
    case 'factory_change_locked':
      return [{ type: LOCKED_TLV, value: encodeField(changeLocked, m) }]
  }
}

/**
 * Body of a Lightning message of type 32800, without the type.
 *
 * @throws `wire_limit` above 65,533 bytes; `wire_length`, `wire_value` for fields that can't be sent.
 */
export function encodeFactoryMessage(m: FactoryMessage): Uint8Array {
  const body = new Writer()
    .u16(SubmessageId[m.kind])
    .bytes(encodeTlvStream(records(m)))
    .finish()
  if (body.length > MAX_BODY) {
    throw new FactoryError('wire_limit', `${m.kind} of ${body.length} bytes; a Lightning message holds ${MAX_BODY}`)
  }
  return body
}

/**
 * @throws `wire_limit` above 65,533 bytes, `wire_unknown_even` for unknown even submessages and TLVs, `wire_value` when a TLV
 * that the submessage needs is missing, and whatever a malformed field throws; always a `wire_` code.
 */
export function decodeFactoryMessage(body: Uint8Array): FactoryMessage | UnknownOdd {
  if (body.length > MAX_BODY) throw new FactoryError('wire_limit', `body of ${body.length} bytes, at most ${MAX_BODY}`)
  const reader = new Reader(body)
  const id = reader.u16()
  const stream = reader.rest()
  switch (id) {
    case SubmessageId.supported_factory_protocols:
      return { kind: 'supported_factory_protocols', protocols: split32(only(PROTOCOL_IDS_TLV, stream)) }
    case SubmessageId.factory_piggyback: {
      const tlvs = decodeTlvStream(stream, [PROTOCOL_ID_TLV, PAYLOAD_TLV])
      return {
        kind: 'factory_piggyback',
        protocolId: decodeField(hash32, need(PROTOCOL_ID_TLV, tlvs)),
        payload: need(PAYLOAD_TLV, tlvs),
      }
    }
    case SubmessageId.factory_change_init:
      return { kind: 'factory_change_init', ...factoryChange(stream) }
    case SubmessageId.factory_change_ack:
      return { kind: 'factory_change_ack', ...factoryChange(stream) }
    case SubmessageId.factory_change_funding:
      return { kind: 'factory_change_funding', ...decodeField(changeFunding, only(FUNDING_TLV, stream)) }
    case SubmessageId.factory_change_continue:
      return { kind: 'factory_change_continue', ...decodeField(changeFunding, only(CONTINUE_TLV, stream)) }
    case SubmessageId.factory_change_locked:
      return { kind: 'factory_change_locked', ...decodeField(changeLocked, only(LOCKED_TLV, stream)) }
    default:
      if (id % 2 === 0) throw new FactoryError('wire_unknown_even', `unknown even submessage ${id}`)
      return { kind: 'unknown_odd', id }
  }
}

function need(type: bigint, tlvs: ReadonlyMap<bigint, Uint8Array>): Uint8Array {
  const value = tlvs.get(type)
  if (value === undefined) throw new FactoryError('wire_value', `TLV ${type.toString()} is missing`)
  return value
}

const only = (type: bigint, stream: Uint8Array): Uint8Array => need(type, decodeTlvStream(stream, [type]))

function split32(value: Uint8Array): Uint8Array[] {
  if (value.length % 32 !== 0) {
    throw new FactoryError('wire_length', `protocol ids of ${value.length} bytes, not a multiple of 32`)
  }
  return Array.from({ length: value.length / 32 }, (_, i) => value.slice(32 * i, 32 * i + 32))
}

function factoryChange(stream: Uint8Array): Omit<FactoryChange, 'kind'> {
  const tlvs = decodeTlvStream(stream, [PAYLOAD_TLV, CHANGE_TLV])
  return { payload: tlvs.get(PAYLOAD_TLV), ...decodeField(change, need(CHANGE_TLV, tlvs)) }
}
