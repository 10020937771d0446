import assert from 'node:assert/strict'
import { until } from '../network/index.js'
import type { Ledger } from './ledger.js'
import { say, sats } from './print.js'
import { holdings, type Created, type Member, type Stage } from './stage.js'

/** More blocks than any delay of the demo's factory: then something is wrong. */
const PATIENCE = 60

/** A client publishes its path level by level while the LSP is stopped, closes its channel, and has its balance on chain. */
export async function leaveAlone(stage: Stage, ledger: Ledger, factory: Created, client: Member): Promise<void> {
  const { transactions } = await client.show(factory.instance)
  const channel = (await client.channels()).find((c) => transactions.some((t) => t.txid === c.txid))
  assert(channel !== undefined)
  const balance = channel.ours
  const before = (await holdings(client)).wallet

  await stage.stopLsp()
  say('the LSP is stopped')
  for (const { txid, role, sequence } of await client.exit(factory.instance)) {
    await mineUntil(stage, async () => (await mempool(stage)).find((id) => id === txid), locked(sequence))
    await publish(stage, ledger, role, txid)
  }
  const commitment = await mineUntil(stage, () => spender(stage, channel.txid, channel.vout))
  await publish(stage, ledger, "client's commitment", commitment)
  const { vout } = await stage.bitcoind.call('getrawtransaction', [commitment, true])
  const sweep = async (): Promise<string | undefined> => {
    const spenders = await Promise.all(vout.map(({ n }) => spender(stage, commitment, n)))
    return spenders.find((txid) => txid !== undefined)
  }
  const swept = await mineUntil(stage, sweep, stage.commitmentDelay)
  const { fee } = await publish(stage, ledger, 'sweep to its wallet', swept)
  await stage.inPhase(factory.instance, 'exited', [client])

  // The commitment rounds down to a satoshi; its fee is the opener's, so that only the sweep costs the client.
  const due = Math.floor(balance) - fee
  await until(async () => (await holdings(client)).wallet - before === due, {
    what: `${due} sat in the wallet of ${client.name}`,
  })
  say(`${client.name} had ${sats(balance)} sat in the factory, and has ${sats(due)} sat more in its wallet`)
}

const mempool = (stage: Stage): Promise<readonly string[]> => stage.bitcoind.call('getrawmempool')

/** Blocks of a relative lock; with bit 31 there is none. */
const locked = (sequence: number): number => (sequence >= 0x8000_0000 ? 0 : sequence & 0xffff)

/** The transaction in the mempool that spends an output. */
async function spender(stage: Stage, txid: string, vout: number): Promise<string | undefined> {
  const [spent] = await stage.bitcoind.call('gettxspendingprevout', [[{ txid, vout }]])
  return spent?.spendingtxid
}

/** Waits for something to reach the mempool, and mines blocks for as long as it doesn't. */
async function mineUntil(stage: Stage, find: () => Promise<string | undefined>, delay = 0): Promise<string> {
  const from = await stage.bitcoind.height()
  // A relative lock that counts from the last transaction's block: accepted for the block after the last that it waits for.
  if (delay > 1) await stage.mine(delay - 1)
  for (let mined = 0; mined <= PATIENCE; mined++) {
    const found = await until(find, { what: 'the next transaction', seconds: 3 }).catch(() => undefined)
    if (found !== undefined) {
      const waited = (await stage.bitcoind.height()) - from
      if (waited > 0) say(`${waited} blocks later:`)
      return found
    }
    await stage.mine(1)
  }
  throw new Error(`nothing came into the mempool in ${PATIENCE} blocks`)
}

async function publish(stage: Stage, ledger: Ledger, what: string, txid: string): Promise<{ fee: number }> {
  const { vsize, fee } = await ledger.add(what, txid)
  await stage.mine(1)
  say(`${what.padEnd(20)} ${txid}  ${vsize} vB, fee ${fee} sat`)
  return { fee }
}
