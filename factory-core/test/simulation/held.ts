/** What the LSP of a factory holds, for whoever publishes it in its place. */
import type { LspState } from '../../src/ceremony/index.js'
import { treeOf } from '../../src/ceremony/lsp/factory.js'
import { unpackState } from '../../src/runner/index.js'
import { openMemoryStore } from '../../src/store/memory/index.js'
import { finalize } from '../../src/tree/index.js'
import type { FactoryTree, Spend } from '../../src/tree/types.js'
import type { InstanceId } from '../../src/units/index.js'
import { contextOf } from './context.js'
import type { Net } from './net.js'

export async function treeOfLsp(net: Net, instance: InstanceId): Promise<FactoryTree> {
  const store = openMemoryStore({ disk: net.disk(net.lsp).copy() })
  const stored = store.machine(instance)
  if (stored === undefined) throw new Error('no state')
  const state = unpackState(stored, store).state as LspState & { stage: 'active' }
  return treeOf(state, await contextOf(net, net.lsp, instance))
}

/** With its signature. */
export async function held(net: Net, instance: InstanceId, id: string): Promise<{ spend: Spend; raw: Uint8Array }> {
  const spend = (await treeOfLsp(net, instance)).spends.find((s) => s.id === id)
  const signature = net.disk(net.lsp).items.get(instance)?.get(`sig/${id}`)
  if (spend === undefined || signature === undefined) throw new Error(`no ${id}`)
  return { spend, raw: finalize(spend, signature) }
}
