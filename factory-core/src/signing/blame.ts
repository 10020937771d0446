/**
 * The coordinator's last step. Verifying every partial signature costs more than all the rest of a ceremony, so only the final
 * signature is verified; the partial ones are looked at when it fails, to name who is at fault.
 */
import { bytesToHex } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import { parseScalar } from './scalar.js'
import type { PartialSignature, Session } from './session.js'

export interface SignerPartial extends PartialSignature {
  /** What the caller calls this signer: its participant index. */
  readonly signer: number
}

export type CombineResult =
  | { readonly ok: true; readonly signature: Uint8Array }
  /** `signer` of all whose partial signatures are invalid, in the order given. Never empty. */
  | { readonly ok: false; readonly culprits: readonly number[] }

/**
 * The final signature, verified; or everyone to blame for not having it.
 * @throws FactoryError `bad_parameter` when `partials` are not one for each key of the session; `bad_nonce` when nobody is to
 *   blame because the aggregated nonce is not the sum of these public nonces
 */
export function combineOrBlame(options: {
  readonly session: Session
  readonly partials: readonly SignerPartial[]
}): CombineResult {
  const { session, partials } = options
  requireAllSigners(session, partials)
  if (partials.every(({ signature }) => parseScalar(signature) !== undefined)) {
    const signature = session.combine(partials.map((partial) => partial.signature))
    if (session.verify(signature)) return { ok: true, signature }
  }
  const culprits = partials.filter((partial) => !session.verifyPartial(partial)).map(({ signer }) => signer)
  if (culprits.length > 0) return { ok: false, culprits }
  throw new FactoryError(
    'bad_nonce',
    'all partial signatures are valid, but the aggregated nonce is not the sum of their nonces',
  )
}

function requireAllSigners(session: Session, partials: readonly SignerPartial[]): void {
  const given = partials.map(({ publicKey }) => bytesToHex(publicKey)).sort()
  const wanted = session.aggregate.source.keys.map((key) => bytesToHex(key)).sort()
  if (given.join() !== wanted.join()) {
    throw new FactoryError('bad_parameter', 'there must be one partial signature for each key of the aggregate')
  }
}
