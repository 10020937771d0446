/**
 * One payment: find routes, send parts, learn from what fails, send again. It ends when the payee has released the preimage, or
 * when nothing of it is under way any more; where neither can be known, the error says so (`payment_pending`).
 */
import type { FactoryApi } from '@ln-factory/core/runner'
import { msat, type BlockHeight, type Msat } from '@ln-factory/core/units'
import { minForwardDelta } from '@ln-factory/core/htlc'
import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'
import type { Rpc } from '../commands/command.js'
import { ask, currentHeight } from '../commands/node-state.js'
import { HostRpcError } from '../rpc/errors.js'
import type { Invoice } from './bolt11.js'
import { ownChannels, type OwnChannel } from './channels.js'
import { PaymentLayer } from './layer.js'
import { outcomeOf, waitForPart, type Erring, type Outcome, type PartId } from './outcome.js'
import { firstHopDelay, fitRoute, HEIGHT_SLACK, largestDelay, sendpayRoute, type Part } from './route.js'

export interface PaymentOptions {
  readonly total: Msat
  readonly maxFee: Msat
  /** Blocks: most delay of the first HTLC. */
  readonly maxDelay: number
  /** Seconds in which new parts may be sent. */
  readonly retryFor: number
  readonly groupId: number
}

export interface Paid {
  readonly preimage: string
  readonly sent: Msat
  readonly parts: number
}

/** More parts than this are not tried: something is wrong with the payee or the network. */
const MOST_SENDS = 60
const MOST_PARTS = 20
/** Routes that a factory's rules don't fit are taken out one by one. */
const MOST_SEARCHES = 20
/** A payee gives up on an incomplete set of parts after a minute; give the failures time to come back. */
const GRACE = 75_000

const taken = z.object({ status: z.enum(['pending', 'complete']) })

interface Flight {
  readonly part: Part
  readonly ended: Promise<{ partId: number; outcome: Outcome }>
}

export class Payment {
  private readonly flights = new Map<number, Flight>()
  private readonly stopSending: number
  private sends = 0
  private unsent: bigint
  /** Why no more parts are sent. */
  private stopped: string | undefined
  private lastFailure: string | undefined
  private giveUp: number

  private constructor(
    private readonly rpc: Rpc,
    private readonly api: FactoryApi,
    private readonly layer: PaymentLayer,
    private readonly invoice: Invoice,
    private readonly options: PaymentOptions,
  ) {
    this.unsent = options.total
    this.stopSending = Date.now() + options.retryFor * 1000
    this.giveUp = this.stopSending + GRACE
  }

  /** @throws FactoryError `payment_failed`, `payment_pending`, `host_failed` */
  static async run(rpc: Rpc, api: FactoryApi, invoice: Invoice, options: PaymentOptions): Promise<Paid> {
    const layer = await PaymentLayer.create(rpc, `factory-pay-${invoice.paymentHash}-${options.groupId}`)
    try {
      // A signer that is not this machine may have its own mind about what is paid.
      await rpc.call('preapproveinvoice', { bolt11: invoice.text })
      await layer.addHints(invoice, api.nodeId, options.total)
      return await new Payment(rpc, api, layer, invoice, options).untilEnded()
    } finally {
      await layer.remove()
    }
  }

  private get feesUnderWay(): bigint {
    return [...this.flights.values()].reduce((sum, { part }) => sum + part.fee, 0n)
  }

  private get finalCltv(): number {
    return this.invoice.finalCltv + HEIGHT_SLACK
  }

  private async untilEnded(): Promise<Paid> {
    try {
      return await this.loop()
    } catch (error) {
      if (this.flights.size === 0) throw error
      // Whatever went wrong on our side: parts are out there, and the caller must not pay again.
      throw pending(error instanceof Error ? error.message : String(error), this.invoice, error)
    }
  }

  private async loop(): Promise<Paid> {
    for (;;) {
      if (this.stopped === undefined && this.unsent > 0n) await this.send()
      else if (this.flights.size === 0) throw this.failed()
      if (this.flights.size === 0) continue
      const { partId, outcome } = await Promise.race([...this.flights.values()].map(({ ended }) => ended))
      if (outcome.kind === 'paid') return this.paid(outcome.preimage)
      await this.landed(partId, outcome)
    }
  }

  /** Everything that is under way is paid for: the payee has shown the preimage, so it takes every part of the set. */
  private paid(preimage: string): Paid {
    const parts = [...this.flights.values()].map(({ part }) => part)
    const sent = parts.reduce((sum, part) => sum + part.delivered + part.fee, 0n)
    return { preimage, sent: msat(sent), parts: parts.length }
  }

  private failed(): FactoryError {
    const why = [this.stopped, this.lastFailure].filter((text) => text !== undefined)
    return new FactoryError('payment_failed', `not paid: ${[...new Set(why)].join('; ')}`, 'nothing of it is under way')
  }

  private stop(why: string): void {
    this.stopped ??= why
    this.giveUp = Math.min(this.giveUp, Date.now() + GRACE)
  }

  private async send(): Promise<void> {
    const parts = await this.findParts()
    if (typeof parts === 'string') this.stop(parts)
    else for (const part of parts) await this.sendPart(part)
  }

