/**
 * Writes ../vectors/{blip56,open-channel,payload,fragments}.json. Run after `npm run build`, only when the protocol changes:
 * the files are the reference, the tests read them, and a change in them is a change of the protocol. (The bolt1-*.json files
 * restate the vectors of BOLT 1.)
 */
import { writeFileSync } from 'node:fs'
import { URL } from 'node:url'
import {
  encodeChannelInFactory,
  encodeFactoryMessage,
  encodePayload,
  encodeTlvStream,
  hexToBytes,
  protocolId,
  PayloadKind,
  readable,
  splitPayload,
  bytesToHex,
} from '../dist/index.js'

const fill = (byte, length) => new Uint8Array(length).fill(byte)
// 1, 2 and 3 times the generator of secp256k1.
const G = '0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'
const G2 = '02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5'
const G3 = '02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9'
const points = [G, G2, G3].map(hexToBytes)
const nonce = hexToBytes(G + G2)
const infinite = hexToBytes('00'.repeat(33) + G3)
const p2wsh = hexToBytes('0020' + 'c5'.repeat(32))
const p2tr = hexToBytes('5120' + 'd6'.repeat(32))
const p2wpkh = hexToBytes('0014' + 'e7'.repeat(20))
const instanceId = fill(0x11, 32)
const channelId = fill(0x22, 32)
const txid = fill(0x33, 32)

const valid = (name, hex, decoded, canonical = true) => ({
  name,
  hex,
  decoded: readable(decoded),
  ...(canonical ? {} : { canonical: false }),
})
const invalid = (name, hex, error) => ({ name, hex, error })
const save = (file, content) =>
  writeFileSync(new URL(`../vectors/${file}.json`, import.meta.url), JSON.stringify(content, undefined, 2) + '\n')

// --- bLIP-56 ---

const change = { channelId, contribution: -5000n, fundingPubkey: points[0] }
const place = { channelId, fundingTxid: txid, fundingVout: 1 }
const messages = [
  ['no protocol', { kind: 'supported_factory_protocols', protocols: [] }],
  ['our protocol', { kind: 'supported_factory_protocols', protocols: [protocolId()] }],
  ['two protocols', { kind: 'supported_factory_protocols', protocols: [protocolId(), fill(0x77, 32)] }],
  [
    'stored',
    { kind: 'factory_piggyback', protocolId: protocolId(), payload: encodePayload({ kind: 'stored', instanceId }) },
  ],
  ['empty payload', { kind: 'factory_piggyback', protocolId: fill(0x77, 32), payload: fill(0, 0) }],
  ['splice out', { kind: 'factory_change_init', payload: undefined, ...change }],
  ['splice in, with payload', { kind: 'factory_change_init', payload: fill(0x88, 3), ...change, contribution: 7n }],
  ['least contribution', { kind: 'factory_change_init', payload: undefined, ...change, contribution: -(1n << 63n) }],
  ['answer', { kind: 'factory_change_ack', payload: undefined, ...change, contribution: 0n }],
  ['answer with empty payload', { kind: 'factory_change_ack', payload: fill(0, 0), ...change, contribution: 0n }],
  ['new outpoint', { kind: 'factory_change_funding', ...place }],
  ['go on', { kind: 'factory_change_continue', ...place }],
  ['settled', { kind: 'factory_change_locked', channelId, fundingTxid: txid }],
]
const bodies = messages.map(([name, m]) => valid(`${m.kind}: ${name}`, bytesToHex(encodeFactoryMessage(m)), m))
const changeValue = bytesToHex(channelId) + '0000000000000000' + G
const placeValue = bytesToHex(channelId) + bytesToHex(txid) + '0001'
const id32 = '77'.repeat(32)

