/** PSBTs (BIP 174) as lightningd wants and gives them: base64, one input or many, never a key of ours inside. */
import { FactoryError } from '@ln-factory/tlv'
import { sha256 } from '@noble/hashes/sha2.js'
import { base64, hex } from '@scure/base'
import { RawTx, Script, Transaction } from '@scure/btc-signer'
import type { WalletCoin } from '@ln-factory/core/host'
import { decodeTx } from '@ln-factory/core/tree'
import { txid, type OutPoint, type Sat, type Txid } from '@ln-factory/core/units'

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

/** What a transaction in legacy serialisation spends. */
export const inputsOf = (raw: Uint8Array): OutPoint[] => decodeTx(raw).inputs.map((input) => input.outpoint)

/** Transaction id of a serialised transaction, with or without witnesses. */
export const txidOf = (raw: Uint8Array): Txid => idOf(RawTx.decode(raw))

/** PSBT of an unsigned transaction whose one input spends `prevout`. */
export function unsignedPsbt(leaf: Uint8Array, prevout: { amount: Sat; script: Uint8Array }): string {
  if (RawTx.decode(leaf).inputs.length !== 1) throw new FactoryError('bad_parameter', 'a leaf has one input')
  return unsignedPsbtOf(leaf, [prevout])
}

/** PSBT of an unsigned transaction whose inputs spend `prevouts`, in order. */
export function unsignedPsbtOf(
  unsigned: Uint8Array,
  prevouts: readonly { readonly amount: Sat; readonly script: Uint8Array }[],
): string {
  const tx = Transaction.fromRaw(unsigned, LENIENT)
  if (tx.inputsLength !== prevouts.length)
    throw new FactoryError('bad_parameter', `${prevouts.length} outputs are named for ${tx.inputsLength} inputs`)
  for (const [i, { amount, script }] of prevouts.entries()) tx.updateInput(i, { witnessUtxo: { amount, script } })
  return base64.encode(tx.toPSBT(0))
}

/** A PSBT that names this coin and does nothing with it: what lightningd's reservations are asked for with. */
export function coinPsbt({ outpoint, amount, script }: WalletCoin): string {
  const tx = new Transaction(LENIENT)
  tx.addInput({ txid: outpoint.txid, index: outpoint.vout, witnessUtxo: { amount, script } })
  return base64.encode(tx.toPSBT(0))
}

/** Witness of a signed P2WPKH or P2TR key path input. @throws FactoryError `host_failed` when it has no signature */
export function inputWitness(psbt: string, input: number): Uint8Array[] {
  const { finalScriptWitness, tapKeySig, partialSig }: SignedInput = Transaction.fromPSBT(
    base64.decode(psbt),
    LENIENT,
  ).getInput(input)
  if (finalScriptWitness !== undefined) return [...finalScriptWitness]
  if (tapKeySig !== undefined) return [tapKeySig]
  const [pair] = partialSig ?? []
  if (pair === undefined) throw new FactoryError('host_failed', `the wallet did not sign input ${input}`)
  const [publicKey, signature] = pair
  return [signature, publicKey]
}

interface SignedInput {
  readonly finalScriptWitness?: Uint8Array[]
  readonly tapKeySig?: Uint8Array
  readonly partialSig?: [Uint8Array, Uint8Array][]
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
