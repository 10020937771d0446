import { describe, expect, it } from 'vitest'
import { defaultFeeLimits, type Bump } from '../../src/fees/index.js'
import type { Feerates, BroadcastResult, FeeWallet, WalletCoin } from '../../src/host/index.js'
import { FeeBumper, type BumperDeps } from '../../src/runner/bumper.js'
import { openMemoryStore } from '../../src/store/memory/index.js'
import { blockHeight, blocks, instanceId, outPointKey, sat, txid } from '../../src/units/index.js'

const OWNER = { instance: instanceId('ab'.repeat(32)), role: 'lsp' } as const
const SCRIPT = Uint8Array.from([0, 20, ...new Uint8Array(20)])
const REFUSED: BroadcastResult = { accepted: false, error: 'min relay fee not met, 124 < 620' }
const TAKEN: BroadcastResult = { accepted: true, error: undefined }

const parent = (n: number): Bump => ({
  anchor: { txid: txid(n.toString(16).padStart(64, '0')), vout: 1 },
  fee: sat(124),
  vsize: 124,
  margin: blocks(6),
})
const coin = (n: number): WalletCoin => ({
  outpoint: { txid: txid('cc'.repeat(32)), vout: n },
  amount: sat(50_000),
  script: SCRIPT,
})

/** A host whose mempool answers what the test says, and whose wallet notes what is done with its coins. */
function setUp(coins: WalletCoin[] = [coin(0)]) {
  const reserved = new Set<string>()
  const packages: Uint8Array[] = []
  const unspent = new Set(coins.map((c) => outPointKey(c.outpoint)))
  const answers = { alone: REFUSED, package: (): Promise<BroadcastResult> => Promise.resolve(TAKEN) }
  const feeWallet: FeeWallet = {
    feerates: () => Promise.resolve({ floor: 5000, estimates: [] }),
    coins: () => Promise.resolve(coins.filter((c) => !reserved.has(outPointKey(c.outpoint)))),
    reserve: ({ outpoint }) => {
      const free = !reserved.has(outPointKey(outpoint))
      reserved.add(outPointKey(outpoint))
      return Promise.resolve(free)
    },
    renew: () => Promise.resolve(true),
    release: ({ outpoint }) => {
      reserved.delete(outPointKey(outpoint))
      return Promise.resolve()
    },
    sign: () => Promise.resolve([new Uint8Array(72), new Uint8Array(33)]),
    submitPackage: (_, child) => {
      packages.push(child)
      return answers.package()
    },
  }
  const logs: string[] = []
  const deps: BumperDeps = {
    host: {
      broadcast: () => Promise.resolve(answers.alone),
      newScript: () => Promise.resolve(SCRIPT),
      utxo: (o) => Promise.resolve(unspent.has(outPointKey(o)) ? { amount: sat(50_000), script: SCRIPT } : undefined),
      log: (_, text) => logs.push(text),
      feeWallet,
    },
    store: openMemoryStore(),
    limits: defaultFeeLimits,
    height: () => blockHeight(500),
  }
  const send = (bumper: FeeBumper, bump = parent(1)): Promise<BroadcastResult> =>
    bumper.send(OWNER, { call: 'broadcast', tx: Uint8Array.of(1), txid: bump.anchor.txid, bump })
  return { deps, send, answers, packages, reserved, unspent, feeWallet, logs }
}

describe('how a tree transaction goes out', () => {
  it('invariant 8: dies with the child on record but not sent, and sends the same again', async () => {
    const t = setUp([coin(0), coin(1)])
    t.answers.package = () => Promise.reject(new Error('killed'))
    expect(await t.send(new FeeBumper(t.deps))).toBe(REFUSED)
    expect([...t.reserved].length).toBe(1)
    t.answers.package = () => Promise.resolve(TAKEN)
    expect(await t.send(new FeeBumper(t.deps))).toEqual(TAKEN)
    expect(t.packages[1]).toEqual(t.packages[0])
    expect([...t.reserved].length).toBe(1)
  })

  it('invariant 10: many at once share neither coin nor budget', async () => {
    const t = setUp([0, 1, 2, 3, 4].map(coin))
    const limits = { perTransaction: sat(50_000), perFactory: sat(4000) }
    const bumper = new FeeBumper({ ...t.deps, limits })
    const results = await Promise.all([1, 2, 3, 4, 5].map((n) => t.send(bumper, parent(n))))
    // 1311 sat each: three fit.
    expect(results.filter((r) => r.accepted).length).toBe(3)
    expect(t.reserved.size).toBe(3)
    expect(bumper.notice(OWNER.instance)).toMatch(/factory-bump-budget.*\(1 more transactions/)
  })

  it('takes what goes wrong with one as no reason to stop the next', async () => {
    const t = setUp()
    const broken = { ...t.feeWallet, feerates: (): Promise<Feerates> => Promise.reject(new Error('no bitcoind')) }
    const bumper = new FeeBumper({ ...t.deps, host: { ...t.deps.host, feeWallet: broken } })
    expect(await t.send(bumper)).toBe(REFUSED)
    expect(bumper.notice(OWNER.instance)).toContain('no bitcoind')
    broken.feerates = () => t.feeWallet.feerates()
    expect((await t.send(bumper)).accepted).toBe(true)
    expect(bumper.notice(OWNER.instance)).toBeUndefined()
  })

  it('spends nothing on what is in a block, lacks an input, or has no anchor of ours', async () => {
    const t = setUp()
    const bumper = new FeeBumper(t.deps)
    for (const alone of [
      { accepted: true, error: undefined, confirmed: true },
      { accepted: false, error: 'bad-txns-inputs-missingorspent' },
    ]) {
      t.answers.alone = alone
      expect(await t.send(bumper)).toBe(alone)
    }
    t.answers.alone = REFUSED
    expect(await bumper.send(OWNER, { call: 'broadcast', tx: Uint8Array.of(1), txid: parent(1).anchor.txid })).toBe(
      REFUSED,
    )
    expect(t.packages).toEqual([])
    expect(t.reserved.size).toBe(0)
  })

  it.each([true, false])('frees a coin that was not needed after all, and no other (unspent: %s)', async (left) => {
    const t = setUp()
    const bumper = new FeeBumper(t.deps)
    await t.send(bumper)
    if (!left) t.unspent.clear()
    bumper.confirmed(OWNER, parent(1).anchor.txid)
    // The next in turn.
    t.answers.alone = TAKEN
    await t.send(bumper, parent(2))
    expect(t.reserved.size).toBe(left ? 0 : 1)
  })

  it('says so once where a host can add nothing, until it is taken', async () => {
    const t = setUp()
    const host = { ...t.deps.host }
    Reflect.deleteProperty(host, 'feeWallet')
    const bumper = new FeeBumper({ ...t.deps, host })
    await t.send(bumper)
    await t.send(bumper)
    expect(bumper.notice(OWNER.instance)).toContain('min relay fee not met')
    expect(t.logs.length).toBe(1)
    t.answers.alone = TAKEN
    await t.send(bumper)
    expect(bumper.notice(OWNER.instance)).toBeUndefined()
  })
})
