import type { ClientState, LspState } from '../../src/ceremony/index.js'
import { unpackState } from '../../src/runner/index.js'
import { openMemoryStore, type MemoryDisk } from '../../src/store/memory/index.js'
import type { InstanceId } from '../../src/units/index.js'

/** The state of a factory as it stands on a disk. */
export function stateOn(disk: MemoryDisk, instance: InstanceId): LspState | ClientState | undefined {
  const store = openMemoryStore({ disk: disk.copy() })
  const stored = store.machine(instance)
  return stored === undefined ? undefined : unpackState(stored, store).state
}
