/** fast-check arbitraries for every message; values that may be sent, edge values included. */
import fc, { type Arbitrary } from 'fast-check'
import type { ChannelInFactory, FactoryMessage, MovePart, Payload, WireOutput, WireTreeParams } from '../src/index.js'

const int = (bits: number): Arbitrary<number> => fc.integer({ min: 0, max: 2 ** bits - 1 })
const bytes = (min: number, max = min): Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: min, maxLength: max, size: 'max' })
const sat = fc.bigInt({ min: 0n, max: 2_100_000_000_000_000n })
const msat = fc.bigInt({ min: 0n, max: 2_100_000_000_000_000_000n })
const join = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]))

/** Right in form; whether it lies on the curve is not the wire's business. */
export const pointArb = fc.tuple(fc.constantFrom(2, 3), bytes(32)).map(([first, x]) => join(Uint8Array.of(first), x))
export const nonceArb = fc.tuple(pointArb, pointArb).map(([a, b]) => join(a, b))
const half = fc.oneof({ weight: 9, arbitrary: pointArb }, { weight: 1, arbitrary: fc.constant(new Uint8Array(33)) })
export const aggregateNonceArb = fc.tuple(half, half).map(([a, b]) => join(a, b))

const textArb = (minLength: number, maxBytes: number): Arbitrary<string> =>
  fc.string({
    unit: fc.constantFrom('a', 'Z', ' ', '~', 'é', '…', '漢', '🔒'),
    minLength,
    maxLength: Math.floor(maxBytes / 4),
  })

const output: Arbitrary<WireOutput> = fc.record({ amount: sat, script: bytes(1, 42) })
const path = <T>(item: Arbitrary<T>, maxLength = 64): Arbitrary<T[]> => fc.array(item, { minLength: 1, maxLength })
const base = { instanceId: bytes(32) }
const ofLeaf = { ...base, leafTxid: bytes(32) }
const ofChain = { ...base, chainTxid: bytes(32) }

const params: Arbitrary<WireTreeParams> = fc.record({
  arity: int(8),
  fanout: int(8),
  states: int(8),
  step: int(16),
  confirmationMargin: int(16),
  safetyMargin: int(16),
  stockCsv: int(16),
  stockPerClient: sat,
  feerate: int(32),
})

const heightArb = fc.integer({ min: 0, max: 499_999_999 })
const part = (last: number, amountIn: bigint, amountOut: bigint): Arbitrary<MovePart> =>
  fc.record({
    kind: fc.constant('move_part'),
    ...base,
    newInstance: bytes(32),
    index: int(16),
    last: fc.constant(last),
    hash: bytes(32),
    amountIn: fc.constant(amountIn),
    amountOut: fc.constant(amountOut),
    secret: bytes(32),
  })

