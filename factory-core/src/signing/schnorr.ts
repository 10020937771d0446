/** BIP-340 over 32-byte messages (sighashes). */
import { FactoryError } from '@ln-factory/tlv'
import type { CurveBackend, SchnorrItem } from './backend.js'
import { defaultBackend } from './backend-select.js'
import { secretBytes, type SecretKey } from './secret-key.js'

/** False for anything malformed, too. */
export const verifySchnorr = (item: SchnorrItem, backend: CurveBackend = defaultBackend()): boolean =>
  backend.verifySchnorr(item)

/** True when all verify. Which one doesn't is for `verifySchnorr` to say. */
export const verifySchnorrBatch = (items: readonly SchnorrItem[], backend: CurveBackend = defaultBackend()): boolean =>
  backend.verifySchnorrBatch(items)

/**
 * A single-key signature, 64 bytes: the LSP's own tapleaf of a stock. `aux`: 32 random bytes.
 * @throws FactoryError `bad_parameter` when message or aux are not 32 bytes
 */
export function signSchnorr(
  options: { readonly secretKey: SecretKey; readonly message: Uint8Array; readonly aux: Uint8Array },
  backend: CurveBackend = defaultBackend(),
): Uint8Array {
  const { secretKey, message, aux } = options
  if (message.length !== 32) throw new FactoryError('bad_parameter', `a sighash has 32 bytes, not ${message.length}`)
  if (aux.length !== 32) throw new FactoryError('bad_parameter', `aux has 32 bytes, not ${aux.length}`)
  return backend.signSchnorr(message, secretBytes(secretKey), aux)
}
