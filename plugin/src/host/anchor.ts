/**
 * How far each factory has come, kept in lightningd's own database (`datastore`): an older copy of ours is found out by it. Both
 * restored together to the same moment are not; then lightningd's channels are old as well.
 */
import type { Anchor } from '@ln-factory/core/host'
import { instanceId, type InstanceId } from '@ln-factory/core/units'
import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'
import type { HostRpc } from '../rpc/index.js'
import { parse } from './replies.js'

const PREFIX = ['ln-factory', 'reach'] as const

const entry = z.object({ key: z.array(z.string()), generation: z.number().optional(), string: z.string().optional() })
const listed = z.object({ datastore: z.array(entry) })

export class ClnAnchor implements Anchor {
  /** Of what we read or wrote last: a write that finds another was not ours. */
  readonly #generations = new Map<InstanceId, number>()

  /** What we tried to write and got no answer for: lightningd may have it. */
  readonly #tried = new Map<InstanceId, string>()

  constructor(private readonly rpc: HostRpc) {}

  async read(): Promise<ReadonlyMap<InstanceId, string>> {
    const found = await this.#list([...PREFIX])
    this.#generations.clear()
    for (const [instance, { generation }] of found) this.#generations.set(instance, generation)
    return new Map([...found].map(([instance, { string }]) => [instance, string]))
  }

  async keep(instance: InstanceId, value: string): Promise<void> {
    const tried = this.#tried.get(instance)
    if (tried !== undefined) {
      const there = (await this.#list([...PREFIX, instance])).get(instance)
      if (there?.string === tried) this.#generations.set(instance, there.generation)
    }
    this.#tried.set(instance, value)
    const known = this.#generations.get(instance)
    const how = known === undefined ? { mode: 'must-create' } : { mode: 'must-replace', generation: known }
    const written = await this.rpc.call('datastore', { key: [...PREFIX, instance], string: value, ...how })
    this.#generations.set(instance, parse(entry, 'datastore', written).generation ?? 0)
    this.#tried.delete(instance)
  }

  async #list(key: readonly string[]): Promise<Map<InstanceId, { string: string; generation: number }>> {
    const { datastore } = parse(listed, 'listdatastore', await this.rpc.call('listdatastore', { key }))
    const found = new Map<InstanceId, { string: string; generation: number }>()
    for (const { key: path, generation, string } of datastore) {
      const name = path[PREFIX.length]
      if (name === undefined || path.length !== PREFIX.length + 1) continue
      if (string === undefined || generation === undefined)
        throw new FactoryError('host_failed', `lightningd's datastore holds no text under ${path.join('/')}`)
      found.set(instanceId(name), { string, generation })
    }
    return found
  }
}
