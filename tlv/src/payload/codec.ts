/** Layout of every payload, in the order of docs/protocol.md. The types with the meaning of each field are in `types.ts`. */
import { FactoryError } from '../error.js'
import {
  aggregateNonce,
  checked,
  fixed,
  height,
  list,
  msat,
  point,
  publicNonce,
  sat,
  sized,
  struct,
  text,
  u16,
  u32,
  u8,
  type Field,
} from '../field.js'
import type { UnknownOdd } from '../blip56/messages.js'
import { Reader } from '../reader.js'
import { decodeTlvStream } from '../stream.js'
import { Writer } from '../writer.js'
import {
  PayloadKind,
  type MovePart,
  type Payload,
  type Propose,
  type WireChannel,
  type WireOutput,
  type WireTreeParams,
} from './types.js'

/** Largest payload, in bytes, after reassembly. */
export const MAX_PAYLOAD = 1 << 20
/** Bounds of counts: LSP and 2000 clients, and what a path may hold. */
export const MAX_PARTICIPANTS = 2001
export const MAX_PATH = 64
/** Feerates at which the claim of an assisted exit is signed. */
export const MAX_PRE_SIGNATURES = 16
/** In bytes of UTF-8; `clipText` cuts to it. */
export const MAX_REFUSE_REASON = 255
export const MAX_ABORT_REASON = 1024

type Named<K extends Payload['kind']> = Extract<Payload, { kind: K }>
type FieldsOf<K extends Payload['kind']> = Omit<Named<K>, 'kind'>

const hash32 = fixed(32)
const base = { instanceId: hash32 }
const ofChain = { ...base, chainTxid: hash32 }
/** A chain transaction, and distribution and poison of the rest. */
const MAX_SALE = 3
const ofLeaf = { ...base, leafTxid: hash32 }
/** k^2 channels and k stocks of a leaf, k at most 4. */
const MAX_LEAF = 16
const MAX_STOCKS = 4
/** Poison and distribution. */
const MAX_OF_STOCK = 2
const perSale = <T>(item: Field<T>): Field<readonly T[]> => list(u8, item, 1, MAX_SALE)
const perPath = <T>(item: Field<T>): Field<readonly T[]> => list(u16, item, 1, MAX_PATH)

const output = struct<WireOutput>({ amount: sat, script: sized(u8, 1, 42) })

const params = struct<WireTreeParams>({
  arity: u8,
  fanout: u8,
  states: u8,
  step: u16,
  confirmationMargin: u16,
  safetyMargin: u16,
  stockCsv: u16,
  stockPerClient: sat,
  feerate: u32,
})

const propose = checked(
  struct<Omit<Propose, 'kind'>>({
    ...base,
    clientIndex: u16,
    fundingTxid: hash32,
    fundingVout: u16,
    fundingAmount: sat,
    channelScript: fixed(34),
    poisonHash: hash32,
    keys: list(u16, point, 2, MAX_PARTICIPANTS),
    siblings: perPath(list(u8, output, 0, MAX_PATH)),
  }),
  (p) => {
    if (p.clientIndex < 1 || p.clientIndex >= p.keys.length) {
      throw new FactoryError('wire_value', `clientIndex: ${p.clientIndex}, with ${p.keys.length} keys`)
    }
  },
)

const movePart = checked(
  struct<Omit<MovePart, 'kind'>>({
    ...base,
    newInstance: hash32,
    index: u16,
    last: u8,
    hash: hash32,
    amountIn: msat,
    amountOut: msat,
    secret: hash32,
  }),
  ({ last, amountIn, amountOut }) => {
    if (last > 1) throw new FactoryError('wire_value', `last: ${last}`)
    if (amountIn > amountOut)
      throw new FactoryError('wire_value', `amountIn: ${amountIn}, above amountOut ${amountOut}`)
    if (last === 0 && (amountIn !== amountOut || amountIn === 0n))
      throw new FactoryError('wire_value', `a part of ${amountIn} msat that brings ${amountOut}`)
  },
)

