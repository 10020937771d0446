/**
 * The recipe by which a leaf is updated between stock nodes, step by step and with nothing of a machine in it: replacement channels on the
 * next state's outpoints, the balances paid over them while they are worth nothing, then the signatures, then the old channels
 * given away. docs/decisions.md says why, docs/security.md what each side can do after each step.
 */
import { poisonHash } from '@ln-factory/core/signing'
import { buildLeafState, defaultParams, finalize } from '@ln-factory/core/tree'
import type { LeafState, Spend, TreeParams, TxOutput } from '@ln-factory/core/tree'
import { blocks, msat, sat } from '@ln-factory/core/units'
import { bytesToHex } from '@noble/hashes/utils.js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { channelOf, Network, until, type Lightningd } from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'
import { PluginHere } from './host/cln.js'
import { Recorder } from './host/recorder.js'
import { at, fundTree, hash, sign, type FundedTree } from './tree/funded.js'

const PARAMS: TreeParams = {
  ...defaultParams,
  states: 3,
  step: blocks(4),
  confirmationMargin: blocks(1),
  safetyMargin: blocks(0),
  stockCsv: blocks(30),
}
const CAPACITY = sat(500_000)
/** What the clients have when the update begins. */
const BALANCES = [120_000_000, 300_000_001]

class Party {
  readonly events = new Recorder()
  readonly plugin = new PluginHere(this.events)
  node: Lightningd | undefined

  get rpc(): Lightningd {
    if (this.node === undefined) throw new Error('not started')
    return this.node
  }
}

