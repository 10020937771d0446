import assert from 'node:assert/strict'
import {
  until,
  type CreatedFactory,
  type FactoryNetwork,
  type Lightningd,
  type ShownFactory,
} from '../network/index.js'
import type { Ledger } from './ledger.js'
import { say, sats } from './print.js'

/** More blocks than any delay of the demo's factory: then something is wrong. */
const PATIENCE = 60

/** A client publishes its path level by level while the LSP is stopped, closes its channel, and has its balance on chain. */
export async function leaveAlone(
  net: FactoryNetwork,
  ledger: Ledger,
  factory: CreatedFactory,
  client: Lightningd,
): Promise<void> {
  const { lsp, network } = net
  const balance = (await net.balance(client, factory.instance_id)) / 1000
  const before = await net.walletSats(client)
  const { channels } = await net.show(client, factory.instance_id)
  const channel = (await client.call('listpeerchannels')).channels.find((c) => c.channel_id === channels[0]?.channel_id)
  assert(channel !== undefined)

  await lsp.stop()
  say('the LSP is stopped')
  say(`${client.alias}$ lightning-cli factory-exit ${factory.instance_id}`)
  const plan = (await client.call('factory-exit', [factory.instance_id])) as unknown as Pick<
    ShownFactory,
    'transactions'
  >
  for (const { txid, role, sequence } of plan.transactions) {
    await mineUntil(net, async () => (await mempool(net)).find((id) => id === txid), sequence)
    await publish(net, ledger, role, txid)
  }
  const commitment = await mineUntil(net, () => spender(net, channel.funding_txid, channel.funding_outnum))
  await publish(net, ledger, "client's commitment", commitment)
  const { vout } = await network.bitcoind.call('getrawtransaction', [commitment, true])
  const swept = await mineUntil(net, async () => {
    const spenders = await Promise.all(vout.map(({ n }) => spender(net, commitment, n)))
    return spenders.find((txid) => txid !== undefined)
  })
  const { fee } = await publish(net, ledger, 'sweep to its wallet', swept)
  await net.inPhase(factory.instance_id, 'exited', [client])

  // The commitment rounds down to a satoshi; its fee is the opener's, so that only the sweep costs the client.
  const due = Math.floor(balance) - fee
  await until(async () => (await net.walletSats(client)) - before === due, {
    what: `${due} sat in the wallet of ${client.alias}`,
  })
  say(`${client.alias} had ${sats(balance)} sat in the factory, and has ${sats(due)} sat more in its wallet`)
}

const mempool = (net: FactoryNetwork): Promise<readonly string[]> => net.network.bitcoind.call('getrawmempool')

/** The transaction in the mempool that spends an output. */
async function spender(net: FactoryNetwork, txid: string, vout: number): Promise<string | undefined> {
  const [spent] = await net.network.bitcoind.call('gettxspendingprevout', [[{ txid, vout }]])
  return spent?.spendingtxid
}

/** Waits for something to reach the mempool, and mines blocks for as long as it doesn't. */
async function mineUntil(net: FactoryNetwork, find: () => Promise<string | undefined>, sequence = 0): Promise<string> {
  const from = await net.network.bitcoind.height()
  // A relative lock that counts from the last transaction's block: accepted for the block after the last that it waits for.
  const delay = sequence >= 0x8000_0000 ? 0 : sequence & 0xffff
  if (delay > 1) await net.network.mine(delay - 1)
  for (let mined = 0; mined <= PATIENCE; mined++) {
    const found = await until(find, { what: 'the next transaction', seconds: 3 }).catch(() => undefined)
    if (found !== undefined) {
      const waited = (await net.network.bitcoind.height()) - from
      if (waited > 0) say(`${waited} blocks later:`)
      return found
    }
    await net.network.mine(1)
  }
  throw new Error(`nothing came into the mempool in ${PATIENCE} blocks`)
}

async function publish(net: FactoryNetwork, ledger: Ledger, what: string, txid: string): Promise<{ fee: number }> {
  const { vsize, fee } = await ledger.add(what, txid)
  await net.network.mine(1)
  say(`${what.padEnd(20)} ${txid}  ${vsize} vB, fee ${fee} sat`)
  return { fee }
}
