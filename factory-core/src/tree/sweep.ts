/** How the LSP takes an unsold stock back, alone, once a leaf is on chain and the CSV has passed. */
import { FactoryError } from '@ln-factory/tlv'
import { sat, type Sat } from '../units/index.js'
import { DUST } from './params.js'
import { isPayoutScript } from './script.js'
import { stockCsvBranch } from './stock.js'
import { feeFor, signatureHash, signedVsize, unsignedTx, withWitness } from './tx.js'
import type { Spend, SpendKey, TreeParams, UnsignedTx } from './types.js'

export interface StockSweep {
  readonly tx: UnsignedTx
  /** BIP-341 signature hash, SIGHASH_DEFAULT, 32 bytes; signed with the LSP's plain factory key. */
  readonly sighash: Uint8Array
  readonly key: Extract<SpendKey, { path: 'script' }>
  readonly fee: Sat
  readonly vsize: number
}

/**
 * @param sweep `poison`: that of the stock, of the leaf state that confirmed; `script`: where to; `feerate`: sat per 1000 vB
 * @throws FactoryError `bad_parameter`; `insufficient_funds` when nothing would be left
 */
export function buildStockSweep(sweep: {
  readonly params: TreeParams
  readonly lspKey: Uint8Array
  readonly poison: Spend
  readonly script: Uint8Array
  readonly feerate: number
}): StockSweep {
  const { params, lspKey, poison, script, feerate } = sweep
  if (!Number.isSafeInteger(feerate) || feerate < 1000) {
    throw new FactoryError('bad_parameter', `feerate is ${feerate} sat per 1000 vB, and must be at least 1000`)
  }
  if (!isPayoutScript(script)) throw new FactoryError('bad_parameter', 'the script is none of P2WPKH, P2WSH, P2TR')
  const key = stockCsvBranch(params, lspKey, poison)
  const vsize = signedVsize([script.length], [64, key.leafScript.length, key.controlBlock.length])
  const { prevout } = poison
  const fee = feeFor(vsize, feerate)
  if (prevout.amount - fee < DUST) {
    throw new FactoryError('insufficient_funds', `the stock of ${prevout.amount} sat doesn't pay a fee of ${fee}`)
  }
  const outputs = [{ amount: sat(prevout.amount - fee), script }]
  const tx = unsignedTx({ version: 2, lockTime: 0, sequence: params.stockCsv, input: prevout.outpoint, outputs })
  return { tx, sighash: signatureHash(tx, prevout, key), key, fee: sat(fee), vsize }
}

/** With witness. `signature`: 64 bytes, not verified here. @throws FactoryError `bad_signature` for another length */
export function finalizeStockSweep({ tx, key }: StockSweep, signature: Uint8Array): Uint8Array {
  if (signature.length !== 64) {
    throw new FactoryError('bad_signature', `the signature of the sweep has ${signature.length} bytes, not 64`)
  }
  return withWitness(tx, [signature, key.leafScript, key.controlBlock])
}
