import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeState } from '../../src/store/index.js'
import { MemoryDisk, openMemoryStore } from '../../src/store/memory/index.js'
import { blockHeight, outPointKey, txid, type OutPoint, type Txid } from '../../src/units/index.js'
import { ChainFollower, type ChainEvent } from '../../src/watch/index.js'
import { makeTx, SimulatedChain, type Tx } from './chain.js'

/** Outpoints, each with two transactions that compete for it. */
const OUTPOINTS: readonly OutPoint[] = Array.from({ length: 5 }, (_, i) => ({
  txid: txid((i + 1).toString(16).padStart(64, '0')),
  vout: i,
}))
const CANDIDATES: readonly Tx[] = OUTPOINTS.flatMap((o, i) => [makeTx([o], i), makeTx([o], 100 + i)])
const MAX_REORG = 100

type Operation =
  | { readonly op: 'mine'; readonly txs: readonly number[]; readonly empty: number }
  | { readonly op: 'reorg'; readonly depth: number; readonly txs: readonly number[] }
  | { readonly op: 'watch'; readonly which: number; readonly early: number }
  | { readonly op: 'unwatch'; readonly which: number }
  | { readonly op: 'sync'; readonly times: number }
  /** The process dies at the n-th event or write from now, before or after the handler has kept what it was told. */
  | { readonly op: 'crash'; readonly after: number; readonly kept: boolean }
  | { readonly op: 'restart' }

const some = fc.array(fc.nat(CANDIDATES.length - 1), { maxLength: 4 })
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ op: fc.constant('mine' as const), txs: some, empty: fc.nat(3) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('reorg' as const),
      depth: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 6 }) }, fc.integer({ min: 1, max: MAX_REORG })),
      txs: some,
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('watch' as const), which: fc.nat(14), early: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('unwatch' as const), which: fc.nat(14) }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('sync' as const), times: fc.integer({ min: 1, max: 3 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('crash' as const), after: fc.nat(12), kept: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.constant({ op: 'restart' as const }) },
)

class Crash extends Error {}

/** A node: what its handler keeps on disk, which watches it asked for, and a follower that may die at any moment. */
class World {
  readonly chain = new SimulatedChain(130)
  readonly #disk = new MemoryDisk()
  readonly #wanted = new Map<number, number>()
  readonly confirmed = new Map<Txid, number>()
  readonly spent = new Map<string, { by: Txid; height: number }>()
  tip: string | undefined
  #follower: ChainFollower
  #fuse: { left: number; kept: boolean } | undefined

  constructor() {
    this.#follower = this.#start()
  }

