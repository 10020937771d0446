/** TLV `channel_in_factory` of `open_channel`: the channel lives in a factory. For hosts that implement bLIP-56 themselves. */
import { decodeField, encodeField, fixed, struct, u16 } from '../field.js'
import { tlvRecords, type TlvRecord } from '../stream.js'

export const CHANNEL_IN_FACTORY_TLV = 65600n

export interface ChannelInFactory {
  readonly protocolId: Uint8Array // 32
  readonly instanceId: Uint8Array // 32
  readonly earlyWarning: number // u16 blocks
}

const layout = struct<ChannelInFactory>({ protocolId: fixed(32), instanceId: fixed(32), earlyWarning: u16 })

/** The record, for `encodeTlvStream` together with the others of `open_channel`. Its value has 66 bytes. */
export const encodeChannelInFactory = (c: ChannelInFactory): TlvRecord => ({
  type: CHANNEL_IN_FACTORY_TLV,
  value: encodeField(layout, c),
})

/** @throws `wire_truncated`, `wire_length` unless `value` has 66 bytes. */
export const decodeChannelInFactory = (value: Uint8Array): ChannelInFactory => decodeField(layout, value)

/**
 * Finds the record in the TLV stream of an `open_channel`. What the other records mean is the host's business, so unknown even
 * ones pass here.
 *
 * @throws a `wire_` code when the stream or the record is malformed.
 */
export function findChannelInFactory(stream: Uint8Array): ChannelInFactory | undefined {
  let found: ChannelInFactory | undefined
  for (const { type, value } of tlvRecords(stream)) {
    if (type === CHANNEL_IN_FACTORY_TLV) found = decodeChannelInFactory(value)
  }
  return found
}