const layouts: { readonly [K in Payload['kind']]: { readonly id: number; readonly fields: Field<FieldsOf<K>> } } = {
  invite: {
    id: PayloadKind.invite,
    fields: struct<FieldsOf<'invite'>>({
      ...base,
      capacity: sat,
      push: msat,
      expiry: height,
      earlyWarning: u16,
      clients: u16,
      respondWithin: u16,
      params,
    }),
  },
  accept: {
    id: PayloadKind.accept,
    fields: struct<FieldsOf<'accept'>>({
      ...base,
      factoryKey: point,
      keySalt: fixed(16),
      payoutScript: sized(u8, 22, 42),
    }),
  },
  refuse: {
    id: PayloadKind.refuse,
    fields: struct<FieldsOf<'refuse'>>({ ...base, reason: text(u8, 0, MAX_REFUSE_REASON) }),
  },
  propose: { id: PayloadKind.propose, fields: propose },
  nonces: { id: PayloadKind.nonces, fields: struct<FieldsOf<'nonces'>>({ ...base, nonces: perPath(publicNonce) }) },
  aggregated_nonces: {
    id: PayloadKind.aggregatedNonces,
    fields: struct<FieldsOf<'aggregated_nonces'>>({ ...base, nonces: perPath(aggregateNonce) }),
  },
  partial_signatures: {
    id: PayloadKind.partialSignatures,
    fields: struct<FieldsOf<'partial_signatures'>>({ ...base, signatures: perPath(fixed(32)) }),
  },
  signatures: {
    id: PayloadKind.signatures,
    fields: struct<FieldsOf<'signatures'>>({ ...base, signatures: perPath(fixed(64)) }),
  },
  stored: { id: PayloadKind.stored, fields: struct<FieldsOf<'stored'>>(base) },
  channel_ready: {
    id: PayloadKind.channelReady,
    fields: struct<FieldsOf<'channel_ready'>>({ ...base, channelId: hash32 }),
  },
  funding_broadcast: { id: PayloadKind.fundingBroadcast, fields: struct<FieldsOf<'funding_broadcast'>>(base) },
  abort: {
    id: PayloadKind.abort,
    fields: struct<FieldsOf<'abort'>>({ ...base, reason: text(u16, 0, MAX_ABORT_REASON) }),
  },
  sync: { id: PayloadKind.sync, fields: struct<FieldsOf<'sync'>>({ ...base, stage: text(u8, 1, 255) }) },
  close_propose: {
    id: PayloadKind.closePropose,
    fields: struct<FieldsOf<'close_propose'>>({
      ...base,
      balance: msat,
      lockTime: u32,
      outputs: list(u16, output, 1, MAX_PARTICIPANTS),
    }),
  },
  close_nonce: { id: PayloadKind.closeNonce, fields: struct<FieldsOf<'close_nonce'>>({ ...base, nonce: publicNonce }) },
  close_aggregated_nonce: {
    id: PayloadKind.closeAggregatedNonce,
    fields: struct<FieldsOf<'close_aggregated_nonce'>>({ ...base, nonce: aggregateNonce }),
  },
  close_partial_signature: {
    id: PayloadKind.closePartialSignature,
    fields: struct<FieldsOf<'close_partial_signature'>>({ ...base, signature: fixed(32) }),
  },
  close_complete: {
    id: PayloadKind.closeComplete,
    fields: struct<FieldsOf<'close_complete'>>({ ...base, signature: fixed(64) }),
  },
  sale_request: {
    id: PayloadKind.saleRequest,
    fields: struct<FieldsOf<'sale_request'>>({ ...base, capacity: sat, maxPrice: msat }),
  },
  sale_offer: {
    id: PayloadKind.saleOffer,
    fields: struct<FieldsOf<'sale_offer'>>({ ...base, capacity: sat, price: msat, earlyWarning: u16 }),
  },
  sale_accept: {
    id: PayloadKind.saleAccept,
    fields: struct<FieldsOf<'sale_accept'>>({ ...base, capacity: sat, price: msat, paymentHash: hash32 }),
  },
  sale_propose: {
    id: PayloadKind.salePropose,
    fields: struct<FieldsOf<'sale_propose'>>({
      ...base,
      number: u16,
      buyer: u16,
      capacity: sat,
      channelScript: fixed(34),
      paymentSecret: hash32,
    }),
  },
  sale_nonces: {
    id: PayloadKind.saleNonces,
    fields: struct<FieldsOf<'sale_nonces'>>({ ...ofChain, nonces: perSale(publicNonce) }),
  },
  sale_aggregated_nonces: {
    id: PayloadKind.saleAggregatedNonces,
    fields: struct<FieldsOf<'sale_aggregated_nonces'>>({ ...ofChain, nonces: perSale(aggregateNonce) }),
  },
  sale_partial_signatures: {
    id: PayloadKind.salePartialSignatures,
    fields: struct<FieldsOf<'sale_partial_signatures'>>({ ...ofChain, signatures: perSale(fixed(32)) }),
  },
  sale_signatures: {
    id: PayloadKind.saleSignatures,
    fields: struct<FieldsOf<'sale_signatures'>>({ ...ofChain, signatures: perSale(fixed(64)) }),
  },
  sale_stored: {
    id: PayloadKind.saleStored,
    fields: struct<FieldsOf<'sale_stored'>>({ ...ofChain, preimage: list(u8, hash32, 0, 1) }),
  },
  sale_live: { id: PayloadKind.saleLive, fields: struct<FieldsOf<'sale_live'>>(ofChain) },
  sale_abort: {
    id: PayloadKind.saleAbort,
    fields: struct<FieldsOf<'sale_abort'>>({ ...ofChain, reason: text(u16, 0, MAX_ABORT_REASON) }),
  },
  assist_request: {
    id: PayloadKind.assistRequest,
    fields: struct<FieldsOf<'assist_request'>>({
      ...base,
      key: point,
      hash: hash32,
      payoutScript: sized(u8, 22, 42),
      amount: msat,
      feerate: u32,
    }),
  },
  assist_offer: {
    id: PayloadKind.assistOffer,
    fields: struct<FieldsOf<'assist_offer'>>({
      ...base,
      hash: hash32,
      key: point,
      fundingTxid: hash32,
      fundingVout: u16,
      amount: sat,
      timeout: height,
      htlcExpiry: height,
      paymentSecret: fixed(32),
      preSignatures: list(u8, fixed(65), 1, MAX_PRE_SIGNATURES),
    }),
  },
  assist_refuse: {
    id: PayloadKind.assistRefuse,
    fields: struct<FieldsOf<'assist_refuse'>>({ ...base, hash: hash32, reason: text(u8, 0, MAX_REFUSE_REASON) }),
  },
  update_invite: {
    id: PayloadKind.updateInvite,
    fields: struct<FieldsOf<'update_invite'>>({ ...base, state: u8, capacity: sat, respondWithin: u16 }),
  },
  update_accept: {
    id: PayloadKind.updateAccept,
    fields: struct<FieldsOf<'update_accept'>>({ ...base, balance: msat, paymentHash: hash32, paymentSecret: hash32 }),
  },
  update_propose: {
    id: PayloadKind.updatePropose,
    fields: struct<FieldsOf<'update_propose'>>({
      ...base,
      state: u8,
      poisonHash: hash32,
      channels: list(u8, struct<WireChannel>({ capacity: sat, script: fixed(34) }), 1, MAX_LEAF),
      shares: list(u8, sat, 0, MAX_STOCKS),
    }),
  },
  update_nonces: {
    id: PayloadKind.updateNonces,
    fields: struct<FieldsOf<'update_nonces'>>({ ...ofLeaf, nonces: list(u8, publicNonce, 1, MAX_OF_STOCK + 1) }),
  },
  update_aggregated_nonces: {
    id: PayloadKind.updateAggregatedNonces,
    fields: struct<FieldsOf<'update_aggregated_nonces'>>({
      ...ofLeaf,
      nonces: list(u8, aggregateNonce, 1, MAX_OF_STOCK + 1),
    }),
  },
  update_partial_signatures: {
    id: PayloadKind.updatePartialSignatures,
    fields: struct<FieldsOf<'update_partial_signatures'>>({
      ...ofLeaf,
      signatures: list(u8, fixed(32), 0, MAX_OF_STOCK),
    }),
  },
  update_stock_signatures: {
    id: PayloadKind.updateStockSignatures,
    fields: struct<FieldsOf<'update_stock_signatures'>>({
      ...ofLeaf,
      signatures: list(u8, fixed(64), 0, MAX_OF_STOCK),
    }),
  },
  update_leaf_signature: {
    id: PayloadKind.updateLeafSignature,
    fields: struct<FieldsOf<'update_leaf_signature'>>({ ...ofLeaf, signature: fixed(32) }),
  },
  update_complete: {
    id: PayloadKind.updateComplete,
    fields: struct<FieldsOf<'update_complete'>>({ ...ofLeaf, signature: fixed(64), preimage: hash32 }),
  },
  update_stored: {
    id: PayloadKind.updateStored,
    fields: struct<FieldsOf<'update_stored'>>({ ...ofLeaf, paymentHash: hash32, paymentSecret: hash32 }),
  },
  join_request: {
    id: PayloadKind.joinRequest,
    fields: struct<FieldsOf<'join_request'>>({ ...base, capacity: sat }),
  },
  join_accepted: {
    id: PayloadKind.joinAccepted,
    fields: struct<FieldsOf<'join_accepted'>>({ ...base, place: u16, waiting: u16 }),
  },
  join_refused: {
    id: PayloadKind.joinRefused,
    fields: struct<FieldsOf<'join_refused'>>({ ...base, reason: text(u8, 0, MAX_REFUSE_REASON) }),
  },
  join_withdraw: { id: PayloadKind.joinWithdraw, fields: struct<FieldsOf<'join_withdraw'>>(base) },
  reads_channel_in_factory: {
    id: PayloadKind.readsChannelInFactory,
    fields: struct<FieldsOf<'reads_channel_in_factory'>>(base),
  },
  move_offer: {
    id: PayloadKind.moveOffer,
    fields: struct<FieldsOf<'move_offer'>>({ ...base, newInstance: hash32, most: msat }),
  },
  move_part: { id: PayloadKind.movePart, fields: movePart },
  move_ready: {
    id: PayloadKind.moveReady,
    fields: struct<FieldsOf<'move_ready'>>({ ...base, index: u16, secret: hash32 }),
  },
  move_key: { id: PayloadKind.moveKey, fields: struct<FieldsOf<'move_key'>>({ ...base, key: hash32 }) },
  move_refuse: {
    id: PayloadKind.moveRefuse,
    fields: struct<FieldsOf<'move_refuse'>>({ ...base, index: u16, reason: text(u8, 0, MAX_REFUSE_REASON) }),
  },
}

