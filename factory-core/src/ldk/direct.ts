/**
 * HTLCs between two channels of the same peers: one that the factory holds until it has the preimage, and one that it pays over a
 * channel that it names. LDK tells of either only once, so both are written down, in the commit that LDK's own state goes with.
 */
import * as ldk from 'lightningdevkit'
import { hex } from '@scure/base'
import { FactoryError } from '@ln-factory/tlv'
import type { DirectPayment, DirectPayments, HeldDecision, HostHandlers, ReceivedHtlc } from '../host/port.js'
import { msat, type Msat } from '../units/index.js'
import { words } from './bitcoind.js'
import { incoming, scidsOf } from './channels.js'
import { channelIdOf, keyBytes } from './convert.js'
import type { LdkNode } from './node.js'

const EXPECTED = 'expected:'
const HELD = 'held:'
const SENT = 'direct:'
/** Seconds in which the peer must have paid what is expected: longer than any HTLC of a factory lives. */
const EXPIRY = 28 * 24 * 3600
const TEMPORARY_NODE_FAILURE = '2002'

/** What a hash that we pay has become, by the first byte of its entry. */
const PENDING = Uint8Array.of(0)
const PAID = 1

interface Waiting {
  readonly resolve: (preimage: Uint8Array) => void
  readonly reject: (error: FactoryError) => void
}

interface StoredHtlc {
  readonly id: string
  readonly channelId: string
  readonly amount: string
  readonly expiry: number
}

export class LdkDirectPayments implements DirectPayments {
  private readonly expected: Map<string, Uint8Array>
  private readonly held = new Map<string, ReceivedHtlc>()
  private readonly sent: Map<string, Uint8Array>
  /** Whoever asks for the same payment waits for the same answer. */
  private readonly waiting = new Map<string, Promise<Uint8Array>>()
  private readonly settle = new Map<string, Waiting>()

  constructor(private readonly node: LdkNode) {
    const { storage } = node.options
    this.expected = storage.list(EXPECTED)
    this.sent = storage.list(SENT)
    for (const [hash, bytes] of storage.list(HELD)) {
      const { amount, ...rest } = JSON.parse(new TextDecoder().decode(bytes)) as StoredHtlc
      this.held.set(hash, { ...rest, hash, amount: msat(BigInt(amount)) })
    }
  }

  async expect(hash: string, amount: Msat): Promise<Uint8Array> {
    await Promise.resolve()
    const before = this.expected.get(hash)
    if (before !== undefined) return before
    const made = this.node.manager.create_inbound_payment_for_hash(
      hashBytes(hash),
      ldk.Option_u64Z.constructor_some(amount),
      EXPIRY,
      ldk.Option_u16Z.constructor_none(),
    )
    if (!(made instanceof ldk.Result_ThirtyTwoBytesNoneZ_OK))
      throw new FactoryError('bad_parameter', `LDK can't be paid ${amount} msat`)
    const secret = Uint8Array.from(made.res)
    this.expected.set(hash, secret)
    this.node.set(EXPECTED + hash, secret)
    return secret
  }

  async pay(payment: DirectPayment): Promise<Uint8Array> {
    await Promise.resolve()
    const { hash } = payment
    const entry = this.sent.get(hash)
    if (entry?.[0] === PAID) return Uint8Array.from(entry.subarray(1))
    const before = this.waiting.get(hash)
    if (before !== undefined) return before
    if (entry === undefined) this.send(payment)
    // An entry without LDK's own record of the payment is of one that failed while nobody listened.
    else if (!this.isUnderWay(hash)) {
      this.mark(hash, undefined)
      this.send(payment)
    }
    return this.wait(hash)
  }

  /** @returns whether the factories wait for it; then it is theirs to answer */
  onClaimable(event: ldk.Event_PaymentClaimable, handlers: HostHandlers): boolean {
    const hash = hex.encode(event.payment_hash)
    const [part, ...more] = incoming(this.node, event.payment_hash)
    if (part === undefined || more.length > 0) return false
    const { channelId, amount, expiry } = part
    return this.hold({ id: `${channelId}:${part.id}`, channelId, hash, amount, expiry }, handlers)
  }

  /** After a restart: ask again for what is still held. */
  resume(handlers: HostHandlers): void {
    for (const [hash, htlc] of this.held) {
      const there = incoming(this.node, hashBytes(hash)).length > 0
      if (there && this.hold(htlc, handlers)) continue
      this.forget(hash)
      if (there) this.fail(hash, TEMPORARY_NODE_FAILURE)
    }
  }

