import { FeeBumper } from '../../factory-core/src/runner/bumper.js'
import { defaultFeeLimits, type Bump, type FeeLimits } from '../../factory-core/src/fees/index.js'
import type { BroadcastResult, FeeWallet, Host, WalletCoin } from '../../factory-core/src/host/index.js'
import { openMemoryStore } from '../../factory-core/src/store/memory/index.js'
import { ANCHOR } from '../../factory-core/src/tree/index.js'
import { unsignedTx, withWitness } from '../../factory-core/src/tree/tx.js'
import { blockHeight, blocks, instanceId, outPointKey, sat, txid } from '../../factory-core/src/units/index.js'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { Bitcoind, findBitcoind, RpcError, satOfBtc } from '../src/network/index.js'
import { describeWithBitcoind } from './gate.js'

const OWNER = { instance: instanceId('ab'.repeat(32)), role: 'client' } as const
/** What is built into a tree transaction: one input, one output and an anchor, at 1 sat/vB. */
const VSIZE = 124

interface Entry {
  readonly vsize: number
  readonly fees: { readonly base: number }
  readonly depends: readonly string[]
}
type Wallet = Awaited<ReturnType<typeof testWallet>>

/** What the mempool takes nothing under, in sat per 1000 vB. */
async function minimum(bitcoind: Bitcoind): Promise<number> {
  const info = (await bitcoind.call('getmempoolinfo')) as { mempoolminfee: number; minrelaytxfee: number }
  return satOfBtc(Math.max(info.mempoolminfee, info.minrelaytxfee))
}

/** A wallet of bitcoind's, as a fee wallet. Coins are told to it one by one, so that a test knows which there are. */
async function testWallet(bitcoind: Bitcoind) {
  const reserved = new Set<string>()
  const known: WalletCoin[] = []
  const address = await bitcoind.call('getnewaddress', ['', 'bech32'])
  const { scriptPubKey } = (await bitcoind.call('getaddressinfo', [address])) as { scriptPubKey: string }
  const script = hexToBytes(scriptPubKey)

  /** A confirmed coin of ours. */
  const coin = async (amount: number): Promise<WalletCoin> => {
    const id = await bitcoind.fund(address, amount)
    await bitcoind.mine(1)
    const { vout } = await bitcoind.call('getrawtransaction', [id, true])
    const n = vout.find((o) => o.scriptPubKey.hex === scriptPubKey && satOfBtc(o.value) === amount)?.n ?? -1
    // Nothing else of this wallet's may spend it.
    await bitcoind.call('lockunspent', [false, [{ txid: id, vout: n }]])
    return { outpoint: { txid: txid(id), vout: n }, amount: sat(amount), script }
  }
  const isUnspent = async ({ outpoint }: WalletCoin): Promise<boolean> =>
    (await bitcoind.call('gettxout', [outpoint.txid, outpoint.vout])) !== null
  const signRaw = async (raw: string, prevtxs: unknown[]): Promise<string> => {
    const { hex } = (await bitcoind.call('signrawtransactionwithwallet', [raw, prevtxs])) as { hex: string }
    return hex
  }
  const witnessOf = async (hex: string, input: number): Promise<Uint8Array[]> => {
    const { vin } = (await bitcoind.call('decoderawtransaction', [hex])) as { vin: { txinwitness?: string[] }[] }
    return (vin[input]?.txinwitness ?? []).map(hexToBytes)
  }
  const inputsOf = async (raw: string): Promise<readonly { txid: string; vout: number }[]> =>
    ((await bitcoind.call('decoderawtransaction', [raw])) as { vin: { txid: string; vout: number }[] }).vin

  const feeWallet: FeeWallet = {
    feerates: async () => ({ floor: await minimum(bitcoind), estimates: [] }),
    coins: async () => {
      const free = known.filter((c) => !reserved.has(outPointKey(c.outpoint)))
      const there = await Promise.all(free.map(isUnspent))
      return free.filter((_, i) => there[i])
    },
    reserve: (c) => {
      const key = outPointKey(c.outpoint)
      const free = !reserved.has(key)
      reserved.add(key)
      return Promise.resolve(free)
    },
    renew: () => Promise.resolve(true),
    release: (c) => {
      reserved.delete(outPointKey(c.outpoint))
      return Promise.resolve()
    },
    sign: async (tx, prevouts, input) => {
      const raw = bytesToHex(tx)
      const prevtxs = (await inputsOf(raw)).map(({ txid: id, vout }, i) => ({
        txid: id,
        vout,
        scriptPubKey: bytesToHex(prevouts[i]?.script ?? new Uint8Array()),
        amount: Number(prevouts[i]?.amount) / 1e8,
      }))
      return witnessOf(await signRaw(raw, prevtxs), input)
    },
    submitPackage: async (parent, child) => {
      const answer = await bitcoind.call('submitpackage', [[bytesToHex(parent), bytesToHex(child)]])
      return answer.package_msg === 'success'
        ? { accepted: true, error: undefined }
        : { accepted: false, error: JSON.stringify(answer) }
    },
  }
  const broadcast = async (tx: Uint8Array): Promise<BroadcastResult> => {
    try {
      await bitcoind.call('sendrawtransaction', [bytesToHex(tx)])
      return { accepted: true, error: undefined }
    } catch (error) {
      if (!(error instanceof RpcError)) throw error
      if (error.code === -27) return { accepted: true, error: undefined, confirmed: true }
      return { accepted: false, error: error.message }
    }
  }
  /** Like a transaction of a tree: version 3, 1 sat/vB, an anchor at the end. */
  const parent = async (): Promise<{ raw: Uint8Array; bump: Bump }> => {
    const funding = await coin(100_000)
    const fee = sat(VSIZE)
    const outputs = [{ amount: sat(funding.amount - fee - ANCHOR.amount), script }, ANCHOR]
    const tx = unsignedTx({ version: 3, lockTime: 0, sequence: 0xfffffffe, input: funding.outpoint, outputs })
    const raw = withWitness(tx, await witnessOf(await signRaw(bytesToHex(tx.bytes), []), 0))
    return { raw, bump: { anchor: { txid: tx.txid, vout: 1 }, fee, vsize: VSIZE, margin: blocks(6) } }
  }
  return { feeWallet, broadcast, coin, parent, known, script }
}

