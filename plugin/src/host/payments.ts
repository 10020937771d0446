import { randomBytes } from 'node:crypto'
import { FactoryError } from '@ln-factory/tlv'
import { hex } from '@scure/base'
import type { DirectPayment, DirectPayments } from '@ln-factory/core/host'
import { z } from 'zod'
import { HostRpcError, HostUnansweredError, type HostRpc } from '../rpc/index.js'
import type { Channels } from './channels.js'
import { parse } from './replies.js'

const sendpays = z.object({
  payments: z.array(
    z.object({
      status: z.enum(['pending', 'complete', 'failed']),
      payment_preimage: z.string().optional(),
      groupid: z.number().int().optional(),
      partid: z.number().int().optional(),
    }),
  ),
})
const settled = z.object({ payment_preimage: z.string().regex(/^[0-9a-f]{64}$/) })

/** lightningd's code of waitsendpay: still under way. */
const STILL_PENDING = 200
/** Seconds that lightningd is asked to wait at a time. */
const POLL = 30
const RECONNECT = 1000

/** `sendpay` over one hop. lightningd's own records say what became of a hash, so nothing is paid twice, also across restarts. */
export class ClnPayments implements DirectPayments {
  private readonly underWay = new Map<string, Promise<Uint8Array>>()

  constructor(
    private readonly rpc: HostRpc,
    private readonly channels: Channels,
  ) {}

  /** The hook sees every HTLC before lightningd looks for an invoice, so lightningd need not know of it. */
  expect(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(randomBytes(32)))
  }

  /** Asked again while it is under way, the same answer serves both. */
  pay(payment: DirectPayment): Promise<Uint8Array> {
    const before = this.underWay.get(payment.hash)
    if (before !== undefined) return before
    const paying = this.once(payment).finally(() => this.underWay.delete(payment.hash))
    this.underWay.set(payment.hash, paying)
    return paying
  }

  private async once(payment: DirectPayment): Promise<Uint8Array> {
    const sent = await this.sent(payment.hash)
    const done = sent.find((p) => p.status === 'complete')?.payment_preimage
    if (done !== undefined) return hex.decode(done)
    const pending = sent.find((p) => p.status === 'pending')
    const group = pending?.groupid ?? 1 + Math.max(0, ...sent.map((p) => p.groupid ?? 0))
    if (pending === undefined) await this.send(payment, group)
    return this.wait(payment.hash, group)
  }

  private async sent(hash: string): Promise<z.output<typeof sendpays>['payments']> {
    const answer = await this.rpc.call('listsendpays', { payment_hash: hash })
    return parse(sendpays, 'listsendpays', answer).payments
  }

  private async send(payment: DirectPayment, groupid: number): Promise<void> {
    if (payment.delta < 1) throw new FactoryError('payment_failed', `too late to begin payment ${payment.hash}`)
    const channel = (await this.channels.list()).find((c) => c.channelId === payment.channelId)
    if (channel?.alias === undefined)
      throw new FactoryError('payment_failed', `no channel ${payment.channelId} to pay over`)
    try {
      await this.rpc.call('sendpay', {
        route: [
          { id: payment.peer, channel: channel.alias, amount_msat: `${payment.amount}msat`, delay: payment.delta },
        ],
        payment_hash: payment.hash,
        payment_secret: hex.encode(payment.secret),
        amount_msat: `${payment.amount}msat`,
        partid: 0,
        groupid,
      })
    } catch (error) {
      // Without an answer it may have been sent: waitsendpay tells.
      if (error instanceof HostRpcError) throw failed(payment.hash, error)
      if (!(error instanceof HostUnansweredError)) throw error
    }
  }

  private async wait(hash: string, groupid: number): Promise<Uint8Array> {
    for (;;) {
      try {
        const params = { payment_hash: hash, partid: 0, groupid, timeout: POLL }
        const answer = await this.rpc.call('waitsendpay', params, { timeout: 0 })
        return hex.decode(parse(settled, 'waitsendpay', answer).payment_preimage)
      } catch (error) {
        if (error instanceof HostUnansweredError) await new Promise((resolve) => setTimeout(resolve, RECONNECT))
        else if (!(error instanceof HostRpcError)) throw error
        else if (error.rpcCode !== STILL_PENDING) throw failed(hash, error)
      }
    }
  }
}

const failed = (hash: string, error: HostRpcError): FactoryError =>
  new FactoryError('payment_failed', `payment ${hash}: ${error.rpcMessage}`, undefined, { cause: error })
