import { describe, expect, it } from 'vitest'
import type { NodeId } from '../../src/units/index.js'
import { expectFreshStart, expectWhole } from '../simulation/checks.js'
import { Net } from '../simulation/net.js'

/** Longer runs: LN_FACTORY_SEEDS=20 kills at each commit in 20 orders of events. */
const seeds = Number(process.env['LN_FACTORY_SEEDS'] ?? '1')

async function killed(seed: number, victim: (net: Net) => NodeId, at: number, when: 'before' | 'after', both: boolean) {
  const net = await Net.of(seed, 2)
  const node = victim(net)
  net.world.kill = { node, at, when }
  let instance
  try {
    instance = (await net.order()).instance
  } catch {
    instance = undefined // killed before anything was on disk
  }
  const due = !net.world.nodes.has(node)
  if (due && both) for (const id of [net.lsp, net.client(0)]) if (net.world.nodes.has(id)) net.world.crash(id)
  net.world.kill = undefined
  // The others, and the chain, go on without it.
  if (at % 2 === 0) await net.world.mine(2)
  await net.converge()
  return { net, instance, due }
}

describe.each(Array.from({ length: seeds }, (_, i) => i + 1))('a crash at any commit, order of events %i', (seed) => {
  describe.each([
    { name: 'the LSP', victim: (net: Net) => net.lsp },
    { name: 'a client', victim: (net: Net) => net.client(0) },
  ])('of $name', ({ victim }) => {
    it.each(['before', 'after'] as const)('%s it is on disk: all active, or nobody lost anything', async (when) => {
      const results = new Set<string>()
      for (let at = 1; ; at++) {
        const { net, instance, due } = await killed(seed, victim, at, when, at % 3 === 0)
        if (!due) break
        const text = `commit ${at}`
        if (instance === undefined) continue
        try {
          const result = await expectWhole(net, instance)
          results.add(result)
          if (result === 'given up' && at % 4 === 0) {
            const lsp = net.host(net.lsp)
            if (lsp.reserved.size > 0) for (let i = 0; i < 288; i++) net.world.chain.mine()
            await net.world.mine(1)
            await expectFreshStart(net)
          }
        } catch (error) {
          throw new Error(
            `${text}: ${error instanceof Error ? error.message : String(error)}\n${net.world.lines.slice(-30).join('\n')}`,
            { cause: error },
          )
        }
      }
      expect([...results].sort()).toEqual(['active', 'given up'])
    })
  })
})
