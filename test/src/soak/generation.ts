/** One factory from creation to its end, with payments and faults in between. */
import { until, type Lightningd } from '../network/index.js'
import type { Payments } from './payments.js'
import type { Random } from './random.js'
import { CAPACITY, type World } from './world.js'

/** How often each thing was done. */
export type Counts = Record<string, number>

const ENDED = ['closed', 'exited', 'aborted']

export class Generation {
  /** Fees are high until the next generation. */
  private spiked = false

  constructor(
    private readonly world: World,
    private readonly random: Random,
    private readonly payments: Payments,
    private readonly counts: Counts,
    private readonly say: (text: string) => void,
  ) {}

  async run(deadline: number): Promise<void> {
    const instance = await this.create()
    if (instance === undefined) return
    await this.payments.seed()
    for (let left = this.random.integer(6, 14); left > 0 && Date.now() < deadline; left--) await this.round()
    await this.world.mend()
    await this.end(instance)
    await this.calmFees()
  }

  private async calmFees(): Promise<void> {
    if (!this.spiked) return
    this.spiked = false
    await this.world.feeSpike(false)
  }

  private count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
    this.say(what)
  }

  private async create(): Promise<string | undefined> {
    const { net } = this.world
    try {
      const { instance_id } = await net.create(net.clients, { capacity: CAPACITY, lifetime: 2000 })
      this.count('factory created')
      return instance_id
    } catch (error) {
      this.count('factory not created')
      this.say(String(error))
      await this.world.net.network.mine(1)
      await this.world.mend()
      return undefined
    }
  }

  /** Payments, and in every second round something that goes wrong meanwhile. */
  private async round(): Promise<void> {
    const paying = this.payments.some(this.random.integer(2, 5))
    if (this.random.chance(0.55)) await this.fault()
    await paying
    await this.world.mend()
    if (this.random.chance(0.5)) await this.world.net.network.mine(1)
  }

  private async fault(): Promise<void> {
    const { net, nodes } = this.world
    const node = this.random.pick(nodes)
    const roll = this.random.next()
    if (roll < 0.25) {
      this.count('node restarted')
      await node.restart()
    } else if (roll < 0.55) {
      this.count('node killed (-9)')
      await node.kill9()
    } else if (roll < 0.7) {
      const victim = this.random.pick([net.lsp, ...net.clients])
      this.count('plugin killed (-9), its node went with it')
      victim.killPlugin9()
      await victim.exited()
    } else if (roll < 0.9) {
      const depth = this.random.integer(1, 4)
      this.count('chain reorganised')
      await net.network.bitcoind.reorg(depth)
      await net.network.mine(1)
    } else if (!this.spiked) {
      this.count('fee spike')
      this.spiked = true
      await this.world.feeSpike(true)
    }
  }

  private async end(instance: string): Promise<void> {
    const { net } = this.world
    // A reorganised funding comes back when it is worth its place in the mempool again.
    if (this.spiked && !(await this.active(instance))) await this.calmFees()
    await this.mineUntil('the factory to be active', () => this.active(instance))
    const roll = this.random.next()
    if (roll < 0.45 && (await this.closed(instance))) return
    if (roll < 0.8) await this.leave(this.random.pick(net.clients), instance)
    await this.everybodyOut(instance)
  }

  private async closed(instance: string): Promise<boolean> {
    const { net } = this.world
    try {
      await net.network.settled()
      await net.lsp.call('factory-close', { instance_id: instance, feerate: this.spiked ? 8000 : 2000 })
      await this.mineUntil('the close to be confirmed', () => this.over(instance))
      this.count('factory closed together')
      return true
    } catch (error) {
      this.count('close given up, left instead')
      this.say(String(error))
      return false
    }
  }

  private async leave(client: Lightningd, instance: string): Promise<void> {
    await client.call('factory-exit', { instance_id: instance })
    this.count('client left alone')
    // Somebody dies on the way.
    const victim = this.random.pick([this.world.net.lsp, client])
    await this.world.net.network.mine(2)
    await victim.kill9()
    this.count('node killed (-9)')
    await this.world.mend()
    await this.mineUntil(`${client.alias} to be out`, async () => {
      const phase = (await this.world.net.factory(client, instance))?.phase ?? ''
      return ENDED.includes(phase)
    })
  }

  /** What an earlier generation left behind. */
  async endAll(): Promise<void> {
    await this.calmFees()
    const { factories } = (await this.world.net.lsp.call('factory-list')) as {
      factories: { instance_id: string; phase: string }[]
    }
    for (const { instance_id, phase } of factories) if (!ENDED.includes(phase)) await this.everybodyOut(instance_id)
  }

  private async everybodyOut(instance: string): Promise<void> {
    const { net } = this.world
    const phase = (await net.factory(net.lsp, instance))?.phase ?? ''
    if (!ENDED.includes(phase)) await net.lsp.call('factory-exit', { instance_id: instance }).catch(() => undefined)
    await this.mineUntil('everybody to be out', () => this.over(instance))
    this.count('factory left by its tree')
  }

  /** Nobody killed it, and it is gone. */
  private async revive(): Promise<void> {
    for (const node of this.world.nodes) {
      if (node.running) continue
      this.count('lightningd died by itself')
      await node.start()
    }
  }

  private async active(instance: string): Promise<boolean> {
    const { net } = this.world
    const phases = await Promise.all(
      [net.lsp, ...net.clients].map(async (node) => (await net.factory(node, instance))?.phase),
    )
    return phases.every((phase) => phase === 'active')
  }

  private async over(instance: string): Promise<boolean> {
    const { net } = this.world
    const phases = await Promise.all(
      [net.lsp, ...net.clients].map(async (node) => (await net.factory(node, instance))?.phase ?? 'closed'),
    )
    return phases.every((phase) => ENDED.includes(phase))
  }

  private mineUntil(what: string, condition: () => Promise<boolean>): Promise<unknown> {
    return until(
      async () => {
        await this.revive()
        await this.world.net.network.mine(1)
        return await condition()
      },
      { what, seconds: 900 },
    )
  }
}