save('blip56', {
  source: 'bLIP-56 (lightning/blips pull request 56); hex is the body of a message of type 32800, without the type',
  features: [
    { name: 'bit 271 alone', hex: '80' + '00'.repeat(33), factories: true },
    { name: 'bit 270 alone', hex: '40' + '00'.repeat(33), factories: true },
    { name: 'bit 271 among others', hex: '01' + '88' + 'ff'.repeat(33), factories: true },
    { name: 'bits 264 to 269 and 272 to 279', hex: 'ff' + '3f' + '00'.repeat(33), factories: false },
    { name: 'every bit below 264', hex: 'ff'.repeat(33), factories: false },
    { name: 'no features', hex: '', factories: false },
  ],
  valid: [
    ...bodies,
    valid('unknown odd submessage', '0003ffff', { kind: 'unknown_odd', id: 3 }, false),
    valid('unknown odd TLV before the known one', '0002' + '010161' + 'fd020000', messages[0][1], false),
    valid('unknown odd TLV after the known one', '0002' + 'fd020000' + 'fd020100', messages[0][1], false),
  ],
  invalid: [
    invalid('empty', '', 'wire_truncated'),
    invalid('half a submessage id', '00', 'wire_truncated'),
    invalid('submessage 0', '0000', 'wire_unknown_even'),
    invalid('unknown even submessage', '0010', 'wire_unknown_even'),
    invalid('unknown even TLV', '0002' + 'fd020000' + 'fd020200', 'wire_unknown_even'),
    invalid('TLV of another submessage', '0002' + 'fd020000' + 'fd040000', 'wire_unknown_even'),
    invalid('protocols: TLV missing', '0002', 'wire_value'),
    invalid('protocols: 31 bytes', '0002' + 'fd02001f' + '77'.repeat(31), 'wire_length'),
    invalid('protocols: 33 bytes', '0002' + 'fd020021' + '77'.repeat(33), 'wire_length'),
    invalid('protocols: TLV twice', '0002' + 'fd020000' + 'fd020000', 'wire_order'),
    invalid('protocols: type not minimal', '0002' + 'fe00000200' + '00', 'wire_non_minimal'),
    invalid('protocols: length not minimal', '0002' + 'fd0200' + 'fd0020' + id32, 'wire_non_minimal'),
    invalid('protocols: value cut short', '0002' + 'fd020020' + '77'.repeat(31), 'wire_truncated'),
    invalid('protocols: length beyond any message', '0002' + 'fd0200' + 'ffffffffffffffffff', 'wire_truncated'),
    invalid('piggyback: no protocol id', '0004' + 'fd0400' + '0101', 'wire_value'),
    invalid('piggyback: no payload', '0004' + '0020' + id32, 'wire_value'),
    invalid('piggyback: short protocol id', '0004' + '001f' + '77'.repeat(31) + 'fd040000', 'wire_truncated'),
    invalid('piggyback: long protocol id', '0004' + '0021' + '77'.repeat(33) + 'fd040000', 'wire_length'),
    invalid('piggyback: TLVs in the wrong order', '0004' + 'fd040000' + '0020' + id32, 'wire_order'),
    invalid('change_init: nothing', '0006', 'wire_value'),
    invalid('change_init: payload alone', '0006' + 'fd040000', 'wire_value'),
    invalid('change_init: one byte short', '0006' + 'fd060048' + changeValue.slice(0, -2), 'wire_truncated'),
    invalid('change_init: one byte too many', '0006' + 'fd06004a' + changeValue + '00', 'wire_length'),
    invalid(
      'change_init: uncompressed point',
      '0006' + 'fd060049' + changeValue.replace(G, '04' + G.slice(2)),
      'wire_value',
    ),
    invalid('change_ack: nothing', '0008', 'wire_value'),
    invalid('change_funding: nothing', '000a', 'wire_value'),
    invalid('change_funding: one byte short', '000a' + 'fd0a0041' + placeValue.slice(0, -2), 'wire_truncated'),
    invalid('change_funding: TLV of change_continue', '000a' + 'fd0c0042' + placeValue, 'wire_unknown_even'),
    invalid('change_continue: nothing', '000c', 'wire_value'),
    invalid('change_continue: one byte too many', '000c' + 'fd0c0043' + placeValue + '00', 'wire_length'),
    invalid('change_locked: nothing', '000e', 'wire_value'),
    invalid('change_locked: no txid', '000e' + 'fd0e0020' + '22'.repeat(32), 'wire_truncated'),
  ],
})

