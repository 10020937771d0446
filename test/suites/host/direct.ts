/** What a host owes that moves balances HTLC against HTLC (core `host/port.ts`, `DirectPayments`). */
import { sha256 } from '@noble/hashes/sha2.js'
import { hex } from '@scure/base'
import { expect, it } from 'vitest'
import type { DirectPayment, DirectPayments } from '@ln-factory/core/host'
import { msat } from '@ln-factory/core/units'
import { until } from '../../src/network/index.js'
import type { HostUnderTest } from './conformance.js'

const AMOUNT = msat(20_000_000n)
const DELTA = 60

export interface Sides {
  readonly payer: HostUnderTest
  readonly payee: HostUnderTest
  readonly channelId: string
  readonly reconnect: () => Promise<void>
  readonly settled: () => Promise<void>
}

const direct = ({ host }: HostUnderTest): DirectPayments => {
  if (host.direct === undefined) throw new Error(`${host.caps.name} makes no direct payments`)
  return host.direct
}

export function directConformance(sides: () => Sides): void {
  let next = 1
  const prepare = async (): Promise<{ payment: DirectPayment; preimage: Uint8Array }> => {
    const { payee, channelId } = sides()
    const preimage = sha256(Uint8Array.of(next++))
    const hash = hex.encode(sha256(preimage))
    payee.events.holds.add(hash)
    payee.events.held.length = 0
    const secret = await direct(payee).expect(hash, AMOUNT)
    expect(secret).toHaveLength(32)
    await direct(payee).expect(hash, AMOUNT)
    return { preimage, payment: { peer: payee.host.nodeId, channelId, hash, amount: AMOUNT, secret, delta: DELTA } }
  }
  const told = (count: number) =>
    until(() => sides().payee.events.held.length === count, { what: 'the HTLC to be told' })

  it('holds an HTLC until it is settled, and pays over the channel that was named', async () => {
    const { payer, payee, channelId, settled } = sides()
    const { payment, preimage } = await prepare()
    const balance = async (): Promise<bigint> =>
      (await payer.host.channels()).find((c) => c.channelId === channelId)?.ours ?? 0n
    await settled()
    const before = await balance()
    const height = await payee.host.height()
    const paid = direct(payer).pay(payment)
    await told(1)
    const [held] = payee.events.held
    expect(held?.htlc).toMatchObject({ channelId, hash: payment.hash, amount: AMOUNT })
    expect(held?.htlc.expiry).toBeGreaterThanOrEqual(height + DELTA)
    expect(held?.htlc.expiry).toBeLessThanOrEqual(height + DELTA + 2)
    const again = direct(payer).pay(payment)
    held?.answer({ kind: 'settle', preimage })
    expect([await paid, await again]).toEqual([preimage, preimage])
    expect(await direct(payer).pay(payment)).toEqual(preimage)
    await settled()
    expect(await balance()).toBe(before - AMOUNT)
    expect(payee.events.held).toHaveLength(1)
  })

  it('tells the payer of a failure, who may then pay again', async () => {
    const { payer, payee, settled } = sides()
    const { payment, preimage } = await prepare()
    const refused = expect(direct(payer).pay(payment)).rejects.toMatchObject({ code: 'payment_failed' })
    await told(1)
    payee.events.held[0]?.answer({ kind: 'fail', failure: '2002', reason: 'the test says so' })
    await refused
    await settled()
    const paid = direct(payer).pay(payment)
    await told(2)
    payee.events.held[1]?.answer({ kind: 'settle', preimage })
    expect(await paid).toEqual(preimage)
    await settled()
  })

  it('invariant 8: asks again for what it held before a restart, and pays nothing twice after one', async () => {
    const { payer, payee, reconnect, settled } = sides()
    const { payment, preimage } = await prepare()
    // The process of its answer ends.
    direct(payer)
      .pay(payment)
      .catch(() => undefined)
    await told(1)
    const first = payee.events.held[0]?.htlc
    await payee.restart()
    await reconnect()
    await told(2)
    expect(payee.events.held[1]?.htlc).toEqual(first)
    await payer.restart()
    await reconnect()
    const paid = direct(payer).pay(payment)
    payee.events.held.at(-1)?.answer({ kind: 'settle', preimage })
    expect(await paid).toEqual(preimage)
    await payer.restart()
    await reconnect()
    expect(await direct(payer).pay(payment)).toEqual(preimage)
    await settled()
    expect(new Set(payee.events.held.map(({ htlc }) => htlc.id)).size).toBe(1)
  })
}
