/**
 * A secret key that doesn't leak by accident: its bytes are in a private field, so JSON, String, util.inspect, spreading and
 * structuredClone show nothing of them. Only this folder can read them.
 */
import { FactoryError } from '@ln-factory/tlv'
import type { CurveBackend } from './backend.js'
import { defaultBackend } from './backend-select.js'
import { parseScalar } from './scalar.js'

/** The bytes of a key, for the signing code of this folder; not exported by `index.ts`. Not a copy: don't keep it. */
export let secretBytes: (key: SecretKey) => Uint8Array

export class SecretKey {
  readonly #bytes: Uint8Array
  #wiped = false
  /** Compressed, 33 bytes. Computed here, once: each signature has to compare it (BIP-327, Sign). */
  readonly publicKey: Uint8Array

  private constructor(bytes: Uint8Array, publicKey: Uint8Array) {
    this.#bytes = bytes
    this.publicKey = publicKey
  }

  static {
    secretBytes = (key) => {
      if (key.#wiped) throw new FactoryError('bad_key', 'this secret key has been wiped')
      return key.#bytes
    }
  }

  /** Copies 32 bytes. @throws FactoryError `bad_key` when they are not in 1..n-1 */
  static fromBytes(bytes: Uint8Array, backend: CurveBackend = defaultBackend()): SecretKey {
    const scalar = parseScalar(bytes)
    if (scalar === undefined || scalar === 0n)
      throw new FactoryError('bad_key', 'not a secret key (32 bytes, 1 to n-1)')
    return new SecretKey(Uint8Array.from(bytes), backend.compress(backend.multiplySecret(scalar)))
  }

  get wiped(): boolean {
    return this.#wiped
  }

  /** Overwrites the bytes; the key can't sign any more. */
  wipe(): void {
    this.#bytes.fill(0)
    this.#wiped = true
  }

  toJSON(): undefined {
    return undefined
  }

  toString(): string {
    return '[SecretKey]'
  }
}