const kinds = Object.keys(layouts) as Payload['kind'][]
const kindOf: ReadonlyMap<number, Payload['kind']> = new Map(kinds.map((kind) => [layouts[kind].id, kind]))

/**
 * `u16 kind | fields`, without extensions.
 *
 * @throws `wire_length`, `wire_limit`, `wire_value` for fields that can't be sent.
 */
export function encodePayload(p: Payload): Uint8Array {
  const { id, fields }: { id: number; fields: Field<object> } = layouts[p.kind]
  const writer = new Writer().u16(id)
  fields.write(writer, p)
  return writer.finish()
}

/**
 * A whole (reassembled) payload. Unknown odd kinds and unknown odd extension TLVs may be ignored, even ones not.
 *
 * @throws `wire_limit` above 1 MiB, `wire_unknown_even`, and whatever a malformed field throws; always a `wire_` code.
 */
export function decodePayload(bytes: Uint8Array): Payload | UnknownOdd {
  if (bytes.length > MAX_PAYLOAD) {
    throw new FactoryError('wire_limit', `payload of ${bytes.length} bytes, at most ${MAX_PAYLOAD}`)
  }
  const reader = new Reader(bytes)
  const id = reader.u16()
  const kind = kindOf.get(id)
  if (kind === undefined) {
    if (id % 2 === 0) throw new FactoryError('wire_unknown_even', `unknown even payload kind ${id}`)
    return { kind: 'unknown_odd', id }
  }
  const { fields }: { fields: Field<object> } = layouts[kind]
  const values = fields.read(reader)
  decodeTlvStream(reader.rest(), [])
  return { kind, ...values } as Payload
}