  /** Parts for all that is unsent, or why there are none. */
  private async findParts(): Promise<readonly Part[] | string> {
    for (let tries = 0; tries < MOST_SEARCHES; tries++) {
      if (Date.now() > this.stopSending) return `no success within ${this.options.retryFor} seconds`
      if (this.sends >= MOST_SENDS) return `no success with ${MOST_SENDS} parts`
      const height = await currentHeight(this.rpc)
      const channels = await this.openChannels(height)
      const maxDelay = this.foundDelay(channels)
      if (channels.length === 0 || maxDelay < this.finalCltv) {
        return 'no channel of ours can carry the delay that this invoice needs'
      }
      const routes = await this.layer.routes({
        from: this.api.nodeId,
        to: this.invoice.payee,
        amount: msat(this.unsent),
        maxFee: msat(this.options.maxFee - this.feesUnderWay),
        finalCltv: this.finalCltv,
        maxDelay,
        maxParts: this.invoice.multiPart ? MOST_PARTS : 1,
      })
      if (typeof routes === 'string') return routes
      const parts = routes.map((route) => fitRoute(route, channels, height, this.options.maxDelay) ?? route)
      const unfit = parts.find((part) => !('first' in part))
      if (unfit === undefined) return this.checked(parts.filter((part) => 'first' in part))
      await this.layer.disable(unfit.path[0]?.short_channel_id_dir ?? '')
    }
    return 'no route leaves enough time for the factory'
  }

  /** Channels that may carry this payment; the others are taken out of the route search. */
  private async openChannels(height: BlockHeight): Promise<OwnChannel[]> {
    const open: OwnChannel[] = []
    for (const channel of await ownChannels(this.rpc, this.api)) {
      const least = firstHopDelay(
        channel,
        this.finalCltv,
        channel.peer === this.invoice.payee ? undefined : this.finalCltv,
      )
      const gated = channel.gate?.gate === 'shut' || least > largestDelay(channel, height)
      if (channel.usable && !gated) open.push(channel)
      else await this.layer.disable(`${channel.scid}/${channel.direction}`)
    }
    return open
  }

  /** Most delay that a found route may have, before the first hop gets what its factory needs. */
  private foundDelay(channels: readonly OwnChannel[]): number {
    const extra = channels.map(({ gate, peer }) =>
      gate === undefined || peer === this.invoice.payee ? 0 : minForwardDelta(gate.earlyWarning),
    )
    return this.options.maxDelay - Math.min(...extra)
  }

  /** askrene's answer is trusted for the way, not for the money. */
  private checked(parts: readonly Part[]): readonly Part[] {
    const delivered = parts.reduce((sum, part) => sum + part.delivered, 0n)
    const fee = parts.reduce((sum, part) => sum + part.fee, this.feesUnderWay)
    if (delivered !== this.unsent || fee > this.options.maxFee) {
      throw new FactoryError(
        'host_failed',
        `routes for ${delivered} msat with ${fee} msat of fees, asked for ${this.unsent}`,
      )
    }
    return parts
  }

  private async sendPart(part: Part): Promise<void> {
    const partId = ++this.sends
    const { invoice, options } = this
    const id: PartId = { payment_hash: invoice.paymentHash, partid: partId, groupid: options.groupId }
    await this.layer.reserve(part.path)
    this.unsent -= part.delivered
    const outcome = await this.handOver({
      ...id,
      route: sendpayRoute(part.path),
      amount_msat: `${options.total}msat`,
      payment_secret: invoice.paymentSecret,
      bolt11: invoice.text,
      ...(invoice.metadata === undefined ? {} : { payment_metadata: invoice.metadata }),
    })
    const ended = (async () => {
      return { partId, outcome: outcome ?? (await waitForPart(this.rpc, id, () => this.giveUp)) }
    })()
    // It is awaited in untilEnded, perhaps after another part's end; a rejection in between is not unhandled.
    ended.catch(() => undefined)
    this.flights.set(partId, { part, ended })
  }

  /** `sendpay`; undefined when it was taken, or may have been: then `waitsendpay` tells. */
  private async handOver(params: object): Promise<Outcome | undefined> {
    try {
      const { status } = await ask(this.rpc, 'sendpay', params, taken)
      // Only when somebody else paid it since we looked: what we report next time is the truth.
      return status === 'complete' ? { kind: 'unknown', reason: 'it was paid by another command' } : undefined
    } catch (error) {
      return error instanceof HostRpcError ? outcomeOf(error) : undefined
    }
  }

  private async landed(partId: number, outcome: Exclude<Outcome, { kind: 'paid' }>): Promise<void> {
    const flight = this.flights.get(partId)
    if (flight === undefined) throw new FactoryError('internal', `part ${partId} landed twice`)
    if (outcome.kind === 'unknown') throw pending(outcome.reason, this.invoice)
    const { part } = flight
    this.flights.delete(partId)
    await this.layer.unreserve(part.path)
    this.unsent += part.delivered
    this.lastFailure = outcome.reason
    if (outcome.kind === 'refused') this.stop(outcome.reason)
    else if (outcome.erring !== undefined) await this.avoid(outcome.erring, part)
  }

  private async avoid(erring: Erring, part: Part): Promise<void> {
    const hop = part.path.find((h) => h.short_channel_id_dir === erring.scidDir)
    if (erring.temporary && hop !== undefined) await this.layer.constrain(erring.scidDir, hop.amount_in_msat)
    else await this.layer.disable(erring.scidDir)
  }
}

function pending(why: string, { paymentHash }: Invoice, cause?: unknown): FactoryError {
  const hint = `lightning-cli listsendpays null ${paymentHash}`
  return new FactoryError('payment_pending', `parts are still under way: ${why}`, hint, { cause })
}
