/** How far the follower is, and the hashes of the last blocks it took, by which it finds where a reorganisation began. */
import { FactoryError } from '@ln-factory/tlv'
import { decodeState, encodeState } from '../store/codec.js'
import { blockHeight, type BlockHeight } from '../units/index.js'

/** Blocks that a reorganisation may replace and be followed. The deepest on mainnet since 2013 replaced a handful. */
export const REORG_DEPTH = 144

const HASH = /^[0-9a-f]{64}$/

export class Position {
  /** The block at this height is the last one that was taken. */
  readonly height: BlockHeight
  /** Oldest first; the last is the hash at `height`. Never empty, at most REORG_DEPTH + 1. */
  readonly #hashes: readonly string[]

  private constructor(height: BlockHeight, hashes: readonly string[]) {
    this.height = height
    this.#hashes = hashes
  }

  static at(height: BlockHeight, hash: string): Position {
    return new Position(height, [hash])
  }

  /** @throws FactoryError `store_corrupt` */
  static decode(text: string): Position {
    const [height, hashes, ...rest] = asArray(decodeState(text))
    const list = asArray(hashes).filter((h): h is string => typeof h === 'string' && HASH.test(h))
    const sound = list.length > 0 && list.length <= REORG_DEPTH + 1 && list.length === asArray(hashes).length
    if (!sound || rest.length > 0 || typeof height !== 'number' || height < list.length - 1) throw corrupt()
    return new Position(blockHeight(height), list)
  }

  encode(): string {
    return encodeState([this.height, this.#hashes])
  }

  get hash(): string {
    return this.hashAt(this.height) ?? ''
  }

  /** Lowest height whose hash is known. */
  get bottom(): number {
    return this.height - this.#hashes.length + 1
  }

  /** True when as many blocks can be given up as are ever promised. */
  get deep(): boolean {
    return this.#hashes.length > REORG_DEPTH
  }

  hashAt(height: number): string | undefined {
    return this.#hashes[height - this.bottom]
  }

  next(hash: string): Position {
    return new Position(blockHeight(this.height + 1), [...this.#hashes, hash].slice(-REORG_DEPTH - 1))
  }

  /** Without the blocks above `height`, which is not below `bottom`. */
  cut(height: number): Position {
    return new Position(blockHeight(height), this.#hashes.slice(0, height - this.bottom + 1))
  }
}

const corrupt = (): FactoryError => new FactoryError('store_corrupt', 'the stored chain position is not one')

function asArray(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw corrupt()
  return value
}
