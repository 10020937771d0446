/**
 * Follows the best chain block by block and tells what becomes of watched transactions and outpoints. A block costs the same
 * with one watched thing or a thousand.
 *
 * What it owes: every event is delivered at least once and in order, across crashes, downtime and reorganisations up to
 * REORG_DEPTH. So a sighting is stored before the handler hears of it (were the process killed right after, the
 * block may be gone at the next start, and someone must take the event back), and the position only after the handler is done.
 * Handlers are idempotent: after a start everything seen is told again.
 */
import { FactoryError } from '@ln-factory/tlv'
import type { FactoryStore } from '../store/port.js'
import { blockHeight, type BlockHeight, type OutPoint, type Txid } from '../units/index.js'
import { parseBlock, type Block } from './block.js'
import type { ChainEvent, ChainSource } from './events.js'
import { Position, REORG_DEPTH } from './position.js'
import { agree, findIn, keyOf, keyOfSighting, undo, type Sighting } from './sighting.js'
import { Watches } from './watches.js'

export interface FollowerOptions {
  /** Very first start: the block to begin after; default is the tip. Later starts go on where they were. */
  readonly startHeight?: BlockHeight | undefined
}

const POSITION = 'watch/position'
const WATCHES = 'watch/watches'
/** Rounds without progress, each because the chain changed while it was read, before the source is not believed. */
const MAX_STALLS = 10

export class ChainFollower {
  readonly #source: ChainSource
  readonly #store: Pick<FactoryStore, 'setting' | 'setSetting'>
  readonly #onEvent: (event: ChainEvent) => Promise<void>
  readonly #startHeight: BlockHeight | undefined
  readonly #watches: Watches
  #position: Position | undefined
  #replayed = false
  #rewindTo: BlockHeight | undefined
  #running: Promise<void> | undefined
  #wanted = false

  /**
   * @param onEvent hears one event at a time; while it rejects, `sync` rejects and the block is delivered again. It may
   *   watch and unwatch, and must not await `sync`.
   * @throws FactoryError `store_corrupt`
   */
  constructor(
    source: ChainSource,
    store: Pick<FactoryStore, 'setting' | 'setSetting'>,
    onEvent: (event: ChainEvent) => Promise<void>,
    options: FollowerOptions = {},
  ) {
    this.#source = source
    this.#store = store
    this.#onEvent = onEvent
    this.#startHeight = options.startHeight
    const position = store.setting(POSITION)
    const watches = store.setting(WATCHES)
    this.#position = position === undefined ? undefined : Position.decode(position)
    this.#watches = watches === undefined ? Watches.empty() : Watches.decode(watches)
  }

  /** Last block whose events have all been handled; undefined before the first `sync`. */
  get height(): BlockHeight | undefined {
    return this.#position?.height
  }

  /**
   * Tell when `txid` confirms. `since`: the lowest height at which it can be; blocks from there that lie behind are searched
   * at the next `sync`. Watching what is watched already costs nothing: repeat it with the same `since` after a restart.
   */
  watchTx(txid: Txid, since: BlockHeight): void {
    this.#watches.add(keyOf(txid), since)
  }

  /** Tell when a confirmed transaction spends `outpoint`. `since` as in `watchTx`. */
  watchOutpoint(outpoint: OutPoint, since: BlockHeight): void {
    this.#watches.add(keyOf(outpoint), since)
  }

  unwatch(what: Txid | OutPoint): void {
    this.#watches.remove(keyOf(what))
  }

  /** Height of the block that holds a watched transaction. */
  confirmedAt(txid: Txid): BlockHeight | undefined {
    return this.#watches.seen(keyOf(txid))?.height
  }

  /** The confirmed transaction that spends a watched outpoint. */
  spentBy(outpoint: OutPoint): Extract<ChainEvent, { kind: 'spent' }> | undefined {
    const seen = this.#watches.seen(keyOf(outpoint))
    return seen?.kind === 'spent' ? seen : undefined
  }

  /**
   * At the next `sync`, go back and follow again from the block at `from`, for everything watched. What was seen there and is
   * not there now is taken back. The way out of a reorganisation that was too deep.
   */
  rescan(from: BlockHeight): void {
    const to = blockHeight(Math.max(0, from - 1))
    if (this.#rewindTo === undefined || to < this.#rewindTo) this.#rewindTo = to
  }

  /**
   * Catch up with the best chain. Call it on every block event; calls while one runs join it, and have it look once more.
   * @throws FactoryError `host_failed` when the source is broken or a reorganisation went deeper than REORG_DEPTH
   */
  sync(): Promise<void> {
    this.#wanted = true
    this.#running ??= this.#run()
    return this.#running
  }

  async #run(): Promise<void> {
    try {
      while (this.#wanted) {
        this.#wanted = false
        await this.#catchUp()
      }
    } finally {
      this.#running = undefined
    }
  }

