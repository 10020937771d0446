import type { CreateRequest, FactoryApi, FactoryDetails, Policy } from '@ln-factory/core/runner'
import { blockHeight, blocks, instanceId, nodeId, sat, msat, txid } from '@ln-factory/core/units'
import { FactoryError } from '@ln-factory/tlv'
import type { Backups, CommandContext, Rpc } from '../../src/commands/index.js'
import { parseOptions } from '../../src/options/index.js'
import { economics, FakeLadder } from './fake-ladder.js'

export const LSP_ID = nodeId('02' + '11'.repeat(32))
export const ALICE = nodeId('03' + 'aa'.repeat(32))
export const BOB = nodeId('02' + 'bb'.repeat(32))
export const ONE = instanceId('01'.repeat(32))
export const TWO = instanceId('02'.repeat(32))
export const TXID = txid('ee'.repeat(32))

export const config = parseOptions({}, { lightningDir: '/d', network: 'regtest' })

export const details: FactoryDetails = {
  instance: ONE,
  role: 'lsp',
  phase: 'active',
  stage: 'active',
  lsp: LSP_ID,
  clients: 2,
  funding: { txid: TXID, vout: 1 },
  fundingAmount: sat(240_000),
  expiry: blockHeight(6000),
  earlyWarning: blocks(456),
  channels: [
    {
      peer: ALICE,
      channelId: 'cc'.repeat(32),
      capacity: sat(100_000),
      ours: msat(99_999_001),
      outpoint: { txid: TXID, vout: 0 },
    },
    { peer: BOB, channelId: undefined, capacity: sat(100_000), ours: undefined, outpoint: undefined },
  ],
  moves: [{ peer: ALICE, to: TWO, stage: 'moving', parts: 1 }],
  notice: undefined,
  params: config.creation.params,
  transactions: [
    {
      id: 'kickoff:0',
      role: 'kickoff',
      class: 'child',
      txid: TXID,
      vsize: 124,
      fee: sat(124),
      amount: sat(240_000),
      sequence: 0xfffffffd,
      lockTime: 0,
      signed: true,
      confirmed: undefined,
    },
  ],
  alarm: undefined,
  sightings: [],
  exit: { transactions: 2, vsize: 463, fee: sat(463), blocks: blocks(450) },
  coverage: undefined,
  assists: [],
  lastHtlcHeight: blockHeight(5081),
  next: 'nothing before block 5538',
}

/** A node that knows one factory and remembers what it was asked. */
export class FakeApi implements FactoryApi {
  readonly nodeId = LSP_ID
  readonly ladder = new FakeLadder()
  readonly asked: { method: string; args: readonly unknown[] }[] = []
  private limits: Policy = config.policy

