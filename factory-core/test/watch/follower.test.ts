import { describe, expect, it } from 'vitest'
import { openMemoryStore } from '../../src/store/memory/index.js'
import type { FactoryStore } from '../../src/store/index.js'
import { blockHeight, outPointKey, txid, type BlockHeight, type OutPoint } from '../../src/units/index.js'
import { ChainFollower, REORG_DEPTH, type ChainEvent, type ChainSource } from '../../src/watch/index.js'
import { makeTx, SimulatedChain } from './chain.js'

const h = blockHeight
const point = (n: number, vout = 0): OutPoint => ({ txid: txid(n.toString(16).padStart(64, '0')), vout })
const spend = (n: number, salt = n) => makeTx([point(n)], salt, [Buffer.from('witness')])

const show = (e: ChainEvent): string => {
  switch (e.kind) {
    case 'tip':
      return `tip ${e.height}`
    case 'confirmed':
    case 'unconfirmed':
      return `${e.kind} ${e.txid.slice(0, 4)} ${e.height}`
    default:
      return `${e.kind} ${outPointKey(e.outpoint).slice(-4)} ${e.by.slice(0, 4)} ${e.height}`
  }
}

interface Setup {
  readonly follower: ChainFollower
  /** Everything told since the last call, as text. */
  readonly told: () => string[]
}

function follow(source: ChainSource, store: FactoryStore, onEvent?: (e: ChainEvent, f: ChainFollower) => void): Setup {
  let events: string[] = []
  const follower: ChainFollower = new ChainFollower(source, store, (e) => {
    events.push(show(e))
    onEvent?.(e, follower)
    return Promise.resolve()
  })
  return {
    follower,
    told: () => {
      const out = events
      events = []
      return out
    },
  }
}

const fails = async (work: Promise<void>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => (error as { code?: string }).code ?? (error as Error).message,
  )

