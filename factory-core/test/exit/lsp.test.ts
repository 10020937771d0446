import { describe, expect, it } from 'vitest'
import { blocks } from '../../src/units/index.js'
import { Net, params } from '../simulation/net.js'

const short = { params: { ...params, stockCsv: blocks(30) } }

describe('the LSP leaves', () => {
  it('publishes the whole tree, closes every channel and sweeps its stocks', async () => {
    const net = await Net.of(1, 5)
    const instance = await net.active(net.request(short))
    const exiting = net.node(net.lsp).exit(instance)
    await net.world.run()
    expect((await exiting).transactions.map((t) => t.role)).toEqual(['static', 'kickoff', 'leaf', 'kickoff', 'leaf'])
    await net.world.mine(90)
    expect((await net.show(net.lsp, instance))?.phase).toBe('exited')
    for (const id of net.clients)
      for (const c of net.host(id).mine.values()) expect(net.world.chain.coin(c.funding)).toBeUndefined()
  })

  it('goes on after a restart at any block', async () => {
    const net = await Net.of(2, 3)
    const instance = await net.active(net.request(short))
    const exiting = net.node(net.lsp).exit(instance)
    await net.world.run()
    await exiting
    for (let i = 0; i < 80; i++) {
      await net.world.mine(1)
      net.world.crash(net.lsp)
      await net.heal()
    }
    expect((await net.show(net.lsp, instance))?.phase).toBe('exited')
  })

  it('starts by itself at its deadline, so that the expiry does not give everything away', async () => {
    const net = await Net.of(3, 2)
    const instance = await net.active(net.request({ ...short, lifetime: blocks(400) }))
    const shown = await net.show(net.lsp, instance)
    if (shown === undefined) throw new Error('no factory')
    const deadline = shown.expiry - shown.earlyWarning - shown.params.confirmationMargin
    await net.world.mine(deadline - net.world.chain.height - 1)
    expect((await net.show(net.lsp, instance))?.phase).toBe('active')
    await net.world.mine(1)
    expect((await net.show(net.lsp, instance))?.phase).toBe('exiting')
    await net.world.mine(shown.earlyWarning)
    for (const id of net.clients)
      for (const c of net.host(id).mine.values()) expect(net.world.chain.coin(c.funding)).toBeUndefined()
    expect(net.world.chain.height).toBeLessThan(shown.expiry)
  })
})
