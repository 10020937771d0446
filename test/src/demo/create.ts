import type { Ledger } from './ledger.js'
import { say, sats, table } from './print.js'
import type { Created, Stage } from './stage.js'

export const CAPACITY = 1_000_000
const LIFETIME = 500

/** One command of the LSP's, and what is there after it. */
export async function create(stage: Stage, ledger: Ledger, name: string): Promise<Created> {
  const { lsp, clients } = stage
  const began = Date.now()
  const factory = await stage.create(CAPACITY, LIFETIME)
  say(`signed, stored, broadcast and confirmed after ${((Date.now() - began) / 1000).toFixed(1)} s`)
  const funding = await ledger.add(`funding of ${name}`, factory.txid)
  say(`instance  ${factory.instance}`)
  say(`funding   ${factory.txid}:${factory.vout}`)
  say(`          ${sats(factory.amount)} sat in one output; ${funding.vsize} vB, fee ${funding.fee} sat`)

  const { transactions, exit, earlyWarning, expiry } = await lsp.show(factory.instance)
  say('')
  say(`The tree below it: signed by all, published by nobody.`)
  table(
    ['transaction', 'class', 'vB', 'fee', 'waits for', 'txid'],
    transactions.map((t) => [t.id, t.class, t.vsize, t.fee, delay(t.sequence), t.txid]),
  )
  say('')
  say(`expires at height ${expiry}; W, the early warning of an exit: ${earlyWarning} blocks`)
  say(
    `one client's exit: ${exit.transactions} transactions, ${exit.vsize} vB (${exit.fee} sat, paid already), ` +
      `at most ${exit.blocks} blocks; then its own commitment`,
  )
  say('')
  const inside = (await lsp.channels()).filter((c) => transactions.some((t) => t.txid === c.txid))
  table(
    ['channel', 'capacity', 'state', 'funding output, not on chain'],
    inside.map((c) => [
      `lsp - ${clients.find(({ id }) => id === c.peer)?.name ?? c.peer}`,
      c.capacity,
      c.state,
      `${c.txid}:${c.vout}`,
    ]),
  )
  await stage.settled()
  return factory
}

/** BIP-68 relative locks of blocks are all that the tree has; with bit 31 there is none. */
function delay(sequence: number): string {
  const blocks = sequence >= 0x8000_0000 ? 0 : sequence & 0xffff
  return blocks === 0 ? '' : `${blocks} blocks`
}
