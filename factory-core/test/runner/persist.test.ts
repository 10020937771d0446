import { describe, expect, it } from 'vitest'
import type { LspState } from '../../src/ceremony/index.js'
import { packState, unpackState } from '../../src/runner/index.js'
import { decodeState, encodeState } from '../../src/store/index.js'
import { openMemoryStore } from '../../src/store/memory/index.js'
import type { FactoryStore, StoredMachine } from '../../src/store/port.js'
import type { InstanceId } from '../../src/units/index.js'
import { Net } from '../simulation/net.js'
import { codeOf } from '../store/conformance.js'

async function active(seed: number, clients: number): Promise<{ net: Net; instance: InstanceId; store: FactoryStore }> {
  const net = await Net.of(seed, clients)
  const instance = await net.active()
  return { net, instance, store: openMemoryStore({ disk: net.disk(net.lsp).copy() }) }
}

function storedOf(store: FactoryStore, instance: InstanceId): StoredMachine {
  const stored = store.machine(instance)
  if (stored === undefined) throw new Error('nothing stored')
  return stored
}

describe("an LSP's state, its clients apart", () => {
  it('comes back as it was', async () => {
    const { instance, store } = await active(90, 5)
    const { state, packed } = unpackState(storedOf(store, instance), store)
    expect(packed).toBe(true)
    expect(state.role === 'lsp' && state.clients.every((c) => c.channelId !== undefined)).toBe(true)
    const { text, items } = packState(state, undefined)
    expect(text).toBe(storedOf(store, instance).state)
    expect(items).toEqual(store.items(instance, 'state/client/'))
  })

  it('writes a client when it changed, and not when another did', async () => {
    const { instance, store } = await active(91, 4)
    const state = unpackState(storedOf(store, instance), store).state as LspState
    const clients = state.clients.map((c, i) => (i === 2 ? { ...c, readyChannelId: 'ff' } : c))
    expect(packState({ ...state, clients }, state).items.map((i) => i.key)).toEqual(['state/client/000002'])
    expect(packState(state, state).items).toEqual([])
    expect(packState(state, undefined).items).toHaveLength(4)
  })

  it('costs a ceremony as many client records as there are answers, however many clients there are', async () => {
    const written = async (n: number): Promise<number> => {
      const net = await Net.of(92, n)
      let count = 0
      class Counting extends Map<string, Uint8Array> {
        override set(key: string, value: Uint8Array): this {
          if (key.startsWith('state/client/')) count++
          return super.set(key, value)
        }
      }
      // The store makes one such map when it first hears of an instance.
      const { items } = net.disk(net.lsp)
      const get = items.get.bind(items)
      items.get = (key) => {
        if (get(key) === undefined) items.set(key, new Counting())
        return get(key)
      }
      await net.active()
      return count / n
    }
    const [few, many] = [await written(2), await written(8)]
    expect(many).toBeLessThanOrEqual(few + 1)
  })

  it('opens a database of before, and goes on in the new form', async () => {
    const { net, instance, store } = await active(93, 3)
    const { state } = unpackState(storedOf(store, instance), store)
    const disk = net.disk(net.lsp)
    net.world.crash(net.lsp)
    disk.machines.set(instance, { role: 'lsp', state: encodeState(state) })
    for (const key of [...(disk.items.get(instance)?.keys() ?? [])])
      if (key.startsWith('state/')) disk.items.get(instance)?.delete(key)
    await net.heal()
    await net.world.calm()
    expect(new Set(await net.phases(instance))).toEqual(new Set(['active']))
    await net.node(net.lsp).exit(instance)
    await net.world.calm()
    expect((decodeState(disk.machines.get(instance)?.state ?? '') as { v: number }).v).toBe(2)
    expect([...(disk.items.get(instance)?.keys() ?? [])].filter((k) => k.startsWith('state/'))).toHaveLength(3)
  })

  it('is refused when a client is missing, or not its own, or from the future', async () => {
    const { net, instance, store } = await active(94, 3)
    const stored = storedOf(store, instance)
    const text = (change: object): string => encodeState({ ...(decodeState(stored.state) as object), ...change })
    expect(codeOf(() => unpackState({ ...stored, state: text({ v: 3 }) }, store))).toBe('store_version')
    expect(codeOf(() => unpackState({ ...stored, state: text({ clients: 4 }) }, store))).toBe('store_corrupt')
    expect(codeOf(() => unpackState({ ...stored, state: text({ instance: '00' }) }, store))).toBe('store_corrupt')
    expect(codeOf(() => unpackState({ ...stored, role: 'client' }, store))).toBe('store_corrupt')
    net.disk(net.lsp).items.get(instance)?.delete('state/client/000001')
    const damaged = openMemoryStore({ disk: net.disk(net.lsp).copy() })
    expect(codeOf(() => unpackState(stored, damaged))).toBe('store_corrupt')
  })
})
