import { bytesToHex } from '@noble/hashes/utils.js'
import { Transaction } from '@scure/btc-signer'
import { expect, test } from 'vitest'
import { FactoryError } from '@ln-factory/tlv'
import { buildStockSweep, finalizeStockSweep } from '../../src/tree/index.js'
import type { Spend } from '../../src/tree/index.js'
import { sat } from '../../src/units/index.js'
import { keyOf, p2wpkh, treeOf } from './fixtures.js'

const tree = treeOf(3)
const poison = tree.spends.find((s) => s.role === 'poison') as Spend
const common = { params: tree.spec.params, lspKey: keyOf(0), poison, script: p2wpkh('lsp'), feerate: 1500 }
const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof FactoryError) return error.code
    throw error
  }
  return 'accepted'
}

test('the LSP takes the stock back, less the fee, after its CSV and no sooner', () => {
  const sweep = buildStockSweep(common)
  const { script, amount, outpoint } = poison.prevout
  expect(sweep.tx.input).toEqual(outpoint)
  expect(sweep.tx.sequence).toBe(tree.spec.params.stockCsv)
  expect(sweep.tx.outputs).toEqual([{ amount: amount - sweep.fee, script: common.script }])
  expect(sweep.fee).toBe(BigInt(Math.ceil(sweep.vsize * 1.5)))
  const made = Transaction.fromRaw(sweep.tx.bytes)
  const message = made.preimageWitnessV1(0, [script], 0, [amount], undefined, sweep.key.leafScript)
  expect(bytesToHex(sweep.sighash)).toBe(bytesToHex(message))
  const signed = finalizeStockSweep(sweep, new Uint8Array(64))
  expect(sweep.vsize).toBe(Math.ceil((3 * sweep.tx.bytes.length + signed.length) / 4))
})

test('invariant 11: what can not be swept so is refused', () => {
  const other = tree.spends[0] as Spend
  expect(codeOf(() => buildStockSweep({ ...common, poison: other }))).toBe('bad_parameter')
  expect(codeOf(() => buildStockSweep({ ...common, feerate: 999 }))).toBe('bad_parameter')
  expect(codeOf(() => buildStockSweep({ ...common, script: Uint8Array.of(0x6a) }))).toBe('bad_parameter')
  expect(codeOf(() => buildStockSweep({ ...common, feerate: 400_000 }))).toBe('insufficient_funds')
  const poor = { ...poison, prevout: { ...poison.prevout, amount: sat(400) } }
  expect(codeOf(() => buildStockSweep({ ...common, poison: poor }))).toBe('insufficient_funds')
  expect(codeOf(() => finalizeStockSweep(buildStockSweep(common), new Uint8Array(65)))).toBe('bad_signature')
})
