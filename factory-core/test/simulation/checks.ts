/** What must hold once a ceremony has come to rest, whatever happened to it. */
import { expect } from 'vitest'
import type { InstanceId } from '../../src/units/index.js'
import type { Net } from './net.js'

/** Invariants 2 and 8: all have a factory, or nobody has lost anything. */
export async function expectWhole(net: Net, instance: InstanceId): Promise<'active' | 'given up'> {
  const phases = await net.phases(instance)
  const seen = phases.join()
  const lsp = net.host(net.lsp)
  const channels = [...lsp.mine.values()]
  if (phases[0] === 'active') {
    expect(
      phases.every((p) => p === 'active'),
      seen,
    ).toBe(true)
    for (const id of net.clients) {
      const path = (await net.show(id, instance))?.transactions ?? []
      expect(path.length).toBeGreaterThan(0)
      expect(net.signatures(id, instance), `signatures of ${id}`).toBe(path.length)
      expect(path.every((t) => t.signed)).toBe(true)
    }
    expect(channels.length).toBe(net.clients.length)
    expect(channels.every((c) => c.released)).toBe(true)
    return 'active'
  }
  expect(['aborted', 'none'], seen).toContain(phases[0])
  // Who has checked its channel keeps what it has, in case that the LSP lies: that costs nothing.
  for (const phase of phases.slice(1)) expect(['aborted', 'none', 'confirming'], seen).toContain(phase)
  expect(channels, 'channels that the LSP still has').toEqual([])
  expect([...lsp.opens.keys()], 'opens that are still pending').toEqual([])
  const funding = (await net.show(net.lsp, instance))?.funding
  if (funding !== undefined) expect(net.world.chain.coin(funding), 'the funding').toBeUndefined()
  return 'given up'
}

/** Coins are free, and a new factory can be made of them. */
export async function expectFreshStart(net: Net): Promise<void> {
  expectFreeCoins(net)
  const instance = await net.active()
  expect(new Set(await net.phases(instance))).toEqual(new Set(['active']))
}

export function expectFreeCoins(net: Net): void {
  const lsp = net.host(net.lsp)
  expect(lsp.coins.filter((c) => lsp.isReserved(c))).toEqual([])
}
