/** The network of a soak: an LSP, its clients, a node outside with ordinary channels, and what is done to all of them. */
import { FactoryNetwork, until, type Lightningd } from '../network/index.js'

/** Of each client's channel in a factory, in sat. */
export const CAPACITY = 1_000_000
/** For the children of transactions while fees are high, in sat. */
const RESERVE = 300_000
const ORDINARY = 20_000_000

/** bitcoind takes nothing under 5 sat/vB: five times what is built into the tree. */
const SPIKE = ['-minrelaytxfee=0.00005', '-fallbackfee=0.0001']

export class World {
  private constructor(
    readonly net: FactoryNetwork,
    readonly outside: Lightningd,
  ) {}

  static async start(clients: number): Promise<World> {
    const net = await FactoryNetwork.start(clients, { lspSats: 60_000_000 })
    const [outside] = await net.network.add(['outside'])
    if (outside === undefined) throw new Error('no outside node')
    await net.network.fund(outside, ORDINARY + RESERVE)
    for (const client of net.clients) await net.network.fund(client, RESERVE)
    await net.network.openChannel(outside, net.lsp, ORDINARY)
    const { bolt11 } = await net.lsp.call('invoice', {
      amount_msat: (ORDINARY / 2) * 1000,
      label: 'half',
      description: 'half',
    })
    await outside.call('pay', { bolt11 })
    await net.network.settled()
    return new World(net, outside)
  }

  get nodes(): readonly Lightningd[] {
    return [this.net.lsp, ...this.net.clients, this.outside]
  }

  /** Every node runs, and the LSP is connected to all of them. */
  async mend(): Promise<void> {
    for (const node of this.nodes) if (!node.running) await node.start()
    await this.net.network.synced()
    await this.net.lsp.connect(this.outside)
    await this.net.connectAll()
    await until(
      async () => {
        const { channels } = await this.net.lsp.call('listpeerchannels')
        return channels.every((c) => c.state !== 'CHANNELD_NORMAL' || c.peer_connected)
      },
      { what: 'the channels to be reestablished', seconds: 120 },
    )
  }

  async feeSpike(on: boolean): Promise<void> {
    await this.net.network.bitcoind.restart({ extraArgs: on ? SPIKE : [] })
  }
}
