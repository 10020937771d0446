/** BOLT 11 invoices of our own: LDK names one channel to each peer as a hint, and a factory's client may need to name several. */
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bech32, hex } from '@scure/base'
import type { Msat, NodeId } from '../units/index.js'
import type { LdkNetwork } from './wasm.js'

export interface RouteHint {
  /** Where the hint's channel starts: the peer. */
  readonly node: NodeId
  /** 64-bit short channel id or alias. */
  readonly scid: bigint
  readonly feeBase: number
  /** Parts per million. */
  readonly feeRate: number
  readonly cltvDelta: number
}

export interface InvoiceFields {
  readonly network: LdkNetwork
  readonly amount: Msat
  readonly paymentHash: Uint8Array
  readonly paymentSecret: Uint8Array
  readonly description: string
  /** Unix seconds. */
  readonly created: number
  /** Seconds. */
  readonly expiry: number
  readonly finalCltv: number
  readonly hints: readonly RouteHint[]
}

const PREFIX: Readonly<Record<LdkNetwork, string>> = { regtest: 'lnbcrt', signet: 'lntbs', testnet: 'lntb' }
const CHARSET = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
/** BOLT 9: tlv onion (8) and payment secret (14) are needed, multi-part (17) is offered. */
const FEATURES = [8, 14, 17]

/** 5-bit groups, big-endian, without leading zeros; at least `least`. */
function groups(value: number, least = 1): number[] {
  const out: number[] = []
  for (let v = value; v > 0; v = Math.floor(v / 32)) out.unshift(v % 32)
  while (out.length < least) out.unshift(0)
  return out
}

function tagged(tag: string, data: readonly number[]): number[] {
  return [CHARSET.indexOf(tag), data.length >> 5, data.length & 31, ...data]
}
const taggedBytes = (tag: string, data: Uint8Array): number[] => tagged(tag, bech32.toWords(data))

function features(): number[] {
  const bits = new Array<number>(Math.ceil((Math.max(...FEATURES) + 1) / 5)).fill(0)
  for (const bit of FEATURES) {
    const at = bits.length - 1 - Math.floor(bit / 5)
    bits[at] = (bits[at] ?? 0) | (1 << (bit % 5))
  }
  return bits
}

function hintBytes(hint: RouteHint): Uint8Array {
  const bytes = new Uint8Array(33 + 8 + 4 + 4 + 2)
  const view = new DataView(bytes.buffer)
  bytes.set(hex.decode(hint.node))
  view.setBigUint64(33, hint.scid)
  view.setUint32(41, hint.feeBase)
  view.setUint32(45, hint.feeRate)
  view.setUint16(49, hint.cltvDelta)
  return bytes
}

/** Amounts are in pico-bitcoin, of which one msat has ten (BOLT 11). */
export function encodeInvoice(fields: InvoiceFields, nodeSecret: Uint8Array): string {
  const prefix = `${PREFIX[fields.network]}${fields.amount * 10n}p`
  const data = [
    ...groups(fields.created, 7),
    ...taggedBytes('p', fields.paymentHash),
    ...taggedBytes('s', fields.paymentSecret),
    ...taggedBytes('d', new TextEncoder().encode(fields.description)),
    ...tagged('x', groups(fields.expiry)),
    ...tagged('c', groups(fields.finalCltv)),
    ...tagged('9', features()),
    ...fields.hints.flatMap((hint) => taggedBytes('r', hintBytes(hint))),
  ]
  const digest = sha256(Uint8Array.from([...new TextEncoder().encode(prefix), ...packed(data)]))
  const signed = secp256k1.sign(digest, nodeSecret, { prehash: false, format: 'recovered' })
  const [recovery = 0, ...signature] = signed
  return bech32.encode(prefix, [...data, ...bech32.toWords(Uint8Array.from([...signature, recovery]))], false)
}

/** Five-bit groups as bytes, the last one filled with zero bits: what the signature covers. */
function packed(data: readonly number[]): number[] {
  const out: number[] = []
  let held = 0
  let bits = 0
  for (const group of data) {
    held = ((held << 5) | group) & 0xfff
    bits += 5
    if (bits < 8) continue
    bits -= 8
    out.push((held >> bits) & 0xff)
  }
  if (bits > 0) out.push((held << (8 - bits)) & 0xff)
  return out
}
