/**
 * Between LDK's bindings and our units. The bindings give u16 and u32 signed, hashes in wire order, nulls as pointers to 0, and
 * booleans as 0 and 1: never compare one with `true`.
 */
import * as ldk from 'lightningdevkit'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { hex } from '@scure/base'
import { nodeId, txid, type NodeId, type OutPoint } from '../units/index.js'

export const u16 = (value: number): number => value & 0xffff
export const u32 = (value: number): number => value >>> 0
export const u64 = (value: bigint): bigint => BigInt.asUintN(64, value)

/** Is there anything behind this struct? */
export const present = (value: object): boolean => 'ptr' in value && value.ptr !== 0n

export const nodeIdOf = (key: Uint8Array): NodeId => nodeId(hex.encode(key))

/** 33 bytes that are a point: other bytes would be the end of the process. @throws when they are not */
export function keyBytes(id: NodeId): Uint8Array {
  secp256k1.Point.fromHex(id)
  return hex.decode(id)
}

export const channelIdOf = (id: ldk.ChannelId): string => hex.encode(id.get_a())
export const toChannelId = (id: string): ldk.ChannelId => ldk.ChannelId.constructor_new(hex.decode(id))

export const outPointOf = (o: ldk.OutPoint): OutPoint => ({
  txid: txid(hex.encode(o.get_txid().slice().reverse())),
  vout: u16(o.get_index()),
})
export const toOutPoint = (o: OutPoint): ldk.OutPoint =>
  ldk.OutPoint.constructor_new(hex.decode(o.txid).reverse(), o.vout)

/** BOLT 2: the funding txid, its last two bytes xored with the output's index. */
export const channelIdAt = (o: OutPoint): string =>
  channelIdOf(ldk.ChannelId.constructor_v1_from_funding_outpoint(toOutPoint(o)))

/** `block x transaction x output` of a short channel id. */
export function scidText(value: bigint): string {
  const scid = u64(value)
  return `${scid >> 40n}x${(scid >> 16n) & 0xffffffn}x${scid & 0xffffn}`
}

export const someU64 = (option: ldk.Option_u64Z): bigint | undefined =>
  option instanceof ldk.Option_u64Z_Some ? u64(option.some) : undefined

/** Bits that are set in LDK's little-endian flags, ascending. */
export function bitsOf(flags: Uint8Array): number[] {
  const bits: number[] = []
  flags.forEach((byte, i) => {
    for (let bit = 0; bit < 8; bit++) if ((byte & (1 << bit)) !== 0) bits.push(i * 8 + bit)
  })
  return bits
}
