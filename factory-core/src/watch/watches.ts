/** What is watched, and where each thing was seen. */
import { FactoryError } from '@ln-factory/tlv'
import { decodeState, encodeState } from '../store/codec.js'
import { blockHeight, txid, type BlockHeight } from '../units/index.js'
import { keyOfSighting, type Sighting, type WatchKey } from './sighting.js'

interface Watch {
  /** Every block from here to the follower's position has been searched for it. */
  readonly since: BlockHeight
  readonly seen: Sighting | undefined
}

export class Watches {
  readonly #covered: Map<WatchKey, Watch>
  /** Not searched for yet in the blocks that lie behind, from the given height on. Not stored: who watches asks again. */
  readonly #pending = new Map<WatchKey, BlockHeight>()
  readonly #byHeight = new Map<number, Set<WatchKey>>()
  #changed = false

  private constructor(covered: Map<WatchKey, Watch>) {
    this.#covered = covered
    for (const [key, { seen }] of covered) if (seen !== undefined) this.#index(key, seen)
  }

  static empty(): Watches {
    return new Watches(new Map())
  }

  /** @throws FactoryError `store_corrupt` */
  static decode(text: string): Watches {
    try {
      const entries = decodeState(text) as [WatchKey, Watch][]
      return new Watches(new Map(entries.map(([key, watch]) => [key, checked(key, watch)])))
    } catch (error) {
      throw new FactoryError('store_corrupt', 'the stored watches are damaged', undefined, { cause: error })
    }
  }

  encode(): string {
    return encodeState([...this.#covered])
  }

  /** Something that `encode` writes has changed since `saved`. */
  get changed(): boolean {
    return this.#changed
  }

  saved(): void {
    this.#changed = false
  }

  add(key: WatchKey, since: BlockHeight): void {
    const known = this.#covered.get(key)
    if (known !== undefined && (known.seen !== undefined || known.since <= since)) return
    const asked = this.#pending.get(key)
    if (asked === undefined || since < asked) this.#pending.set(key, since)
  }

  remove(key: WatchKey): void {
    this.#pending.delete(key)
    this.forget(key)
    if (this.#covered.delete(key)) this.#changed = true
  }

  /** Covered: found in new blocks without a look back. */
  has(key: WatchKey): boolean {
    return this.#covered.has(key)
  }

  seen(key: WatchKey): Sighting | undefined {
    return this.#covered.get(key)?.seen
  }

  pending(): ReadonlyMap<WatchKey, BlockHeight> {
    return new Map(this.#pending)
  }

  /** All blocks from `from` on have been searched for `key`. */
  cover(key: WatchKey, from: BlockHeight): void {
    this.#pending.delete(key)
    this.#covered.set(key, { since: from, seen: this.seen(key) })
    this.#changed = true
  }

  /** What was found for a covered key; replaces what was found before. */
  record(s: Sighting): void {
    const key = keyOfSighting(s)
    const watch = this.#covered.get(key)
    if (watch === undefined) return
    this.forget(key)
    this.#covered.set(key, { since: watch.since, seen: s })
    this.#index(key, s)
    this.#changed = true
  }

  /** It is not there any more. */
  forget(key: WatchKey): void {
    const watch = this.#covered.get(key)
    if (watch?.seen === undefined) return
    const { height } = watch.seen
    const keys = this.#byHeight.get(height)
    keys?.delete(key)
    if (keys?.size === 0) this.#byHeight.delete(height)
    this.#covered.set(key, { since: watch.since, seen: undefined })
    this.#changed = true
  }

  seenAt(height: number): Sighting[] {
    return [...(this.#byHeight.get(height) ?? [])].flatMap((key) => this.seen(key) ?? [])
  }

  /** Lowest first. */
  seenBetween(lowest: number, highest: number): Sighting[] {
    return [...this.#byHeight.keys()]
      .filter((h) => h >= lowest && h <= highest)
      .sort((a, b) => a - b)
      .flatMap((h) => this.seenAt(h))
  }

  #index(key: WatchKey, s: Sighting): void {
    const keys = this.#byHeight.get(s.height) ?? new Set()
    this.#byHeight.set(s.height, keys.add(key))
  }
}

const KEY = /^[0-9a-f]{64}(:[0-9]+)?$/

/** Throws whatever comes first when it is not a watch of this key. */
function checked(key: WatchKey, { since, seen }: Watch): Watch {
  blockHeight(since)
  if (seen !== undefined) {
    blockHeight(seen.height)
    const whole = seen.kind === 'confirmed' || (seen.tx instanceof Uint8Array && txid(seen.by))
    if (!whole || keyOfSighting(seen) !== key) throw new TypeError(`sighting of ${key}`)
  }
  if (!KEY.test(key)) throw new TypeError(`watch ${key}`)
  return { since, seen }
}