/** Bitcoin Core has one rule for version 3, Knots a choice. */
const program = findBitcoind()
const isKnots = program.found && program.program.knots
const trucArgs = (truc: 'enforce' | 'accept'): readonly string[] => (isKnots ? [`-mempooltruc=${truc}`] : [])

/** By default Knots takes no package whose parent is below the static minimum: there it is tested with a full mempool. */
const NODES = [
  { truc: 'enforce', floor: 5000 },
  { truc: 'enforce', floor: 1000 },
  ...(isKnots ? ([{ truc: 'accept', floor: 1000 }] as const) : []),
] as const
for (const { truc, floor } of NODES)
  describeWithBitcoind(`children pay for tree transactions: mempooltruc=${truc}, minimum ${floor} sat/kvB`, () => {
    let bitcoind: Bitcoind
    let wallet: Wallet
    let height = 0
    let store = openMemoryStore()
    const logs: string[] = []

    const bumper = (limits: FeeLimits = defaultFeeLimits): FeeBumper => {
      const host: Pick<Host, 'broadcast' | 'newScript' | 'utxo' | 'log' | 'feeWallet'> = {
        broadcast: wallet.broadcast,
        newScript: () => Promise.resolve(wallet.script),
        utxo: async (o) => {
          const out = await bitcoind.call('gettxout', [o.txid, o.vout])
          return out === null ? undefined : { amount: sat(satOfBtc(out.value)), script: wallet.script }
        },
        log: (_, text) => logs.push(text),
        feeWallet: wallet.feeWallet,
      }
      return new FeeBumper({ host, store, limits, height: () => blockHeight(height) })
    }
    const send = (with_: FeeBumper, { raw, bump }: { raw: Uint8Array; bump: Bump }): Promise<BroadcastResult> =>
      with_.send(OWNER, { call: 'broadcast', tx: raw, txid: bump.anchor.txid, bump })
    const mempool = async (): Promise<Record<string, Entry>> =>
      (await bitcoind.call('getrawmempool', [true])) as unknown as Record<string, Entry>
    /** Fee of the child in the mempool, in sat. */
    const childOf = async (parent: string): Promise<{ fee: number; vsize: number } | undefined> => {
      const child = Object.values(await mempool()).find((e) => e.depends.includes(parent))
      return child === undefined ? undefined : { fee: satOfBtc(child.fees.base), vsize: child.vsize }
    }
    const emptyBlocks = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await bitcoind.call('generateblock', [await bitcoind.call('getnewaddress'), []])
      height = await bitcoind.height()
    }

    beforeAll(async () => {
      bitcoind = await Bitcoind.start({
        extraArgs: [...trucArgs(truc), `-minrelaytxfee=${(floor / 1e8).toFixed(8)}`, '-fallbackfee=0.0001'],
      })
    })
    beforeEach(async () => {
      await bitcoind.mine(1)
      wallet = await testWallet(bitcoind)
      store = openMemoryStore()
      logs.length = 0
      height = await bitcoind.height()
    })
    afterAll(async () => {
      await bitcoind.stop()
    })

    it('goes with a child, and they confirm together', async () => {
      wallet.known.push(await wallet.coin(60_000), await wallet.coin(20_000))
      const parent = await wallet.parent()
      height = await bitcoind.height()
      const node = bumper()
      const id = parent.bump.anchor.txid
      expect(await send(node, parent)).toEqual({ accepted: true, error: undefined })
      if (floor === 1000) {
        // Enough by itself: nothing is spent before it had its time.
        expect(await childOf(id)).toBeUndefined()
        await emptyBlocks(2)
        await send(node, parent)
      }
      const child = await childOf(id)
      expect(child?.vsize).toBeLessThanOrEqual(163)
      expect(((child?.fee ?? 0) + VSIZE) / ((child?.vsize ?? 0) + VSIZE)).toBeGreaterThanOrEqual(floor / 1000)
      expect(node.notice(OWNER.instance)).toBeUndefined()
      await bitcoind.mine(1)
      expect(await bitcoind.confirmations(id)).toBe(1)
      // What is sent again of a block's transaction costs nothing more.
      await send(node, parent)
      expect(Object.keys(await mempool())).toEqual([])
    })

    it('pays more every few blocks, up to the limit, with the same coin after a restart', async () => {
      wallet.known.push(await wallet.coin(60_000))
      const parent = await wallet.parent()
      const id = parent.bump.anchor.txid
      height = await bitcoind.height()
      const limits = { perTransaction: sat(3000), perFactory: sat(250_000) }
      await send(bumper(limits), parent)
      await emptyBlocks(2)
      const fees: number[] = []
      let node = bumper(limits)
      for (let i = 0; i < 16; i++) {
        node = bumper(limits)
        expect((await send(node, parent)).accepted).toBe(true)
        fees.push((await childOf(id))?.fee ?? 0)
        await emptyBlocks(1)
      }
      for (const [i, fee] of fees.entries()) expect(fee).toBeGreaterThanOrEqual(fees[i - 1] ?? 1)
      expect(new Set(fees).size).toBeGreaterThan(2)
      expect(fees.at(-1)).toBeLessThanOrEqual(3000)
      expect(fees.at(-1)).toBeGreaterThan(2000)
      expect(node.notice(OWNER.instance)).toMatch(/factory-max-bump-fee|limits or coins/)
    })

    it('never uses a coin twice, and says which transaction has none', async () => {
      wallet.known.push(await wallet.coin(20_000), await wallet.coin(20_000))
      const parents = [await wallet.parent(), await wallet.parent(), await wallet.parent()]
      height = await bitcoind.height()
      const node = bumper()
      await Promise.all(parents.map((p) => send(node, p)))
      await emptyBlocks(2)
      const results = await Promise.all(parents.map((p) => send(node, p)))
      const children = await Promise.all(parents.map((p) => childOf(p.bump.anchor.txid)))
      expect(children.filter((c) => c !== undefined).length).toBe(2)
      expect(results.filter((r) => r.accepted).length).toBe(floor === 1000 ? 3 : 2)
      const without = parents[children.findIndex((c) => c === undefined)]
      expect(node.notice(OWNER.instance)).toContain(without?.bump.anchor.txid)
      expect(node.notice(OWNER.instance)).toContain('send coins to lightning-cli newaddr')
      expect(logs.filter((l) => l.includes('no confirmed coin')).length).toBeGreaterThan(0)

      // The change of those that confirmed pays for the last.
      await bitcoind.mine(1)
      wallet.known.push(await wallet.coin(20_000))
      height = await bitcoind.height()
      if (without === undefined) throw new Error('all had coins')
      for (const p of parents) node.confirmed(OWNER, p.bump.anchor.txid)
      expect((await send(node, without)).accepted).toBe(true)
      expect(node.notice(OWNER.instance)).toBeUndefined()
    })

    it('keeps within the budget of the factory', async () => {
      wallet.known.push(await wallet.coin(20_000), await wallet.coin(20_000))
      const parents = [await wallet.parent(), await wallet.parent()]
      height = await bitcoind.height()
      const node = bumper({ perTransaction: sat(50_000), perFactory: sat(1500) })
      for (const p of parents) await send(node, p)
      await emptyBlocks(2)
      for (let i = 0; i < 8; i++) {
        for (const p of parents) await send(node, p)
        await emptyBlocks(2)
      }
      const fees = await Promise.all(parents.map(async (p) => (await childOf(p.bump.anchor.txid))?.fee ?? 0))
      expect(fees.reduce((a, b) => a + b)).toBeLessThanOrEqual(1500)
      expect(fees.reduce((a, b) => a + b)).toBeGreaterThan(0)
      expect(node.notice(OWNER.instance)).toMatch(/factory-bump-budget|limits or coins/)
    })

    it("leaves another participant's child in place until it must pay more", async () => {
      wallet.known.push(await wallet.coin(60_000))
      const parent = await wallet.parent()
      const id = parent.bump.anchor.txid
      const theirs = await wallet.coin(60_000)
      height = await bitcoind.height()
      const others = openMemoryStore()
      const foreign = { ...wallet, known: [theirs] }
      const feeWallet = {
        ...foreign.feeWallet,
        coins: () => Promise.resolve([theirs]),
        feerates: () => Promise.resolve({ floor: 20_000, estimates: [] }),
      }
      const other = new FeeBumper({
        host: {
          broadcast: wallet.broadcast,
          newScript: () => Promise.resolve(wallet.script),
          utxo: () => Promise.resolve(undefined),
          log: () => undefined,
          feeWallet,
        },
        store: others,
        limits: defaultFeeLimits,
        height: () => blockHeight(height),
      })
      await send(other, parent)
      await emptyBlocks(2)
      await send(other, parent)
      const high = (await childOf(id))?.fee ?? 0
      expect(high).toBeGreaterThan(2000)
      const node = bumper()
      expect((await send(node, parent)).accepted).toBe(true)
      await emptyBlocks(2)
      expect((await send(node, parent)).accepted).toBe(true)
      expect((await childOf(id))?.fee).toBe(high)
      for (let i = 0; i < 40 && (await childOf(id))?.fee === high; i++) {
        await emptyBlocks(2)
        await send(node, parent)
      }
      expect((await childOf(id))?.fee).toBeGreaterThan(high)
    })
  })

