/** Signers of one session, for tests: keys, nonces and partial signatures of everyone. */
import {
  aggregateKeys,
  aggregateNonces,
  generateNonce,
  openSession,
  type CurveBackend,
  type KeyAggregate,
  type SecretKey,
  type SecretNonce,
  type Session,
  type SignerPartial,
  type TweakedAggregate,
} from '../../src/signing/index.js'
import { bytesOf, keyOf } from './support.js'

export interface Member {
  readonly key: SecretKey
  readonly nonce: SecretNonce
  readonly publicNonce: Uint8Array
}

export interface Party {
  readonly aggregate: TweakedAggregate
  readonly message: Uint8Array
  readonly members: readonly Member[]
  readonly aggregatedNonce: Uint8Array
  readonly session: Session
  /** Everyone's partial signature, members numbered from 0. Can be asked for once. */
  readonly partials: () => SignerPartial[]
}

let drawn = 0
/** Never the same twice in a run. */
export const entropy = (): Uint8Array => bytesOf(`entropy ${drawn++}`)

export const message = bytesOf('sighash')

export function partyOf(
  names: readonly string[],
  backend: CurveBackend,
  tweak: (aggregate: KeyAggregate) => TweakedAggregate = (aggregate) => aggregate.taproot(undefined),
): Party {
  const keys = names.map((name) => keyOf(name, backend))
  const aggregate = tweak(
    aggregateKeys(
      keys.map((key) => key.publicKey),
      backend,
    ),
  )
  const members = keys.map((key): Member => {
    const nonce = generateNonce({ secretKey: key, aggregate, message, entropy })
    return { key, nonce: nonce.secret, publicNonce: nonce.public }
  })
  const aggregatedNonce = aggregateNonces(
    members.map((member) => member.publicNonce),
    [],
    backend,
  )
  const session = openSession({ aggregate, message, aggregatedNonce })
  const partials = (): SignerPartial[] =>
    members.map(({ key, nonce, publicNonce }, signer) => ({
      signer,
      signature: session.sign(nonce, key),
      publicNonce,
      publicKey: key.publicKey,
    }))
  return { aggregate, message, members, aggregatedNonce, session, partials }
}
