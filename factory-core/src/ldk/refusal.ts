/**
 * Failures of our own for HTLCs that the factory's rules refuse. LDK has no door for that: it is shown an onion that doesn't open,
 * so that the HTLC goes nowhere, and answers that the onion is malformed, for which the payer would blame the hop before us. On
 * its way out that answer is replaced by an ordinary failure (BOLT 4) that says what is wrong. Both remove the same HTLC.
 */
import { createCipheriv } from 'node:crypto'
import * as ldk from 'lightningdevkit'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { hex } from '@scure/base'
import { channelIdOf, present, u64 } from './convert.js'

/** Bytes of update_add_htlc before the onion (BOLT 2), and of the onion (BOLT 4): version, key, payloads, HMAC. */
const ONION_START = 32 + 8 + 8 + 32 + 4
const ONION_BYTES = 1366
const KEY_BYTES = 33
/** Bytes that a failure message is padded to. */
const FAILURE_BYTES = 256
const PREFIX = 'refusal:'

const u16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 0xff)

/** What the hop before us takes for a failure at ours: BOLT 4, "Returning Errors". @param secret shared with the payer */
export function failurePacket(secret: Uint8Array, failure: Uint8Array): Uint8Array {
  const pad = FAILURE_BYTES - failure.length
  const message = concatBytes(u16(failure.length), failure, u16(pad), new Uint8Array(pad))
  const packet = concatBytes(hmac(sha256, hmac(sha256, utf8ToBytes('um'), secret), message), message)
  const stream = createCipheriv('chacha20', hmac(sha256, utf8ToBytes('ammag'), secret), new Uint8Array(16))
  return Uint8Array.from(stream.update(packet))
}

/** The same HTLC, with an onion whose HMAC is wrong. */
export function spoiled(message: ldk.UpdateAddHTLC): ldk.UpdateAddHTLC {
  const bytes = Uint8Array.from(message.write())
  const last = ONION_START + ONION_BYTES - 1
  bytes[last] = (bytes[last] ?? 0) ^ 1
  const read = ldk.UpdateAddHTLC.constructor_read(bytes)
  if (!(read instanceof ldk.Result_UpdateAddHTLCDecodeErrorZ_OK)) throw new Error('an HTLC that LDK wrote did not read')
  return read.res
}

/** Kept in the storage: the answer can be asked for again after a restart. */
export class Refusals {
  private readonly packets: Map<string, Uint8Array>

  constructor(
    stored: { list(prefix: string): Map<string, Uint8Array> },
    private readonly writes: { set(key: string, value: Uint8Array | undefined): void },
    private readonly nodeSecret: Uint8Array,
  ) {
    this.packets = stored.list(PREFIX)
  }

  /** @param failure BOLT 4 failure message, hex */
  add(message: ldk.UpdateAddHTLC, failure: string): void {
    const onion = Uint8Array.from(message.write()).subarray(ONION_START)
    const point = secp256k1.getSharedSecret(this.nodeSecret, onion.slice(1, 1 + KEY_BYTES))
    const key = keyOf(message.get_channel_id(), message.get_htlc_id())
    const packet = failurePacket(sha256(point), hex.decode(failure))
    this.packets.set(key, packet)
    this.writes.set(PREFIX + key, packet)
  }

  /** The same event, with our failures in it. */
  rewrite(event: ldk.MessageSendEvent): ldk.MessageSendEvent {
    if (this.packets.size === 0 || !(event instanceof ldk.MessageSendEvent_UpdateHTLCs)) return event
    const { updates } = event
    const malformed = updates.get_update_fail_malformed_htlcs()
    const ours = malformed.flatMap((m) => this.answer(m) ?? [])
    if (ours.length === 0) return event
    const fee = updates.get_update_fee()
    return ldk.MessageSendEvent.constructor_update_htlcs(
      event.node_id,
      ldk.CommitmentUpdate.constructor_new(
        updates.get_update_add_htlcs(),
        updates.get_update_fulfill_htlcs(),
        [...updates.get_update_fail_htlcs(), ...ours],
        malformed.filter((m) => this.answer(m) === undefined),
        present(fee) ? fee : null,
        updates.get_commitment_signed(),
      ),
    )
  }

  /** Forget the answers to HTLCs that are gone. */
  prune(channels: readonly ldk.ChannelDetails[]): void {
    if (this.packets.size === 0) return
    const pending = new Set(
      channels.flatMap((c) => c.get_pending_inbound_htlcs().map((h) => keyOf(c.get_channel_id(), h.get_htlc_id()))),
    )
    for (const key of this.packets.keys()) {
      if (pending.has(key)) continue
      this.packets.delete(key)
      this.writes.set(PREFIX + key, undefined)
    }
  }

  private answer(message: ldk.UpdateFailMalformedHTLC): ldk.UpdateFailHTLC | undefined {
    const packet = this.packets.get(keyOf(message.get_channel_id(), message.get_htlc_id()))
    if (packet === undefined) return undefined
    // channel_id and id stand first in both messages.
    const head = Uint8Array.from(message.write()).subarray(0, 32 + 8)
    const read = ldk.UpdateFailHTLC.constructor_read(concatBytes(head, u16(packet.length), packet))
    return read instanceof ldk.Result_UpdateFailHTLCDecodeErrorZ_OK ? read.res : undefined
  }
}

const keyOf = (channel: ldk.ChannelId, id: bigint): string => `${channelIdOf(channel)}:${u64(id)}`