export const payloadArbs: { [K in Payload['kind']]: Arbitrary<Extract<Payload, { kind: K }>> } = {
  invite: fc.record({
    kind: fc.constant('invite'),
    ...base,
    capacity: sat,
    push: msat,
    expiry: heightArb,
    earlyWarning: int(16),
    clients: int(16),
    respondWithin: int(16),
    params,
  }),
  accept: fc.record({
    kind: fc.constant('accept'),
    ...base,
    factoryKey: pointArb,
    keySalt: bytes(16),
    payoutScript: bytes(22, 42),
  }),
  refuse: fc.record({ kind: fc.constant('refuse'), ...base, reason: textArb(0, 255) }),
  propose: fc.array(pointArb, { minLength: 2, maxLength: 12 }).chain((keys) =>
    fc.record({
      kind: fc.constant('propose'),
      ...base,
      clientIndex: fc.integer({ min: 1, max: keys.length - 1 }),
      fundingTxid: bytes(32),
      fundingVout: int(16),
      fundingAmount: sat,
      channelScript: bytes(34),
      poisonHash: bytes(32),
      keys: fc.constant(keys),
      siblings: path(fc.array(output, { maxLength: 5 }), 8),
    }),
  ),
  nonces: fc.record({ kind: fc.constant('nonces'), ...base, nonces: path(nonceArb) }),
  aggregated_nonces: fc.record({ kind: fc.constant('aggregated_nonces'), ...base, nonces: path(aggregateNonceArb) }),
  partial_signatures: fc.record({ kind: fc.constant('partial_signatures'), ...base, signatures: path(bytes(32)) }),
  signatures: fc.record({ kind: fc.constant('signatures'), ...base, signatures: path(bytes(64)) }),
  stored: fc.record({ kind: fc.constant('stored'), ...base }),
  channel_ready: fc.record({ kind: fc.constant('channel_ready'), ...base, channelId: bytes(32) }),
  funding_broadcast: fc.record({ kind: fc.constant('funding_broadcast'), ...base }),
  abort: fc.record({ kind: fc.constant('abort'), ...base, reason: textArb(0, 1024) }),
  sync: fc.record({ kind: fc.constant('sync'), ...base, stage: textArb(1, 255) }),
  close_propose: fc.record({
    kind: fc.constant('close_propose'),
    ...base,
    balance: msat,
    lockTime: int(32),
    outputs: fc.array(output, { minLength: 1, maxLength: 40 }),
  }),
  close_nonce: fc.record({ kind: fc.constant('close_nonce'), ...base, nonce: nonceArb }),
  close_aggregated_nonce: fc.record({ kind: fc.constant('close_aggregated_nonce'), ...base, nonce: aggregateNonceArb }),
  close_partial_signature: fc.record({ kind: fc.constant('close_partial_signature'), ...base, signature: bytes(32) }),
  close_complete: fc.record({ kind: fc.constant('close_complete'), ...base, signature: bytes(64) }),
  sale_request: fc.record({ kind: fc.constant('sale_request'), ...base, capacity: sat, maxPrice: msat }),
  sale_offer: fc.record({
    kind: fc.constant('sale_offer'),
    ...base,
    capacity: sat,
    price: msat,
    earlyWarning: int(16),
  }),
  sale_accept: fc.record({
    kind: fc.constant('sale_accept'),
    ...base,
    capacity: sat,
    price: msat,
    paymentHash: bytes(32),
  }),
  sale_propose: fc.record({
    kind: fc.constant('sale_propose'),
    ...base,
    number: int(16),
    buyer: int(16),
    capacity: sat,
    channelScript: bytes(34),
    paymentSecret: bytes(32),
  }),
  sale_nonces: fc.record({ kind: fc.constant('sale_nonces'), ...ofChain, nonces: path(nonceArb, 3) }),
  sale_aggregated_nonces: fc.record({
    kind: fc.constant('sale_aggregated_nonces'),
    ...ofChain,
    nonces: path(aggregateNonceArb, 3),
  }),
  sale_partial_signatures: fc.record({
    kind: fc.constant('sale_partial_signatures'),
    ...ofChain,
    signatures: path(bytes(32), 3),
  }),
  sale_signatures: fc.record({ kind: fc.constant('sale_signatures'), ...ofChain, signatures: path(bytes(64), 3) }),
  sale_stored: fc.record({
    kind: fc.constant('sale_stored'),
    ...ofChain,
    preimage: fc.array(bytes(32), { maxLength: 1 }),
  }),
  sale_live: fc.record({ kind: fc.constant('sale_live'), ...ofChain }),
  sale_abort: fc.record({ kind: fc.constant('sale_abort'), ...ofChain, reason: textArb(0, 1024) }),
  assist_request: fc.record({
    kind: fc.constant('assist_request'),
    ...base,
    key: pointArb,
    hash: bytes(32),
    payoutScript: bytes(22, 42),
    amount: msat,
    feerate: int(32),
  }),
  assist_offer: fc.record({
    kind: fc.constant('assist_offer'),
    ...base,
    hash: bytes(32),
    key: pointArb,
    fundingTxid: bytes(32),
    fundingVout: int(16),
    amount: sat,
    timeout: heightArb,
    htlcExpiry: heightArb,
    paymentSecret: bytes(32),
    preSignatures: fc.array(bytes(65), { minLength: 1, maxLength: 16 }),
  }),
  assist_refuse: fc.record({ kind: fc.constant('assist_refuse'), ...base, hash: bytes(32), reason: textArb(0, 255) }),
  update_invite: fc.record({
    kind: fc.constant('update_invite'),
    ...base,
    state: int(8),
    capacity: sat,
    respondWithin: int(16),
  }),
  update_accept: fc.record({
    kind: fc.constant('update_accept'),
    ...base,
    balance: msat,
    paymentHash: bytes(32),
    paymentSecret: bytes(32),
  }),
  update_propose: fc.record({
    kind: fc.constant('update_propose'),
    ...base,
    state: int(8),
    poisonHash: bytes(32),
    channels: path(fc.record({ capacity: sat, script: bytes(34) }), 16),
    shares: fc.array(sat, { maxLength: 4 }),
  }),
  update_nonces: fc.record({ kind: fc.constant('update_nonces'), ...ofLeaf, nonces: path(nonceArb, 3) }),
  update_aggregated_nonces: fc.record({
    kind: fc.constant('update_aggregated_nonces'),
    ...ofLeaf,
    nonces: path(aggregateNonceArb, 3),
  }),
  update_partial_signatures: fc.record({
    kind: fc.constant('update_partial_signatures'),
    ...ofLeaf,
    signatures: fc.array(bytes(32), { maxLength: 2 }),
  }),
  update_stock_signatures: fc.record({
    kind: fc.constant('update_stock_signatures'),
    ...ofLeaf,
    signatures: fc.array(bytes(64), { maxLength: 2 }),
  }),
  update_leaf_signature: fc.record({ kind: fc.constant('update_leaf_signature'), ...ofLeaf, signature: bytes(32) }),
  update_complete: fc.record({
    kind: fc.constant('update_complete'),
    ...ofLeaf,
    signature: bytes(64),
    preimage: bytes(32),
  }),
  update_stored: fc.record({
    kind: fc.constant('update_stored'),
    ...ofLeaf,
    paymentHash: bytes(32),
    paymentSecret: bytes(32),
  }),
  join_request: fc.record({ kind: fc.constant('join_request'), ...base, capacity: sat }),
  join_accepted: fc.record({ kind: fc.constant('join_accepted'), ...base, place: int(16), waiting: int(16) }),
  join_refused: fc.record({ kind: fc.constant('join_refused'), ...base, reason: textArb(0, 255) }),
  join_withdraw: fc.record({ kind: fc.constant('join_withdraw'), ...base }),
  reads_channel_in_factory: fc.record({ kind: fc.constant('reads_channel_in_factory'), ...base }),
  move_offer: fc.record({ kind: fc.constant('move_offer'), ...base, newInstance: bytes(32), most: msat }),
  move_part: fc.oneof(
    fc
      .record({ last: fc.constant(0), amount: fc.bigInt({ min: 1n, max: 2_000_000_000_000_000n }) })
      .chain(({ last, amount }) => part(last, amount, amount)),
    fc.tuple(msat, msat).chain(([a, b]) => part(1, a < b ? a : b, a < b ? b : a)),
  ),
  move_ready: fc.record({ kind: fc.constant('move_ready'), ...base, index: int(16), secret: bytes(32) }),
  move_key: fc.record({ kind: fc.constant('move_key'), ...base, key: bytes(32) }),
  move_refuse: fc.record({ kind: fc.constant('move_refuse'), ...base, index: int(16), reason: textArb(0, 255) }),
}

