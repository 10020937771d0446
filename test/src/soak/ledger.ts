/**
 * Who had what, who has what, and where the difference is. Three questions, each answered from another source: are the transactions
 * on chain balanced, is any output left that nobody owns, and has each node what its own payments say it should have?
 */
import { satOfBtc, type Lightningd } from '../network/index.js'
import type { World } from './world.js'

export interface OnChain {
  readonly txid: string
  readonly height: number
  readonly vsize: number
  readonly fee: number
}

export interface Account {
  readonly node: string
  readonly before: number
  readonly received: number
  readonly sent: number
  readonly forwarded: number
  readonly after: number
  /** What it should have and has not, in sat: its on-chain fees, and what is under a satoshi or under dust. */
  readonly difference: number
}

export interface Balance {
  readonly accounts: readonly Account[]
  readonly transactions: readonly OnChain[]
  readonly fees: number
  /** Outputs that anybody may sweep: P2A, and the 330-sat anchors of commitments. */
  readonly anchors: { readonly count: number; readonly sat: number }
  /** Unspent outputs of these transactions that no node owns and that are no anchors. */
  readonly ownerless: readonly { readonly outpoint: string; readonly sat: number; readonly script: string }[]
  /** Before, less after, fees, anchors and `ownerless`: 0 when nothing came from nowhere. */
  readonly unexplained: number
  /** What nobody can reach: `ownerless` and `unexplained`. */
  readonly lost: number
}

const P2A = '51024e73'
const COMMITMENT_ANCHOR = 330

const sum = (values: readonly number[]): number => values.reduce((total, v) => total + v, 0)
const round = (sats: number): number => Math.round(sats * 1000) / 1000

export class SoakLedger {
  private constructor(
    private readonly world: World,
    private readonly from: number,
    private readonly before: ReadonlyMap<Lightningd, number>,
    private readonly paid: ReadonlyMap<Lightningd, Flows>,
    /** Ordinary channels' outputs. */
    private readonly ordinary: ReadonlySet<string>,
  ) {}

  static async open(world: World): Promise<SoakLedger> {
    const { channels } = await world.outside.call('listpeerchannels')
    const ordinary = new Set(channels.map((c) => `${c.funding_txid}:${c.funding_outnum}`))
    const before = new Map<Lightningd, number>()
    const paid = new Map<Lightningd, Flows>()
    for (const node of world.nodes) {
      before.set(node, await holdings(node, ordinary))
      paid.set(node, await flows(node))
    }
    return new SoakLedger(world, await world.net.network.bitcoind.height(), before, paid, ordinary)
  }

  /** When every factory has ended. */
  async close(): Promise<Balance> {
    const accounts: Account[] = []
    for (const node of this.world.nodes) {
      const [before, then, now] = [this.before.get(node) ?? 0, this.paid.get(node) ?? NOTHING, await flows(node)]
      const received = now.received - then.received
      const sent = now.sent - then.sent
      const forwarded = now.forwarded - then.forwarded
      const after = await holdings(node, this.ordinary)
      const difference = round(before + received - sent + forwarded - after)
      accounts.push({ node: node.alias, before, received, sent, forwarded, after, difference })
    }
    const transactions = await this.transactions()
    const fees = sum(transactions.map((t) => t.fee))
    const { anchors, ownerless } = await this.leftovers(transactions)
    const gone = sum(accounts.map((a) => a.before)) - sum(accounts.map((a) => a.after))
    const left = sum(ownerless.map((o) => o.sat))
    const unexplained = round(gone - fees - anchors.sat - left)
    return { accounts, transactions, fees, anchors, ownerless, unexplained, lost: round(left + Math.abs(unexplained)) }
  }

  private async transactions(): Promise<OnChain[]> {
    const { bitcoind } = this.world.net.network
    const found: OnChain[] = []
    for (let height = this.from + 1; height <= (await bitcoind.height()); height++) {
      const { tx } = await bitcoind.call('getblock', [await bitcoind.call('getblockhash', [height])])
      for (const txid of tx.slice(1)) {
        const { vin, vout, vsize } = await bitcoind.call('getrawtransaction', [txid, true])
        let spent = 0
        for (const { txid: parent = '', vout: n = 0 } of vin) {
          const { vout: outputs } = await bitcoind.call('getrawtransaction', [parent, true])
          spent += satOfBtc(outputs[n]?.value ?? 0)
        }
        found.push({ txid, height, vsize, fee: spent - sum(vout.map((o) => satOfBtc(o.value))) })
      }
    }
    return found
  }

  private async leftovers(transactions: readonly OnChain[]): Promise<Pick<Balance, 'anchors' | 'ownerless'>> {
    const { bitcoind } = this.world.net.network
    const owned = new Set(this.ordinary)
    for (const node of this.world.nodes)
      for (const coin of (await node.call('listfunds')).outputs) owned.add(`${coin.txid}:${coin.output}`)
    const anchors = { count: 0, sat: 0 }
    const ownerless: { outpoint: string; sat: number; script: string }[] = []
    for (const { txid } of transactions) {
      const { vout } = await bitcoind.call('getrawtransaction', [txid, true])
      for (const { n, value, scriptPubKey } of vout) {
        const outpoint = `${txid}:${n}`
        if (owned.has(outpoint) || (await bitcoind.call('gettxout', [txid, n, true])) === null) continue
        const sat = satOfBtc(value)
        if (scriptPubKey.hex === P2A || sat === COMMITMENT_ANCHOR) {
          anchors.count++
          anchors.sat += sat
        } else ownerless.push({ outpoint, sat, script: scriptPubKey.hex })
      }
    }
    return { anchors, ownerless }
  }
}

/** Wallet, and what is ours in ordinary channels; in sat. */
async function holdings(node: Lightningd, ordinary: ReadonlySet<string>): Promise<number> {
  const { outputs } = await node.call('listfunds')
  const { channels } = await node.call('listpeerchannels')
  const coins = outputs.filter((o) => o.status !== 'spent').map((o) => o.amount_msat)
  const balances = channels
    .filter((c) => ordinary.has(`${c.funding_txid}:${c.funding_outnum}`))
    .map((c) => c.to_us_msat)
  return sum([...coins, ...balances]) / 1000
}

interface Flows {
  readonly received: number
  readonly sent: number
  readonly forwarded: number
}
const NOTHING: Flows = { received: 0, sent: 0, forwarded: 0 }

/** All payments ever of a node, in sat, as the node itself has them on record. */
async function flows(node: Lightningd): Promise<Flows> {
  const { invoices } = await node.call('listinvoices')
  const { payments } = (await node.call('listsendpays')) as {
    payments: { status: string; amount_sent_msat: number }[]
  }
  const { forwards } = (await node.call('listforwards')) as { forwards: { status: string; fee_msat?: number }[] }
  return {
    received: sum(invoices.map((i) => i.amount_received_msat ?? 0)) / 1000,
    sent: sum(payments.filter((p) => p.status === 'complete').map((p) => p.amount_sent_msat)) / 1000,
    forwarded: sum(forwards.filter((f) => f.status === 'settled').map((f) => f.fee_msat ?? 0)) / 1000,
  }
}
