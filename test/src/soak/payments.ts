/** Payments between any two nodes. What became of them is asked of the nodes at the end; here they are only sent. */
import type { Lightningd } from '../network/index.js'
import type { Random } from './random.js'
import type { World } from './world.js'

export interface Tally {
  tried: number
  settled: number
  failed: number
  /** No answer, because the node died or took too long; it may have settled. */
  unanswered: number
}

const PATIENCE = 90_000

export class Payments {
  readonly tally: Tally = { tried: 0, settled: 0, failed: 0, unanswered: 0 }
  /** What was said of failures, and how often. */
  readonly reasons = new Map<string, number>()

  constructor(
    private readonly world: World,
    private readonly random: Random,
  ) {}

  /** So that clients have something to pay with. */
  async seed(): Promise<void> {
    for (const client of this.world.net.clients) await this.pay(this.world.net.lsp, client, 200_000_000)
  }

  some(count: number): Promise<unknown> {
    return Promise.all(Array.from({ length: count }, () => this.one()))
  }

  private one(): Promise<void> {
    const running = this.world.nodes.filter((node) => node.running)
    const payer = this.random.pick(running)
    const payee = this.random.pick(running.filter((node) => node !== payer))
    return this.pay(payer, payee, this.random.integer(1, 20_000) * 1000)
  }

  private async pay(payer: Lightningd, payee: Lightningd, msat: number): Promise<void> {
    const { clients } = this.world.net
    this.tally.tried++
    try {
      const bolt11 = clients.includes(payee)
        ? await this.world.net.invoice(payee, msat)
        : (await payee.call('invoice', { amount_msat: msat, label: `soak-${Math.random()}`, description: 'soak' }))
            .bolt11
      const paying = payer.call(clients.includes(payer) ? 'factory-pay' : 'pay', { bolt11, retry_for: 30 })
      const answer = await Promise.race([paying, late(PATIENCE)])
      if (answer === undefined) this.tally.unanswered++
      else this.tally.settled++
      // What comes after we stopped waiting is counted at the end.
      paying.catch(() => undefined)
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      if (/closed|ECONN|not there|ENOENT|hang up|before it/.test(text)) this.tally.unanswered++
      else this.tally.failed++
      const reason = text.replaceAll(/[0-9a-f]{16,}|\d+x\d+x\d+|\d+/g, '…').slice(0, 120)
      this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1)
    }
  }
}

const late = (ms: number): Promise<undefined> =>
  new Promise((resolve) => {
    setTimeout(() => {
      resolve(undefined)
    }, ms).unref()
  })
