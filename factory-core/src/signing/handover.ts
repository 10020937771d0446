/**
 * The one way a secret key leaves this folder as bytes: a client hands its factory key to the LSP, as the preimage of its last
 * payment or in a message (DESIGN.md invariant 9). Who calls it owes that no claim of the owner depends on the key any more.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { secretBytes, type SecretKey } from './secret-key.js'

/** SHA-256 of the key's 32 bytes: the payment hash that buys it. */
export const handoverHash = (key: SecretKey): Uint8Array => sha256(secretBytes(key))

/** The key's bytes, a copy. */
export const handOver = (key: SecretKey): Uint8Array => Uint8Array.from(secretBytes(key))
