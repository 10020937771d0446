/** PSBTs (BIP 174) as lightningd wants and gives them: base64, one input or many, never a key of ours inside. */
import { FactoryError } from '@ln-factory/tlv'
import { sha256 } from '@noble/hashes/sha2.js'
import { base64, hex } from '@scure/base'
import { RawTx, Script, Transaction } from '@scure/btc-signer'
import { txid, type Sat, type Txid } from '@ln-factory/core/units'

// The leaf is version 3, spends a key that lightningd does not know, and has an anchor.
const LENIENT = {
  allowUnknownVersion: true,
  allowUnknownInputs: true,
  allowUnknownOutputs: true,
  disableScriptCheck: true,
  allowLegacyWitnessUtxo: true,
} as const

type Tx = Pick<ReturnType<typeof RawTx.decode>, 'version' | 'inputs' | 'outputs' | 'lockTime'>

/** Transaction id: of what a legacy serialisation holds. */
function idOf({ version, inputs, outputs, lockTime }: Tx): Txid {
  const stripped = RawTx.encode({ version, segwitFlag: false, inputs, outputs, witnesses: [], lockTime })
  return txid(hex.encode(sha256(sha256(stripped)).reverse()))
}

/** Transaction id of a serialised transaction, with or without witnesses. */
export const txidOf = (raw: Uint8Array): Txid => idOf(RawTx.decode(raw))

/** PSBT of an unsigned transaction whose one input spends `prevout`. */
export function unsignedPsbt(leaf: Uint8Array, prevout: { amount: Sat; script: Uint8Array }): string {
  const tx = Transaction.fromRaw(leaf, LENIENT)
  if (tx.inputsLength !== 1) throw new FactoryError('bad_parameter', 'a leaf has one input')
  tx.updateInput(0, { witnessUtxo: { amount: prevout.amount, script: prevout.script } })
  return base64.encode(tx.toPSBT(0))
}

/**
 * The same PSBT, final, with a witness that no one can ever make valid: 64 zero bytes, and x = 0 is on no point of the curve,
 * so it is no BIP 340 signature of anything.
 */
export function withInvalidWitness(psbt: string): string {
  const tx = Transaction.fromPSBT(base64.decode(psbt), LENIENT)
  for (let i = 0; i < tx.inputsLength; i++) tx.updateInput(i, { finalScriptWitness: [new Uint8Array(64)] }, true)
  return base64.encode(tx.toPSBT())
}

interface ScriptSigParts {
  readonly finalScriptSig?: Uint8Array
  readonly redeemScript?: Uint8Array
}

/** Id that the transaction has when its signatures are in: only the script of a nested (P2SH) input can change it. */
export function signedTxid(psbt: string): Txid {
  const tx = Transaction.fromPSBT(base64.decode(psbt), LENIENT)
  const raw = RawTx.decode(tx.unsignedTx)
  const inputs = raw.inputs.map((input, i) => {
    const { finalScriptSig, redeemScript }: ScriptSigParts = tx.getInput(i)
    const finalScript =
      finalScriptSig ?? (redeemScript === undefined ? new Uint8Array() : Script.encode([redeemScript]))
    return { ...input, finalScriptSig: finalScript }
  })
  return idOf({ ...raw, inputs })
}

/** Index of the only output with this script and amount. */
export function findOutput(raw: Uint8Array, script: Uint8Array, amount: Sat): number {
  const wanted = hex.encode(script)
  const outputs: readonly Output[] = RawTx.decode(raw).outputs
  const found = outputs.flatMap((out, i) => (hex.encode(out.script) === wanted && out.amount === amount ? [i] : []))
  if (found.length !== 1)
    throw new FactoryError('host_failed', 'funding transaction has not exactly one output for the factory')
  return found[0] as number
}

interface Output {
  readonly amount: bigint
  readonly script: Uint8Array
}
