import { bytesToHex } from '@noble/hashes/utils.js'
import { RawTx } from '@scure/btc-signer'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { buildChild, CHILD_VSIZE, finalizeChild, leastCoin, pickCoin } from '../../src/fees/index.js'
import type { WalletCoin } from '../../src/host/index.js'
import { sat, txid } from '../../src/units/index.js'

const P2WPKH = Uint8Array.from([0, 20, ...new Uint8Array(20).fill(7)])
const P2TR = Uint8Array.from([0x51, 32, ...new Uint8Array(32).fill(9)])
const anchor = { txid: txid('aa'.repeat(32)), vout: 3 }
const coinOf = (amount: number | bigint, script = P2WPKH): WalletCoin => ({
  outpoint: { txid: txid('bb'.repeat(32)), vout: Number(amount) & 0xff },
  amount: sat(BigInt(amount)),
  script,
})
const WITNESSES = {
  P2WPKH: [new Uint8Array(72).fill(1), new Uint8Array(33).fill(2)],
  P2TR: [new Uint8Array(64).fill(1)],
}

interface Input {
  readonly txid: Uint8Array
  readonly index: number
  readonly sequence: number
}

describe('the child that pays', () => {
  it('invariant 10: anchor and coin are its fee and its change, to the satoshi', () => {
    fc.assert(
      fc.property(fc.bigInt(1n, 100_000n), fc.bigInt(0n, 10_000_000n), (fee, more) => {
        const coin = coinOf(leastCoin(sat(fee)) + more)
        const child = buildChild(anchor, coin, P2TR, sat(fee))
        const { outputs } = RawTx.decode(child.bytes)
        expect(outputs.length).toBe(1)
        expect(240n + coin.amount - (outputs[0]?.amount ?? 0n)).toBe(fee)
        expect(outputs[0]?.amount).toBeGreaterThanOrEqual(330n)
      }),
    )
  })

  it('refuses a coin that leaves dust', () => {
    const fee = sat(1000)
    expect(() => buildChild(anchor, coinOf(leastCoin(fee) - 1n), P2TR, fee)).toThrow(/doesn't pay/)
  })

  it.each(['P2WPKH', 'P2TR'] as const)(
    'of a %s coin is version 3, replaceable, and no larger than reckoned',
    (kind) => {
      const coin = coinOf(50_000, kind === 'P2TR' ? P2TR : P2WPKH)
      const child = buildChild(anchor, coin, P2TR, sat(1000))
      const raw = finalizeChild(child, WITNESSES[kind])
      const decoded = RawTx.decode(raw)
      const inputs: readonly Input[] = decoded.inputs
      expect(decoded.version).toBe(3)
      expect(inputs.map((i) => [bytesToHex(i.txid), i.index])).toEqual([
        [anchor.txid, anchor.vout],
        [coin.outpoint.txid, coin.outpoint.vout],
      ])
      for (const input of inputs) expect(input.sequence).toBeLessThan(0xfffffffe)
      expect(decoded.witnesses).toEqual([[], WITNESSES[kind]])
      const weight = 3 * child.bytes.length + raw.length
      expect(Math.ceil(weight / 4)).toBeLessThanOrEqual(CHILD_VSIZE)
    },
  )

  it('takes the smallest coin that pays, and keeps the one it has', () => {
    const fee = sat(1000)
    const coins = [coinOf(5000), coinOf(leastCoin(fee)), coinOf(leastCoin(fee) - 1n), coinOf(70_000)]
    expect(pickCoin(coins, fee, undefined)).toBe(coins[1])
    expect(pickCoin(coins, fee, coinOf(9000))?.amount).toBe(9000n)
    expect(pickCoin(coins, fee, coinOf(100))).toBe(coins[1])
    expect(pickCoin([coinOf(100)], fee, undefined)).toBeUndefined()
  })
})