  #start(): ChainFollower {
    const store = openMemoryStore({ disk: this.#disk })
    const follower = new ChainFollower(
      this.chain,
      {
        setting: (key) => store.setting(key),
        setSetting: (key, value) => {
          this.#burn(() => {
            store.setSetting(key, value)
          })
        },
      },
      (event) => {
        this.#burn(() => {
          this.#keep(event)
        })
        return Promise.resolve()
      },
    )
    for (const [which, since] of this.#wanted) this.#ask(follower, which, since)
    return follower
  }

  #burn(work: () => void): void {
    if (this.#fuse !== undefined && this.#fuse.left-- <= 0) {
      if (this.#fuse.kept) work()
      throw new Crash()
    }
    work()
  }

  /** Any event may come again; but one that contradicts what stands must be preceded by the one that takes it back. */
  #keep(e: ChainEvent): void {
    switch (e.kind) {
      case 'confirmed':
        expect([undefined, e.height]).toContain(this.confirmed.get(e.txid))
        this.confirmed.set(e.txid, e.height)
        return
      case 'unconfirmed':
        this.confirmed.delete(e.txid)
        return
      case 'spent': {
        const stands = this.spent.get(outPointKey(e.outpoint))
        if (stands !== undefined) expect(stands).toEqual({ by: e.by, height: e.height })
        expect(encodeState(e.tx)).toBe(encodeState(CANDIDATES.find((c) => c.txid === e.by)?.raw))
        this.spent.set(outPointKey(e.outpoint), { by: e.by, height: e.height })
        return
      }
      case 'unspent':
        this.spent.delete(outPointKey(e.outpoint))
        return
      default:
        this.tip = e.hash
    }
  }

  #ask(follower: ChainFollower, which: number, since: number): void {
    const outpoint = OUTPOINTS[which]
    if (outpoint !== undefined) follower.watchOutpoint(outpoint, blockHeight(since))
    else follower.watchTx(candidate(which), blockHeight(since))
  }

  #mine(txs: readonly number[]): void {
    const spent = this.chain.spent()
    const fresh = new Map<string, Tx>()
    for (const n of txs) {
      const tx = CANDIDATES[n]
      const key = tx?.spends.map(outPointKey).join() ?? ''
      if (tx !== undefined && !spent.has(key)) fresh.set(key, tx)
    }
    this.chain.mine(...fresh.values())
  }

  async run(o: Operation): Promise<void> {
    switch (o.op) {
      case 'mine':
        this.#mine(o.txs)
        for (let i = 0; i < o.empty; i++) this.chain.mine()
        return
      case 'reorg': {
        const length = this.chain.tip
        this.chain.drop(o.depth)
        this.#mine(o.txs)
        while (this.chain.tip <= length) this.chain.mine()
        return
      }
      case 'watch': {
        // The lowest height at which a reorganisation can still put it, or where it is.
        const key = outPointKey(OUTPOINTS[o.which] ?? { txid: candidate(o.which), vout: 0 })
        const at = this.chain.spent().get(key)?.height ?? this.chain.confirmed().get(candidate(o.which)) ?? Infinity
        const since = Math.max(0, Math.min(at, this.chain.tip - MAX_REORG) - o.early)
        this.#wanted.set(o.which, Math.min(since, this.#wanted.get(o.which) ?? since))
        this.#ask(this.#follower, o.which, since)
        return
      }
      case 'unwatch': {
        this.#wanted.delete(o.which)
        const outpoint = OUTPOINTS[o.which]
        if (outpoint !== undefined) {
          this.#follower.unwatch(outpoint)
          this.spent.delete(outPointKey(outpoint))
        } else {
          this.#follower.unwatch(candidate(o.which))
          this.confirmed.delete(candidate(o.which))
        }
        // Stored with the next sync; a machine unwatches when it is done, and does not ask again.
        await this.#sync(1)
        return
      }
      case 'sync':
        await this.#sync(o.times)
        return
      case 'crash':
        this.#fuse = { left: o.after, kept: o.kept }
        await this.#sync(2)
        return
      case 'restart':
        this.#follower = this.#start()
    }
  }

  async #sync(times: number): Promise<void> {
    try {
      await Promise.all(Array.from({ length: times }, () => this.#follower.sync()))
    } catch (error) {
      if (!(error instanceof Crash)) throw error
      this.#follower = this.#start()
    } finally {
      this.#fuse = undefined
    }
  }

  /** What the handler knows against what the best chain says, read from its start. */
  async check(): Promise<void> {
    await this.#sync(1)
    const confirmed = this.chain.confirmed()
    const spent = this.chain.spent()
    for (const which of this.#wanted.keys()) {
      const outpoint = OUTPOINTS[which]
      if (outpoint !== undefined) {
        const key = outPointKey(outpoint)
        expect(this.spent.get(key)).toEqual(spent.get(key))
        expect(this.#follower.spentBy(outpoint)?.by).toBe(spent.get(key)?.by)
      } else {
        const id = candidate(which)
        expect(this.confirmed.get(id)).toBe(confirmed.get(id))
        expect(this.#follower.confirmedAt(id)).toBe(confirmed.get(id))
      }
    }
    expect(this.tip).toBe(this.chain.hashAt(this.chain.tip))
    expect(this.#follower.height).toBe(this.chain.tip)
  }
}

/** The transaction that watch number `which` names, where it does not name an outpoint. */
const candidate = (which: number): Txid =>
  CANDIDATES[(which + CANDIDATES.length - OUTPOINTS.length) % CANDIDATES.length]?.txid ?? txid('')

describe('ChainFollower against a simulated chain', () => {
  it('invariant 8: after any forks, crashes and restarts the handler knows what the best chain says', async () => {
    let seen = 0
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 5, maxLength: 30 }), async (operations) => {
        const world = new World()
        for (const o of operations) await world.run(o)
        await world.check()
        seen += world.confirmed.size + world.spent.size
        // And nothing is lost by a start with no new block.
        await world.run({ op: 'restart' })
        await world.check()
      }),
      { numRuns: 80 },
    )
    expect(seen).toBeGreaterThan(20)
  })
})
