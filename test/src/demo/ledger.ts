/** Who has what, and what went on chain: the demo ends by comparing the two to the satoshi. */
import assert from 'node:assert/strict'
import { satOfBtc, type Lightningd, type Network } from '../network/index.js'
import { say, sats, table } from './print.js'

/** In satoshi; channel balances have millisatoshi behind the point. */
export interface Holdings {
  readonly wallet: number
  readonly channels: number
}

interface OnChain {
  readonly what: string
  readonly txid: string
  readonly vsize: number
  readonly fee: number
}

/** States in which a channel's balance can be spent over it. */
const LIVE = ['CHANNELD_NORMAL', 'CHANNELD_AWAITING_LOCKIN']

export async function holdings(node: Lightningd): Promise<Holdings> {
  const [{ outputs }, { channels }] = await Promise.all([node.call('listfunds'), node.call('listpeerchannels')])
  return {
    wallet: outputs.filter((o) => o.status !== 'spent').reduce((sum, o) => sum + o.amount_msat / 1000, 0),
    channels: channels.filter((c) => LIVE.includes(c.state)).reduce((sum, c) => sum + c.to_us_msat / 1000, 0),
  }
}

export class Ledger {
  private readonly transactions: OnChain[] = []

  private constructor(
    private readonly network: Network,
    private readonly nodes: readonly Lightningd[],
    private readonly before: ReadonlyMap<Lightningd, Holdings>,
    /** Channels that have nothing to do with a factory. */
    private readonly ordinary: ReadonlySet<string>,
  ) {}

  /** Takes down what these nodes have now; the summary shows them in this order. */
  static async open(network: Network, nodes: readonly Lightningd[]): Promise<Ledger> {
    const lists = await Promise.all(nodes.map((node) => node.call('listpeerchannels')))
    const ordinary = lists.flatMap(({ channels }) => channels.map((c) => `${c.funding_txid}:${c.funding_outnum}`))
    return new Ledger(network, nodes, await everyone(nodes), new Set(ordinary))
  }

  /** Takes down a transaction that is on chain or in the mempool, and what it paid to the miners. */
  async add(what: string, txid: string): Promise<OnChain> {
    const { bitcoind } = this.network
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
    const after = await everyone(this.nodes)
    table(
      ['sat', 'wallet before', 'channels before', 'wallet after', 'channels after', 'difference'],
      [...this.before].map(([node, before]) => {
        const now = after.get(node) ?? { wallet: 0, channels: 0 }
        const difference = round(now.wallet + now.channels - before.wallet - before.channels)
        return [node.alias, before.wallet, before.channels, now.wallet, now.channels, difference]
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

  /** Satoshi in unspent outputs of our transactions that are in no wallet and no channel. */
  private async unclaimed(): Promise<number> {
    const { bitcoind } = this.network
    const owned = new Set<string>()
    const live = new Map<string, number>()
    for (const node of this.nodes) {
      const [{ outputs }, { channels }] = await Promise.all([node.call('listfunds'), node.call('listpeerchannels')])
      for (const o of outputs) owned.add(`${o.txid}:${o.output}`)
      for (const c of channels.filter((each) => LIVE.includes(each.state)))
        live.set(`${c.funding_txid}:${c.funding_outnum}`, c.total_msat / 1000)
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

async function everyone(nodes: readonly Lightningd[]): Promise<Map<Lightningd, Holdings>> {
  return new Map(await Promise.all(nodes.map(async (node) => [node, await holdings(node)] as const)))
}

const total = (all: ReadonlyMap<Lightningd, Holdings>): number =>
  [...all.values()].reduce((sum, { wallet, channels }) => sum + wallet + channels, 0)

/** To a millisatoshi: sums of binary fractions are off by less. */
const round = (amount: number): number => Math.round(amount * 1000) / 1000
