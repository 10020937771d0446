import { FactoryError } from '@ln-factory/tlv'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { commands, type Command, type JsonObject } from '../../src/commands/index.js'
import { ALICE, BOB, config, contextOf, FakeApi, fakeRpc, LSP_ID, ONE, TXID } from './fakes.js'

const command = (name: string): Command => {
  const found = commands.find((c) => c.name === name)
  if (found === undefined) throw new Error(`no ${name}`)
  return found
}
const run = (name: string, params: unknown, api = new FakeApi()): Promise<JsonObject> =>
  command(name).run(contextOf(api), params)

const refusal = (name: string, params: unknown): string => {
  try {
    command(name).validate(params)
  } catch (error) {
    if (error instanceof FactoryError && error.code === 'bad_parameter') return error.message
    throw error
  }
  throw new Error('accepted')
}

describe('invariant 11: bad parameters get a clear error and change nothing', () => {
  it.each<[string, unknown, RegExp]>([
    ['factory-create', [], /clients/],
    ['factory-create', [[]], /clients: a factory needs at least one client/],
    ['factory-create', [['alice'], 100_000], /clients\.0\.id: not a node id/],
    ['factory-create', [[ALICE.toUpperCase()], 100_000], /clients\.0/],
    ['factory-create', [[ALICE]], /no capacity for client/],
    ['factory-create', [[ALICE, ALICE], 100_000], /named twice/],
    ['factory-create', [[ALICE, { id: ALICE, capacity_sat: 5 }], 100_000], /named twice/],
    ['factory-create', [[{ id: ALICE, capacity: 5 }], 100_000], /clients\.0/],
    ['factory-create', [[ALICE], '1500msat'], /capacity: .*whole number of satoshi/],
    ['factory-create', [[ALICE], 100_000, '100001sat'], /push_msat of client/],
    ['factory-create', { clients: [ALICE], capacity: 100_000, livetime: 5 }, /"livetime".*lifetime/],
    ['factory-create', { clients: [ALICE], capacity: 100_000, lifetime: 0 }, /lifetime/],
    ['factory-create', { clients: [ALICE], capacity: 100_000, fanout: '2.5' }, /fanout/],
    ['factory-create', 'all', /a list or an object/],
    ['factory-show', [], /instance_id/],
    ['factory-show', [ONE.slice(2)], /instance_id: not an instance_id/],
    ['factory-show', [ONE, 1], /2 parameters, and it takes 1 at most/],
    ['factory-list', ['everything'], /phase/],
    ['factory-peers', { id: ALICE }, /takes none/],
    ['factory-join', { accept: false }, /instance_id is missing/],
    ['factory-join', [ONE, 'maybe'], /accept/],
    ['factory-join', [ONE, true, 'because'], /reason goes with accept=false/],
    ['factory-join', [ONE, false, 'a\u0007b'], /reason: .*control/],
    ['factory-policy', { accept_from: ALICE }, /accept_from/],
    ['factory-policy', { min_depth: 0 }, /min_depth/],
    ['factory-close', [ONE, []], /feerate/],
    ['factory-exit', { instance: ONE }, /"instance"/],
    ['factory-log', { limit: 1001 }, /limit/],
  ])('%s %j', async (name, params, message) => {
    expect(refusal(name, params)).toMatch(message)
    const api = new FakeApi()
    await expect(run(name, params, api)).rejects.toThrow(message)
    expect(api.asked).toEqual([])
  })

  it('no parameters of any kind make a command throw anything else', () => {
    fc.assert(
      fc.property(fc.constantFrom(...commands), fc.anything(), (c, params) => {
        try {
          c.validate(params)
        } catch (error) {
          expect(error).toMatchObject({ name: 'FactoryError', code: 'bad_parameter' })
        }
      }),
    )
  })

  it('__proto__ is a wrong name like any other', () => {
    expect(refusal('factory-list', JSON.parse('{"__proto__": 1}'))).toMatch(/no parameter is called "__proto__"/)
  })

  it('validate says yes to what run takes, and does nothing', () => {
    command('factory-create').validate([[ALICE], 100_000])
    command('factory-join').validate({})
    command('factory-join').validate(undefined)
    command('factory-exit').validate([ONE])
  })
})

describe('factory-create', () => {
  it('takes one size for all, in either form', async () => {
    const api = new FakeApi()
    const byPosition = await run('factory-create', [[ALICE, BOB], '100000sat'], api)
    const byName = await run('factory-create', { clients: [ALICE, BOB], capacity: 100_000, push_msat: null }, api)
    expect(byName).toEqual(byPosition)
    expect(api.asked[0]?.args[0]).toEqual({
      clients: [ALICE, BOB].map((id) => ({ id, capacity: 100_000n, push: 0n })),
      lifetime: 4752 + 456,
      params: config.creation.params,
      stepTimeout: 120,
    })
    expect(byPosition).toMatchObject({
      instance_id: ONE,
      funding_txid: TXID,
      funding_outnum: 1,
      funding_sat: 240_000,
      early_warning: 456,
      lifetime: 5208,
    })
  })

  it('takes a size and a balance per client, and other tree parameters', async () => {
    const api = new FakeApi()
    const clients = [{ id: ALICE, capacity_sat: 200_000, push_msat: '50sat' }, BOB]
    await run(
      'factory-create',
      { clients, capacity: '0.001btc', push_msat: 7, lifetime: 3000, step: 10, stock_per_client: 0 },
      api,
    )
    expect(api.asked[0]?.args[0]).toMatchObject({
      clients: [
        { id: ALICE, capacity: 200_000n, push: 50_000n },
        { id: BOB, capacity: 100_000n, push: 7n },
      ],
      lifetime: 3000,
      params: { ...config.creation.params, step: 10, stockPerClient: 0n },
    })
  })

  it('refuses what can not work before anyone is asked', async () => {
    const api = new FakeApi()
    const tooSlow = run('factory-create', { clients: [ALICE], capacity: 100_000, step: 1008 }, api)
    await expect(tooSlow).rejects.toMatchObject({ code: 'early_warning_unpayable' })
    await expect(run('factory-create', [[LSP_ID], 100_000], api)).rejects.toThrow(/no client of its own/)
    expect(api.asked).toEqual([])
  })
})

