import { FactoryError } from './error.js'

const outOfRange = (type: string, value: number | bigint): FactoryError =>
  new FactoryError('wire_value', `${value.toString()} does not fit ${type}`)

/** Writes the fundamental types of BOLT 1. Refuses (`wire_value`) what the type can't hold instead of wrapping round. */
export class Writer {
  #bytes = new Uint8Array(256)
  #length = 0

  u8(value: number): this {
    return this.#number('u8', value, 1)
  }

  u16(value: number): this {
    return this.#number('u16', value, 2)
  }

  u32(value: number): this {
    return this.#number('u32', value, 4)
  }

  u64(value: bigint): this {
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw outOfRange('u64', value)
    const start = this.#grow(8)
    new DataView(this.#bytes.buffer).setBigUint64(start, value)
    return this
  }

  /** Two's complement. */
  s64(value: bigint): this {
    if (value < -(1n << 63n) || value >= 1n << 63n) throw outOfRange('s64', value)
    return this.u64(BigInt.asUintN(64, value))
  }

  /** Truncated integer (`tu16`, `tu32`, `tu64`): big-endian without leading zeros, so 0 is no byte at all. */
  truncated(value: bigint, size: 2 | 4 | 8): this {
    if (value < 0n || value >> BigInt(8 * size) !== 0n) throw outOfRange(`tu${8 * size}`, value)
    const bytes: number[] = []
    for (let rest = value; rest > 0n; rest >>= 8n) bytes.unshift(Number(rest & 0xffn))
    return this.bytes(Uint8Array.from(bytes))
  }

  /** BigSize, BOLT 1 appendix A; always the shortest form. */
  bigSize(value: bigint): this {
    if (value < 0n) throw outOfRange('BigSize', value)
    if (value < 0xfdn) return this.u8(Number(value))
    if (value < 0x1_0000n) return this.u8(0xfd).u16(Number(value))
    if (value < 0x1_0000_0000n) return this.u8(0xfe).u32(Number(value))
    return this.u8(0xff).u64(value)
  }

  bytes(value: Uint8Array): this {
    const start = this.#grow(value.length)
    this.#bytes.set(value, start)
    return this
  }

  /** A copy of all that was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  #number(type: string, value: number, size: number): this {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * size)) throw outOfRange(type, value)
    const start = this.#grow(size)
    for (let i = size - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) this.#bytes[start + i] = rest % 256
    return this
  }

  #grow(size: number): number {
    const start = this.#length
    this.#length += size
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length))
      larger.set(this.#bytes.subarray(0, start))
      this.#bytes = larger
    }
    return start
  }
}
