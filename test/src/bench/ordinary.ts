/**
 * What the plugin costs a node's ordinary payments: the same payments over the same three nodes in a row, once with the plugin in all of
 * them and once without, taken in turns in one run, so that the machine's other work falls on both.
 */
import {
  findBitcoind,
  findLightningd,
  Network,
  PLUGIN,
  SHORT_DELAYS,
  type Lightningd,
  type OrdinaryChannel,
} from '../network/index.js'
import { milliseconds, table } from './report.js'

const CHANNEL = 10_000_000
/** In msat. */
const AMOUNT = 100_000
/** Fee of the node in the middle: 1 sat and 10 ppm by default, rounded up. */
const FEE = 1000 + AMOUNT / 100_000
const FINAL_DELAY = 30
const HOP_DELAY = 34
const TURNS = 15
const PER_TURN = 8

interface Row {
  readonly nodes: readonly [Lightningd, Lightningd, Lightningd]
  readonly channels: readonly [OrdinaryChannel, OrdinaryChannel]
  readonly times: number[]
}

async function row(network: Network, name: string, withPlugin: boolean): Promise<Row> {
  const names = ['payer', 'middle', 'payee'].map((who) => `${name}-${who}`)
  const [payer, middle, payee] = await network.add(names, withPlugin ? { plugin: PLUGIN, options: SHORT_DELAYS } : {})
  if (payer === undefined || middle === undefined || payee === undefined) throw new Error('no nodes')
  for (const node of [payer, middle]) await network.fund(node, 2 * CHANNEL)
  const channels = [
    await network.openChannel(payer, middle, CHANNEL),
    await network.openChannel(middle, payee, CHANNEL),
  ] as const
  return { nodes: [payer, middle, payee], channels, times: [] }
}

async function pay({ nodes, channels, times }: Row, label: string): Promise<void> {
  const [payer, middle, payee] = nodes
  const invoice = await payee.call('invoice', { amount_msat: AMOUNT, label, description: label })
  const hop = (node: Lightningd, channel: OrdinaryChannel, amount: number, delay: number) => ({
    id: node.id,
    channel: channel.scid,
    amount_msat: amount,
    delay,
  })
  const route = [
    hop(middle, channels[0], AMOUNT + FEE, FINAL_DELAY + HOP_DELAY),
    hop(payee, channels[1], AMOUNT, FINAL_DELAY),
  ]
  const { payment_hash, payment_secret } = invoice
  const started = performance.now()
  await payer.call('sendpay', { route, payment_hash, payment_secret, amount_msat: AMOUNT })
  await payer.call('waitsendpay', { payment_hash })
  times.push(performance.now() - started)
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0

/** The table, or why there is none. */
export async function benchOrdinaryPayments(): Promise<string> {
  const [bitcoind, lightningd] = [findBitcoind(), findLightningd()]
  if (!bitcoind.found) return `Ordinary payments were not measured: ${bitcoind.why}`
  if (!lightningd.found) return `Ordinary payments were not measured: ${lightningd.why}`
  const network = await Network.start()
  try {
    const plain = await row(network, 'plain', false)
    const plugged = await row(network, 'plugged', true)
    for (let turn = 0; turn < TURNS; turn++)
      for (const one of turn % 2 === 0 ? [plain, plugged] : [plugged, plain])
        for (let i = 0; i < PER_TURN; i++) await pay(one, `${turn}-${i}`)
    const [without, with_] = [median(plain.times), median(plugged.times)]
    return table(
      `A payment over two hops of lightningd ${lightningd.program.version}, median of ${plain.times.length}, ms`,
      ['', 'without', 'with the plugin', 'ratio'],
      [['sendpay to waitsendpay', milliseconds(without), milliseconds(with_), (with_ / without).toFixed(2)]],
    )
  } finally {
    await network.stop()
  }
}
