import { FactoryKeys } from './keys.js'
import { sharedScript } from './spends.js'

/**
 * The funding output's script: P2TR of all participants, key path only. 34 bytes.
 * @param keys compressed, of all participants, LSP first
 * @throws FactoryError `bad_key` naming the participant
 */
export function fundingScript(keys: readonly Uint8Array[] | FactoryKeys): Uint8Array {
  const ring = keys instanceof FactoryKeys ? keys : new FactoryKeys(keys)
  return sharedScript(ring, { from: 0, to: ring.keys.length - 1, children: [] })
}
