import assert from 'node:assert/strict'
import { REORG_DEPTH } from '@ln-factory/core/watch'
import { until } from '../network/index.js'
import type { Ledger } from './ledger.js'
import { say, sats, table } from './print.js'
import { holdings, type Created, type Stage } from './stage.js'

/** One transaction pays everyone: each client's wallet gets its balance, to the satoshi. */
export async function closeTogether(stage: Stage, ledger: Ledger, factory: Created): Promise<void> {
  const { lsp, clients } = stage
  const before = await Promise.all(clients.map((c) => holdings(c)))
  const inFactory = new Set(
    (await Promise.all(clients.map((c) => c.channels()))).flat().map((c) => `${c.txid}:${c.vout}`),
  )

  const closed = await stage.close(factory.instance)
  await stage.bitcoind.waitForMempool([closed.txid])
  const { vsize, fee } = await ledger.add('cooperative close of A', closed.txid)
  say(`close     ${closed.txid}`)
  say(`          ${vsize} vB, fee ${fee} sat, ${sats(closed.ours)} sat to the LSP`)
  await stage.mine(1)
  await stage.inPhase(factory.instance, 'closed', [lsp, ...clients])

  const rows = await Promise.all(
    clients.map(async (client, i) => {
      const { wallet, channels } = before[i] ?? { wallet: 0, channels: 0 }
      const due = Math.floor(channels)
      await until(async () => (await holdings(client)).wallet === wallet + due, {
        what: `${client.name} to have ${wallet + due} sat`,
      })
      return [client.name, due, due] as const
    }),
  )
  table(['sat', 'balance in the factory', 'arrived in its wallet'], rows)
  assert.equal(
    rows.reduce((sum, [, , got]) => sum + got, closed.ours + closed.fee),
    factory.amount,
  )
  // Until the close is final the nodes keep the channels, with balances that are in the wallets already.
  await stage.mine(REORG_DEPTH)
  await until(
    async () => {
      const lists = await Promise.all([lsp, ...clients].map((node) => node.channels()))
      return !lists.flat().some((c) => inFactory.has(`${c.txid}:${c.vout}`))
    },
    { what: 'the channels of A to be gone' },
  )
  say(`${sats(factory.amount)} sat of the funding = clients + LSP + fee`)
}