  private note(method: string, ...args: unknown[]): void {
    this.asked.push({ method, args })
  }
  private known(id: string): void {
    if (id !== ONE) throw new FactoryError('unknown_instance', `no factory ${id}`)
  }
  create(request: CreateRequest): ReturnType<FactoryApi['create']> {
    this.note('create', request)
    return Promise.resolve({ instance: ONE, funding: { txid: TXID, vout: 1 }, fundingAmount: sat(240_000) })
  }
  list(): ReturnType<FactoryApi['list']> {
    return Promise.resolve([details])
  }
  async show(id: string): ReturnType<FactoryApi['show']> {
    await Promise.resolve()
    this.known(id)
    return details
  }
  peers(): ReturnType<FactoryApi['peers']> {
    return Promise.resolve([{ id: ALICE, connected: true, protocol: 'other', names: ['SuperScalar/v1'] }])
  }
  invites(): ReturnType<FactoryApi['invites']> {
    return [
      {
        instance: ONE,
        lsp: LSP_ID,
        capacity: sat(100_000),
        push: msat(1000),
        clients: 8,
        expiry: blockHeight(6000),
        earlyWarning: blocks(456),
        params: config.creation.params,
        answerBefore: 1_800_000_000,
      },
    ]
  }
  answer(...args: Parameters<FactoryApi['answer']>): Promise<void> {
    this.note('answer', ...args)
    return Promise.resolve()
  }
  policy(): Policy {
    return this.limits
  }
  setPolicy(policy: Policy): void {
    this.note('setPolicy', policy)
    this.limits = policy
  }
  abort(...args: Parameters<FactoryApi['abort']>): Promise<void> {
    this.note('abort', ...args)
    return Promise.resolve()
  }
  close(...args: Parameters<FactoryApi['close']>): ReturnType<FactoryApi['close']> {
    this.note('close', ...args)
    return Promise.resolve({ txid: TXID, fee: sat(500), vsize: 250, ours: sat(99_999) })
  }
  rotate(...args: Parameters<FactoryApi['rotate']>): ReturnType<FactoryApi['rotate']> {
    this.note('rotate', ...args)
    return Promise.resolve({ instance: TWO, moving: [ALICE] })
  }
  exit(id: string): ReturnType<FactoryApi['exit']> {
    this.note('exit', id)
    return Promise.resolve({ transactions: details.transactions, blocks: blocks(450) })
  }
  economics(...args: Parameters<FactoryApi['economics']>): ReturnType<FactoryApi['economics']> {
    this.note('economics', ...args)
    return Promise.resolve([economics])
  }
  buy(...args: Parameters<FactoryApi['buy']>): ReturnType<FactoryApi['buy']> {
    this.note('buy', ...args)
    return Promise.resolve({ channelId: 'dd'.repeat(32), capacity: args[1], price: msat(2100) })
  }
  sell(...args: Parameters<FactoryApi['sell']>): ReturnType<FactoryApi['sell']> {
    this.note('sell', ...args)
    return Promise.resolve({ channelId: 'dd'.repeat(32), capacity: args[2], price: args[3] ?? msat(2100) })
  }
  assist(...args: Parameters<FactoryApi['assist']>): ReturnType<FactoryApi['assist']> {
    this.note('assist', ...args)
    const outpoint = { txid: TXID, vout: 1 }
    return Promise.resolve({ outpoint, amount: sat(49_000), fee: sat(1200), timeout: blockHeight(5300) })
  }
  gated: FactoryApi['gated'] = () => undefined
  bundle(id: string): ReturnType<FactoryApi['bundle']> {
    this.known(id)
    return { instance: ONE, sequence: 3, since: blockHeight(100), until: blockHeight(9000), responses: [] }
  }
  restored(): ReturnType<FactoryApi['restored']> {
    return [
      { instance: ONE, role: 'client', lsp: LSP_ID, hold: 'suspended', missing: ['cooperative'], why: 'it is old' },
    ]
  }
  reconcile(...args: Parameters<FactoryApi['reconcile']>): Promise<void> {
    this.note('reconcile', ...args)
    return Promise.resolve()
  }
  log(filter: Parameters<FactoryApi['log']>[0]): ReturnType<FactoryApi['log']> {
    this.note('log', filter)
    return [{ seq: 7, time: 1_700_000_000, instance: ONE, kind: 'state', text: 'active' }]
  }
}

/** lightningd with a fixed answer per method; a method it does not know fails as lightningd's would. */
export const fakeRpc = (answers: Readonly<Record<string, (params: object) => unknown>>): Rpc => ({
  call: async (method, params) => {
    await Promise.resolve()
    const answer = answers[method]
    if (answer === undefined) throw new FactoryError('host_failed', `${method}: unknown command`)
    return answer(params)
  },
})

export const backups: Backups = {
  save: () => ({ size: 5000, factories: 2, time: 1_700_000_000 }),
  stage: () => ({ size: 5000, factories: 2, time: 1_700_000_000 }),
}

export const contextOf = (api: FactoryApi, rpc: Rpc = fakeRpc({})): CommandContext => ({ api, rpc, config, backups })