describe('ChainFollower', () => {
  it('starts at the tip and tells of every block after it, events in block order', async () => {
    const chain = new SimulatedChain(10)
    const { follower, told } = follow(chain, openMemoryStore())
    const a = spend(1)
    const b = makeTx([point(2), { txid: a.txid, vout: 0 }], 7)
    follower.watchTx(a.txid, h(10))
    follower.watchOutpoint(point(1), h(10))
    follower.watchOutpoint({ txid: a.txid, vout: 0 }, h(10))
    await follower.sync()
    expect(told()).toEqual(['tip 9'])
    chain.mine(a, b)
    chain.mine()
    await follower.sync()
    const short = (t: string): string => t.slice(0, 4)
    expect(told()).toEqual([
      `confirmed ${short(a.txid)} 10`,
      `spent 01:0 ${short(a.txid)} 10`,
      `spent ${a.txid.slice(-2)}:0 ${short(b.txid)} 10`,
      'tip 10',
      'tip 11',
    ])
    expect(follower.confirmedAt(a.txid)).toBe(10)
    expect(Buffer.from(follower.spentBy(point(1))?.tx ?? [])).toEqual(a.raw)
    expect(follower.spentBy(point(2)), 'not watched').toBeUndefined()
    await follower.sync()
    expect(told()).toEqual([])
  })

  it('takes back what a reorganisation took, last first, and tells what the new blocks hold', async () => {
    const chain = new SimulatedChain(10)
    const { follower, told } = follow(chain, openMemoryStore())
    const [mine, theirs, later] = [spend(1), makeTx([point(1)], 99), spend(2)]
    for (const t of [mine, later]) follower.watchTx(t.txid, h(10))
    follower.watchOutpoint(point(1), h(10))
    await follower.sync()
    chain.mine(mine)
    chain.mine(later)
    await follower.sync()
    told()
    chain.drop(2)
    await follower.sync()
    expect(told(), 'a shorter chain of ours is waited out').toEqual([])
    chain.mine()
    chain.mine(theirs)
    chain.mine(later)
    await follower.sync()
    const [m, t, l] = [mine, theirs, later].map((x) => x.txid.slice(0, 4))
    const [un, re] = [[`unconfirmed ${l} 11`, `unspent 01:0 ${m} 10`, `unconfirmed ${m} 10`], `spent 01:0 ${t} 11`]
    expect(told()).toEqual([...un, 'tip 10', re, 'tip 11', `confirmed ${l} 12`, 'tip 12'])
    expect(follower.confirmedAt(mine.txid)).toBeUndefined()
  })

  it('searches the blocks behind for what is newly watched, and only those asked for', async () => {
    const chain = new SimulatedChain(5)
    const { follower, told } = follow(chain, openMemoryStore())
    const [a, b] = [spend(1), spend(2)]
    chain.mine(a)
    chain.mine(b)
    for (let i = 0; i < 20; i++) chain.mine()
    await follower.sync()
    told()
    follower.watchTx(a.txid, h(5))
    follower.watchTx(b.txid, h(7))
    await follower.sync()
    // The search for `a` passes the block of `b`, and what is found is told although nobody asked that far back.
    expect(told()).toEqual([`confirmed ${a.txid.slice(0, 4)} 5`, `confirmed ${b.txid.slice(0, 4)} 6`])
    const c = spend(3)
    chain.mine(c)
    await follower.sync()
    told()
    chain.reads = 0
    follower.watchTx(c.txid, chain.tip)
    await follower.sync()
    expect(told()).toEqual([`confirmed ${c.txid.slice(0, 4)} ${chain.tip}`])
    expect(chain.reads).toBeLessThanOrEqual(3)
    chain.reads = 0
    follower.watchTx(c.txid, chain.tip)
    follower.watchTx(a.txid, h(0))
    await follower.sync()
    expect([told(), chain.reads], 'known already').toEqual([[], 2])
  })

  it('finds what a handler starts to watch because of a transaction of the same block', async () => {
    const chain = new SimulatedChain(5)
    const a = spend(1)
    const b = makeTx([{ txid: a.txid, vout: 0 }], 5)
    const { follower, told } = follow(chain, openMemoryStore(), (e, f) => {
      if (e.kind === 'spent') f.watchOutpoint({ txid: e.by, vout: 0 }, e.height)
    })
    follower.watchOutpoint(point(1), h(5))
    await follower.sync()
    chain.mine(a, b)
    await follower.sync()
    expect(told().filter((t) => t.startsWith('spent'))).toHaveLength(2)
  })

  it('delivers a block again until its handler is done, and only then moves on', async () => {
    const chain = new SimulatedChain(5)
    const store = openMemoryStore()
    const a = spend(1)
    let broken = true
    const { follower, told } = follow(chain, store, (e) => {
      if (broken && e.kind === 'confirmed') throw new Error('disk full')
    })
    follower.watchTx(a.txid, h(5))
    await follower.sync()
    chain.mine(a)
    chain.mine()
    expect(await fails(follower.sync())).toBe('disk full')
    expect(follower.height).toBe(4)
    expect(await fails(follower.sync())).toBe('disk full')
    const again = follow(chain, store, () => undefined)
    expect(again.follower.height, 'what a new process finds').toBe(4)
    broken = false
    await follower.sync()
    const c = `confirmed ${a.txid.slice(0, 4)} 5`
    expect(told()).toEqual(['tip 4', c, c, c, 'tip 5', 'tip 6'])
  })

  it('tells again what it found behind when the handler fails', async () => {
    const chain = new SimulatedChain(5)
    const a = spend(1)
    let broken = true
    const { follower, told } = follow(chain, openMemoryStore(), (e) => {
      if (broken && e.kind === 'confirmed') throw new Error('disk full')
    })
    chain.mine(a)
    await follower.sync()
    follower.watchTx(a.txid, h(5))
    expect(await fails(follower.sync())).toBe('disk full')
    broken = false
    told()
    await follower.sync()
    expect(told()[0]).toBe(`confirmed ${a.txid.slice(0, 4)} 5`)
  })

  it('takes back, after a restart, what a killed run had told of a block that is gone', async () => {
    const chain = new SimulatedChain(5)
    const store = openMemoryStore()
    const a = spend(1)
    const killed = follow(chain, store, (e) => {
      if (e.kind === 'tip' && e.height === 5) throw new Error('killed')
    })
    killed.follower.watchTx(a.txid, h(5))
    await killed.follower.sync()
    chain.mine(a)
    expect(await fails(killed.follower.sync())).toBe('killed')
    expect(killed.told()).toContain(`confirmed ${a.txid.slice(0, 4)} 5`)
    chain.drop(1)
    chain.mine()
    const { follower, told } = follow(chain, store)
    await follower.sync()
    expect(told()).toEqual(['tip 4', `unconfirmed ${a.txid.slice(0, 4)} 5`, 'tip 5'])
  })

  it('tells everything seen again after a restart, without reading old blocks', async () => {
    const chain = new SimulatedChain(5)
    const store = openMemoryStore()
    const a = spend(1)
    const before = follow(chain, store)
    before.follower.watchTx(a.txid, h(5))
    before.follower.watchOutpoint(point(1), h(5))
    await before.follower.sync()
    chain.mine(a)
    for (let i = 0; i < 300; i++) chain.mine()
    await before.follower.sync()
    const { follower, told } = follow(chain, store)
    follower.watchTx(a.txid, h(5))
    chain.reads = 0
    await follower.sync()
    const id = a.txid.slice(0, 4)
    expect(told()).toEqual([`confirmed ${id} 5`, `spent 01:0 ${id} 5`, 'tip 305'])
    expect(chain.reads).toBeLessThanOrEqual(2)
    expect(Buffer.from(follower.spentBy(point(1))?.tx ?? [])).toEqual(a.raw)
  })

  it('forgets what is unwatched', async () => {
    const chain = new SimulatedChain(5)
    const store = openMemoryStore()
    const { follower, told } = follow(chain, store, (e, f) => {
      if (e.kind === 'confirmed') f.unwatch(point(1))
    })
    const [a, b] = [spend(1), spend(2)]
    follower.watchTx(a.txid, h(5))
    follower.watchOutpoint(point(1), h(5))
    follower.watchTx(b.txid, h(5))
    follower.unwatch(b.txid)
    await follower.sync()
    chain.mine(a, b)
    await follower.sync()
    expect(told()).toEqual(['tip 4', `confirmed ${a.txid.slice(0, 4)} 5`, 'tip 5'])
    chain.drop(1)
    chain.mine()
    chain.mine()
    await follower.sync()
    expect(told().filter((t) => !t.startsWith('tip'))).toEqual([`unconfirmed ${a.txid.slice(0, 4)} 5`])
  })

  it('joins calls of sync, and looks once more for those that came meanwhile', async () => {
    const chain = new SimulatedChain(5)
    let mined = false
    const { follower, told } = follow(chain, openMemoryStore(), (e, f) => {
      if (e.kind === 'tip' && e.height === 6 && !mined) {
        mined = true
        chain.mine()
        void f.sync()
      }
    })
    await follower.sync()
    chain.mine()
    chain.mine()
    await Promise.all([follower.sync(), follower.sync(), follower.sync()])
    expect(told()).toEqual(['tip 4', 'tip 5', 'tip 6', 'tip 7'])
  })

  it('costs the same for a block with one watched thing or a thousand', async () => {
    const cost = async (watched: number): Promise<number[]> => {
      const chain = new SimulatedChain(5)
      const store = openMemoryStore()
      let written = 0
      const counting = Object.assign(Object.create(store) as FactoryStore, {
        setting: (key: string) => store.setting(key),
        setSetting: (key: string, value: string) => {
          written += value.length
          store.setSetting(key, value)
        },
      })
      const { follower, told } = follow(chain, counting)
      for (let i = 0; i < watched; i++) follower.watchOutpoint(point(i), h(5))
      await follower.sync()
      ;[written, chain.reads] = [0, 0]
      told()
      chain.mine(spend(5000))
      await follower.sync()
      return [written, chain.reads, told().length]
    }
    expect(await cost(1000)).toEqual(await cost(1))
  })

  it(`follows a reorganisation of ${REORG_DEPTH} blocks, stops at a deeper one, and goes on after a rescan`, async () => {
    const chain = new SimulatedChain(5)
    const { follower, told } = follow(chain, openMemoryStore())
    const [a, b] = [spend(1), spend(2)]
    for (const t of [a, b]) follower.watchTx(t.txid, h(5))
    await follower.sync()
    chain.mine(a)
    for (let i = 0; i < REORG_DEPTH; i++) chain.mine()
    await follower.sync()
    chain.drop(REORG_DEPTH)
    for (let i = 0; i < REORG_DEPTH; i++) chain.mine()
    chain.mine(b)
    await follower.sync()
    const tip = chain.tip
    expect(follower.height).toBe(tip)
    expect(told()).not.toContain(`unconfirmed ${a.txid.slice(0, 4)} 5`)

    chain.drop(REORG_DEPTH + 2)
    for (let i = 0; i < REORG_DEPTH + 3; i++) chain.mine()
    expect(await fails(follower.sync())).toBe('host_failed')
    expect(follower.height).toBe(tip)
    expect(told()).toEqual([])
    follower.rescan(h(4))
    await follower.sync()
    expect(follower.height).toBe(chain.tip)
    const changes = told().filter((t) => !t.startsWith('tip'))
    expect(changes).toEqual([`unconfirmed ${a.txid.slice(0, 4)} 5`, `unconfirmed ${b.txid.slice(0, 4)} ${tip}`])
  })

  it('follows a reorganisation of blocks from before its first start', async () => {
    const chain = new SimulatedChain(300)
    const { follower, told } = follow(chain, openMemoryStore())
    const a = spend(1)
    chain.mine(a)
    await follower.sync()
    follower.watchTx(a.txid, h(290))
    await follower.sync()
    expect(told()).toContain(`confirmed ${a.txid.slice(0, 4)} 300`)
    chain.drop(5)
    for (let i = 0; i < 7; i++) chain.mine()
    await follower.sync()
    expect(follower.height).toBe(chain.tip)
    expect(told().filter((t) => !t.startsWith('tip'))).toEqual([`unconfirmed ${a.txid.slice(0, 4)} 300`])
  })

  it('takes back first when a transaction turns up elsewhere', async () => {
    const chain = new SimulatedChain(300)
    const { follower, told } = follow(chain, openMemoryStore())
    const a = spend(1)
    chain.mine(a)
    follower.watchTx(a.txid, h(290))
    await follower.sync()
    told()
    chain.drop(5)
    chain.mine(a)
    for (let i = 0; i < 7; i++) chain.mine()
    await follower.sync()
    const id = a.txid.slice(0, 4)
    expect(told().filter((t) => !t.startsWith('tip'))).toEqual([`unconfirmed ${id} 300`, `confirmed ${id} 296`])
  })

  it('takes back, after a restart, what a killed run had found behind in a block that is gone', async () => {
    const chain = new SimulatedChain(5)
    const store = openMemoryStore()
    const a = spend(1)
    chain.mine()
    await follow(chain, store).follower.sync()
    chain.mine(a)
    const killed = follow(chain, store, (e) => {
      if (e.kind === 'confirmed') throw new Error('killed')
    })
    await killed.follower.sync()
    killed.follower.watchTx(a.txid, h(6))
    expect(await fails(killed.follower.sync())).toBe('killed')
    chain.drop(1)
    chain.mine()
    chain.mine()
    const { follower, told } = follow(chain, store)
    await follower.sync()
    expect(told()).toContain(`unconfirmed ${a.txid.slice(0, 4)} 6`)
  })

  it('searches further back when it is asked to later', async () => {
    const chain = new SimulatedChain(5)
    const { follower, told } = follow(chain, openMemoryStore())
    const a = spend(1)
    chain.mine(a)
    for (let i = 0; i < 5; i++) chain.mine()
    follower.watchTx(a.txid, h(8))
    await follower.sync()
    expect(told()).toEqual(['tip 10'])
    follower.watchTx(a.txid, h(5))
    await follower.sync()
    expect(told()).toEqual([`confirmed ${a.txid.slice(0, 4)} 5`])
  })

  it('does not search blocks that it has not followed yet', async () => {
    const chain = new SimulatedChain(5)
    const store = openMemoryStore()
    const a = spend(1)
    await follow(chain, store).follower.sync()
    chain.mine()
    chain.mine()
    await follow(chain, store).follower.sync()
    chain.drop(1)
    chain.mine(a)
    chain.mine()
    const { follower, told } = follow(chain, store)
    follower.watchTx(a.txid, h(5))
    await follower.sync()
    expect(told().filter((t) => !t.startsWith('tip'))).toEqual([`confirmed ${a.txid.slice(0, 4)} 6`])
  })

  it('searches again when it is asked for more while it searches', async () => {
    const chain = new SimulatedChain(5)
    const a = spend(1)
    chain.mine(a)
    for (let i = 0; i < 5; i++) chain.mine()
    let asked = false
    const source: ChainSource = {
      height: () => chain.height(),
      block: (height) => {
        if (height === 8 && !asked) {
          asked = true
          follower.watchTx(a.txid, h(4))
        }
        return chain.block(height)
      },
    }
    const { follower, told } = follow(source, openMemoryStore())
    await follower.sync()
    follower.watchTx(a.txid, h(7))
    await follower.sync()
    expect(told()).toEqual(['tip 10', `confirmed ${a.txid.slice(0, 4)} 5`])
  })

  it('waits for a source that is far behind', async () => {
    const chain = new SimulatedChain(400)
    const store = openMemoryStore()
    const ahead = follow(chain, store)
    await ahead.follower.sync()
    chain.mine()
    await ahead.follower.sync()
    chain.drop(300)
    const { follower, told } = follow(chain, store)
    follower.watchTx(spend(1).txid, h(399))
    await follower.sync()
    expect(told()).toEqual(['tip 400'])
    expect(follower.height).toBe(400)
  })

  it('invariant 11: refuses a source that contradicts itself, and damaged settings', async () => {
    const chain = new SimulatedChain(10)
    const store = openMemoryStore()
    await follow(chain, store).follower.sync()
    const other = new SimulatedChain(3)
    for (let i = 0; i < 10; i++) other.mine(spend(i))
    const torn: ChainSource = {
      height: () => Promise.resolve(h(10)),
      block: (height: BlockHeight) => (height === 10 ? other.block(height) : chain.block(height)),
    }
    expect(await fails(follow(torn, store).follower.sync())).toBe('host_failed')
    const lying: ChainSource = {
      height: () => Promise.resolve(h(10)),
      block: async (height) => {
        const block = await other.block(height)
        return block && { raw: block.raw, hash: chain.hashAt(height) }
      },
    }
    expect(await fails(follow(lying, store).follower.sync())).toBe('host_failed')

    for (const key of ['watch/position', 'watch/watches']) {
      for (const value of [
        '',
        '[]',
        '[5,["00"]]',
        '[[1,2]]',
        '{"a":1}',
        '[["ab",{"since":1,"seen":null}]]',
        '[[5,[]]]',
      ]) {
        if (key === 'watch/watches' && value === '[]') continue
        const bad = openMemoryStore()
        bad.setSetting(key, value)
        expect(() => follow(chain, bad), `${key} ${value}`).toThrow(expect.objectContaining({ code: 'store_corrupt' }))
      }
    }
  })

  it('passes on that the host failed, and catches up afterwards', async () => {
    const chain = new SimulatedChain(5)
    let down = true
    const source: ChainSource = {
      height: () => chain.height(),
      block: (height) => (down ? Promise.reject(new Error('connection refused')) : chain.block(height)),
    }
    const { follower, told } = follow(source, openMemoryStore())
    expect(await fails(follower.sync())).toBe('connection refused')
    down = false
    chain.mine()
    await follower.sync()
    expect(told()).toEqual(['tip 5'])
  })
})
