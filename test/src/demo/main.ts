/**
 * scripts/demo: the main job on a regtest network of real nodes. Two factories of one LSP: the first is closed together, the
 * second is left by one client alone. Ends with 0 only when every balance is where it belongs.
 */
import { parseArgs } from 'node:util'
import { findBitcoind, findLightningd, tailsOfRunning, until } from '../network/index.js'
import { closeTogether } from './close.js'
import { CAPACITY, create } from './create.js'
import { leaveAlone } from './exit.js'
import { LdkStage } from './ldk.js'
import { Ledger } from './ledger.js'
import { LightningdStage } from './lightningd.js'
import { payAround, payOne } from './payments.js'
import { say, step } from './print.js'
import { holdings, type Stage } from './stage.js'

const USAGE = 'usage: scripts/demo [--clients N] [--ldk]   (2 to 16 clients, default 4; --ldk: without lightningd)'

/** Every client's channel, its stock and the tree's fees, for two factories, with something to spare. */
const lspFunds = (clients: number): number => 3 * clients * CAPACITY + 10_000_000

async function demo(clients: number, ldkOnly: boolean): Promise<void> {
  const [bitcoind, lightningd] = [findBitcoind(), findLightningd()]
  if (!bitcoind.found) throw new Error(bitcoind.why)
  step(`A regtest network: bitcoind, an LSP, ${clients} clients`)
  say(bitcoind.program.version)
  const onLightningd = lightningd.found && !ldkOnly
  if (onLightningd)
    say(`stock lightningd ${lightningd.program.version}, with --important-plugin=plugin/bin/cln-factory`)
  else say(`LDK nodes in this process (lightningdevkit 0.1.0): ${lightningd.found ? 'as you asked' : lightningd.why}`)
  const stage = await (onLightningd ? LightningdStage : LdkStage).start(clients, lspFunds(clients))
  try {
    await story(stage)
  } catch (error) {
    process.stderr.write(`${tailsOfRunning()}\n`)
    throw error
  } finally {
    await stage.stop()
  }
}

async function story(stage: Stage): Promise<void> {
  const { lsp, clients, outside } = stage
  const nodes = [lsp, ...clients, ...(outside === undefined ? [] : [outside])]
  for (const { name, id } of nodes) say(`${name.padEnd(9)} ${id}`)
  const ledger = await Ledger.open(stage, nodes)

  step('Factory A: one output for all channels')
  const a = await create(stage, ledger, 'A')
  step('Payments into A, within it, and out of it')
  await payAround(stage)
  step('All close A together: one transaction with the balances as they are')
  await closeTogether(stage, ledger, a)

  step('Factory B: the same nodes again')
  const b = await create(stage, ledger, 'B')
  step('Payments over B')
  await payAround(stage)

  const [leaver] = clients
  const other = clients.at(-1)
  if (leaver === undefined || other === undefined) throw new Error('the demo needs clients')
  step(`${leaver.name} leaves B alone: its path only, level by level`)
  const before = (await holdings(lsp)).wallet
  await leaveAlone(stage, ledger, b, leaver)

  step('The LSP comes back; the others go on')
  await stage.startLsp()
  await payOne(stage, outside ?? lsp, other, 10_000_000)
  await until(async () => (await holdings(lsp)).wallet > before, {
    what: `the LSP to have its side of the channel with ${leaver.name}`,
  })

  step('Summary')
  await ledger.close()
}

try {
  const options = { clients: { type: 'string', default: '4' }, ldk: { type: 'boolean', default: false } } as const
  const { values } = parseArgs({ options })
  const clients = Number(values.clients)
  if (!Number.isInteger(clients) || clients < 2 || clients > 16) throw new Error(USAGE)
  await demo(clients, values.ldk)
  process.stdout.write('\nDemo complete.\n')
} catch (error) {
  process.stderr.write(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
