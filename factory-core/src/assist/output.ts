/**
 * The output of an assisted exit, the client's claim of it, and the LSP's way to take it back. The claim reveals to the LSP a preimage, in
 * the witness, and a secret key, in the difference between its pre-signature and its signature.
 */
import { equalBytes } from '@noble/curves/utils.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { aggregateKeys, extractSecret } from '../signing/index.js'
import { decodeTx } from '../tree/decode.js'
import { claimScript, cltvScript, controlBlock, p2tr, tapBranchHash, tapLeafHash } from '../tree/script.js'
import { feeFor, signatureHash, unsignedTx, withWitness } from '../tree/tx.js'
import type { SpendKey, UnsignedTx } from '../tree/types.js'
import { outPointKey, sat, type BlockHeight, type OutPoint, type Sat } from '../units/index.js'
import { claimFee, TAKE_BACK_VSIZE } from './terms.js'

type Leaf = Extract<SpendKey, { path: 'script' }>

/** What the script of the output is made of. Keys are compressed, 33 bytes. */
export interface OutputTerms {
  /** Fresh, of the client. */
  readonly clientKey: Uint8Array
  /** Fresh, of the LSP. */
  readonly lspKey: Uint8Array
  /** 32 bytes. */
  readonly hash: Uint8Array
  readonly timeout: BlockHeight
}

export interface AssistOutput {
  /** P2TR, 34 bytes. */
  readonly script: Uint8Array
  readonly claim: Leaf
  readonly takeBack: Leaf
}

const xonly = (key: Uint8Array): Uint8Array => key.subarray(1)

export function assistOutput({ clientKey, lspKey, hash, timeout }: OutputTerms): AssistOutput {
  // Nobody signs with it: a key that neither side has is all that the key path needs.
  const internal = aggregateKeys([clientKey, lspKey])
  const claim = claimScript(hash, xonly(clientKey), xonly(lspKey))
  const back = cltvScript(timeout, xonly(lspKey))
  const output = internal.taproot(tapBranchHash(tapLeafHash(claim), tapLeafHash(back)))
  const leaf = (leafScript: Uint8Array, sibling: Uint8Array): Leaf => ({
    path: 'script',
    leafScript,
    controlBlock: controlBlock(output.parity, internal.xonly, tapLeafHash(sibling)),
  })
  return { script: p2tr(output.xonly), claim: leaf(claim, back), takeBack: leaf(back, claim) }
}

/** An output that is there, or will be. */
export interface PlacedOutput extends OutputTerms {
  readonly outpoint: OutPoint
  readonly amount: Sat
}

export interface AssistSpend {
  readonly tx: UnsignedTx
  /** BIP-341, SIGHASH_DEFAULT, 32 bytes. */
  readonly sighash: Uint8Array
  readonly key: Leaf
  readonly fee: Sat
}

const SEQUENCE = 0xfffffffd

/** @param feerate sat per 1000 vB, one of `claimFeerates` */
export function buildClaim(output: PlacedOutput, payoutScript: Uint8Array, feerate: number): AssistSpend {
  const { script, claim } = assistOutput(output)
  return spend(output, script, claim, payoutScript, claimFee(payoutScript, feerate), 0)
}

/** @param script of the LSP's wallet, at most 34 bytes */
export function buildTakeBack(output: PlacedOutput, script: Uint8Array, feerate: number): AssistSpend {
  const { script: own, takeBack } = assistOutput(output)
  return spend(output, own, takeBack, script, feeFor(TAKE_BACK_VSIZE, feerate), output.timeout)
}

function spend(
  { outpoint, amount }: PlacedOutput,
  script: Uint8Array,
  key: Leaf,
  to: Uint8Array,
  fee: bigint,
  lockTime: number,
): AssistSpend {
  const outputs = [{ amount: sat(amount - fee), script: to }]
  const tx = unsignedTx({ version: 2, lockTime, sequence: SEQUENCE, input: outpoint, outputs })
  return { tx, sighash: signatureHash(tx, { amount, script }, key), key, fee: sat(fee) }
}

/** With witness; nothing is verified here. Signatures are 64 bytes, the preimage 32. */
export const finalizeClaim = (
  { tx, key }: AssistSpend,
  signed: { readonly lsp: Uint8Array; readonly client: Uint8Array; readonly preimage: Uint8Array },
): Uint8Array => withWitness(tx, [signed.lsp, signed.client, signed.preimage, key.leafScript, key.controlBlock])

export const finalizeTakeBack = ({ tx, key }: AssistSpend, signature: Uint8Array): Uint8Array =>
  withWitness(tx, [signature, key.leafScript, key.controlBlock])

export interface Revealed {
  /** 32 bytes, of the terms' hash. */
  readonly preimage: Uint8Array
  /** The secret key of the point, 32 bytes; undefined when the signature in it came of none of these pre-signatures. */
  readonly secret: Uint8Array | undefined
}

/**
 * What a transaction that spends the output tells the LSP; undefined when it is no claim.
 * @param preSignatures 65 bytes each
 * @param point the factory key that they are encrypted to, 33 bytes
 * @throws FactoryError `bad_parameter` when `raw` is no transaction
 */
export function readClaim(
  raw: Uint8Array,
  { outpoint, hash }: PlacedOutput,
  preSignatures: readonly Uint8Array[],
  point: Uint8Array,
): Revealed | undefined {
  const input = decodeTx(raw).inputs.find((i) => outPointKey(i.outpoint) === outPointKey(outpoint))
  const [lsp, , preimage] = input?.witness ?? []
  if (lsp === undefined || preimage?.length !== 32 || !equalBytes(sha256(preimage), hash)) return undefined
  for (const preSignature of preSignatures) {
    const secret = extractSecret(preSignature, lsp.subarray(0, 64), point)
    if (secret !== undefined) return { preimage, secret }
  }
  return { preimage, secret: undefined }
}
