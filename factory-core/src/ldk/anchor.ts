/** How far each factory has come, kept in the file of the LDK node: an older copy of the factories' store is found out by it. */
import type { Anchor } from '../host/port.js'
import { instanceId, type InstanceId } from '../units/index.js'
import type { LdkStorage } from './storage.js'

const PREFIX = 'factory-reach/'

export function ldkAnchor(storage: LdkStorage): Anchor {
  return {
    read: () =>
      Promise.resolve(
        new Map([...storage.list(PREFIX)].map(([id, value]) => [instanceId(id), Buffer.from(value).toString()])),
      ),
    keep: (instance: InstanceId, value: string) =>
      Promise.resolve().then(() => {
        storage.commit(new Map([[PREFIX + instance, Uint8Array.from(Buffer.from(value))]]))
      }),
  }
}
