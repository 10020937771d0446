import { fileURLToPath } from 'node:url'
import type { Lightningd } from './lightningd.js'
import { Network, type NodeOptions } from './network.js'
import { until } from './wait.js'

export const PLUGIN = fileURLToPath(new URL('../../../plugin/bin/cln-factory', import.meta.url))

/** Delays that a test can wait for; everything else is as an operator gets it. */
export const SHORT_DELAYS = {
  'factory-min-depth': 1,
  'factory-min-lifetime': 50,
  'factory-step': 4,
  'factory-confirmation-margin': 1,
  'factory-safety-margin': 2,
  'factory-stock-csv': 30,
} as const

/** What the commands answer, as far as the suites read it. Amounts in the unit of their name. */
export interface CreatedFactory {
  readonly instance_id: string
  readonly funding_txid: string
  readonly funding_outnum: number
  readonly funding_sat: number
}
export interface ListedFactory {
  readonly instance_id: string
  readonly phase: string
  readonly stage: string
  readonly notice?: string
  readonly funding_txid?: string
  readonly expiry: number
  readonly early_warning: number
  readonly channels: readonly { readonly peer_id: string; readonly channel_id?: string; readonly to_us_msat?: number }[]
}
export interface ShownFactory extends ListedFactory {
  readonly transactions: readonly {
    readonly id: string
    readonly role: string
    readonly class: string
    readonly txid: string
    readonly vsize: number
    readonly fee_sat: number
    readonly sequence: number
    readonly signed: boolean
    /** Of the block that holds it. */
    readonly blockheight?: number
  }[]
  /** One client's way out: its path's transactions, and the most blocks that it takes. */
  readonly exit: {
    readonly transactions: number
    readonly vsize: number
    readonly fee_sat: number
    readonly blocks: number
  }
}
export interface ClosedFactory {
  readonly txid: string
  readonly fee_sat: number
  readonly vsize: number
  readonly to_us_sat: number
}

/** An LSP, its clients, and a node outside that has ordinary channels with the LSP. */
export class FactoryNetwork {
  private constructor(
    readonly network: Network,
    readonly lsp: Lightningd,
    readonly clients: readonly Lightningd[],
  ) {}

  static async start(
    clients: number,
    options: { readonly lspSats?: number; readonly delays?: NodeOptions['options']; readonly node?: NodeOptions } = {},
  ): Promise<FactoryNetwork> {
    const network = await Network.start()
    try {
      const delays = options.delays ?? SHORT_DELAYS
      const common: NodeOptions = { plugin: PLUGIN, ...options.node, options: { ...delays, ...options.node?.options } }
      const [lsp] = await network.add(['lsp'], common)
      if (lsp === undefined) throw new Error('no LSP')
      const names = Array.from({ length: clients }, (_, i) => `client${i + 1}`)
      const trusting = { ...common.options, 'factory-accept-from': lsp.id }
      const nodes = await network.add(names, { ...common, options: trusting })
      await network.fund(lsp, options.lspSats ?? 50_000_000)
      const result = new FactoryNetwork(network, lsp, nodes)
      await result.connectAll()
      return result
    } catch (error) {
      await network.stop()
      throw error
    }
  }

  /** Connects every client, and waits until the LSP knows what they speak. */
  async connectAll(clients: readonly Lightningd[] = this.clients): Promise<void> {
    for (const client of clients) await this.lsp.connect(client)
    await until(
      async () => {
        const { peers } = (await this.lsp.call('factory-peers')) as { peers: { id: string; protocol: string }[] }
        return clients.every((c) => peers.some((p) => p.id === c.id && p.protocol === 'ours'))
      },
      { what: 'the clients to announce the protocol', seconds: 60 },
    )
  }

  /** Creates a factory and mines until everyone calls it active. */
  async create(clients: readonly Lightningd[], params: Record<string, unknown> = {}): Promise<CreatedFactory> {
    const created = (await this.lsp.call('factory-create', {
      clients: clients.map((c) => c.id),
      capacity: 1_000_000,
      lifetime: 500,
      ...params,
    })) as unknown as CreatedFactory
    await this.network.mine(1)
    await this.inPhase(created.instance_id, 'active', [this.lsp, ...clients])
    return created
  }

  async inPhase(instance: string, phase: string, nodes: readonly Lightningd[]): Promise<void> {
    for (const node of nodes)
      await until(async () => (await this.factory(node, instance))?.phase === phase, {
        what: `factory ${instance.slice(0, 8)} of ${node.alias} to be ${phase}`,
        seconds: 60,
      })
  }

  async factory(node: Lightningd, instance: string): Promise<ListedFactory | undefined> {
    const { factories } = (await node.call('factory-list')) as { factories: ListedFactory[] }
    return factories.find((f) => f.instance_id === instance)
  }

  show(node: Lightningd, instance: string): Promise<ShownFactory> {
    return node.call('factory-show', [instance]) as Promise<unknown> as Promise<ShownFactory>
  }

  async invoice(client: Lightningd, msat: number): Promise<string> {
    const label = `invoice-${Math.random()}`
    const { bolt11 } = (await client.call('factory-invoice', { amount_msat: msat, label, description: label })) as {
      bolt11: string
    }
    return bolt11
  }

  /** Our balance in that factory, in msat. */
  async balance(client: Lightningd, instance: string): Promise<number> {
    const factory = await this.factory(client, instance)
    const msat = factory?.channels[0]?.to_us_msat
    if (msat === undefined) throw new Error(`${client.alias} has no channel in factory ${instance}`)
    return msat
  }

  /** Confirmed coins of a node's own wallet, in sat. */
  async walletSats(node: Lightningd): Promise<number> {
    const { outputs } = await node.call('listfunds')
    return outputs.filter((o) => o.status === 'confirmed').reduce((sum, o) => sum + o.amount_msat / 1000, 0)
  }

  stop(): Promise<void> {
    return this.network.stop()
  }
}
