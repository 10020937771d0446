import {
  feesAt,
  forecast,
  FUNDING_VSIZE,
  lifetime,
  REAP_VSIZE,
  dyingHeight,
  exitHeight,
  settleBlocks,
} from '../../src/ladder/index.js'
import { describe, expect, it } from 'vitest'
import { client, config, PAID, World } from './world.js'

function ladder(clients: number, gone: readonly number[] = []): World {
  const away = new Set(gone.map(client))
  const times = { leave: Infinity }
  const world = new World(
    config,
    (id, height) => !away.has(id) || height < times.leave,
    () => ({ result: 'well', blocks: settleBlocks(config) }),
  )
  for (let i = 1; i <= clients; i += 1) world.join(client(i))
  for (let i = 0; i < 40; i += 1) world.step()
  times.leave = world.height
  // Long enough that whoever is away counts as gone.
  for (let i = 0; i < config.dyingBlocks + 1; i += 1) world.step()
  return world
}

describe('forecast', () => {
  it('of a month says what then happens, when nothing goes wrong', () => {
    const world = ladder(4)
    const view = world.view()
    const ahead = 600
    const { events, vsize, peak } = forecast(view, ahead)
    const before = world.rotated.length
    for (let i = 0; i < ahead; i += 1) world.step()
    const rotations = events.filter((e) => e.what === 'rotate')
    expect(rotations).toHaveLength(world.rotated.length - before)
    expect(rotations[0]).toMatchObject({ instance: view.factories[0]?.instance, clients: 4 })
    const reaps = events.filter((e) => e.what === 'reap')
    expect(vsize).toBe(rotations.length * FUNDING_VSIZE + reaps.length * REAP_VSIZE)
    // While everyone moves, two factories are funded.
    expect(peak).toBe(2n * (view.factories[0]?.fundingAmount ?? 0n) - BigInt((4 * PAID) / 1000))
    expect(feesAt(vsize, 2000)).toBe(BigInt(2 * vsize))
  })

  it('counts those who are gone as exits, at the height and the price of an exit', () => {
    const world = ladder(4, [2])
    const view = world.view()
    const [factory] = view.factories
    if (factory === undefined) throw new Error('no factory')
    const { events } = forecast(view, lifetime(config, 4))
    const exit = events.find((e) => e.what === 'exit')
    expect(exit).toMatchObject({ height: exitHeight(factory), clients: 1, instance: factory.instance })
    expect(exit?.vsize).toBeGreaterThan(600)
    const rotation = events.find((e) => e.what === 'rotate')
    expect(rotation?.clients).toBe(3)
    expect(rotation?.height).toBeGreaterThanOrEqual(dyingHeight(factory, config))
  })

  it('of an empty node is empty', () => {
    const world = new World(config, () => true)
    expect(forecast(world.view(), 4320)).toMatchObject({ events: [], vsize: 0, peak: 0n })
  })
})