describeWithLightningd('a leaf of stock nodes is updated', () => {
  let network: Network
  const lsp = new Party()
  const clients = [new Party(), new Party()]
  const all = [lsp, ...clients]

  beforeAll(async () => {
    network = await Network.start()
    await Promise.all(
      all.map(async (party, i) => {
        const [node] = await network.add([`party${i}`], { plugin: party.plugin.executable })
        party.node = node
      }),
    )
    for (const client of clients) await lsp.rpc.connect(client.rpc)
  })
  afterAll(async () => {
    await (network as Network | undefined)?.stop()
    await Promise.all(all.map((p) => p.plugin.close()))
  })

  const hostOf = ({ plugin }: Party) => {
    if (plugin.host === undefined) throw new Error('no plugin')
    return plugin.host
  }

  /** One hop over this channel: lightningd may choose nothing. */
  async function payOver(from: Party, to: Party, channelId: string, amount: number): Promise<void> {
    const label = `${channelId} ${Math.random()}`
    const { payment_hash, payment_secret } = await to.rpc.call('invoice', {
      amount_msat: amount,
      label,
      description: label,
    })
    const channel = await channelOf(from.rpc, channelId)
    const route = [
      {
        id: to.rpc.id,
        channel: channel?.alias?.local ?? channel?.short_channel_id,
        direction: from.rpc.id < to.rpc.id ? 0 : 1,
        amount_msat: amount,
        delay: 40,
        style: 'tlv',
      },
    ]
    await from.rpc.call('sendpay', { route, payment_hash, payment_secret, amount_msat: amount })
    const { status } = await from.rpc.call('waitsendpay', { payment_hash, timeout: 30 })
    expect(status).toBe('complete')
    await network.settled()
  }

  /** What the client sees in it, in msat. */
  const ours = async (client: Party, channelId: string): Promise<number | undefined> =>
    (await channelOf(client.rpc, channelId))?.to_us_msat

  interface Leaf {
    readonly factory: FundedTree
    readonly kickoff: Spend
    readonly preimages: readonly Uint8Array[]
    readonly channels: readonly string[]
  }

  const stateOf = (
    { factory, kickoff, preimages }: Pick<Leaf, 'factory' | 'kickoff' | 'preimages'>,
    state: number,
    channels: readonly TxOutput[],
  ): LeafState => {
    const [out] = kickoff.tx.outputs
    if (out === undefined) throw new Error('a kickoff of nothing')
    const { expiry, clients: members } = factory.tree.spec
    // Stock and channels together hold what they always did.
    const more = channels.reduce((sum, c) => sum + c.amount - CAPACITY, 0n)
    return buildLeafState({
      params: PARAMS,
      expiry,
      keys: factory.keys,
      leaf: 0,
      kickoff: { outpoint: { txid: kickoff.tx.txid, vout: 0 }, ...out },
      terms: {
        state,
        poisonHash: poisonHash(at(preimages, state)),
        channels,
        shares: [sat(PARAMS.stockPerClient - more / BigInt(members.length))],
      },
      payoutScript: (position) => members[position]?.payoutScript,
    })
  }

  const complete = async (leaf: Spend, channels: readonly TxOutput[]): Promise<string[]> => {
    const ids: string[] = []
    for (const [vout, client] of clients.entries()) {
      const { channelId } = await hostOf(lsp).openComplete({
        peer: hostOf(client).nodeId,
        leaf: leaf.tx.bytes,
        prevout: leaf.prevout,
        vout,
        script: at(channels, vout).script,
        capacity: at(channels, vout).amount,
      })
      ids.push(channelId)
      for (const node of [lsp, client])
        await until(async () => (await channelOf(node.rpc, channelId))?.state === 'CHANNELD_NORMAL', {
          what: 'the channel to be normal',
        })
    }
    return ids
  }

  const start = async (amounts: readonly TxOutput['amount'][]): Promise<TxOutput[]> => {
    const channels: TxOutput[] = []
    for (const [i, client] of clients.entries()) {
      const amount = at(amounts, i)
      const { script } = await hostOf(lsp).openStart({ peer: hostOf(client).nodeId, capacity: amount, push: msat(0) })
      channels.push({ amount, script })
    }
    return channels
  }

  /** A live factory of one leaf in its first state, with balances. */
  async function live(name: string): Promise<Leaf> {
    const channels = await start([CAPACITY, CAPACITY])
    const factory = await fundTree(network.bitcoind, PARAMS, { name, clients: clients.length, lifetime: 300, channels })
    await network.synced()
    const preimages = Array.from({ length: PARAMS.states }, (_, i) => hash(`${name} preimage ${i}`))
    const ids = await complete(factory.spend('leaf:0'), channels)
    for (const id of ids) await hostOf(lsp).release(id)
    for (const [i, client] of clients.entries()) await payOver(lsp, client, at(ids, i), at(BALANCES, i))
    return { factory, kickoff: factory.spend('kickoff:0'), preimages, channels: ids }
  }

  interface Next {
    readonly state: LeafState
    readonly channels: readonly string[]
  }

  /** (b) and (c): the next state's channels, holding what the old ones do, on a leaf that nobody has signed. */
  async function prepare(leaf: Leaf, state: number): Promise<Next> {
    const channels = await start([sat(510_000), sat(505_000)])
    const next = stateOf(leaf, state, channels)
    const ids = await complete(next.leaf, channels)
    for (const [i, client] of clients.entries()) await payOver(lsp, client, at(ids, i), at(BALANCES, i))
    for (const [i, client] of clients.entries()) {
      expect(await ours(client, at(ids, i))).toBe(BALANCES[i])
      expect(await ours(client, at(leaf.channels, i))).toBe(BALANCES[i])
    }
    return { state: next, channels: ids }
  }

  /** (f): the LSP pays its side of the old channels over and closes them. */
  async function giveAway(leaf: Leaf): Promise<void> {
    for (const [i, client] of clients.entries()) {
      const id = at(leaf.channels, i)
      const spendable = (await channelOf(lsp.rpc, id))?.spendable_msat ?? 0
      await payOver(lsp, client, id, spendable)
      await lsp.rpc.call('close', { id, unilateraltimeout: 0 })
      for (const node of [lsp, client])
        await until(async () => (await channelOf(node.rpc, id))?.state === 'CLOSINGD_COMPLETE', {
          what: 'the old channel to be closed',
        })
    }
  }

  const publish = async (leaf: Leaf, spend: Spend, preimage?: Uint8Array): Promise<void> => {
    const raw = bytesToHex(finalize(spend, sign(leaf.factory, spend), preimage))
    await network.bitcoind.call('sendrawtransaction', [raw])
    await network.mine(1)
    expect(await network.bitcoind.confirmations(spend.tx.txid)).toBe(1)
  }

  const wallet = async ({ rpc }: Party): Promise<number> => {
    const { outputs } = await rpc.call('listfunds')
    return outputs.filter((o) => o.status === 'confirmed').reduce((sum, o) => sum + o.amount_msat / 1000, 0)
  }

  /** Mines until the wallet has grown, and by how much. */
  async function gains(client: Party, before: number): Promise<number> {
    await until(
      async () => {
        await network.mine(1)
        return (await wallet(client)) > before
      },
      { what: 'the balance on chain', seconds: 120 },
    )
    return (await wallet(client)) - before
  }

  let leaf: Leaf
  it('starts with balances in the channels of the first state', async () => {
    leaf = await live('one')
  })

  it('is given up before anything is signed: the old channels are what they were, the new ones are worth nothing', async () => {
    const { channels } = await prepare(leaf, 1)
    for (const [i, client] of clients.entries()) {
      // What a host without developer's commands does to drop it.
      await lsp.rpc.call('close', { id: at(channels, i), unilateraltimeout: 0 })
      expect(await ours(lsp, at(channels, i))).toBeUndefined()
      await payOver(client, lsp, at(leaf.channels, i), 1_000_000)
      await payOver(lsp, client, at(leaf.channels, i), 1_000_000)
    }
  })

  let next: Next
  it('clones the balances, exactly, then lives on in the new channels, through a restart', async () => {
    next = await prepare(leaf, 1)
    for (const id of next.channels) await hostOf(lsp).release(id)
    await giveAway(leaf)
    for (const party of all) await party.rpc.restart()
    for (const client of clients) await lsp.rpc.connect(client.rpc)
    for (const [i, client] of clients.entries()) {
      await until(async () => (await channelOf(lsp.rpc, at(next.channels, i)))?.peer_connected === true, {
        what: 'the channel to be there again',
      })
      await payOver(lsp, client, at(next.channels, i), 50_000_000)
    }
  })

  it('invariant 7: a stale state gives the clients its channels, by the closes, and its stock, by poison', async () => {
    const before = await Promise.all(clients.map(wallet))
    await publish(leaf, leaf.kickoff)
    await network.mine(PARAMS.step * 2 - 1)
    const stale = leaf.factory.spend('leaf:0')
    await publish(leaf, stale)
    const poison = leaf.factory.of('poison')[0]
    if (poison === undefined) throw new Error('no stock')
    // The preimage that `fundTree` put into the first state.
    await publish(leaf, poison, hash('preimage 0'))
    for (const [i, client] of clients.entries()) {
      const got = await gains(client, before[i] ?? 0)
      // Everything but what the LSP can't pay away: reserve, anchors, fees of commitment and close.
      expect(got).toBeGreaterThan(Number(CAPACITY) - 12_000)
      expect(got).toBeGreaterThan((at(BALANCES, i) + 50_000_000) / 1000)
    }
  })

  it('the latest state on chain pays what was cloned and what came after', async () => {
    const again = await live('two')
    const { state, channels } = await prepare(again, 1)
    for (const id of channels) await hostOf(lsp).release(id)
    await giveAway(again)
    for (const [i, client] of clients.entries()) await payOver(lsp, client, at(channels, i), 50_000_000)
    const before = await Promise.all(clients.map(wallet))
    await publish(again, again.kickoff)
    await network.mine(PARAMS.step - 1)
    await publish(again, state.leaf)
    for (const [i, client] of clients.entries()) {
      await hostOf(client).forceClose(hostOf(lsp).nodeId, at(channels, i))
      const got = await gains(client, before[i] ?? 0)
      const due = Math.floor((at(BALANCES, i) + 50_000_000) / 1000)
      expect(got).toBeGreaterThan(due - 2000)
      expect(got).toBeLessThanOrEqual(due)
    }
  })
})