// --- channel_in_factory ---

const inFactory = { protocolId: protocolId(), instanceId, earlyWarning: 480 }
const record = encodeChannelInFactory(inFactory)
const recordHex = bytesToHex(encodeTlvStream([record]))
save('open-channel', {
  source:
    'bLIP-56; hex is the TLV stream of an open_channel, decoded its channel_in_factory (65600), null when there is none',
  valid: [
    valid('alone', recordHex, inFactory),
    valid('after upfront_shutdown_script and channel_type', '0000' + '01021000' + recordHex, inFactory, false),
    valid('before an unknown odd record', recordHex + 'fe0001004100', inFactory, false),
    { name: 'no record', hex: '0000', decoded: null, canonical: false },
  ],
  invalid: [
    invalid('one byte short', 'fe0001004041' + bytesToHex(record.value).slice(2), 'wire_truncated'),
    invalid('one byte too many', 'fe0001004043' + bytesToHex(record.value) + '00', 'wire_length'),
    invalid('cut off', recordHex.slice(0, -2), 'wire_truncated'),
    invalid('twice', recordHex + recordHex, 'wire_order'),
    invalid('out of order', recordHex + '0000', 'wire_order'),
  ],
})

// --- payloads ---

const params = {
  arity: 2,
  fanout: 4,
  states: 4,
  step: 144,
  confirmationMargin: 6,
  safetyMargin: 12,
  stockCsv: 432,
  stockPerClient: 20_000n,
  feerate: 1000,
}
const payloads = {
  invite: {
    kind: 'invite',
    instanceId,
    capacity: 1_000_000n,
    push: 250_000_000n,
    expiry: 901_234,
    earlyWarning: 480,
    clients: 8,
    respondWithin: 600,
    params,
  },
  accept: { kind: 'accept', instanceId, factoryKey: points[1], keySalt: fill(0x44, 16), payoutScript: p2wpkh },
  refuse: { kind: 'refuse', instanceId, reason: 'capacity above 500000 sat; höchstens' },
  propose: {
    kind: 'propose',
    instanceId,
    clientIndex: 2,
    fundingTxid: txid,
    fundingVout: 0,
    fundingAmount: 2_100_000n,
    channelScript: p2wsh,
    poisonHash: fill(0x55, 32),
    keys: points,
    siblings: [
      [{ amount: 1_000_000n, script: p2tr }],
      [],
      [
        { amount: 20_000n, script: p2wsh },
        { amount: 1n, script: fill(0x6a, 1) },
      ],
    ],
  },
  nonces: { kind: 'nonces', instanceId, nonces: [nonce, nonce, nonce] },
  aggregatedNonces: { kind: 'aggregated_nonces', instanceId, nonces: [nonce, infinite] },
  partialSignatures: { kind: 'partial_signatures', instanceId, signatures: [fill(0x01, 32), fill(0x02, 32)] },
  signatures: { kind: 'signatures', instanceId, signatures: [fill(0x03, 64)] },
  stored: { kind: 'stored', instanceId },
  channelReady: { kind: 'channel_ready', instanceId, channelId },
  fundingBroadcast: { kind: 'funding_broadcast', instanceId },
  abort: { kind: 'abort', instanceId, reason: 'client 3 went silent' },
  sync: { kind: 'sync', instanceId, stage: 'signed' },
  closePropose: {
    kind: 'close_propose',
    instanceId,
    balance: 249_999_500n,
    lockTime: 900_000,
    outputs: [
      { amount: 249_999n, script: p2wpkh },
      { amount: 1_849_000n, script: p2tr },
    ],
  },
  closeNonce: { kind: 'close_nonce', instanceId, nonce },
  closeAggregatedNonce: { kind: 'close_aggregated_nonce', instanceId, nonce: infinite },
  closePartialSignature: { kind: 'close_partial_signature', instanceId, signature: fill(0x04, 32) },
  closeComplete: { kind: 'close_complete', instanceId, signature: fill(0x05, 64) },
  saleRequest: { kind: 'sale_request', instanceId, capacity: 400_000n, maxPrice: 2_500_000n },
  saleOffer: { kind: 'sale_offer', instanceId, capacity: 400_000n, price: 2_100_000n, earlyWarning: 486 },
  saleAccept: {
    kind: 'sale_accept',
    instanceId,
    capacity: 400_000n,
    price: 2_100_000n,
    paymentHash: fill(0x06, 32),
  },
  salePropose: {
    kind: 'sale_propose',
    instanceId,
    number: 1,
    buyer: 2,
    capacity: 400_000n,
    channelScript: p2wsh,
    paymentSecret: fill(0x0c, 32),
  },
  saleNonces: { kind: 'sale_nonces', instanceId, chainTxid: txid, nonces: [nonce, nonce] },
  saleAggregatedNonces: { kind: 'sale_aggregated_nonces', instanceId, chainTxid: txid, nonces: [nonce, infinite] },
  salePartialSignatures: {
    kind: 'sale_partial_signatures',
    instanceId,
    chainTxid: txid,
    signatures: [fill(0x07, 32), fill(0x08, 32), fill(0x09, 32)],
  },
  saleSignatures: { kind: 'sale_signatures', instanceId, chainTxid: txid, signatures: [fill(0x0a, 64)] },
  saleStored: { kind: 'sale_stored', instanceId, chainTxid: txid, preimage: [fill(0x0b, 32)] },
  saleLive: { kind: 'sale_live', instanceId, chainTxid: txid },
  saleAbort: { kind: 'sale_abort', instanceId, chainTxid: fill(0x00, 32), reason: 'the stock is sold out' },
  moveOffer: { kind: 'move_offer', instanceId, newInstance: fill(0x66, 32), most: 90_000_000n },
  movePart: {
    kind: 'move_part',
    instanceId,
    newInstance: fill(0x66, 32),
    index: 1,
    last: 1,
    hash: fill(0x67, 32),
    amountIn: 39_454_000n,
    amountOut: 40_000_000n,
    secret: fill(0x68, 32),
  },
  moveReady: { kind: 'move_ready', instanceId, index: 1, secret: fill(0x69, 32) },
  moveKey: { kind: 'move_key', instanceId, key: fill(0x6a, 32) },
  moveRefuse: { kind: 'move_refuse', instanceId, index: 1, reason: 'more than the channel holds' },
  assistRequest: {
    kind: 'assist_request',
    instanceId,
    key: points[0],
    hash: fill(0x06, 32),
    payoutScript: p2tr,
    amount: 250_000_000n,
    feerate: 2000,
  },
  assistOffer: {
    kind: 'assist_offer',
    instanceId,
    hash: fill(0x06, 32),
    key: points[1],
    fundingTxid: txid,
    fundingVout: 1,
    amount: 249_000n,
    timeout: 900_144,
    htlcExpiry: 900_700,
    paymentSecret: fill(0x07, 32),
    preSignatures: [fill(0x02, 65), fill(0x03, 65)],
  },
  assistRefuse: { kind: 'assist_refuse', instanceId, hash: fill(0x06, 32), reason: 'not now' },
  updateInvite: { kind: 'update_invite', instanceId, state: 1, capacity: 1_010_000n, respondWithin: 600 },
  updateAccept: {
    kind: 'update_accept',
    instanceId,
    balance: 250_000_001n,
    paymentHash: fill(0x08, 32),
    paymentSecret: fill(0x09, 32),
  },
  updatePropose: {
    kind: 'update_propose',
    instanceId,
    state: 1,
    poisonHash: fill(0x55, 32),
    channels: [
      { capacity: 1_010_000n, script: p2wsh },
      { capacity: 1_000_000n, script: p2wsh },
    ],
    shares: [15_000n],
  },
  updateNonces: { kind: 'update_nonces', instanceId, leafTxid: txid, nonces: [nonce, nonce, nonce] },
  updateAggregatedNonces: {
    kind: 'update_aggregated_nonces',
    instanceId,
    leafTxid: txid,
    nonces: [nonce, infinite, nonce],
  },
  updatePartialSignatures: {
    kind: 'update_partial_signatures',
    instanceId,
    leafTxid: txid,
    signatures: [fill(0x01, 32), fill(0x02, 32)],
  },
  updateStockSignatures: {
    kind: 'update_stock_signatures',
    instanceId,
    leafTxid: txid,
    signatures: [fill(0x01, 64), fill(0x02, 64)],
  },
  updateLeafSignature: { kind: 'update_leaf_signature', instanceId, leafTxid: txid, signature: fill(0x03, 32) },
  updateComplete: {
    kind: 'update_complete',
    instanceId,
    leafTxid: txid,
    signature: fill(0x04, 64),
    preimage: fill(0x05, 32),
  },
  updateStored: {
    kind: 'update_stored',
    instanceId,
    leafTxid: txid,
    paymentHash: fill(0x0a, 32),
    paymentSecret: fill(0x0b, 32),
  },
  joinRequest: { kind: 'join_request', instanceId, capacity: 1_000_000n },
  joinAccepted: { kind: 'join_accepted', instanceId, place: 3, waiting: 8 },
  joinRefused: { kind: 'join_refused', instanceId, reason: 'this node takes no new clients' },
  joinWithdraw: { kind: 'join_withdraw', instanceId },
  readsChannelInFactory: { kind: 'reads_channel_in_factory', instanceId },
}
if (Object.keys(payloads).join() !== Object.keys(PayloadKind).join()) throw new Error('a payload kind has no vector')
const hexOf = (p) => bytesToHex(encodePayload(p))
const hexes = Object.fromEntries(Object.entries(payloads).map(([name, p]) => [name, hexOf(p)]))
/** Overwrites bytes of a valid payload at an offset counted from the end of its instance_id, or from the end when negative. */
const patch = (name, offset, bytes) => {
  const at = offset < 0 ? hexes[name].length + 2 * offset : 2 * (34 + offset)
  return hexes[name].slice(0, at) + bytes + hexes[name].slice(at + bytes.length)
}
const start = (name) => hexes[name].slice(0, 68)
const tooMuch = '000775f05a074001'
const tooMuchMsat = '1d24b2dfac520001'
const infinity = '00'.repeat(33)

