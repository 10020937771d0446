/** BIP-340 tagged hashes. */
import { sha256 } from '@noble/hashes/sha2.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'

/** A hash for one tag. The two blocks of the tag are hashed once, here, and not on every call. */
export function tagHasher(tag: string): (...parts: readonly Uint8Array[]) => Uint8Array {
  const tagHash = sha256(utf8ToBytes(tag))
  const prefix = sha256.create().update(tagHash).update(tagHash)
  return (...parts) => {
    const hash = prefix.clone()
    for (const part of parts) hash.update(part)
    return hash.digest()
  }
}

/** SHA-256(SHA-256(tag) || SHA-256(tag) || parts): 32 bytes (BIP-340). */
export const taggedHash = (tag: string, ...parts: readonly Uint8Array[]): Uint8Array => tagHasher(tag)(...parts)
