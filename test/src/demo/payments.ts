import { say, sats, table } from './print.js'
import { holdings, type Party, type Stage } from './stage.js'

async function pay(payer: Party, payee: Party, msat: number): Promise<void> {
  const how = await payer.pay(await payee.invoice(msat))
  say(`${payer.name} -> ${payee.name}: ${sats(msat / 1000)} sat${how}`)
}

/** Money comes in, moves between two clients, and goes out again. */
export async function payAround(stage: Stage): Promise<void> {
  const { lsp, clients, outside } = stage
  const [first, second] = clients
  if (first === undefined || second === undefined) throw new Error('payments need two clients')
  const world = outside ?? lsp
  for (const client of clients) await pay(world, client, 120_000_000)
  await pay(first, second, 34_567_890)
  await pay(second, world, 20_000_001)
  await stage.settled()
  const nodes = [lsp, ...clients, ...(outside === undefined ? [] : [outside])]
  const rows = await Promise.all(nodes.map(async (node) => [node.name, (await holdings(node)).channels]))
  table(['sat', 'in channels'], rows)
}

export async function payOne(stage: Stage, payer: Party, payee: Party, msat: number): Promise<void> {
  await pay(payer, payee, msat)
  await stage.settled()
}
