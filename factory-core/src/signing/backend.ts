/**
 * What MuSig2 needs of a curve library, and no more. Two adapters exist: `backend-tiny.ts` (libsecp256k1 as WASM) and
 * `backend-noble.ts` (plain JavaScript). Everything above this line is the same for both.
 */

/** A point of secp256k1, infinity included. Opaque: only the back end that made it may look inside. */
export interface Point {
  readonly isInfinity: boolean
}

export interface SchnorrItem {
  /** 64 bytes. */
  readonly signature: Uint8Array
  /** 32 bytes. */
  readonly message: Uint8Array
  /** x-only, 32 bytes. */
  readonly publicKey: Uint8Array
}

/**
 * Scalars are bigints in 0..n-1. Functions of public values may run in variable time; those that take a secret say so. A
 * point of another back end is a programming error and throws `internal`.
 */
export interface CurveBackend {
  readonly name: 'tiny-secp256k1' | '@noble/curves'
  readonly infinity: Point
  readonly generator: Point
  /** secret * G, as evenly timed as the library can; 1..n-1. */
  multiplySecret(secret: bigint): Point
  /** Sum of scalar_i * point_i. Public values only. */
  combine(terms: readonly (readonly [scalar: bigint, point: Point])[]): Point
  sum(points: readonly Point[]): Point
  negate(point: Point): Point
  equal(a: Point, b: Point): boolean
  hasEvenY(point: Point): boolean
  /** 33 bytes compressed, 02 or 03 first; undefined when that is no point of the curve. */
  parse(bytes: Uint8Array): Point | undefined
  /** 33 bytes; infinity gives 33 zero bytes, as BIP-327's cbytes_ext does. */
  compress(point: Point): Uint8Array
  /** BIP-340 over 32-byte messages. Malformed input is `false`, never an error. */
  verifySchnorr(item: SchnorrItem): boolean
  /** True when every item verifies. */
  verifySchnorrBatch(items: readonly SchnorrItem[]): boolean
  /** BIP-340; `secretKey` 32 bytes in 1..n-1, `aux` 32 bytes. Returns 64 bytes. */
  signSchnorr(message: Uint8Array, secretKey: Uint8Array, aux: Uint8Array): Uint8Array
}
