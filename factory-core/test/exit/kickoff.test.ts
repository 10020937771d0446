import { describe, expect, it } from 'vitest'
import { finalize } from '../../src/tree/index.js'
import { treeOf } from '../../src/ceremony/lsp/factory.js'
import type { LspState } from '../../src/ceremony/index.js'
import { Net } from '../simulation/net.js'
import { stateOn } from '../simulation/state.js'
import { contextOf } from '../simulation/context.js'

describe('a kickoff that somebody published is answered with the latest state', () => {
  it.each(['client', 'lsp'] as const)('by the %s alone', async (who) => {
    const net = await Net.of(8, 2)
    const instance = await net.active()
    const state = stateOn(net.disk(net.lsp), instance) as LspState & { stage: 'active' }
    const tree = treeOf(state, await contextOf(net, net.lsp, instance))
    const kickoff = tree.spends.find((s) => s.role === 'kickoff')
    const leaf = tree.spends.find((s) => s.role === 'leaf')
    const signature = net.disk(net.lsp).items.get(instance)?.get('sig/kickoff:0')
    if (kickoff === undefined || leaf === undefined || signature === undefined) throw new Error('no kickoff')
    for (const id of who === 'lsp' ? net.clients : [net.lsp, net.client(1)]) net.world.crash(id)
    expect(net.world.chain.broadcast(finalize(kickoff, signature)).accepted).toBe(true)
    await net.world.mine(5)
    expect(net.world.chain.accepted.has(leaf.tx.txid)).toBe(false)
    await net.world.mine(10)
    expect(net.world.chain.accepted.has(leaf.tx.txid)).toBe(true)
    const node = who === 'lsp' ? net.lsp : net.client(0)
    expect((await net.show(node, instance))?.phase).toBe('active')
  })
})
