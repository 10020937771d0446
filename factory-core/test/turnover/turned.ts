/** A network with two factories, where the clients of the first are to move to the second; and what must hold of it. */
import { createHash } from 'node:crypto'
import { expect } from 'vitest'
import type { InstanceId, NodeId } from '../../src/units/index.js'
import { blocks, msat, sat, txid } from '../../src/units/index.js'
import { Net } from '../simulation/net.js'

/** What a simulated channel keeps back, in msat. */
export const RESERVE = 546_000n

export interface Turning {
  readonly net: Net
  readonly old: InstanceId
  /** Ordered and live as soon as blocks come. */
  readonly next: InstanceId
}

/** `balances`: msat that each client has in the old factory. */
export async function turning(seed: number, balances: readonly bigint[]): Promise<Turning> {
  const net = await Net.of(seed, balances.length)
  const host = net.host(net.lsp)
  const coin = { txid: txid(createHash('sha256').update('second coin').digest('hex')), vout: 0 }
  net.world.chain.mint(coin, sat(50_000_000n), Uint8Array.of(0x51))
  host.coins.push(coin)
  const lifetime = blocks(2000)
  const old = await net.active(net.request({ lifetime }))
  for (const [i, balance] of balances.entries()) {
    const channel = channelOf(net, net.client(i), old)
    channel.balance = msat(balance)
  }
  const rotating = net.node(net.lsp).rotate({
    instance: old,
    to: { kind: 'create', lifetime, stepTimeout: 60 },
    feerate: 1000,
  })
  await net.world.run()
  const { instance: next } = await rotating
  return { net, old, next }
}

export function channelOf(net: Net, client: NodeId, instance: InstanceId) {
  const state = net.stateOf(net.lsp, instance)
  if (state?.role !== 'lsp') throw new Error('no such factory')
  const id = state.clients.find((c) => c.id === client)?.channelId ?? ''
  const channel = net.host(net.lsp).mine.get(id) ?? net.host(client).mine.get(id)
  if (channel === undefined) throw new Error(`no channel of ${client}`)
  return channel
}

/** Balance of a client over all factories that it has not left. */
export function worth(net: Net, client: NodeId, instances: readonly InstanceId[]): bigint {
  return instances.reduce((sum, instance) => {
    const state = net.stateOf(client, instance)
    if (state?.role !== 'client' || state.move?.moved === true || state.stage === 'closed') return sum
    return sum + channelOf(net, client, instance).balance
  }, 0n)
}

/** No hash is ever offered twice by the same node while it may still be paid. */
export function paidOnce(net: Net): void {
  for (const id of net.all) {
    const { offered } = net.host(id).direct
    expect(new Set(offered).size, `hashes that ${id} offered twice`).toBe(offered.length)
  }
}
