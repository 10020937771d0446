import { describe, expect, it } from 'vitest'
import { FINAL_DEPTH } from '../../src/finality/depth.js'
import type { InstanceId } from '../../src/units/index.js'
import { Net } from '../simulation/net.js'

/** A factory that is launched while its funding transaction does not get through, and whose coin goes elsewhere. */
async function doubleSpent(seed: number): Promise<{ net: Net; instance: InstanceId; outcome: Promise<string> }> {
  const net = await Net.of(seed, 2)
  const { chain } = net.world
  const broadcast = chain.broadcast.bind(chain)
  chain.broadcast = () => ({ accepted: false, error: 'min relay fee not met' })
  const { instance, outcome } = await net.order()
  chain.broadcast = broadcast
  const [coin] = net.host(net.lsp).coins
  if (coin === undefined) throw new Error('no coin')
  net.host(net.lsp).spendElsewhere(coin)
  await net.world.mine(1)
  return { net, instance, outcome }
}

describe('a coin of the funding that another transaction spent', () => {
  it('ends the attempt: the operator hears at once, everything is dropped when it is buried', async () => {
    const { net, instance, outcome } = await doubleSpent(110)
    expect(await outcome).toMatch(/spent a coin of the funding/)
    expect((await net.phases(instance))[0]).toBe('confirming')
    expect(net.host(net.lsp).mine.size).toBe(2)
    await net.world.mine(FINAL_DEPTH)
    await net.world.calm()
    expect((await net.phases(instance))[0]).toBe('aborted')
    expect(net.host(net.lsp).mine.size).toBe(0)
    expect((await net.show(net.client(0), instance))?.notice).toMatch(/The LSP aborted/)
    net.world.crash(net.lsp)
    await net.heal()
    expect((await net.phases(instance))[0]).toBe('aborted')
  })

  it('is taken back by a reorganisation: the funding is tried again', async () => {
    const { net, instance } = await doubleSpent(111)
    net.world.chain.reorg(1, () => false)
    await net.world.mine(2)
    await net.world.tick()
    await net.world.mine(3)
    expect(new Set(await net.phases(instance))).toEqual(new Set(['active']))
  })
})
