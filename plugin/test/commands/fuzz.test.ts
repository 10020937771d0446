/**
 * Every command with random parameters, on a node with a live factory: an answer that JSON can carry, or an error with a code; after an
 * error everything that is stored is as it was before. A new command is fuzzed by being in the list.
 */
import type { FactoryApi } from '@ln-factory/core/runner'
import { FactoryError } from '@ln-factory/tlv'
import fc, { type Arbitrary } from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { Net } from '../../../factory-core/test/simulation/net.js'
import type { MemoryDisk } from '../../../factory-core/src/store/memory/index.js'
import { commands, type Command, type CommandContext } from '../../src/commands/index.js'
import { contextOf, fakeRpc } from './fakes.js'

const RUNS = { numRuns: 60 * Number(process.env['LN_FACTORY_FUZZ'] ?? '1') }
/** They answer when a peer or the chain has: what was started goes on, and is nobody's error. */
const PATIENCE = 400

const dump = (disk: MemoryDisk): string =>
  JSON.stringify([
    [...disk.machines],
    [...disk.records.keys()],
    [...disk.items].map(([id, items]) => [id, [...items.keys()]]),
    [...disk.settings],
    disk.log.length,
  ])

const namesOf = (command: Command): string[] => command.usage.split(' ').map((word) => word.replaceAll(/[[\]]/g, ''))

describe('commands', () => {
  let net: Net
  let instance: string
  let context: CommandContext

  beforeAll(async () => {
    net = await Net.of(77, 2)
    instance = await net.active()
    const rpc = fakeRpc({ listpeerchannels: () => ({ channels: [] }), getinfo: () => ({ blockheight: 200 }) })
    context = contextOf(net.node(net.lsp) as unknown as FactoryApi, rpc)
  })

  const word = (): Arbitrary<unknown> =>
    fc.oneof(
      fc.constantFrom(
        instance,
        net.client(0),
        net.lsp,
        '',
        'all',
        'active',
        '1000000',
        '1sat',
        '-1',
        '1.5btc',
        '999999999999999999999msat',
        '0x10',
        '00'.repeat(32),
        'lnbcrt1',
        '__proto__',
        '\u0000',
        'a'.repeat(5000),
      ),
      fc.constantFrom(0, 1, -1, 1.5, 2 ** 31, 2 ** 53, 1e300, Number.NaN, true, false, null),
      fc.constantFrom(1000, 100, 2000, 5000),
      fc.string({ maxLength: 20 }),
    )
  const value = (): Arbitrary<unknown> =>
    fc.oneof(
      { weight: 5, arbitrary: word() },
      { weight: 1, arbitrary: fc.array(word(), { maxLength: 4 }) },
      {
        weight: 1,
        arbitrary: fc.dictionary(fc.constantFrom('id', 'capacity_sat', 'push_msat', 'x'), word(), { maxKeys: 3 }),
      },
      { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
    )
  const params = (command: Command): Arbitrary<unknown> => {
    const names = namesOf(command)
    return fc.oneof(
      {
        weight: 4,
        arbitrary: fc.dictionary(fc.constantFrom(...names, 'nonsense'), value(), { maxKeys: names.length + 1 }),
      },
      { weight: 2, arbitrary: fc.array(value(), { maxLength: names.length + 2 }) },
      { weight: 1, arbitrary: fc.jsonValue() },
    )
  }

  /** The answer, the error, or nothing while it waits for somebody. */
  const run = async (command: Command, raw: unknown): Promise<{ answer?: unknown; error?: unknown }> => {
    const outcome: { answer?: unknown; error?: unknown } = {}
    const running = (async () => {
      try {
        outcome.answer = await command.run(context, raw)
      } catch (error) {
        outcome.error = error
      }
    })()
    for (let i = 0; i < PATIENCE && Object.keys(outcome).length === 0; i++)
      if (!(await net.world.step())) await Promise.race([running, new Promise((resolve) => setTimeout(resolve, 1))])
    await net.world.run()
    return outcome
  }

  it.each(commands.map((c) => [c.name, c] as const))(
    'invariant 11: %s answers or refuses, and a refusal changes nothing',
    async (_name, command) => {
      let refused = 0
      await fc.assert(
        fc.asyncProperty(params(command), async (raw) => {
          const disk = net.disk(net.lsp)
          const before = dump(disk)
          let checked = true
          try {
            command.validate(raw)
          } catch (error) {
            expect(error).toBeInstanceOf(FactoryError)
            expect((error as FactoryError).code).toBe('bad_parameter')
            checked = false
          }
          expect(dump(disk)).toBe(before)
          const { answer, error } = await run(command, raw)
          if (error !== undefined) {
            expect(error).toBeInstanceOf(FactoryError)
            expect((error as FactoryError).message.length).toBeLessThan(2000)
            refused++
            // What was asked of peers and has failed since is on record, and meant to be.
            if (!checked || (error as FactoryError).code === 'bad_parameter') expect(dump(disk)).toBe(before)
          } else {
            expect(checked).toBe(true)
            expect(() => JSON.stringify(answer)).not.toThrow()
          }
        }),
        RUNS,
      )
      expect(refused).toBeGreaterThan(0)
    },
  )
})