  async #catchUp(): Promise<void> {
    let position = await this.#begin()
    if (position === undefined) return
    for (let stalls = 0; stalls < MAX_STALLS;) {
      const step = await this.#advance(position)
      this.#saveWatches()
      if (step === 'nothing new') return
      stalls = step === position ? stalls + 1 : 0
      position = this.#save(step)
    }
    throw new FactoryError('host_failed', 'the host keeps contradicting itself about the best chain')
  }

  /** Undefined when the chain does not reach the start yet. */
  async #begin(): Promise<Position | undefined> {
    if (this.#position === undefined) {
      const height = this.#startHeight ?? (await this.#source.height())
      const block = await this.#source.block(height)
      if (block === undefined) return undefined
      this.#save(Position.at(height, block.hash))
    }
    const position = this.#position
    if (position !== undefined && !this.#replayed) {
      await this.#tell(this.#watches.seenBetween(0, position.height))
      await this.#onEvent({ kind: 'tip', height: position.height, hash: position.hash })
      this.#replayed = true
    }
    return position
  }

  /** One step towards the tip: where it led, or the same position when the chain changed while it was read. */
  async #advance(position: Position): Promise<Position | 'nothing new'> {
    if (this.#rewindTo !== undefined) return this.#rewind(position, this.#rewindTo)
    while (this.#watches.pending().size > 0) {
      if (!(await this.#lookBack(position))) return this.#reorganise(position, position)
    }
    const found = await this.#source.block(blockHeight(position.height + 1))
    if (found === undefined) return this.#reorganise(position, 'nothing new')
    const block = checkedBlock(found)
    if (block.previous !== position.hash) return this.#reorganise(position, position)
    await this.#connect(block, blockHeight(position.height + 1))
    return position.next(block.hash)
  }

  async #connect(block: Block, height: BlockHeight): Promise<void> {
    const found = findIn(block, height, this.#watches)
    const keys = new Set(found.map(keyOfSighting))
    // Left by a run that did not get to the end of this block, or from before a rewind, and not so any more.
    const gone = this.#watches.seenAt(height).filter((s) => !keys.has(keyOfSighting(s)))
    const moved = found.flatMap((s) => {
      const old = this.#watches.seen(keyOfSighting(s))
      return old === undefined || agree(old, s) ? [] : [old]
    })
    await this.#takeBack([...gone, ...moved].reverse())
    for (const s of found) this.#watches.record(s)
    this.#saveWatches()
    await this.#tell(found)
    await this.#onEvent({ kind: 'tip', height, hash: block.hash })
  }

  /** Search the blocks behind for what is newly watched. False when they don't lead up to our position any more. */
  async #lookBack(position: Position): Promise<boolean> {
    const asked = this.#watches.pending()
    const from = Math.min(...asked.values())
    const found: Sighting[] = []
    let hash: string | undefined
    for (let h = from; h <= position.height; h++) {
      const height = blockHeight(h)
      const raw = await this.#source.block(height)
      if (raw === undefined) return false
      const block = checkedBlock(raw)
      if (hash !== undefined && block.previous !== hash) return false
      hash = block.hash
      found.push(...findIn(block, height, asked))
    }
    if (hash !== undefined && hash !== position.hash) return false

    // Unwatched meanwhile, or asked for from further back: not covered by this search.
    const still = this.#watches.pending()
    for (const key of asked.keys()) {
      const since = still.get(key)
      if (since !== undefined && since >= from) this.#watches.cover(key, since)
    }
    const covered = found.filter((s) => this.#watches.has(keyOfSighting(s)))
    for (const s of covered) this.#watches.record(s)
    this.#saveWatches()
    // If the handler fails, the next sync tells it all again.
    this.#replayed = false
    await this.#tell(covered)
    this.#replayed = true
    return true
  }

  /**
   * Give up the blocks that are not on the source's chain. When they all are, a source that has fewer blocks than we is only
   * behind (its node still syncs): wait. Else `otherwise`.
   */
  async #reorganise<T>(position: Position, otherwise: T): Promise<Position | 'nothing new' | T> {
    const top = Math.min(await this.#source.height(), position.height)
    if (top < position.bottom) return 'nothing new'
    for (let h = top; h >= position.bottom; h--) {
      const block = await this.#source.block(blockHeight(h))
      if (block?.hash !== position.hashAt(h)) continue
      if (h === top) return top < position.height ? 'nothing new' : otherwise
      await this.#takeBack(this.#watches.seenBetween(h + 1, Infinity).reverse())
      return position.cut(h)
    }
    // We remember fewer blocks than we promise because we started not long ago: what lies below was not followed, at most
    // searched. Read it again; what is not there any more is taken back on the way.
    if (!position.deep && position.bottom > 0) {
      return this.#rewind(position, blockHeight(Math.max(0, position.bottom - REORG_DEPTH)))
    }
    throw new FactoryError(
      'host_failed',
      `the chain was reorganised deeper than ${REORG_DEPTH} blocks, or the node is on another chain`,
      'If the chain is the right one, rescan from a height below the fork.',
    )
  }

  async #rewind(position: Position, to: BlockHeight): Promise<Position> {
    const target = to < position.height ? await this.#source.block(to) : { hash: position.hash }
    if (target === undefined) throw new FactoryError('host_failed', `the host has no block at height ${to}`)
    if (this.#rewindTo === to) this.#rewindTo = undefined
    return to < position.height ? Position.at(to, target.hash) : position
  }

  async #tell(sightings: readonly Sighting[]): Promise<void> {
    for (const s of sightings) {
      // The handler may have unwatched it since.
      if (this.#watches.has(keyOfSighting(s))) await this.#onEvent(s)
    }
  }

  async #takeBack(sightings: readonly Sighting[]): Promise<void> {
    for (const s of sightings) {
      const key = keyOfSighting(s)
      if (!this.#watches.has(key)) continue
      await this.#onEvent(undo(s))
      this.#watches.forget(key)
    }
  }

  #save(position: Position): Position {
    this.#store.setSetting(POSITION, position.encode())
    this.#position = position
    return position
  }

  #saveWatches(): void {
    if (!this.#watches.changed) return
    this.#store.setSetting(WATCHES, this.#watches.encode())
    this.#watches.saved()
  }
}

function checkedBlock(found: { hash: string; raw: Uint8Array }): Block {
  const block = parseBlock(found.raw)
  if (block.hash !== found.hash)
    throw new FactoryError('host_failed', `the host calls block ${block.hash} ${found.hash}`)
  return block
}
