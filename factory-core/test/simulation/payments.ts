/** Payments of one hop between two simulated hosts. They outlive the processes: what is unanswered is told again after a start. */
import { sha256 } from '@noble/hashes/sha2.js'
import { FactoryError } from '@ln-factory/tlv'
import type { DirectPayment, DirectPayments, ReceivedHtlc } from '../../src/host/port.js'
import { msat, type Msat, type NodeId } from '../../src/units/index.js'
import type { SimChannel, SimHost } from './host.js'

type Outcome = { readonly preimage: Uint8Array } | { readonly error: string }

/** Offered to this host, unanswered. */
interface Incoming {
  readonly htlc: ReceivedHtlc
  readonly channel: SimChannel
  readonly end: (outcome: Outcome) => void
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

export class SimPayments implements DirectPayments {
  readonly #incoming = new Map<string, Incoming>()
  readonly #outgoing = new Map<string, Promise<Outcome>>()
  readonly #expected = new Map<string, Uint8Array>()
  readonly #asked = new Set<string>()
  #count = 0
  /** How often each hash was offered: more than once at a time would be a loss. */
  readonly offered: string[] = []

  constructor(readonly host: SimHost) {}

  expect(hash: string, amount: Msat): Promise<Uint8Array> {
    return this.host.world.answer(this.host.nodeId, () => {
      const secret = sha256(new TextEncoder().encode(`${hash}/${amount}`))
      this.#expected.set(hash, secret)
      return secret
    })
  }

  async pay(payment: DirectPayment): Promise<Uint8Array> {
    const { world, nodeId } = this.host
    let outcome = this.#outgoing.get(payment.hash)
    if (outcome === undefined) {
      // In an object: a promise that resolves with a promise waits for it.
      const offered = world.answer(nodeId, () => {
        this.#asked.delete(payment.hash)
        return { outcome: this.#offer(payment) }
      })
      this.#asked.add(payment.hash)
      outcome = offered.then(
        (o) => o.outcome,
        (error: unknown) => ({ error: String(error) }),
      )
      this.#outgoing.set(payment.hash, outcome)
    }
    const ended = await outcome
    return world.answer(nodeId, () => {
      if ('preimage' in ended) return ended.preimage
      this.#outgoing.delete(payment.hash)
      throw new FactoryError('payment_failed', ended.error)
    })
  }

  /** After a start of this host's process. What the last one asked, and died before the host heard of it, was never asked. */
  tellAgain(): void {
    for (const hash of this.#asked) this.#outgoing.delete(hash)
    this.#asked.clear()
    for (const incoming of this.#incoming.values()) this.#tell(incoming)
  }

  #offer(payment: DirectPayment): Promise<Outcome> {
    const { world, nodeId } = this.host
    if (payment.delta < 1) throw new FactoryError('payment_failed', 'too late')
    const channel = this.host.mine.get(payment.channelId)
    const peer = world.hosts.get(payment.peer)
    if (channel === undefined || peer?.mine.get(payment.channelId) !== channel)
      throw new FactoryError('payment_failed', `no channel ${payment.channelId}`)
    if (!world.areConnected(nodeId, payment.peer)) throw new FactoryError('payment_failed', 'the peer is gone')
    if (payment.amount > this.host.spendable(channel)) throw new FactoryError('payment_failed', 'not enough')
    if (Buffer.compare(payment.secret, peer.direct.#expected.get(payment.hash) ?? new Uint8Array()) !== 0)
      throw new FactoryError('payment_failed', 'wrong payment_secret')
    this.offered.push(payment.hash)
    return peer.direct.#receive(payment, channel, nodeId)
  }

  #receive(payment: DirectPayment, channel: SimChannel, from: NodeId): Promise<Outcome> {
    const { world, nodeId } = this.host
    const toAcceptor = channel.acceptor === nodeId
    const expiry = world.chain.height + payment.delta
    const entry = { direction: toAcceptor ? 'in' : 'out', expiry, answered: false, amount: payment.amount } as const
    channel.htlcs.push(entry)
    return new Promise((resolve) => {
      const id = `${channel.channelId}/${from}/${this.#count++}`
      const htlc = { id, channelId: channel.channelId, hash: payment.hash, amount: payment.amount, expiry }
      const end = (outcome: Outcome): void => {
        if (!this.#incoming.delete(id)) return
        channel.htlcs = channel.htlcs.filter((h) => h !== entry)
        if ('preimage' in outcome) {
          const { amount } = payment
          channel.balance = msat(toAcceptor ? channel.balance + amount : channel.balance - amount)
        }
        resolve(outcome)
      }
      const incoming = { htlc, channel, end }
      this.#incoming.set(id, incoming)
      world.later(() => {
        this.#tell(incoming)
      })
    })
  }

  #tell({ htlc, end }: Incoming): void {
    const { world, nodeId } = this.host
    const node = world.nodes.get(nodeId)
    if (node === undefined) return
    const held = node.received(htlc)
    if (held === undefined) {
      end({ error: 'nobody waits for it' })
      return
    }
    held.then(
      (decision) => {
        if (world.nodes.get(nodeId) !== node) return
        world.later(() => {
          if (decision.kind === 'fail') end({ error: decision.reason })
          else if (hexOf(sha256(decision.preimage)) === htlc.hash) end({ preimage: decision.preimage })
          else end({ error: 'wrong preimage' })
        })
      },
      () => undefined,
    )
  }
}
