/** What the funding transaction paid: known from its PSBT, which holds the coins that it spends. */
import { base64 } from '@scure/base'
import { Transaction } from '@scure/btc-signer'
import { sat, type Sat } from '../units/index.js'

/** undefined when the PSBT does not tell what all its inputs hold. */
export function fundingFee(psbt: string): Sat | undefined {
  const tx = Transaction.fromPSBT(base64.decode(psbt), { allowUnknownOutputs: true, allowUnknownInputs: true })
  let fee = 0n
  for (let i = 0; i < tx.inputsLength; i += 1) {
    const { witnessUtxo, nonWitnessUtxo, index } = tx.getInput(i)
    const amount = witnessUtxo?.amount ?? (index === undefined ? undefined : nonWitnessUtxo?.outputs[index]?.amount)
    if (amount === undefined) return undefined
    fee += amount
  }
  for (let i = 0; i < tx.outputsLength; i += 1) fee -= tx.getOutput(i).amount ?? 0n
  return fee < 0n ? undefined : sat(fee)
}
