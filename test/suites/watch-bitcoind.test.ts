import { openSqliteStore } from '@ln-factory/core/store/sqlite'
import { blockHeight, txid, type OutPoint, type Txid } from '@ln-factory/core/units'
import { ChainFollower, type ChainEvent, type ChainSource } from '@ln-factory/core/watch'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parseBlock } from '../../factory-core/src/watch/block.js'
import { Bitcoind } from '../src/network/index.js'
import { describeWithBitcoind } from './gate.js'

describeWithBitcoind('watching the chain of a real bitcoind', () => {
  let bitcoind: Bitcoind
  let directory: string
  beforeAll(async () => {
    bitcoind = await Bitcoind.start()
    directory = mkdtempSync(join(tmpdir(), 'ln-factory-watch-'))
  })
  afterAll(async () => {
    await bitcoind.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  const rawBlock = async (hash: string): Promise<Uint8Array> => {
    const hex: unknown = await bitcoind.call('getblock', [hash, 0])
    if (typeof hex !== 'string') throw new TypeError('no block')
    return Buffer.from(hex, 'hex')
  }
  const source: ChainSource = {
    height: async () => blockHeight(await bitcoind.height()),
    block: async (height) => {
      if (height > (await bitcoind.height())) return undefined
      const hash = await bitcoind.call('getblockhash', [height])
      return { hash, raw: await rawBlock(hash) }
    },
  }
  const address = (type?: string): Promise<string> =>
    bitcoind.call('getnewaddress', type === undefined ? [] : ['', type])
  const pay = async (to: string, sats: number): Promise<Txid> => txid(await bitcoind.fund(to, sats))
  const inputsOf = async (id: Txid): Promise<OutPoint[]> => {
    const { vin } = await bitcoind.call('getrawtransaction', [id, true])
    return vin.map((i) => ({ txid: txid(i.txid ?? ''), vout: i.vout ?? -1 }))
  }

  it('parses its blocks: every output type, OP_RETURN, many transactions', async () => {
    for (const type of ['legacy', 'p2sh-segwit', 'bech32', 'bech32m']) {
      for (let i = 0; i < 3; i++) await pay(await address(type), 100_000_000)
    }
    await bitcoind.mine(1)
    await bitcoind.call('send', [[{ [await address()]: 2 }, { data: 'ab'.repeat(40) }]])
    for (let i = 0; i < 40; i++) await pay(await address('bech32m'), 12_000_000)
    await bitcoind.mine(1)
    const tip = await bitcoind.height()
    let previous = '00'.repeat(32)
    for (let height = 0; height <= tip; height++) {
      const hash = await bitcoind.call('getblockhash', [height])
      const block = parseBlock(await rawBlock(hash))
      expect(block.hash).toBe(hash)
      expect(block.previous).toBe(previous)
      expect(block.txs.map((t) => t.txid)).toEqual((await bitcoind.call('getblock', [hash])).tx)
      previous = hash
    }
    const last = parseBlock(await rawBlock(await bitcoind.call('getbestblockhash')))
    expect(last.txs.length).toBeGreaterThan(40)
    for (const tx of last.txs.slice(1)) {
      const { hex } = await bitcoind.call('getrawtransaction', [tx.txid, true, previous])
      expect(Buffer.from(tx.raw).toString('hex')).toBe(hex)
    }
  })

  it('tells confirmations, spends and real reorganisations, across a restart of ours', async () => {
    const path = join(directory, 'store.db')
    let store = openSqliteStore(path)
    const events: ChainEvent[] = []
    const start = (): ChainFollower =>
      new ChainFollower(source, store, (e) => {
        events.push(e)
        return Promise.resolve()
      })
    const told = (): string[] =>
      events.splice(0).flatMap((e) => (e.kind === 'tip' ? [] : [`${e.kind} ${e.height - base}`]))

    let follower = start()
    await follower.sync()
    const base = await bitcoind.height()
    const id = await pay(await address(), 300_000_000)
    const [input] = await inputsOf(id)
    if (input === undefined) throw new Error('no input')
    follower.watchTx(id, blockHeight(base + 1))
    follower.watchOutpoint(input, blockHeight(base + 1))
    await bitcoind.mine(3)
    await follower.sync()
    expect(told()).toEqual(['confirmed 1', 'spent 1'])
    const { hex } = await bitcoind.call('getrawtransaction', [
      id,
      true,
      await bitcoind.call('getblockhash', [base + 1]),
    ])
    expect(Buffer.from(follower.spentBy(input)?.tx ?? []).toString('hex')).toBe(hex)

    // Away while the chain forks: our block goes, and the transaction waits in the mempool.
    store.close()
    await bitcoind.reorg(3)
    store = openSqliteStore(path)
    follower = start()
    follower.watchTx(id, blockHeight(base + 1))
    follower.watchOutpoint(input, blockHeight(base + 1))
    await follower.sync()
    expect(told()).toEqual(['confirmed 1', 'spent 1', 'unspent 1', 'unconfirmed 1'])
    expect(follower.height).toBe(base + 4)

    await bitcoind.mine(1)
    await Promise.all([follower.sync(), follower.sync()])
    expect(told()).toEqual(['confirmed 5', 'spent 5'])
    await bitcoind.reorg(1)
    await follower.sync()
    expect(told()).toEqual(['unspent 5', 'unconfirmed 5'])
    expect(follower.confirmedAt(id)).toBeUndefined()
    store.close()
  })
})
