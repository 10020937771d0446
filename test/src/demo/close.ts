import assert from 'node:assert/strict'
import { until } from '../network/index.js'
import type { Ledger } from './ledger.js'
import { say, sats, table } from './print.js'
import { holdings, type Created, type Stage } from './stage.js'

/** One transaction pays everyone: each client's wallet gets its balance, to the satoshi. */
export async function closeTogether(stage: Stage, ledger: Ledger, factory: Created): Promise<void> {
  const { lsp, clients } = stage
  const before = await Promise.all(clients.map((c) => holdings(c)))

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
  say(`${sats(factory.amount)} sat of the funding = clients + LSP + fee`)
}
