/** A factory whose stocks are worth selling, and what tests of sales ask of it. */
import type { SalePolicy, SaleResult } from '../../src/runner/index.js'
import { blocks, msat, sat, type InstanceId, type NodeId } from '../../src/units/index.js'
import type { SimChannel } from '../simulation/host.js'
import { Net, params } from '../simulation/net.js'

export const saleParams = { ...params, stockPerClient: sat(500_000), stockCsv: blocks(60) }
export const BALANCE = 50_000_000n
const BASE = 1000n

export class Shop {
  private constructor(
    readonly net: Net,
    readonly instance: InstanceId,
  ) {}

  static async of(seed: number, clients: number, sales: Partial<SalePolicy> = {}): Promise<Shop> {
    const net = await Net.of(seed, clients)
    const instance = await net.active(net.request({ params: saleParams }, msat(BALANCE)))
    const lsp = net.node(net.lsp)
    const policy = lsp.policy()
    lsp.setPolicy({ ...policy, sales: { ...policy.sales, sells: true, base: msat(BASE), ...sales } })
    return new Shop(net, instance)
  }

  /** Orders and lets everything happen that can without time going on. */
  async buy(client: number, capacity = 300_000, maxPrice = 10_000n): Promise<Promise<string>> {
    return this.told(this.net.node(this.net.client(client)).buy(this.instance, sat(capacity), msat(maxPrice)))
  }

  async sell(client: number, capacity: number, price?: bigint): Promise<Promise<string>> {
    const { net } = this
    const given = price === undefined ? undefined : msat(price)
    return this.told(net.node(net.lsp).sell(this.instance, net.client(client), sat(capacity), given))
  }

  /** In an object, because a promise that resolves with a promise waits for it. */
  private async told(selling: Promise<SaleResult>): Promise<Promise<string>> {
    const outcome = selling.then(
      ({ channelId }) => channelId,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    )
    await this.net.world.run()
    return Promise.race([outcome, Promise.resolve('under way')])
  }

  channels(id: NodeId): readonly SimChannel[] {
    return [...this.net.host(id).mine.values()]
  }

  /** What a client has, in msat: all its channels of the factory. */
  balance(client: number): bigint {
    return this.channels(this.net.client(client)).reduce((sum, c) => sum + c.balance, 0n)
  }

  gate(id: NodeId, channelId: string): string | undefined {
    return this.net.node(id).gated(channelId)?.gate
  }

  /** Sighashes on record for children of stocks: more than one for an outpoint would be a double signature. */
  children(id: NodeId): number[] {
    return [...this.net.disk(id).records].filter(([k]) => k.endsWith('/child')).map(([, signed]) => signed.length)
  }
}
