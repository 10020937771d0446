import assert from 'node:assert/strict'
import type { FactoryNetwork, Lightningd } from '../network/index.js'
import { holdings } from './ledger.js'
import { say, sats, table } from './print.js'

interface Paid {
  readonly status: string
  readonly parts: number
  readonly amount_sent_msat: number
}

let labels = 0

/** A client's invoices and payments know the factory; the others use lightningd's own commands. */
async function pay(net: FactoryNetwork, payer: Lightningd, payee: Lightningd, msat: number): Promise<void> {
  const inside = (node: Lightningd): boolean => net.clients.includes(node)
  const label = `demo-${++labels}`
  const bolt11 = inside(payee)
    ? await net.invoice(payee, msat)
    : (await payee.call('invoice', { amount_msat: msat, label, description: label })).bolt11
  const paid = (await payer.call(inside(payer) ? 'factory-pay' : 'pay', { bolt11 })) as unknown as Paid
  assert.equal(paid.status, 'complete')
  const parts = paid.parts === 1 ? '' : ` in ${paid.parts} parts`
  say(
    `${payer.alias} -> ${payee.alias}: ${sats(msat / 1000)} sat${parts}, fee ${sats((paid.amount_sent_msat - msat) / 1000)} sat`,
  )
}

/** Money comes in from outside, moves between two clients, and goes out again. */
export async function payAround(net: FactoryNetwork, outside: Lightningd): Promise<void> {
  const [first, second] = net.clients
  if (first === undefined || second === undefined) throw new Error('payments need two clients')
  for (const client of net.clients) await pay(net, outside, client, 120_000_000)
  await pay(net, first, second, 34_567_890)
  await pay(net, second, outside, 20_000_001)
  await balances(net, [net.lsp, ...net.clients, outside])
}

export async function payOne(net: FactoryNetwork, payer: Lightningd, payee: Lightningd, msat: number): Promise<void> {
  await pay(net, payer, payee, msat)
  await net.network.settled()
}

async function balances(net: FactoryNetwork, nodes: readonly Lightningd[]): Promise<void> {
  await net.network.settled()
  const rows = await Promise.all(nodes.map(async (node) => [node.alias, (await holdings(node)).channels]))
  table(['sat', 'in channels'], rows)
}
