/** From a final signature to a transaction that can be broadcast. */
import { equalBytes } from '@noble/curves/utils.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { FactoryError } from '@ln-factory/tlv'
import { poisonHashOf } from './script.js'
import { withWitness } from './tx.js'
import type { Spend } from './types.js'

/**
 * Serialisation with witness. `signature`: 64 bytes, not verified here. `preimage`: 32 bytes, for a poison and nothing else.
 * @throws FactoryError `bad_signature` for another length; `bad_parameter` when the preimage is missing, wrong or not wanted
 */
export function finalize(
  spend: Pick<Spend, 'id' | 'tx' | 'key'>,
  signature: Uint8Array,
  preimage?: Uint8Array,
): Uint8Array {
  if (signature.length !== 64) {
    throw new FactoryError('bad_signature', `the signature of ${spend.id} has ${signature.length} bytes, not 64`)
  }
  if (spend.key.path === 'key') {
    if (preimage !== undefined) throw new FactoryError('bad_parameter', `${spend.id} takes no preimage`)
    return withWitness(spend.tx, [signature])
  }
  const { leafScript, controlBlock } = spend.key
  if (preimage?.length !== 32 || !equalBytes(sha256(preimage), poisonHashOf(leafScript))) {
    throw new FactoryError('bad_parameter', `${spend.id} needs the 32-byte preimage of its poison hash`)
  }
  return withWitness(spend.tx, [signature, preimage, leafScript, controlBlock])
}
