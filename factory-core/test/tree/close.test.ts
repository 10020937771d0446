import fc from 'fast-check'
import { Transaction } from '@scure/btc-signer'
import { bytesToHex } from '@noble/hashes/utils.js'
import { expect, test } from 'vitest'
import { FactoryError } from '@ln-factory/tlv'
import { buildClose, closeOutputs, DUST, finalize, fundingScript } from '../../src/tree/index.js'
import type { Funding, TxOutput } from '../../src/tree/index.js'
import { sat, txid } from '../../src/units/index.js'
import { keyOf, p2tr, p2wpkh, p2wsh } from './fixtures.js'

const lspScript = p2wpkh('lsp')
const keys = [0, 1, 2, 3].map(keyOf)
const funding = (amount: number): Funding => ({
  outpoint: { txid: txid('cd'.repeat(32)), vout: 0 },
  amount: sat(amount),
})
const balance = (amount: number | bigint, i = 0): TxOutput => ({
  amount: sat(amount),
  script: ([p2tr, p2wsh, p2wpkh][i % 3] ?? p2tr)(`client ${i}`),
})
const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof FactoryError) return error.code
    throw error
  }
  return 'accepted'
}

test('invariant 10: everyone gets its balance to the satoshi, the LSP the rest less the fee', () => {
  const amounts = fc.array(fc.oneof(fc.nat(1_000_000), fc.integer({ min: 0, max: 700 })), { maxLength: 60 })
  fc.assert(
    fc.property(amounts, fc.nat(1_000_000), fc.integer({ min: 1000, max: 60_000 }), (list, lsp, feerate) => {
      const balances = list.map((amount, i) => balance(amount, i))
      const total = list.reduce((sum, a) => sum + a, lsp)
      let close
      try {
        close = closeOutputs({ fundingAmount: sat(total), balances, lspScript, feerate })
      } catch (error) {
        expect((error as FactoryError).code).toBe('insufficient_funds')
        return
      }
      const { outputs, fee, lspAmount } = close
      const paid = balances.filter((b) => b.amount >= DUST)
      expect(outputs.slice(0, paid.length)).toEqual(paid)
      expect(outputs.slice(paid.length)).toEqual(lspAmount === 0n ? [] : [{ amount: lspAmount, script: lspScript }])
      expect(outputs.reduce<bigint>((sum, o) => sum + o.amount, fee)).toBe(BigInt(total))
      if (lspAmount !== 0n) expect(lspAmount).toBeGreaterThanOrEqual(DUST)
      const spend = buildClose({ funding: funding(total), keys, outputs, lockTime: 0 })
      expect(spend.fee).toBe(fee)
      expect(fee * 1000n).toBeGreaterThanOrEqual(BigInt(spend.vsize * feerate))
      // Not more than the rate asks, unless what is left over would be dust.
      const most = BigInt(Math.ceil((spend.vsize * feerate) / 1000))
      if (lspAmount !== 0n) expect(fee).toBe(most)
      else expect(fee).toBeLessThan(most + DUST + BigInt(Math.ceil((43 * feerate) / 1000)))
    }),
    { numRuns: 200 },
  )
})

test('balances below 330 sat go to the LSP', () => {
  const balances = [balance(329, 0), balance(330, 1), balance(0, 2)]
  const close = closeOutputs({ fundingAmount: sat(100_000), balances, lspScript, feerate: 1000 })
  expect(close.outputs.map((o) => o.amount)).toEqual([330n, 100_000n - 330n - close.fee])
})

test('an LSP that can not pay the fee is told so', () => {
  const terms = { balances: [balance(99_900)], lspScript, feerate: 1000 }
  expect(codeOf(() => closeOutputs({ ...terms, fundingAmount: sat(99_900) }))).toBe('insufficient_funds')
  expect(codeOf(() => closeOutputs({ ...terms, fundingAmount: sat(100_010) }))).toBe('insufficient_funds')
  expect(codeOf(() => closeOutputs({ ...terms, fundingAmount: sat(99_899) }))).toBe('bad_amount')
  // 111 vB without the LSP's output: its 111 sat are the fee.
  expect(closeOutputs({ ...terms, fundingAmount: sat(100_011) })).toMatchObject({ fee: 111n, lspAmount: 0n })
  // Its dust is left to the miners, the next satoshi makes an output.
  const withOutput = 99_900 + 142 + 330
  expect(closeOutputs({ ...terms, fundingAmount: sat(withOutput - 1) })).toMatchObject({ fee: 471n, lspAmount: 0n })
  expect(closeOutputs({ ...terms, fundingAmount: sat(withOutput) })).toMatchObject({ fee: 142n, lspAmount: 330n })
  expect(codeOf(() => closeOutputs({ balances: [], lspScript, feerate: 1000, fundingAmount: sat(400) }))).toBe(
    'insufficient_funds',
  )
  for (const feerate of [999, 0, -1, 1.5, NaN]) {
    expect(codeOf(() => closeOutputs({ ...terms, feerate, fundingAmount: sat(200_000) }))).toBe('bad_parameter')
  }
})

test('the close is one ordinary transaction signed by all, as @scure/btc-signer makes it', () => {
  const outputs = [balance(40_000, 0), balance(50_000, 1), balance(9_000, 2)]
  const close = buildClose({ funding: funding(100_000), keys, outputs, lockTime: 812_345 })
  expect(close).toMatchObject({ role: 'close', class: 'cooperative', index: 0, signers: [0, 1, 2, 3], fee: 1000n })
  expect(close.prevout.script).toEqual(fundingScript(keys))
  const made = new Transaction({ version: 2, lockTime: 812_345 })
  const { script, amount } = close.prevout
  made.addInput({ txid: 'cd'.repeat(32), index: 0, sequence: 0xfffffffd, witnessUtxo: { script, amount } })
  for (const out of outputs) made.addOutput(out)
  expect(bytesToHex(close.tx.bytes)).toBe(bytesToHex(made.unsignedTx))
  expect(bytesToHex(close.sighash)).toBe(bytesToHex(made.preimageWitnessV1(0, [script], 0, [amount])))
  const signed = finalize(close, new Uint8Array(64))
  expect(close.vsize).toBe(Math.ceil((3 * close.tx.bytes.length + signed.length) / 4))
})

test('a close that would not relay is refused', () => {
  const of = (outputs: readonly TxOutput[]): string =>
    codeOf(() => buildClose({ funding: funding(100_000), keys, outputs, lockTime: 0 }))
  expect(of([balance(99_000)])).toBe('accepted')
  expect(of([balance(99_889)])).toBe('accepted')
  expect(of([balance(99_890)])).toBe('bad_proposal')
  expect(of([balance(100_001)])).toBe('bad_proposal')
  expect(of([])).toBe('bad_proposal')
  expect(of([balance(50_000), balance(329, 1)])).toBe('bad_proposal')
  expect(of([{ amount: sat(50_000), script: Uint8Array.of(0x6a) }])).toBe('bad_proposal')
})
