import { closedDoor, decide, defaultLadder, noMemory, type LadderView } from '@ln-factory/core/ladder'
import type { FactoryEconomics, LadderApi, LadderStatus } from '@ln-factory/core/runner'
import { blockHeight, blocks, instanceId, msat, nodeId, sat } from '@ln-factory/core/units'

const CLIENT = nodeId('03' + 'aa'.repeat(32))
const WAITER = nodeId('02' + 'bb'.repeat(32))
const REQUEST = instanceId('77'.repeat(32))

/** One factory of one client, and one more that waits. */
export const ladderView: LadderView = {
  config: defaultLadder,
  height: blockHeight(1000),
  now: 1_700_000_000,
  feerate: 5000,
  factories: [
    {
      instance: instanceId('01'.repeat(32)),
      phase: 'open',
      expiry: blockHeight(7000),
      earlyWarning: blocks(456),
      confirmationMargin: blocks(6),
      createdAt: blockHeight(900),
      fundingAmount: sat(240_000),
      places: 2,
      reapable: true,
      residents: [{ id: CLIENT, capacity: sat(100_000), balance: msat(40_000_000), underway: false }],
      rotating: false,
    },
  ],
  waiting: [{ id: WAITER, capacity: sat(200_000), since: blockHeight(990) }],
  creating: false,
  online: new Set([CLIENT, WAITER]),
  busy: new Set(),
  presences: {},
  memory: noMemory,
}

export const economics: FactoryEconomics = {
  instance: instanceId('01'.repeat(32)),
  role: 'lsp',
  phase: 'active',
  paid: { funding: sat(310), tree: sat(0), children: sat(1200) },
  routed: msat(5001),
  clients: [
    {
      id: CLIENT,
      capacity: sat(100_000),
      balance: msat(1_999_999),
      coverage: sat(120_000),
      level: 'covered',
      exitFloor: sat(2000),
      routed: undefined,
    },
  ],
}

/** A ladder that remembers what it was asked. */
export class FakeLadder implements LadderApi {
  readonly asked: { method: string; args: readonly unknown[] }[] = []
  #status: LadderStatus = { running: false, config: defaultLadder, admission: closedDoor }

  status(): LadderStatus {
    return this.#status
  }
  configure(config: LadderStatus['config']): void {
    this.#status = { ...this.#status, config }
  }
  setAdmission(admission: LadderStatus['admission']): void {
    this.#status = { ...this.#status, admission }
  }
  setRunning(running: boolean): void {
    this.#status = { ...this.#status, running }
  }
  plan(): ReturnType<LadderApi['plan']> {
    const view = { ...ladderView, config: this.#status.config }
    return Promise.resolve({ ...this.#status, view, decisions: decide(view) })
  }
  waiting(): ReturnType<LadderApi['waiting']> {
    return [{ id: WAITER, request: REQUEST, capacity: sat(200_000), since: blockHeight(990) }]
  }
  dismiss(...args: Parameters<LadderApi['dismiss']>): void {
    this.asked.push({ method: 'dismiss', args })
  }
  join(...args: Parameters<LadderApi['join']>): void {
    this.asked.push({ method: 'join', args })
  }
  withdraw(...args: Parameters<LadderApi['withdraw']>): void {
    this.asked.push({ method: 'withdraw', args })
  }
  wishes(): ReturnType<LadderApi['wishes']> {
    return [
      {
        lsp: CLIENT,
        request: REQUEST,
        capacity: sat(100_000),
        since: blockHeight(990),
        answer: { kind: 'accepted', place: 2, waiting: 5 },
        instance: undefined,
      },
    ]
  }
}
