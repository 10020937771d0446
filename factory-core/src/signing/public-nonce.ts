/** Public nonces: what signers send (66 bytes, two compressed points), and their sum (BIP-327 NonceAgg). */
import { concatBytes } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import type { CurveBackend, Point } from './backend.js'
import { defaultBackend } from './backend-select.js'

export interface NoncePair {
  readonly first: Point
  readonly second: Point
}

/** A signer's nonce, checked and decompressed once. */
export interface PublicNonce extends NoncePair {
  /** 66 bytes. */
  readonly bytes: Uint8Array
}

/** Undefined when these are not 66 bytes of two points of the curve. Infinity is no signer's nonce. */
export function parsePublicNonce(bytes: Uint8Array, backend: CurveBackend = defaultBackend()): PublicNonce | undefined {
  if (bytes.length !== 66) return undefined
  const first = backend.parse(bytes.subarray(0, 33))
  const second = backend.parse(bytes.subarray(33))
  return first === undefined || second === undefined ? undefined : { bytes: Uint8Array.from(bytes), first, second }
}

/**
 * The aggregate of all signers' nonces, 66 bytes. Half of it, or all, may be infinity (33 zero bytes).
 * @param names what to call the signers in errors; without it, their positions
 * @throws FactoryError `bad_nonce` naming the first signer whose nonce is invalid; `bad_parameter` without nonces
 */
export function aggregateNonces(
  nonces: readonly (Uint8Array | PublicNonce)[],
  names: readonly string[] = [],
  backend: CurveBackend = defaultBackend(),
): Uint8Array {
  if (nonces.length === 0) throw new FactoryError('bad_parameter', 'no nonces to aggregate')
  const parsed = nonces.map((nonce, index) => {
    const pair = nonce instanceof Uint8Array ? parsePublicNonce(nonce, backend) : nonce
    if (pair !== undefined) return pair
    const who = names[index] ?? `participant ${index}`
    throw new FactoryError('bad_nonce', `the public nonce of ${who} is not two compressed curve points (66 bytes)`)
  })
  return concatBytes(
    backend.compress(backend.sum(parsed.map((nonce) => nonce.first))),
    backend.compress(backend.sum(parsed.map((nonce) => nonce.second))),
  )
}

/** An aggregate as the coordinator sends it: either half may be infinity. Undefined when it is malformed. */
export function parseAggregatedNonce(bytes: Uint8Array, backend: CurveBackend): NoncePair | undefined {
  if (bytes.length !== 66) return undefined
  const half = (part: Uint8Array): Point | undefined =>
    part.every((byte) => byte === 0) ? backend.infinity : backend.parse(part)
  const first = half(bytes.subarray(0, 33))
  const second = half(bytes.subarray(33))
  return first === undefined || second === undefined ? undefined : { first, second }
}