save('payload', {
  source:
    'docs/protocol.md; hex is a factory_piggyback_payload; canonical: false marks what a sender would not have written so',
  valid: [
    ...Object.values(payloads).map((p) => valid(p.kind, hexOf(p), p)),
    ...[
      ['refuse without reason', { ...payloads.refuse, reason: '' }],
      ['refuse, longest reason', { ...payloads.refuse, reason: 'x'.repeat(255) }],
      ['abort, longest reason', { ...payloads.abort, reason: 'x'.repeat(1024) }],
      ['abort, four bytes a character', { ...payloads.abort, reason: '\u{1f512}\u{10ffff}' }],
      ['accept, P2TR payout', { ...payloads.accept, payoutScript: p2tr }],
      ['accept, longest payout', { ...payloads.accept, payoutScript: hexToBytes('6028' + 'e7'.repeat(40)) }],
      [
        'invite, everything 0',
        {
          ...payloads.invite,
          ...{ capacity: 0n, push: 0n, expiry: 0, earlyWarning: 0, clients: 0, respondWithin: 0 },
          params: Object.fromEntries(Object.entries(params).map(([k, v]) => [k, typeof v === 'bigint' ? 0n : 0])),
        },
      ],
      [
        'invite, largest values',
        {
          ...payloads.invite,
          capacity: 2_100_000_000_000_000n,
          push: 2_100_000_000_000_000_000n,
          expiry: 499_999_999,
        },
      ],
      ['aggregated_nonces, both halves at infinity', { ...payloads.aggregatedNonces, nonces: [fill(0, 66)] }],
      ['nonces, 64 of them', { ...payloads.nonces, nonces: Array(64).fill(nonce) }],
      ['close_propose, lock time is a time', { ...payloads.closePropose, lockTime: 0xffffffff }],
    ].map(([name, p]) => valid(name, hexOf(p), p)),
    ...Object.values(payloads).map((p) => valid(`${p.kind} with an odd extension`, hexOf(p) + '0102abcd', p, false)),
    valid('unknown odd kind', '0101ff', { kind: 'unknown_odd', id: 257 }, false),
  ],
  invalid: [
    invalid('empty', '', 'wire_truncated'),
    invalid('half a kind', '00', 'wire_truncated'),
    invalid('fragment that was not reassembled', '000000000002ff', 'wire_unknown_even'),
    invalid('unknown even kind', '0100' + '11'.repeat(32), 'wire_unknown_even'),
    ...Object.values(payloads).flatMap((p) => [
      invalid(`${p.kind} cut by one byte`, hexOf(p).slice(0, -2), 'wire_truncated'),
      invalid(`${p.kind} with an even extension`, hexOf(p) + '0200', 'wire_unknown_even'),
      invalid(`${p.kind} with extensions out of order`, hexOf(p) + '03000100', 'wire_order'),
      invalid(`${p.kind} with half an extension`, hexOf(p) + '0105aa', 'wire_truncated'),
    ]),
    invalid('invite: capacity above 21 million bitcoin', patch('invite', 0, tooMuch), 'wire_value'),
    invalid('invite: push above 21 million bitcoin', patch('invite', 8, tooMuchMsat), 'wire_value'),
    invalid('invite: expiry is a time', patch('invite', 16, '1dcd6500'), 'wire_value'),
    invalid('invite: stock above 21 million bitcoin', patch('invite', -12, tooMuch), 'wire_value'),
    invalid('accept: key starts with 04', patch('accept', 0, '04'), 'wire_value'),
    invalid('accept: key at infinity', patch('accept', 0, infinity), 'wire_value'),
    invalid('accept: payout of 21 bytes', start('accept') + G + '44'.repeat(16) + '15' + '51'.repeat(21), 'wire_limit'),
    invalid('accept: payout of 43 bytes', start('accept') + G + '44'.repeat(16) + '2b' + '51'.repeat(43), 'wire_limit'),
    invalid('refuse: not UTF-8', start('refuse') + '01ff', 'wire_value'),
    invalid('refuse: overlong UTF-8', start('refuse') + '02c0af', 'wire_value'),
    invalid('refuse: surrogate in UTF-8', start('refuse') + '03eda080', 'wire_value'),
    invalid('refuse: beyond U+10FFFF', start('refuse') + '04f4908080', 'wire_value'),
    invalid('refuse: line feed', start('refuse') + '01' + '0a', 'wire_value'),
    invalid('refuse: escape', start('refuse') + '02' + '1b5b', 'wire_value'),
    invalid('refuse: C1 control', start('refuse') + '02' + 'c29b', 'wire_value'),
    invalid('refuse: right-to-left override', start('refuse') + '03' + 'e280ae', 'wire_value'),
    invalid('refuse: declares more than there is', start('refuse') + 'ff61', 'wire_truncated'),
    invalid('propose: client 0', patch('propose', 0, '0000'), 'wire_value'),
    invalid('propose: client beyond the keys', patch('propose', 0, '0003'), 'wire_value'),
    invalid('propose: funding above 21 million bitcoin', patch('propose', 36, tooMuch), 'wire_value'),
    invalid('propose: one key', patch('propose', 110, '0001'), 'wire_limit'),
    invalid('propose: 2002 keys', patch('propose', 110, '07d2'), 'wire_limit'),
    invalid('propose: key starts with 05', patch('propose', 112, '05'), 'wire_value'),
    invalid('propose: no path', patch('propose', 211, '0000'), 'wire_limit'),
    invalid('propose: 65 path transactions', patch('propose', 211, '0041'), 'wire_limit'),
    invalid('propose: 65 siblings', patch('propose', 213, '41'), 'wire_limit'),
    invalid('propose: sibling above 21 million bitcoin', patch('propose', 214, tooMuch), 'wire_value'),
    invalid('propose: sibling without script', patch('propose', 222, '00'), 'wire_limit'),
    invalid('propose: sibling script of 43 bytes', patch('propose', 222, '2b'), 'wire_limit'),
    invalid('nonces: none', start('nonces') + '0000', 'wire_limit'),
    invalid('nonces: 65', start('nonces') + '0041' + (G + G2).repeat(65), 'wire_limit'),
    invalid('nonces: first half at infinity', start('nonces') + '0001' + infinity + G, 'wire_value'),
    invalid('nonces: second half at infinity', start('nonces') + '0001' + G + infinity, 'wire_value'),
    invalid('aggregated_nonces: none', start('aggregatedNonces') + '0000', 'wire_limit'),
    invalid(
      'aggregated_nonces: half starts with 00 but is not infinity',
      start('aggregatedNonces') + '0001' + G + '00' + G.slice(2),
      'wire_value',
    ),
    invalid(
      'aggregated_nonces: half starts with 04',
      start('aggregatedNonces') + '0001' + '04' + G.slice(2) + G,
      'wire_value',
    ),
    invalid('partial_signatures: none', start('partialSignatures') + '0000', 'wire_limit'),
    invalid('partial_signatures: 65', start('partialSignatures') + '0041' + '01'.repeat(65 * 32), 'wire_limit'),
    invalid('signatures: none', start('signatures') + '0000', 'wire_limit'),
    invalid('signatures: 65', start('signatures') + '0041' + '03'.repeat(65 * 64), 'wire_limit'),
    invalid('abort: reason of 1025 bytes', start('abort') + '0401' + '78'.repeat(1025), 'wire_limit'),
    invalid('sync: no stage', start('sync') + '00', 'wire_limit'),
    invalid('sync: NUL in the stage', start('sync') + '0100', 'wire_value'),
    invalid('close_propose: balance above 21 million bitcoin', patch('closePropose', 0, tooMuchMsat), 'wire_value'),
    invalid('close_propose: no outputs', start('closePropose') + '00'.repeat(12) + '0000', 'wire_limit'),
    invalid('close_propose: 2002 outputs', patch('closePropose', 12, '07d2'), 'wire_limit'),
    invalid('close_propose: output without script', patch('closePropose', 22, '00'), 'wire_limit'),
    invalid('close_nonce: half at infinity', start('closeNonce') + infinity + G, 'wire_value'),
    invalid('assist_request: key is no point', start('assistRequest') + '04' + G.slice(2), 'wire_value'),
    invalid('assist_request: payout script of 21 bytes', patch('assistRequest', 65, '15'), 'wire_limit'),
    invalid('assist_offer: time out is a time', patch('assistOffer', 32 + 33 + 32 + 2 + 8, '1dcd6500'), 'wire_value'),
    invalid('assist_offer: no pre-signature', hexes.assistOffer.slice(0, -2 * 131) + '00', 'wire_limit'),
    invalid('assist_refuse: NUL in the reason', start('assistRefuse') + '06'.repeat(32) + '0100', 'wire_value'),
    invalid(
      'close_aggregated_nonce: half starts with 01',
      start('closeAggregatedNonce') + '01' + G.slice(2) + G,
      'wire_value',
    ),
    invalid('sale_request: capacity above 21 million bitcoin', patch('saleRequest', 0, tooMuch), 'wire_value'),
    invalid('sale_request: price above 21 million bitcoin', patch('saleRequest', 8, tooMuchMsat), 'wire_value'),
    invalid('sale_nonces: none', start('saleNonces') + '00'.repeat(32) + '00', 'wire_limit'),
    invalid('sale_nonces: four', start('saleNonces') + '00'.repeat(32) + '04' + (G + G2).repeat(4), 'wire_limit'),
    invalid('sale_stored: two preimages', start('saleStored') + '00'.repeat(32) + '02' + '00'.repeat(64), 'wire_limit'),
  ],
})

