import { MemoryDisk, openMemoryStore } from '../../src/store/memory/index.js'
import { expect, it } from 'vitest'
import { codeOf, storeConformance } from './conformance.js'

storeConformance('memory', (clock) => {
  const disk = new MemoryDisk()
  let store = openMemoryStore({ disk, clock })
  return {
    store: () => store,
    restart: () => {
      store = openMemoryStore({ disk, clock })
    },
    dispose: () => {
      store.close()
    },
  }
})

it('a store opened before the simulated restart is dead', () => {
  const disk = new MemoryDisk()
  const before = openMemoryStore({ disk })
  before.setSetting('a', 'b')
  const after = openMemoryStore({ disk })
  expect(after.setting('a')).toBe('b')
  expect(codeOf(() => before.setting('a'))).toBe('internal')
  before.close()
  expect(after.setting('a')).toBe('b')
})