export const payloadArb: Arbitrary<Payload> = fc.oneof(...Object.values<Arbitrary<Payload>>(payloadArbs))

const opaque = bytes(0, 300)
const change = {
  payload: fc.option(opaque, { nil: undefined }),
  channelId: bytes(32),
  contribution: fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
  fundingPubkey: pointArb,
}
const place = { channelId: bytes(32), fundingTxid: bytes(32), fundingVout: int(16) }

export const factoryMessageArb: Arbitrary<FactoryMessage> = fc.oneof(
  fc.record({ kind: fc.constant('supported_factory_protocols'), protocols: fc.array(bytes(32), { maxLength: 20 }) }),
  fc.record({ kind: fc.constant('factory_piggyback'), protocolId: bytes(32), payload: opaque }),
  fc.record({ kind: fc.constantFrom('factory_change_init', 'factory_change_ack'), ...change }),
  fc.record({ kind: fc.constantFrom('factory_change_funding', 'factory_change_continue'), ...place }),
  fc.record({ kind: fc.constant('factory_change_locked'), channelId: bytes(32), fundingTxid: bytes(32) }),
)

export const channelInFactoryArb: Arbitrary<ChannelInFactory> = fc.record({
  protocolId: bytes(32),
  instanceId: bytes(32),
  earlyWarning: int(16),
})
