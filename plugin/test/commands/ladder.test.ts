import { FactoryError } from '@ln-factory/tlv'
import { describe, expect, it } from 'vitest'
import { commands, type JsonObject } from '../../src/commands/index.js'
import { ALICE, BOB, contextOf, FakeApi, ONE } from './fakes.js'

const run = async (name: string, params: unknown, api = new FakeApi()): Promise<JsonObject> => {
  const found = commands.find((c) => c.name === name)
  if (found === undefined) throw new Error(`no ${name}`)
  return found.run(contextOf(api), params)
}

describe('invariant 11: bad parameters get a clear error and change nothing', () => {
  it.each<[string, unknown, RegExp]>([
    ['factory-join', { lsp: ALICE }, /capacity is missing/],
    ['factory-join', { capacity: 5 }, /capacity goes with lsp/],
    ['factory-join', { instance_id: ONE, lsp: ALICE, capacity: 5 }, /answers an invitation/],
    ['factory-join', { lsp: ALICE, capacity: 5, accept: true }, /accept=true/],
    ['factory-join', { lsp: ALICE, capacity: 5, accept: false }, /capacity goes with lsp alone/],
    ['factory-join', { lsp: ALICE, accept: false, reason: 'no' }, /of an invitation only/],
    ['factory-ladder', ['run'], /action/],
    ['factory-ladder', { action: 'start', slots: 2 }, /no settings with start/],
    ['factory-ladder', { blocks: 5 }, /go with forecast/],
    ['factory-ladder', { action: 'forecast', feerates: [999] }, /feerates\.0/],
    ['factory-waiting', { reason: 'x' }, /reason goes with remove/],
    ['factory-waiting', { only: ALICE }, /only/],
    ['factory-economics', ['all'], /instance_id/],
  ])('%s %j', async (name, params, message) => {
    const api = new FakeApi()
    const before = api.ladder.status()
    await expect(run(name, params, api)).rejects.toThrow(message)
    expect(api.asked).toEqual([])
    expect(api.ladder.asked).toEqual([])
    expect(api.ladder.status()).toEqual(before)
  })
})

describe('factory-join', () => {
  it('asks, withdraws, and lists what was asked beside the invitations', async () => {
    const api = new FakeApi()
    await run('factory-join', { lsp: ALICE, capacity: '100000sat' }, api)
    await run('factory-join', { lsp: BOB, accept: false }, api)
    expect(api.ladder.asked).toEqual([
      { method: 'join', args: [ALICE, 100_000n] },
      { method: 'withdraw', args: [BOB] },
    ])
    expect(await run('factory-join', {})).toMatchObject({
      requests: [{ lsp: ALICE, capacity_sat: 100_000, status: 'accepted', place: 2, waiting: 5 }],
      invitations: [{ instance_id: ONE }],
    })
  })
})

describe('factory-ladder', () => {
  it('changes what is given and keeps the rest; start and stop are told apart from settings', async () => {
    const api = new FakeApi()
    const before = await run('factory-ladder', [], api)
    expect(before).toMatchObject({ running: false, factories: 33, budget_sat: 100_000_000 })
    const after = await run('factory-ladder', { factories: 5, budget: '2btc' }, api)
    expect(after).toEqual({ ...before, factories: 5, budget_sat: 200_000_000 })
    expect(await run('factory-ladder', ['start'], api)).toEqual({ ...after, running: true })
    expect(await run('factory-ladder', ['stop'], api)).toEqual({ ...after, running: false })
  })

  it('tells what is due, and why', async () => {
    const { schedule } = await run('factory-ladder', ['schedule'])
    expect(schedule).toMatchObject([
      { do: 'wait', instance_id: ONE, clients: [ALICE], reason: /active/ },
      { do: 'wait', clients: [BOB], reason: /at least 4/ },
    ])
  })

  it('forecasts the chain and the capital, at the feerates that are asked for', async () => {
    const told = await run('factory-ladder', { action: 'forecast', blocks: 6000, feerates: [1000, 2000] })
    const { events, vsize, fees, until } = told as { events: JsonObject[]; vsize: number; fees: unknown; until: number }
    expect(until).toBe(7000)
    expect(events.map((e) => e['do'])).toEqual(expect.arrayContaining(['create', 'rotate', 'reap']))
    expect(fees).toEqual([
      { feerate_perkb: 1000, fees_sat: vsize },
      { feerate_perkb: 2000, fees_sat: 2 * vsize },
    ])
  })
})

describe('factory-waiting', () => {
  it('lists, removes with a reason, and keeps the rules that are not given', async () => {
    const api = new FakeApi()
    const first = await run('factory-waiting', { remove: BOB }, api)
    expect(api.ladder.asked).toEqual([{ method: 'dismiss', args: [BOB, 'the operator removed the request'] }])
    expect(first).toMatchObject({ waiting: [{ id: BOB, capacity_sat: 200_000, since: 990 }], open: false })
    const rules = await run('factory-waiting', { open: true, only: [ALICE, ALICE] }, api)
    expect(rules).toMatchObject({ open: true, only: [ALICE], max_waiting: 500 })
  })
})

describe('factory-economics', () => {
  it('says whose balance can not leave', async () => {
    const api = new FakeApi()
    const { factories } = await run('factory-economics', { instance_id: ONE }, api)
    expect(api.asked).toEqual([{ method: 'economics', args: [ONE] }])
    expect(factories).toMatchObject([
      {
        paid: { funding_sat: 310, tree_sat: 0, children_sat: 1200 },
        routed_msat: 5001,
        // 1,999,999 msat are one millisatoshi short of 2000 sat.
        clients: [{ id: ALICE, balance_msat: 1_999_999, exit_floor_sat: 2000, can_exit: false }],
      },
    ])
  })

  it('refuses what it does not know', async () => {
    const api = new FakeApi()
    api.economics = () => Promise.reject(new FactoryError('unknown_instance', 'no factory'))
    await expect(run('factory-economics', [ONE], api)).rejects.toThrow(/no factory/)
  })
})