describeWithBitcoind("a node with Knots' default rules for version 3", () => {
  const run = async (extraArgs: readonly string[], check: (bitcoind: Bitcoind) => Promise<void>): Promise<void> => {
    const bitcoind = await Bitcoind.start({ extraArgs: [...trucArgs('accept'), ...extraArgs] })
    try {
      await check(bitcoind)
    } finally {
      await bitcoind.stop()
    }
  }
  const attempt = async (bitcoind: Bitcoind) => {
    const wallet = await testWallet(bitcoind)
    const { raw, bump } = await wallet.parent()
    wallet.known.push(await wallet.coin(50_000))
    const node = new FeeBumper({
      host: {
        broadcast: wallet.broadcast,
        newScript: () => Promise.resolve(wallet.script),
        utxo: () => Promise.resolve(undefined),
        log: () => undefined,
        feeWallet: wallet.feeWallet,
      },
      store: openMemoryStore(),
      limits: defaultFeeLimits,
      height: () => blockHeight(200),
    })
    const alone = await wallet.broadcast(raw)
    const result = await node.send(OWNER, { call: 'broadcast', tx: raw, txid: bump.anchor.txid, bump })
    return { alone, result, notice: node.notice(OWNER.instance), txid: bump.anchor.txid }
  }

  it('takes the package while its mempool is full', async () => {
    const args = ['-maxmempool=1', '-limitdescendantsize=10', '-limitancestorsize=10', '-spendzeroconfchange=0']
    await run(args, async (bitcoind) => {
      const addresses: string[] = []
      for (let i = 0; i < 280; i++) addresses.push(await bitcoind.call('getnewaddress', ['', 'bech32']))
      await bitcoind.call('sendmany', ['', Object.fromEntries(addresses.slice(0, 150).map((a) => [a, '0.1']))])
      await bitcoind.mine(1)
      const large = Object.fromEntries(addresses.map((a) => [a, '0.0002']))
      for (let i = 0; i < 140 && (await minimum(bitcoind)) === 1000; i++)
        await bitcoind.call('sendmany', ['', large, null, '', [], null, null, null, 10])
      expect(await minimum(bitcoind)).toBeGreaterThan(5000)
      const { alone, result, notice, txid: id } = await attempt(bitcoind)
      expect(alone.error).toMatch(/mempool min fee not met/)
      expect(result).toEqual({ accepted: true, error: undefined })
      expect(notice).toBeUndefined()
      await bitcoind.mine(1)
      expect(await bitcoind.confirmations(id)).toBe(1)
    })
  })

  it.runIf(isKnots)('takes none under a raised static minimum, which the notice says', async () => {
    await run(['-minrelaytxfee=0.00005', '-fallbackfee=0.0001'], async (bitcoind) => {
      const { alone, result, notice } = await attempt(bitcoind)
      expect(alone.error).toMatch(/min relay fee not met/)
      expect(result.accepted).toBe(false)
      expect(notice).toContain('its package was not accepted')
    })
  })
})
