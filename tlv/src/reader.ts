import { FactoryError } from './error.js'

/**
 * Reads the fundamental types of BOLT 1 from a byte string, front to back. Every read is checked against what is left, so a
 * declared length can never make it allocate more than the input holds.
 */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #offset = 0

  constructor(bytes: Uint8Array) {
    // A plain view: `slice` of a Node Buffer would share memory with the caller, that of a Uint8Array copies.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#bytes.length - this.#offset
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2))
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4))
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8))
  }

  /** Two's complement. */
  s64(): bigint {
    return this.#view.getBigInt64(this.#advance(8))
  }

  /**
   * Truncated integer (`tu16`, `tu32`, `tu64`): all that is left, which must be at most `size` bytes without a leading zero.
   *
   * @throws `wire_length` when longer, `wire_non_minimal` with a leading zero.
   */
  truncated(size: 2 | 4 | 8): bigint {
    if (this.left > size)
      throw new FactoryError('wire_length', `truncated integer of ${this.left} bytes, at most ${size}`)
    const bytes = this.rest()
    if (bytes[0] === 0) throw new FactoryError('wire_non_minimal', 'truncated integer starts with a zero byte')
    return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n)
  }

  /**
   * BigSize, BOLT 1 appendix A.
   *
   * @throws `wire_non_minimal` when fewer bytes would do, so that each value has one encoding.
   */
  bigSize(): bigint {
    const first = this.u8()
    if (first < 0xfd) return BigInt(first)
    const value = first === 0xff ? this.u64() : BigInt(first === 0xfe ? this.u32() : this.u16())
    const least = first === 0xff ? 0x1_0000_0000n : first === 0xfe ? 0x1_0000n : 0xfdn
    if (value < least)
      throw new FactoryError('wire_non_minimal', `BigSize ${value.toString()} is not minimally encoded`)
    return value
  }

  /** A copy of the next `length` bytes. */
  bytes(length: number): Uint8Array {
    const start = this.#advance(length)
    return this.#bytes.slice(start, start + length)
  }

  /** A copy of all that is left. */
  rest(): Uint8Array {
    return this.bytes(this.left)
  }

  /** @throws `wire_length` when bytes are left. */
  end(): void {
    if (this.left !== 0) throw new FactoryError('wire_length', `${this.left} bytes too many`)
  }

  #advance(length: number): number {
    if (length > this.left) {
      throw new FactoryError('wire_truncated', `${length} bytes needed at offset ${this.#offset}, ${this.left} left`)
    }
    const start = this.#offset
    this.#offset += length
    return start
  }
}