describe('the other commands', () => {
  it('show and list answer in plain numbers', async () => {
    const shown = await run('factory-show', [ONE])
    expect(JSON.parse(JSON.stringify(shown))).toMatchObject({
      instance_id: ONE,
      channels: [{ to_us_msat: 99_999_001, capacity_sat: 100_000 }, { peer_id: BOB }],
      exit: { transactions: 2, vsize: 463, fee_sat: 463, blocks: 450 },
      last_htlc_height: 5081,
      params: { stock_per_client_sat: 20_000 },
    })
    expect(shown['notice']).toBeUndefined()
    expect(await run('factory-list', {})).toMatchObject({ factories: [{ instance_id: ONE }] })
    expect(await run('factory-list', { phase: 'closed' })).toEqual({ factories: [] })
    await expect(run('factory-show', ['02'.repeat(32)])).rejects.toMatchObject({ code: 'unknown_instance' })
  })

  it('join lists without parameters and answers with them', async () => {
    const api = new FakeApi()
    expect(await run('factory-join', [], api)).toMatchObject({ invitations: [{ instance_id: ONE, push_msat: 1000 }] })
    expect(await run('factory-join', [ONE], api)).toEqual({ instance_id: ONE, accepted: true })
    await run('factory-join', { instance_id: ONE, accept: 'false', reason: 'too small' }, api)
    expect(api.asked.map(({ args }) => args)).toEqual([
      [ONE, true, undefined],
      [ONE, false, 'too small'],
    ])
  })

  it('policy changes only what is given', async () => {
    const api = new FakeApi()
    expect(await run('factory-policy', [], api)).toMatchObject({ min_depth: 1, accept_from: [] })
    expect(api.asked).toEqual([])
    await run('factory-policy', { accept_from: [ALICE, ALICE], min_depth: 6 }, api)
    expect(api.policy()).toEqual({ ...config.policy, autoAccept: [ALICE], minDepth: 6 })
    await expect(run('factory-policy', { min_capacity: '2btc' }, api)).rejects.toThrow(/min_capacity/)
    expect(api.policy().minCapacity).toBe(config.policy.minCapacity)
  })

  it('close asks lightningd for the feerate', async () => {
    const api = new FakeApi()
    const asked: unknown[] = []
    const rpc = fakeRpc({
      parsefeerate: (params) => {
        asked.push(params)
        return { perkw: 500 }
      },
    })
    const done = await command('factory-close').run(contextOf(api, rpc), [ONE, '2000perkb'])
    expect(asked).toEqual([['2000perkb']])
    expect(api.asked).toEqual([{ method: 'close', args: [ONE, 2000] }])
    expect(done).toEqual({ instance_id: ONE, txid: TXID, fee_sat: 500, vsize: 250, to_us_sat: 99_999 })
  })

  it('close never goes below the relay minimum, and guesses on regtest only', async () => {
    const api = new FakeApi()
    const low = fakeRpc({ parsefeerate: () => ({ perkw: 1 }) })
    await command('factory-close').run(contextOf(api, low), [ONE, 4])
    await run('factory-close', [ONE], api)
    expect(api.asked.map(({ args }) => args[1])).toEqual([1000, 1000])
    const mainnet = { ...contextOf(api), config: { ...config, network: 'bitcoin' } }
    await expect(command('factory-close').run(mainnet, [ONE])).rejects.toMatchObject({ code: 'bad_parameter' })
    await expect(run('factory-close', [ONE, 'warp'], api)).rejects.toMatchObject({ code: 'bad_parameter' })
  })

  it('exit, abort and log pass on what they are told', async () => {
    const api = new FakeApi()
    expect(await run('factory-exit', [ONE], api)).toMatchObject({ blocks: 450, transactions: [{ id: 'kickoff:0' }] })
    await run('factory-abort', [ONE], api)
    expect(await run('factory-log', { after: '3' }, api)).toMatchObject({ log: [{ seq: 7, kind: 'state' }] })
    expect(api.asked).toEqual([
      { method: 'exit', args: [ONE] },
      { method: 'abort', args: [ONE, 'aborted by the operator'] },
      { method: 'log', args: [{ instance: undefined, after: 3, limit: 100 }] },
    ])
  })

  it('help explains every command', async () => {
    const all = await run('factory-help', [])
    expect(all['help']).toHaveLength(commands.length)
    const one = await run('factory-help', ['create'])
    expect(JSON.stringify(one)).toContain('factory-create clients [capacity] [push_msat] [lifetime]')
    await expect(run('factory-help', ['fly'])).rejects.toThrow(/"fly"/)
    for (const c of commands) {
      expect(c.description.length).toBeGreaterThan(10)
      expect(c.longDescription).not.toMatch(/: +\(optional\)|: *$/m)
    }
  })
})
