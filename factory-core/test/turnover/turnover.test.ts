import { describe, expect, it } from 'vitest'
import { SecretKey } from '../../src/signing/index.js'
import { keyItem } from '../../src/turnover/state.js'
import type { NodeId } from '../../src/units/index.js'
import { channelOf, paidOnce, turning, worth, type Turning } from './turned.js'

const seeds = Number(process.env['LN_FACTORY_SEEDS'] ?? '2')

/** Everybody has moved, nothing is lost, and the old coins are back. */
async function expectMoved({ net, old, next }: Turning, balances: readonly bigint[]): Promise<void> {
  const state = net.stateOf(net.lsp, old)
  expect(state?.stage, net.world.lines.slice(-20).join('\n')).toBe('settled')
  if (state?.role !== 'lsp') throw new Error('not ours')
  for (const [i, balance] of balances.entries()) {
    const client = net.client(i)
    expect(channelOf(net, client, next).balance, `balance of client ${i}`).toBe(balance)
    expect(channelOf(net, client, next).htlcs).toEqual([])
    expect(net.stateOf(client, old)).toMatchObject({ stage: 'settled', how: 'moved' })
    const key = net.disk(net.lsp).items.get(old)?.get(keyItem(i)) ?? new Uint8Array()
    expect(SecretKey.fromBytes(key).publicKey).toEqual(state.clients[i]?.accepted?.key)
  }
  // One transaction spends the funding to the LSP alone: all of it less the fee.
  if (state.stage !== 'settled' || state.how !== 'cooperative') throw new Error('not reaped')
  const coin = net.world.chain.coin({ txid: state.close.txid, vout: 0 })
  expect(coin?.amount).toBeGreaterThan(state.fundingAmount - 500n)
  paidOnce(net)
  await Promise.resolve()
}

describe.each(Array.from({ length: seeds }, (_, i) => i + 1))('a rotation, order of events %i', (seed) => {
  it('moves every balance to the millisatoshi, for the factory keys, and reaps in one transaction', async () => {
    // A middle one, nothing, less than a reserve, an odd one, and nearly all.
    const balances = [400_000_000n, 0n, 300_000n, 77_777_777n, 990_000_001n]
    const turned = await turning(seed, balances)
    await turned.net.world.mine(3)
    await turned.net.converge()
    await turned.net.world.mine(3)
    await expectMoved(turned, balances)
    // The funding was spent with a key that its owner handed over: nobody is alarmed.
    for (const id of turned.net.all) expect((await turned.net.show(id, turned.old))?.alarm).toBeUndefined()
  })

  it('takes several parts when the LSP can’t pay a balance at once', async () => {
    const balances = [900_000_000n, 5_000_000n]
    const turned = await turning(seed, balances)
    const { net, next } = turned
    // An HTLC of somebody else blocks most of the LSP's side until it settles.
    const channel = channelOf(net, net.client(0), next)
    channel.htlcs.push({ direction: 'in', expiry: 5000, answered: false, amount: 600_000_000n as never })
    await net.world.mine(2)
    await net.world.run()
    channel.htlcs = channel.htlcs.filter((h) => h.expiry !== 5000)
    await net.converge()
    await net.world.mine(3)
    await expectMoved(turned, balances)
    const state = net.stateOf(net.lsp, turned.old)
    expect(state?.role === 'lsp' && (state.moves?.[0]?.settled.length ?? 0)).toBeGreaterThan(1)
  })

  it.each([
    { who: 'the LSP', victim: (t: Turning): NodeId => t.net.lsp },
    { who: 'a client', victim: (t: Turning): NodeId => t.net.client(0) },
  ])('invariant 8: $who dies at any commit of it, and nobody loses a millisatoshi', async ({ victim }) => {
    const balances = [400_000_000n, 300_000n]
    for (let at = 1, due = true; due; at++) {
      for (const when of ['before', 'after'] as const) {
        const turned = await turning(seed, balances)
        const { net, old, next } = turned
        const node = victim(turned)
        net.world.kill = { node, at: (net.world.commits.get(node) ?? 0) + at, when }
        await net.world.mine(3)
        due = !net.world.nodes.has(node)
        net.world.kill = undefined
        for (const [i, balance] of balances.entries())
          expect(worth(net, net.client(i), [old, next]), `kill ${when} ${at}`).toBeGreaterThanOrEqual(balance)
        await net.converge()
        await net.world.mine(4)
        await net.converge()
        await expectMoved(turned, balances)
      }
    }
  })
})
