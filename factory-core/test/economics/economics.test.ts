import { base64 } from '@scure/base'
import { Transaction } from '@scure/btc-signer'
import {
  clientNotice,
  coverLevel,
  exitFloor,
  fundingFee,
  lspNotice,
  SWEEP_VSIZE,
  type Cover,
} from '@ln-factory/core/economics'
import { msat, nodeId, sat } from '@ln-factory/core/units'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const cover = (balance: number, coverage: number): Cover => ({
  id: nodeId('02' + '11'.repeat(32)),
  balance: msat(balance),
  coverage: sat(coverage),
})

describe('coverage', () => {
  it.each([
    [0, 0, 'near'],
    [1, 0, 'over'],
    [899_999, 1000, 'covered'],
    [900_000, 1000, 'near'],
    [1_000_000, 1000, 'near'],
    [1_000_001, 1000, 'over'],
  ] as const)('of %i msat by %i sat is %s', (balance, coverage, level) => {
    expect(coverLevel(cover(balance, coverage))).toBe(level)
  })

  it('is told to the client from 90 % on, and what to do', () => {
    expect(clientNotice(cover(899_999, 1000))).toBeUndefined()
    expect(clientNotice(cover(950_000, 1000))).toMatch(/95 % of the 1000 sat.*move before/)
    expect(clientNotice(cover(1_100_000, 1000))).toMatch(/110 % .*lose the rest/)
  })

  it('is told to the LSP in one sentence for all its clients', () => {
    expect(lspNotice([cover(1, 1000), cover(2, 1000)])).toBeUndefined()
    expect(lspNotice([cover(1, 1000), cover(950_000, 1000), cover(1_000_001, 1000)])).toMatch(
      /^2 of 3 clients .*1 of them more than all/,
    )
  })
})

describe('exit floor', () => {
  const path = [
    { vsize: 124, fee: sat(124) },
    { vsize: 339, fee: sat(339) },
  ]

  it('is the sweep alone while the fees that are built in are enough', () => {
    expect(exitFloor(path, 1000)).toBe(BigInt(SWEEP_VSIZE))
    expect(exitFloor(path, 0)).toBe(BigInt(SWEEP_VSIZE))
  })

  it('pays a child for each transaction, less what they pay themselves', () => {
    // (124 + 152) * 10 - 124, (339 + 152) * 10 - 339, (310 + 152) * 10 - 310, 121 * 10
    expect(exitFloor(path, 10_000)).toBe(2636n + 4571n + 4310n + 1210n)
  })

  it('never falls when feerates rise', () => {
    fc.assert(
      fc.property(fc.nat(500_000), fc.nat(500_000), (a, b) => {
        expect(exitFloor(path, Math.max(a, b))).toBeGreaterThanOrEqual(exitFloor(path, Math.min(a, b)))
      }),
    )
  })
})

describe('funding fee', () => {
  it('is what the coins of the PSBT hold more than its outputs', () => {
    const tx = new Transaction({ allowUnknownOutputs: true })
    const script = Uint8Array.from([0x51, 0x20, ...new Uint8Array(32).fill(2)])
    tx.addInput({ txid: '11'.repeat(32), index: 0, witnessUtxo: { amount: 70_000n, script } })
    tx.addInput({ txid: '22'.repeat(32), index: 1, witnessUtxo: { amount: 40_000n, script } })
    tx.addOutput({ amount: 100_000n, script })
    tx.addOutput({ amount: 9_500n, script })
    expect(fundingFee(base64.encode(tx.toPSBT(2)))).toBe(500n)
  })

  it('is unknown when a coin is', () => {
    const tx = new Transaction({ allowUnknownOutputs: true })
    tx.addInput({ txid: '11'.repeat(32), index: 0 })
    expect(fundingFee(base64.encode(tx.toPSBT(2)))).toBeUndefined()
  })
})
