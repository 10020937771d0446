import type { CreatedFactory, FactoryNetwork } from '../network/index.js'
import type { Ledger } from './ledger.js'
import { say, sats, table } from './print.js'

export const CAPACITY = 1_000_000
const LIFETIME = 500

/** One command of the LSP's, and what is there after it. */
export async function create(net: FactoryNetwork, ledger: Ledger, name: string): Promise<CreatedFactory> {
  const { lsp, clients, network } = net
  say(`lsp$ lightning-cli factory-create '[${clients.length} node ids]' ${CAPACITY} lifetime=${LIFETIME}`)
  const began = Date.now()
  const factory = await net.create(clients, { capacity: CAPACITY, lifetime: LIFETIME })
  say(`signed, stored, broadcast and confirmed after ${((Date.now() - began) / 1000).toFixed(1)} s`)
  const funding = await ledger.add(`funding of ${name}`, factory.funding_txid)
  say(`instance  ${factory.instance_id}`)
  say(`funding   ${factory.funding_txid}:${factory.funding_outnum}`)
  say(`          ${sats(factory.funding_sat)} sat in one output; ${funding.vsize} vB, fee ${funding.fee} sat`)

  const { transactions, exit, early_warning, expiry } = await net.show(lsp, factory.instance_id)
  say('')
  say(`The tree below it: signed by all, published by nobody.`)
  table(
    ['transaction', 'class', 'vB', 'fee', 'waits for', 'txid'],
    transactions.map((t) => [t.id, t.class, t.vsize, t.fee_sat, delay(t.sequence), t.txid]),
  )
  say('')
  say(`expires at height ${expiry}; W, the early warning of an exit: ${early_warning} blocks`)
  say(
    `one client's exit: ${exit.transactions} transactions, ${exit.vsize} vB (${exit.fee_sat} sat, paid already), ` +
      `at most ${exit.blocks} blocks; then its own commitment`,
  )
  say('')
  const { channels } = await lsp.call('listpeerchannels')
  const inside = channels.filter((c) => transactions.some((t) => t.txid === c.funding_txid))
  table(
    ['channel', 'capacity', 'state', 'funding output, not on chain'],
    inside.map((c) => [
      `lsp - ${clients.find(({ id }) => id === c.peer_id)?.alias ?? c.peer_id}`,
      c.total_msat / 1000,
      c.state,
      `${c.funding_txid}:${c.funding_outnum}`,
    ]),
  )
  await network.settled()
  return factory
}

/** BIP-68 relative locks of blocks are all that the tree has; with bit 31 there is none. */
function delay(sequence: number): string {
  const blocks = sequence >= 0x8000_0000 ? 0 : sequence & 0xffff
  return blocks === 0 ? '' : `${blocks} blocks`
}
