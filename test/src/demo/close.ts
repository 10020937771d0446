import assert from 'node:assert/strict'
import { until, type ClosedFactory, type CreatedFactory, type FactoryNetwork } from '../network/index.js'
import type { Ledger } from './ledger.js'
import { say, sats, table } from './print.js'

/** One transaction pays everyone: each client's wallet gets its balance, to the satoshi. */
export async function closeTogether(net: FactoryNetwork, ledger: Ledger, factory: CreatedFactory): Promise<void> {
  const { lsp, clients, network } = net
  const due = await Promise.all(
    clients.map(async (c) => Math.floor((await net.balance(c, factory.instance_id)) / 1000)),
  )
  const before = await Promise.all(clients.map((c) => net.walletSats(c)))

  say(`lsp$ lightning-cli factory-close ${factory.instance_id}`)
  const closed = (await lsp.call('factory-close', { instance_id: factory.instance_id })) as unknown as ClosedFactory
  await network.bitcoind.waitForMempool([closed.txid])
  const { vsize, fee } = await ledger.add('cooperative close of A', closed.txid)
  say(`close     ${closed.txid}`)
  say(`          ${vsize} vB, fee ${fee} sat, ${sats(closed.to_us_sat)} sat to the LSP`)
  await network.mine(1)
  await net.inPhase(factory.instance_id, 'closed', [lsp, ...clients])

  const got = await Promise.all(
    clients.map((client, i) => {
      const wanted = (before[i] ?? 0) + (due[i] ?? 0)
      const arrived = async (): Promise<boolean> => (await net.walletSats(client)) === wanted
      return until(arrived, { what: `${client.alias} to have ${wanted} sat` }).then(() => wanted - (before[i] ?? 0))
    }),
  )
  table(
    ['sat', 'balance in the factory', 'arrived in its wallet'],
    clients.map((client, i) => [client.alias, due[i] ?? 0, got[i] ?? 0]),
  )
  assert.equal(
    got.reduce((sum, sat) => sum + sat, closed.to_us_sat + closed.fee_sat),
    factory.funding_sat,
  )
  say(`${sats(factory.funding_sat)} sat of the funding = clients + LSP + fee`)
}
