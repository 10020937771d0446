import {
  decide,
  dyingHeight,
  exitHeight,
  lastStartHeight,
  slotAt,
  type LadderConfig,
  type Presence,
} from '../../src/ladder/index.js'
import { blockHeight, blocks, sat, type NodeId } from '../../src/units/index.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkLook, client, config, PAID, World, type Outcome } from './world.js'

const always = (): boolean => true

/** Runs until `done` says so, checking every look. */
function play(world: World, blocksToPlay: number): World {
  for (let i = 0; i < blocksToPlay; i += 1) {
    const { view, decisions } = world.step()
    checkLook(view, decisions)
  }
  return world
}

function populated(world: World, clients: number): World {
  for (let i = 1; i <= clients; i += 1) world.join(client(i))
  play(world, 40)
  expect(world.waiting).toEqual([])
  return world
}

describe('ladder', () => {
  it('creates for those who wait, and rotates everyone in the first slot when all are there', () => {
    const world = populated(new World(config, always), 4)
    expect(world.created.map((c) => c.clients.length)).toEqual([4])
    const [old] = world.view().factories
    if (old === undefined) throw new Error('no factory')
    play(world, old.expiry - world.height)
    expect(world.left).toEqual([])
    expect(world.rotated[0]).toMatchObject({ instance: old.instance, at: dyingHeight(old, config) + 1 })
    expect(world.reaped).toBeGreaterThanOrEqual(1)
    expect(world.everybody).toHaveLength(4)
  })

  it('a client that misses a slot gets the next, and one that never comes is left on chain in time', () => {
    const sleeper = client(2)
    const ghost = client(3)
    const times = { dying: Infinity, second: Infinity }
    const world = populated(
      new World(config, (id, height) => {
        if (height < times.dying) return true
        if (id === sleeper) return height >= times.second
        return id !== ghost
      }),
      4,
    )
    const [old] = world.view().factories
    if (old === undefined) throw new Error('no factory')
    times.dying = dyingHeight(old, config)
    times.second = slotAt(old, config, dyingHeight(old, config)).until
    play(world, old.expiry - world.height)
    const moved = world.rotated.filter((r) => r.instance === old.instance)
    expect(moved.map((r) => r.clients)).toEqual([[client(1), client(4)], [sleeper]])
    expect(moved[1]?.at).toBe(times.second + 1)
    expect(world.left).toMatchObject([{ id: ghost, instance: old.instance, at: exitHeight(old) }])
  })

  it('waits for the hour at which more are there, but never past the slot', () => {
    // 1 and 2 come in even hours only, 3 and 4 always; an hour is 6 blocks, so both kinds fit into a slot of 12.
    const world = populated(
      new World(config, (id, height) => id > client(2) || Math.floor(height / 6) % 2 === 0 || height < 1060),
      4,
    )
    const [old] = world.view().factories
    if (old === undefined) throw new Error('no factory')
    play(world, old.expiry - world.height)
    expect(world.left).toEqual([])
    const moves = world.rotated.filter((r) => r.instance === old.instance)
    expect(moves).toHaveLength(1)
    expect(moves[0]?.clients).toHaveLength(4)
  })

  it('nobody misses the last slot for the others', () => {
    // Only 1 is there, and only now; the others are usually there at other hours, and have not come this time.
    const world = populated(new World(config, always), 3)
    const view = world.view()
    const [old] = view.factories
    if (old === undefined) throw new Error('no factory')
    const end = lastStartHeight(old, config)
    const height = blockHeight(end - 10)
    expect(slotAt(old, config, height).last).toBe(true)
    const hours = (often: boolean): Presence => ({
      looked: Array.from({ length: 24 }, () => 20),
      seen: Array.from({ length: 24 }, () => (often ? 20 : 1)),
      lastSeen: 0,
    })
    const look = (others: boolean, first: boolean): string | undefined =>
      decide({
        ...view,
        height,
        online: new Set([client(1)]),
        presences: { [client(1)]: hours(first), [client(2)]: hours(others), [client(3)]: hours(others) },
      })[0]?.do
    expect(look(true, false)).toBe('rotate')
    expect(look(true, true)).toBe('wait')
    expect(look(false, true)).toBe('rotate')
  })

  it('in the last slot each gets its own rotation when they never come together', () => {
    let from = 0
    const world = populated(
      new World({ ...config, slots: 1 }, (id, height) => {
        if (from === 0 || height < from) return true
        return id === client(1 + (Math.floor((height - from) / 6) % 3))
      }),
      3,
    )
    const [old] = world.view().factories
    if (old === undefined) throw new Error('no factory')
    from = dyingHeight(old, config)
    play(world, old.expiry - world.height)
    const moves = world.rotated.filter((r) => r.instance === old.instance).map((r) => r.clients)
    expect(moves).toEqual([[client(1)], [client(2)], [client(3)]])
  })

  it('asks nobody who is in a ceremony already', () => {
    const world = populated(new World(config, always), 3)
    const view = world.view()
    const [old] = view.factories
    if (old === undefined) throw new Error('no factory')
    const [decision] = decide({ ...view, height: dyingHeight(old, config), busy: new Set([client(1)]), presences: {} })
    expect(decision).toMatchObject({ do: 'rotate', clients: [client(2), client(3)] })
  })

  it('leaves out whoever spoilt an attempt, and asks it again later', () => {
    const guilty = client(1)
    let fouls = 0
    const world = populated(
      new World(config, always, (d): Outcome => {
        if (d.do === 'rotate' && d.clients.includes(guilty) && fouls < 2) {
          fouls += 1
          return { result: 'badly', blocks: 1, guilty }
        }
        return { result: 'well', blocks: 1 }
      }),
      3,
    )
    const [old] = world.view().factories
    if (old === undefined) throw new Error('no factory')
    play(world, old.expiry - world.height)
    const moves = world.rotated.filter((r) => r.instance === old.instance).map((r) => r.clients)
    expect(moves).toEqual([[client(2), client(3)], [guilty]])
    expect(world.left).toEqual([])
  })

  it('puts those who wait into a rotation when the ladder is full', () => {
    const full: LadderConfig = { ...config, factories: 1 }
    const world = populated(new World(full, always), 3)
    world.join(client(9))
    const [old] = world.view().factories
    if (old === undefined) throw new Error('no factory')
    play(world, old.expiry - world.height)
    expect(world.rotated[0]?.clients).toContain(client(9))
    expect(world.waiting).toEqual([])
  })

  it('spreads creations over the active period, and serves a lonely client after its patience', () => {
    const world = new World(config, always, () => ({ result: 'well', blocks: 5 }))
    for (let i = 1; i <= 11; i += 1) world.join(client(i))
    play(world, 60)
    const spacing = config.activeBlocks / config.factories
    expect(world.created.map((c) => c.clients.length)).toEqual([5, 5, 1])
    const heights = world.created.map((c) => c.at)
    for (const [i, at] of heights.slice(1).entries()) expect(at - (heights[i] ?? 0)).toBeGreaterThan(spacing)
  })

  it('keeps money for the rotations that are due', () => {
    const world = populated(new World({ ...config, factories: 9 }, always), 2)
    const view = world.view()
    const [old] = view.factories
    if (old === undefined) throw new Error('no factory')
    // Half of them are away: the rotation waits, and what it will need is not given to newcomers.
    const budget = sat(2n * old.fundingAmount + 10_000n)
    const look = {
      ...view,
      config: { ...view.config, budget },
      height: dyingHeight(old, config),
      online: new Set<NodeId>([client(7), client(8)]),
      waiting: [7, 8].map((n) => ({ id: client(n), capacity: sat(100_000), since: blockHeight(0) })),
      memory: { ...view.memory, creating: { failures: 0, retryAt: blockHeight(0), doneAt: undefined } },
    }
    expect(decide(look).map((d) => d.do)).toEqual(['wait', 'wait'])
    expect(decide({ ...look, height: blockHeight(look.height - 1) }).map((d) => d.do)).toEqual(['wait', 'create'])
  })

  const seeds = fc.record({
    clients: fc.integer({ min: 1, max: 12 }),
    presence: fc.array(fc.constantFrom(0, 0.2, 0.7, 1), { minLength: 12, maxLength: 12 }),
    luck: fc.infiniteStream(fc.integer({ min: 0, max: 99 })),
    budget: fc.constantFrom(400_000, 1_000_000, 100_000_000),
    slots: fc.integer({ min: 1, max: 6 }),
    dying: fc.integer({ min: 6, max: 60 }),
    maxClients: fc.integer({ min: 1, max: 6 }),
  })

  it('whatever clients, fees and attempts do: one rotation at a time, in time, within budget, nobody lost', () => {
    fc.assert(
      fc.property(seeds, ({ clients, presence, luck, budget, slots, dying, maxClients }) => {
        const draw = (): number => luck.next().value as number
        const settings: LadderConfig = {
          ...config,
          budget: sat(budget),
          slots,
          dyingBlocks: blocks(dying),
          maxClients,
          minClients: Math.min(2, maxClients),
        }
        const online = new Map<string, boolean>()
        const world = new World(
          settings,
          (id, height) => {
            const key = `${id}/${Math.floor(height / 6)}`
            const known = online.get(key)
            if (known !== undefined) return known
            const there = draw() < 100 * (presence[Number.parseInt(id.slice(-2), 16) - 1] ?? 0)
            online.set(key, there)
            return there
          },
          (d): Outcome => {
            const length = 1 + (draw() % 4)
            if (draw() < 60) return { result: 'well', blocks: length }
            const ids = d.do === 'create' ? d.clients.map((c) => c.id) : d.do === 'rotate' ? d.clients : []
            return {
              result: 'badly',
              blocks: length,
              guilty: draw() < 50 ? ids[draw() % Math.max(1, ids.length)] : undefined,
            }
          },
          () => (draw() < 10 ? 30_000 : 2000),
        )
        for (let i = 1; i <= clients; i += 1) world.join(client(i))
        for (let i = 0; i < 500; i += 1) {
          const { view, decisions } = world.step()
          checkLook(view, decisions)
          // Conservation: what a client was paid is in its factories or was left on chain, and nowhere twice.
          const held = new Map<NodeId, bigint>()
          for (const { id, balance } of [...world.left, ...world.factories.flatMap((f) => f.residents)])
            held.set(id, (held.get(id) ?? 0n) + balance)
          expect(new Set([...held.values()])).toEqual(new Set(held.size === 0 ? [] : [BigInt(PAID)]))
          expect(new Set([...held.keys(), ...world.waiting.map((e) => e.id)]).size).toBe(clients)
          for (const f of view.factories)
            if (f.residents.length > 0) expect(view.height).toBeLessThanOrEqual(exitHeight(f))
        }
      }),
      { numRuns: 25 },
    )
  })
})
