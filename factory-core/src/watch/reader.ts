/** Bytes of a Bitcoin block, read front to back. Every read is checked against the end; nothing is copied. */
import { FactoryError } from '@ln-factory/tlv'

export const badBlock = (what: string): FactoryError =>
  new FactoryError('host_failed', `bad block from the host: ${what}`)

export class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get at(): number {
    return this.#at
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  take(length: number): Uint8Array {
    const start = this.#advance(length)
    return this.#bytes.subarray(start, this.#at)
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1))
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true)
  }

  /** The next byte, left where it is. */
  peek(): number {
    return this.left > 0 ? this.#view.getUint8(this.#at) : -1
  }

  /**
   * A CompactSize in its shortest form: a length in bytes, or a count of things that take at least `size` bytes each, and
   * so can't be more than fit in what is left.
   */
  count(size = 1): number {
    const first = this.u8()
    let value = first
    if (first === 0xfd) value = this.#minimal(this.#view.getUint16(this.#advance(2), true), 0xfd)
    else if (first === 0xfe) value = this.#minimal(this.u32(), 0x10000)
    // Eight bytes would count more than any block holds.
    else if (first === 0xff) throw badBlock('a count that is too large')
    if (value * size > this.left) throw badBlock('truncated')
    return value
  }

  #minimal(value: number, least: number): number {
    if (value < least) throw badBlock('a count that is not minimal')
    return value
  }

  #advance(length: number): number {
    if (length > this.left) throw badBlock('truncated')
    const start = this.#at
    this.#at += length
    return start
  }
}