// --- fragments ---

const short = encodePayload({
  ...payloads.abort,
  reason: 'a reason that makes this payload longer than one message of 40 bytes',
})
const parts = (max, payload = short) => splitPayload(payload, max).map(bytesToHex)
const split = (name, max, payload = short) => ({
  name,
  max,
  payload: bytesToHex(payload),
  fragments: parts(max, payload),
})
const [p0, p1, p2, p3] = parts(40)
const refused = (name, fragments, error, max = 40) => ({ name, max, fragments, error })
save('fragments', {
  source:
    'docs/protocol.md; max is the largest payload of one message (65,491 in the protocol, less here to keep the vectors short); ' +
    'of an invalid sequence the last fragment is the one that must be refused',
  valid: [
    split('fits: not split', short.length),
    split('one byte too long', short.length - 1),
    split('last fragment shorter', 40),
    split('last fragment full', 6 + 8, short.subarray(0, 64)),
    split('one byte each', 7, short.subarray(0, 9)),
  ],
  invalid: [
    refused('starts with the second', [p1], 'wire_order'),
    refused('first one twice', [p0, p0], 'wire_order'),
    refused('one left out', [p0, p2], 'wire_order'),
    refused('one twice', [p0, p1, p1], 'wire_order'),
    refused('total changes', [p0, p1.replace(/^000000010004/, '000000010005')], 'wire_order'),
    refused('goes on after the end', [p0, p1, p2, p3, p3], 'wire_order'),
    refused('goes on after a refusal', [p0, p2, p1], 'wire_order'),
    refused('total 1', ['000000000001' + 'aa'.repeat(34)], 'wire_value'),
    refused('total 0', ['000000000000' + 'aa'.repeat(34)], 'wire_value'),
    refused('index is total', ['000000020002' + 'aa'.repeat(34)], 'wire_value'),
    refused('header cut off', ['0000000000'], 'wire_truncated'),
    refused('no content', ['000000000002'], 'wire_length'),
    refused(
      'last one empty',
      ['000000000003' + 'bb'.repeat(34), '000000010003' + 'bb'.repeat(34), '000000020003'],
      'wire_length',
    ),
    refused('first one not full', [p0.slice(0, -2)], 'wire_length'),
    refused('longer than max', [p0 + 'aa'], 'wire_length'),
    refused(
      'whole fits one message',
      ['000000000002' + 'aa'.repeat(34), '000000010002' + 'aa'.repeat(6)],
      'wire_length',
    ),
    refused('more than 1 MiB announced', ['00000000ffff' + 'aa'.repeat(34)], 'wire_limit'),
    refused(
      'fragments of fragments',
      ['000000000002' + '00'.repeat(34), '000000010002' + 'aa'.repeat(34)],
      'wire_value',
    ),
  ],
})
