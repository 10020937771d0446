/** Who has what, and what went on chain: the demo ends by comparing the two to the satoshi. */
import assert from 'node:assert/strict'
import { satOfBtc } from '../network/index.js'
import { say, sats, table } from './print.js'
import { holdings, type Holdings, type Party, type Stage } from './stage.js'

interface OnChain {
  readonly what: string
  readonly txid: string
  readonly vsize: number
  readonly fee: number
}

export class Ledger {
  private readonly transactions: OnChain[] = []

  private constructor(
    private readonly stage: Stage,
    private readonly nodes: readonly Party[],
    private readonly before: ReadonlyMap<Party, Holdings>,
    /** Channels that have nothing to do with a factory. */
    private readonly ordinary: ReadonlySet<string>,
    /** Height from which on transactions may be ours. */
    private readonly from: number,
  ) {}

  /** Takes down what these nodes have now; the summary shows them in this order. */
  static async open(stage: Stage, nodes: readonly Party[]): Promise<Ledger> {
    const lists = await Promise.all(nodes.map((node) => node.channels()))
    const ordinary = lists.flat().map((c) => `${c.txid}:${c.vout}`)
    return new Ledger(stage, nodes, await everyone(nodes), new Set(ordinary), await stage.bitcoind.height())
  }

  /** Takes down a transaction that is on chain or in the mempool, and what it paid to the miners. */
  async add(what: string, txid: string): Promise<OnChain> {
    const { bitcoind } = this.stage
    const tx = await bitcoind.call('getrawtransaction', [txid, true])
    let spent = 0
    for (const { txid: parent = '', vout = 0 } of tx.vin) {
      const { vout: outputs } = await bitcoind.call('getrawtransaction', [parent, true])
      spent += satOfBtc(outputs[vout]?.value ?? 0)
    }
    const paid = tx.vout.reduce((sum, output) => sum + satOfBtc(output.value), 0)
    const entry = { what, txid, vsize: tx.vsize, fee: spent - paid }
    this.transactions.push(entry)
    return entry
  }

  /** The summary. @throws AssertionError when a satoshi is missing or came from nowhere */
  async close(): Promise<void> {
    await this.addSpenders()
    const after = await everyone(this.nodes)
    table(
      ['sat', 'wallet before', 'channels before', 'wallet after', 'channels after', 'difference'],
      [...this.before].map(([node, before]) => {
        const now = after.get(node) ?? { wallet: 0, channels: 0 }
        const difference = round(now.wallet + now.channels - before.wallet - before.channels)
        return [node.name, before.wallet, before.channels, now.wallet, now.channels, difference]
      }),
    )
    say('')
    table(
      ['on chain', 'vB', 'fee', 'txid'],
      this.transactions.map(({ what, vsize, fee, txid }) => [what, vsize, fee, txid]),
    )
    const fees = this.transactions.reduce((sum, tx) => sum + tx.fee, 0)
    const vsize = this.transactions.reduce((sum, tx) => sum + tx.vsize, 0)
    const left = await this.unclaimed()
    say('')
    say(`${sats(vsize)} vB on chain, ${sats(fees)} sat to the miners.`)
    say(`${sats(left)} sat still stand in outputs of the tree: the stocks, which the LSP sells from, anchors and fees.`)
    const lost = round(total(this.before) - total(after) - fees - left)
    assert(lost === 0, `${lost} sat are unaccounted for`)
    say('Nothing is missing: what all had before is what all have now, and these two.')
  }

  /** What spends the transactions of the tree and was not taken down yet: nodes sweep when they see fit. */
  private async addSpenders(): Promise<void> {
    const { bitcoind } = this.stage
    const blocks: string[] = []
    const height = await bitcoind.height()
    for (let at = this.from + 1; at <= height; at++) {
      const { tx } = await bitcoind.call('getblock', [await bitcoind.call('getblockhash', [at])])
      blocks.push(...tx.slice(1))
    }
    const ours = new Set(this.transactions.map(({ txid }) => txid))
    for (const txid of [...blocks, ...(await bitcoind.call('getrawmempool'))]) {
      if (ours.has(txid)) continue
      const { vin } = await bitcoind.call('getrawtransaction', [txid, true])
      if (!vin.some((input) => input.txid !== undefined && ours.has(input.txid))) continue
      ours.add(txid)
      await this.add('sweep by its owner', txid)
    }
  }

  /** Satoshi in unspent outputs of our transactions that are in no wallet and no channel. */
  private async unclaimed(): Promise<number> {
    const { bitcoind } = this.stage
    const owned = new Set<string>()
    const live = new Map<string, number>()
    for (const node of this.nodes) {
      const [coins, channels] = await Promise.all([node.coins(), node.channels()])
      for (const outpoint of coins.keys()) owned.add(outpoint)
      for (const c of channels) live.set(`${c.txid}:${c.vout}`, c.capacity)
    }
    let sum = 0
    for (const { txid } of this.transactions) {
      const { vout } = await bitcoind.call('getrawtransaction', [txid, true])
      for (const { n, value } of vout) {
        const unspent = (await bitcoind.call('gettxout', [txid, n, true])) !== null
        if (unspent && !owned.has(`${txid}:${n}`)) sum += satOfBtc(value)
      }
    }
    // What stands in channels counts there, whether their own output or one further up the tree is on chain.
    for (const [outpoint, capacity] of live) if (!this.ordinary.has(outpoint)) sum -= capacity
    return sum
  }
}

async function everyone(nodes: readonly Party[]): Promise<Map<Party, Holdings>> {
  return new Map(await Promise.all(nodes.map(async (node) => [node, await holdings(node)] as const)))
}

const total = (all: ReadonlyMap<Party, Holdings>): number =>
  [...all.values()].reduce((sum, { wallet, channels }) => sum + wallet + channels, 0)

/** To a millisatoshi: sums of binary fractions are off by less. */
const round = (amount: number): number => Math.round(amount * 1000) / 1000