  onSent(event: ldk.Event_PaymentSent): void {
    const hash = hex.encode(event.payment_hash)
    if (!this.sent.has(hash)) return
    const preimage = Uint8Array.from(event.payment_preimage)
    this.mark(hash, Uint8Array.of(PAID, ...preimage))
    this.settle.get(hash)?.resolve(preimage)
  }

  onFailed(event: ldk.Event_PaymentFailed): void {
    const hash = hex.encode(event.payment_id)
    if (!this.sent.has(hash)) return
    this.mark(hash, undefined)
    this.settle.get(hash)?.reject(new FactoryError('payment_failed', `payment ${hash}: the peer refused it`))
  }

  private hold(htlc: ReceivedHtlc, handlers: HostHandlers): boolean {
    const answer = handlers.received?.(htlc)
    if (answer === undefined) return false
    const { hash, id, channelId, amount, expiry } = htlc
    this.held.set(hash, htlc)
    const stored: StoredHtlc = { id, channelId, amount: String(amount), expiry }
    this.node.set(HELD + hash, new TextEncoder().encode(JSON.stringify(stored)))
    answer.then(
      (decision) => {
        this.answer(hash, decision)
      },
      (error: unknown) => {
        this.node.options.log('error', `HTLC ${id} is held on: ${words(error)}`)
      },
    )
    return true
  }

  private answer(hash: string, decision: HeldDecision): void {
    if (!this.node.running || !this.held.has(hash)) return
    this.forget(hash)
    if (decision.kind === 'settle') this.node.manager.claim_funds(decision.preimage)
    else {
      this.node.options.log('info', `payment refused: ${decision.reason}`)
      this.fail(hash, decision.failure)
    }
    this.node.wake()
  }

  private fail(hash: string, failure: string): void {
    const code = failure.startsWith(TEMPORARY_NODE_FAILURE)
      ? ldk.FailureCode.constructor_temporary_node_failure()
      : ldk.FailureCode.constructor_incorrect_or_unknown_payment_details()
    this.node.manager.fail_htlc_backwards_with_reason(hashBytes(hash), code)
    this.node.wake()
  }

  private forget(hash: string): void {
    this.held.delete(hash)
    this.node.set(HELD + hash, undefined)
  }

  private send({ peer, channelId, hash, amount, secret, delta }: DirectPayment): void {
    const { manager } = this.node
    if (delta < 1) throw new FactoryError('payment_failed', `too late to begin payment ${hash}`)
    const usable = manager.list_usable_channels()
    if (!usable.some((c) => channelIdOf(c.get_channel_id()) === channelId))
      throw new FactoryError('payment_failed', `no channel ${channelId} to pay over`)
    // LDK chooses among the channels that have not failed before.
    const others = usable.filter((c) => channelIdOf(c.get_channel_id()) !== channelId).flatMap(scidsOf)
    const to = ldk.PaymentParameters.constructor_from_node_id(keyBytes(peer), delta)
    to.set_previously_failed_channels(others)
    to.set_max_path_count(1)
    // The least that LDK takes. With more it would add blocks to hide where the route ends.
    to.set_max_total_cltv_expiry_delta(delta + 1)
    const sent = manager.send_payment(
      hashBytes(hash),
      ldk.RecipientOnionFields.constructor_secret_only(secret),
      hashBytes(hash),
      ldk.RouteParameters.constructor_from_payment_params_and_value(to, amount),
      ldk.Retry.constructor_attempts(0),
    )
    if (!sent.is_ok()) throw new FactoryError('payment_failed', `payment ${hash}: the channel can't carry it now`)
    this.mark(hash, PENDING)
  }

  private wait(hash: string): Promise<Uint8Array> {
    const promise = new Promise<Uint8Array>((resolve, reject) => {
      this.settle.set(hash, { resolve, reject })
    })
    this.waiting.set(hash, promise)
    const done = (): void => {
      this.waiting.delete(hash)
      this.settle.delete(hash)
    }
    promise.then(done, done)
    return promise
  }

  private isUnderWay(hash: string): boolean {
    return this.node.manager
      .list_recent_payments()
      .some((p) => p instanceof ldk.RecentPaymentDetails_Pending && hex.encode(p.payment_hash) === hash)
  }

  private mark(hash: string, entry: Uint8Array | undefined): void {
    if (entry === undefined) this.sent.delete(hash)
    else this.sent.set(hash, entry)
    this.node.set(SENT + hash, entry)
  }
}

/** @throws FactoryError `bad_parameter`: other lengths would be the end of the process */
function hashBytes(hash: string): Uint8Array {
  if (!/^[0-9a-f]{64}$/.test(hash)) throw new FactoryError('bad_parameter', 'a payment hash has 64 hex characters')
  return hex.decode(hash)
}
