import { sha256 } from '@noble/hashes/sha2.js'
import { decodeFactoryMessage, decodePayload, type MovePart, type Payload } from '@ln-factory/tlv'
import { describe, expect, it } from 'vitest'
import type { HeldDecision, ReceivedHtlc } from '../../src/host/port.js'
import type { FactoryNode } from '../../src/runner/index.js'
import { keyItem } from '../../src/turnover/state.js'
import { msat, type InstanceId, type NodeId } from '../../src/units/index.js'
import { tamper } from '../simulation/net.js'
import { channelOf, turning, type Turning } from './turned.js'

const BALANCE = 400_000_000n
const idOf = (instance: InstanceId): Uint8Array => Uint8Array.from(Buffer.from(instance, 'hex'))
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** Takes the place of a node's plugin: hears what it hears, and does what it likes with the node. */
function impostor(
  { net }: Turning,
  id: NodeId,
  hears: (payload: Payload) => void,
  received: (htlc: ReceivedHtlc) => Promise<HeldDecision> | undefined,
): void {
  const nothing = (): Promise<void> => Promise.resolve()
  net.node(id).stop()
  const fake = {
    message: (_peer: NodeId, body: Uint8Array) => {
      const message = decodeFactoryMessage(body)
      if (message.kind === 'factory_piggyback') {
        const payload = decodePayload(message.payload)
        if (payload.kind !== 'unknown_odd') hears(payload)
      }
      return nothing()
    },
    received,
    peerConnected: nothing,
    peerDisconnected: nothing,
    block: nothing,
    channelsChanged: nothing,
    stop: () => undefined,
  }
  net.world.nodes.set(id, fake as unknown as FactoryNode)
}

describe('a hostile client', () => {
  it('that gives something else than its key has paid nevertheless, and the factory is not reaped', async () => {
    const turned = await turning(3, [BALANCE, 0n])
    const { net, old, next } = turned
    const thief = net.client(0)
    const preimage = new Uint8Array(32).fill(9)
    const hash = sha256(preimage)
    const channelId = channelOf(net, thief, old).channelId
    const sayPart = (): void => {
      void net
        .host(thief)
        .direct.expect(hexOf(hash), msat(BALANCE))
        .then((secret) =>
          net.say(thief, net.lsp, {
            kind: 'move_part',
            instanceId: idOf(old),
            newInstance: idOf(next),
            index: 0,
            last: 1,
            hash,
            amountIn: BALANCE - 546_000n,
            amountOut: BALANCE,
            secret,
          }),
        )
    }
    let asked = false
    impostor(
      turned,
      thief,
      (payload) => {
        if (payload.kind === 'move_offer' && !asked) {
          asked = true
          sayPart()
        }
        if (payload.kind !== 'move_ready') return
        const amount = msat(BALANCE - 546_000n)
        net
          .host(thief)
          .direct.pay({ peer: net.lsp, channelId, hash: hexOf(hash), amount, secret: payload.secret, delta: 400 })
          .catch(() => undefined)
      },
      () => Promise.resolve({ kind: 'settle', preimage }),
    )
    await net.world.mine(3)
    await net.world.calm()
    await net.world.mine(2)
    const state = net.stateOf(net.lsp, old)
    expect(state?.role === 'lsp' && state.moves?.[0]?.stage).toBe('keyless')
    // The principal came back over the old channel before anything was given.
    expect(channelOf(net, thief, next).balance).toBe(BALANCE)
    expect(channelOf(net, thief, old).balance).toBe(546_000n)
    expect(net.disk(net.lsp).items.get(old)?.get(keyItem(0))).toBeUndefined()
    expect(state?.stage).toBe('active')
  })

  it.each([
    { what: 'more than its channel holds', change: { amountOut: BALANCE + 1n } },
    { what: 'more on top than a reserve can be', change: { amountIn: BALANCE / 2n } },
    { what: 'a part out of turn', change: { index: 7 } },
    { what: 'another factory', change: { newInstance: new Uint8Array(32).fill(1) } },
  ])('that asks for $what is refused, and can move with what is true', async ({ change }) => {
    const turned = await turning(4, [BALANCE])
    const { net, old, next } = turned
    const refused: string[] = []
    tamper(net.world, [net.client(0), net.lsp], 'move_part', (part: MovePart) => [{ ...part, ...change }])
    tamper(net.world, [net.lsp, net.client(0)], 'move_refuse', (message) => {
      refused.push(message.reason)
      return [message]
    })
    await net.world.mine(3)
    await net.converge()
    await net.world.mine(3)
    expect(refused).toHaveLength(1)
    expect(channelOf(net, net.client(0), next).balance).toBe(BALANCE)
    expect(net.stateOf(net.lsp, old)?.stage).toBe('settled')
  })
})

