/**
 * Feature bit of bLIP-56, `pluggable_channel_factories`. Odd: a node that doesn't know it may ignore it. The even bit of the
 * pair would make it compulsory; a peer that sets it speaks bLIP-56 all the same.
 */
export const FACTORY_FEATURE = 271

/** A feature vector with bit 271 alone, as `init` and `node_announcement` carry it: 34 bytes, big-endian. */
export function featureBits(): Uint8Array {
  const bits = new Uint8Array(34)
  bits[0] = 0x80
  return bits
}

/** Is bit 271 or 270 set in this feature vector (BOLT 9: bit 0 is the lowest of the last byte)? */
export function hasFactoryFeature(features: Uint8Array): boolean {
  const byte = features[features.length - 1 - Math.floor(FACTORY_FEATURE / 8)] ?? 0
  return (byte & 0b1100_0000) !== 0
}
