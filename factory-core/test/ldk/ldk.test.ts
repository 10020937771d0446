import { randomBytes } from 'node:crypto'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { hex } from '@scure/base'
import * as ldk from 'lightningdevkit'
import { beforeAll, describe, expect, it } from 'vitest'
import { scidText, u16, u32 } from '../../src/ldk/convert.js'
import { LdkNode, openLdkStorage } from '../../src/ldk/index.js'
import { encodeInvoice } from '../../src/ldk/invoice.js'
import { Records, type ChannelRecord } from '../../src/ldk/records.js'
import { loadLdk } from '../../src/ldk/wasm.js'
import { msat, nodeId, txid } from '../../src/units/index.js'

const SECRET = new Uint8Array(32).fill(7)
const PEER = nodeId(hex.encode(secp256k1.getPublicKey(new Uint8Array(32).fill(9))))

describe('the main network', () => {
  it.each(['bitcoin', 'main', ''])('is refused by name: %j', async (network) => {
    const opening = LdkNode.open({
      network: network as 'regtest',
      seed: SECRET,
      storage: openLdkStorage(':memory:'),
      bitcoind: { call: () => Promise.reject(new Error('was asked')) },
      log: () => undefined,
    })
    await expect(opening).rejects.toMatchObject({ code: 'bad_parameter', message: /^Not for real money/ })
  })
})

describe('invoices', () => {
  beforeAll(() => loadLdk())

  it.each([1n, 1000n, 123_456_789n, 2_100_000_000_000n])(
    'over %i msat are read by LDK as they were written',
    (amount) => {
      const paymentHash = new Uint8Array(randomBytes(32))
      const hints = [
        { node: PEER, scid: (1n << 63n) + 5n, feeBase: 1000, feeRate: 7, cltvDelta: 65_535 },
        { node: PEER, scid: 1n, feeBase: 0, feeRate: 0, cltvDelta: 106 },
      ]
      const text = encodeInvoice(
        {
          network: 'regtest',
          amount: msat(amount),
          paymentHash,
          paymentSecret: new Uint8Array(32).fill(3),
          description: 'a coffee — ☕',
          created: 1_700_000_000,
          expiry: 3600,
          finalCltv: 600,
          hints,
        },
        SECRET,
      )
      const read = ldk.Bolt11Invoice.constructor_from_str(text)
      if (!(read instanceof ldk.Result_Bolt11InvoiceParseOrSemanticErrorZ_OK)) throw new Error('LDK does not read it')
      const invoice = read.res
      const millisats = invoice.amount_milli_satoshis()
      expect(millisats instanceof ldk.Option_u64Z_Some ? millisats.some : undefined).toBe(amount)
      expect(Uint8Array.from(invoice.payment_hash())).toEqual(paymentHash)
      expect(hex.encode(invoice.recover_payee_pub_key())).toBe(hex.encode(secp256k1.getPublicKey(SECRET)))
      expect(invoice.min_final_cltv_expiry_delta()).toBe(600n)
      const routes = invoice.route_hints().map((hint) => hint.get_a()[0])
      expect(routes.map((hop) => BigInt.asUintN(64, hop?.get_short_channel_id() ?? 0n))).toEqual(
        hints.map((h) => h.scid),
      )
      expect(routes.map((hop) => u16(hop?.get_cltv_expiry_delta() ?? 0))).toEqual(hints.map((h) => h.cltvDelta))
    },
  )
})

describe('storage', () => {
  it('writes a set whole or not at all', () => {
    const storage = openLdkStorage(':memory:')
    storage.commit(new Map([['a:1', Uint8Array.of(1)]]))
    const poisoned = new Map<string, Uint8Array | undefined>([
      ['a:2', Uint8Array.of(2)],
      ['a:1', undefined],
      ['b', 'no bytes, but an object' as unknown as Uint8Array],
      ['c', {} as unknown as Uint8Array],
    ])
    expect(() => {
      storage.commit(poisoned)
    }).toThrow()
    expect(storage.list('a:')).toEqual(new Map([['1', Buffer.of(1)]]))
    expect(storage.get('b')).toBeUndefined()
  })
})

describe('records', () => {
  const record: ChannelRecord = {
    channelId: '11'.repeat(32),
    peer: PEER,
    funding: { txid: txid('22'.repeat(32)), vout: 3 },
    capacity: 1_000_000n,
    script: '0020',
    factory: true,
    released: true,
    state: 'closing',
    last: 2n ** 60n,
    confirmed: undefined,
  }

  it('come back as they were stored, and know their funding through reorganisations', () => {
    const writes = new Map<string, Uint8Array | undefined>()
    const records = new Records(new Map(), writes)
    records.put(record)
    records.blockConnected(new Set([record.funding.txid]), 100)
    const again = new Records(
      new Map(
        [...writes].flatMap(([key, bytes]) => (bytes === undefined ? [] : [[key.slice('channel:'.length), bytes]])),
      ),
      new Map(),
    )
    expect(again.get(record.channelId)).toEqual({ ...record, confirmed: 100 })
    again.blockDisconnected(101)
    expect(again.get(record.channelId)?.confirmed).toBe(100)
    again.blockDisconnected(100)
    expect(again.get(record.channelId)).toEqual(record)
    expect(again.atFunding(`${record.funding.txid}:3`)).toBeDefined()
  })
})

it("reads the bindings' signed numbers as what they are", () => {
  expect([u16(-1), u32(-1), u16(7)]).toEqual([65_535, 4_294_967_295, 7])
  expect(scidText(-1n)).toBe('16777215x16777215x65535')
})
