/**
 * Scalars modulo the group order n, as bigints. JavaScript's bigints are neither constant-time nor erasable; what is secret
 * and lives longer than one call is therefore kept as bytes (`SecretKey`, `SecretNonce`) and becomes a bigint only while
 * it is used.
 */
import { bytesToNumberBE, numberToBytesBE } from '@noble/curves/utils.js'

/** Order of secp256k1's group. */
export const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

export function mod(value: bigint): bigint {
  const rest = value % N
  return rest < 0n ? rest + N : rest
}

/** 32 bytes, big-endian. */
export const scalarBytes = (scalar: bigint): Uint8Array => numberToBytesBE(scalar, 32)

/** `int(x) mod n`: for hashes, which BIP-327 and BIP-340 reduce. */
export const reduceScalar = (bytes: Uint8Array): bigint => mod(bytesToNumberBE(bytes))

/** A scalar that somebody sent: exactly 32 bytes and below n, else undefined. */
export function parseScalar(bytes: Uint8Array): bigint | undefined {
  if (bytes.length !== 32) return undefined
  const value = bytesToNumberBE(bytes)
  return value < N ? value : undefined
}