describe('an LSP that died before it paid onward', () => {
  it('begins nothing when it comes back too late to enforce what pays it back', async () => {
    let found: Turning | undefined
    for (let at = 1; at < 40 && found === undefined; at++) {
      const turned = await turning(8, [BALANCE])
      const { world, lsp } = turned.net
      world.kill = { node: lsp, at: (world.commits.get(lsp) ?? 0) + at, when: 'after' }
      await world.mine(3)
      world.kill = undefined
      const state = turned.net.stateOf(lsp, turned.old)
      if (state?.role === 'lsp' && state.moves?.[0]?.part?.step === 'paying') found = turned
    }
    if (found === undefined) throw new Error('it never came so far')
    const { net, old, next } = found
    const { lsp, world } = net
    const client = net.client(0)
    expect(net.host(lsp).direct.offered).toEqual([])
    for (let i = 0; i < 60; i++) world.chain.mine()
    await net.heal()
    await world.run()
    expect(net.host(lsp).direct.offered).toEqual([])
    expect(channelOf(net, client, old).balance + channelOf(net, client, next).balance).toBe(BALANCE)
  })
})

describe('a hostile LSP', () => {
  /** Pays over the new channel as soon as it knows the hash, and lets the client pay nothing. */
  async function payFirst(change: (part: MovePart) => Partial<{ amount: bigint; delta: number }>) {
    const turned = await turning(5, [BALANCE])
    const { net, old, next } = turned
    const client = net.client(0)
    const channelId = channelOf(net, client, next).channelId
    const ended: string[] = []
    impostor(
      turned,
      net.lsp,
      (payload) => {
        if (payload.kind !== 'move_part') return
        const payment = { amount: payload.amountOut, delta: 400, ...change(payload) }
        net
          .host(net.lsp)
          .direct.pay({
            peer: client,
            channelId,
            hash: hexOf(payload.hash),
            secret: payload.secret,
            amount: msat(payment.amount),
            delta: payment.delta,
          })
          .then(
            () => ended.push('paid'),
            (error: unknown) => ended.push(String(error)),
          )
      },
      () => undefined,
    )
    await net.world.mine(3)
    await net.say(net.lsp, client, {
      kind: 'move_offer',
      instanceId: idOf(old),
      newInstance: idOf(next),
      most: 900_000_000n,
    })
    await net.world.run()
    return { net, old, next, client, ended }
  }

  it('invariant 9: gets no key while the old channel still holds what the payment is for', async () => {
    const { net, old, client, ended } = await payFirst(() => ({}))
    expect(ended).toHaveLength(1)
    expect(ended[0]).toContain('the old channels hold')
    expect(channelOf(net, client, old).balance).toBe(BALANCE)
    const state = net.stateOf(client, old)
    expect(state?.role === 'client' && state.move?.moved).toBe(false)
  })

  it.each([
    { what: 'less than the part', change: () => ({ amount: BALANCE - 1n }) },
    { what: 'what expires too soon to be enforced', change: () => ({ delta: 10 }) },
    { what: 'what outlives the new factory', change: () => ({ delta: 5000 }) },
  ])('gets no key for $what', async ({ change }) => {
    const { net, old, client, ended } = await payFirst(change)
    expect(ended).toHaveLength(1)
    expect(ended[0]).not.toBe('paid')
    expect(channelOf(net, client, old).balance).toBe(BALANCE)
  })

  it('can’t send a client to a factory that it does not know, nor to the one it is in', async () => {
    const turned = await turning(6, [BALANCE])
    const { net, old } = turned
    impostor(
      turned,
      net.lsp,
      () => undefined,
      () => undefined,
    )
    for (const newInstance of [new Uint8Array(32).fill(7), idOf(old)])
      await net.say(net.lsp, net.client(0), { kind: 'move_offer', instanceId: idOf(old), newInstance, most: 1n })
    const state = net.stateOf(net.client(0), old)
    expect(state?.role === 'client' && state.move).toBeUndefined()
  })
})
