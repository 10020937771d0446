/**
 * scripts/demo: the main job on a regtest network of real nodes. Two factories of one LSP: the first is closed together, the
 * second is left by one client alone. Ends with 0 only when every balance is where it belongs.
 */
import { parseArgs } from 'node:util'
import {
  FactoryNetwork,
  findBitcoind,
  findLightningd,
  tailsOfRunning,
  until,
  type Lightningd,
} from '../network/index.js'
import { closeTogether } from './close.js'
import { CAPACITY, create } from './create.js'
import { leaveAlone } from './exit.js'
import { Ledger } from './ledger.js'
import { payAround, payOne } from './payments.js'
import { say, step } from './print.js'

const USAGE = 'usage: scripts/demo [--clients N]   (2 to 16, default 4)'

/** Every client's channel, its stock and the tree's fees, for two factories, with something to spare. */
const lspFunds = (clients: number): number => 3 * clients * CAPACITY + 10_000_000

async function demo(clients: number): Promise<void> {
  const [bitcoind, lightningd] = [findBitcoind(), findLightningd()]
  for (const program of [bitcoind, lightningd]) if (!program.found) throw new Error(program.why)

  step(`A regtest network: bitcoind, an LSP, ${clients} clients, a node outside`)
  if (bitcoind.found) say(bitcoind.program.version)
  if (lightningd.found)
    say(`stock lightningd ${lightningd.program.version}, with --important-plugin=plugin/bin/cln-factory`)
  const net = await FactoryNetwork.start(clients, { lspSats: lspFunds(clients) })
  try {
    await story(net)
  } catch (error) {
    process.stderr.write(`${tailsOfRunning()}\n`)
    throw error
  } finally {
    await net.stop()
  }
}

async function story(net: FactoryNetwork): Promise<void> {
  const { lsp, clients, network } = net
  const [outside] = (await network.add(['outside'])) as [Lightningd]
  const nodes = [lsp, ...clients, outside]
  for (const node of nodes) say(`${node.alias.padEnd(9)} ${node.id}`)
  await network.fund(outside, 10_000_000)
  const ordinary = await network.openChannel(outside, lsp, 8_000_000)
  say(`outside has no plugin, and an ordinary channel with the LSP: ${ordinary.scid}`)
  const ledger = await Ledger.open(network, nodes)

  step('Factory A: one output for all channels')
  const a = await create(net, ledger, 'A')
  step('Payments into A, within it, and out of it')
  await payAround(net, outside)
  step('All close A together: one transaction with the balances as they are')
  await closeTogether(net, ledger, a)

  step('Factory B: the same nodes again')
  const b = await create(net, ledger, 'B')
  step('Payments over B')
  await payAround(net, outside)

  const [leaver] = clients
  const other = clients.at(-1)
  if (leaver === undefined || other === undefined) throw new Error('the demo needs clients')
  step(`${leaver.alias} leaves B alone: its path only, level by level`)
  await leaveAlone(net, ledger, b, leaver)

  step('The LSP comes back; the others go on')
  await lsp.start()
  await net.connectAll(clients)
  await Promise.all([outside, other].map((node) => reconnected(node)))
  await payOne(net, outside, other, 10_000_000)

  step('Summary')
  await ledger.close()
}

/** Its channel with the LSP can be used again. */
async function reconnected(node: Lightningd): Promise<void> {
  await until(
    async () => {
      const { channels } = await node.call('listpeerchannels')
      return channels.some((c) => c.peer_connected && c.state === 'CHANNELD_NORMAL')
    },
    { what: `the channel of ${node.alias} to be reestablished` },
  )
}

try {
  const { values } = parseArgs({ options: { clients: { type: 'string', default: '4' } } })
  const clients = Number(values.clients)
  if (!Number.isInteger(clients) || clients < 2 || clients > 16) throw new Error(USAGE)
  await demo(clients)
  process.stdout.write('\nDemo complete.\n')
} catch (error) {
  process.stderr.write(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
