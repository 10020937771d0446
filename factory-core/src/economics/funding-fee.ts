/** What the funding transaction paid: known from its PSBT, which holds the coins that it spends. */
import { base64 } from '@scure/base'
import { Transaction } from '@scure/btc-signer'
import { sat, type Sat } from '../units/index.js'

/** undefined when it is none that can be read, or does not tell what all its inputs hold: whose it is, is the host's business. */
export function fundingFee(psbt: string): Sat | undefined {
  try {
    return feeOf(Transaction.fromPSBT(base64.decode(psbt), { allowUnknownOutputs: true, allowUnknownInputs: true }))
  } catch {
    return undefined
  }
}

function feeOf(tx: Transaction): Sat | undefined {
  let fee = 0n
  for (let i = 0; i < tx.inputsLength; i += 1) {
    const { witnessUtxo } = tx.getInput(i)
    if (witnessUtxo === undefined) return undefined
    fee += witnessUtxo.amount
  }
  for (let i = 0; i < tx.outputsLength; i += 1) fee -= tx.getOutput(i).amount ?? 0n
  return sat(fee)
}
