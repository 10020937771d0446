/** The store port in memory: for tests and simulations of crashes. Nothing in it survives the process. */
import { FactoryError } from '@ln-factory/tlv'
import { outPointKey, type InstanceId } from '../../units/index.js'
import { checkBatch, checkLogFilter } from '../check.js'
import { systemClock, type Clock } from '../clock.js'
import type { Batch, FactoryStore, Item, SignRecord, StoredLog, StoredMachine } from '../port.js'
import { admit, sealedConflict, unknownInstance, type Signed } from '../rule.js'

/** What survives the death of a simulated process. Opening it again is a restart: the store opened before is dead. */
export class MemoryDisk {
  readonly machines = new Map<InstanceId, { role: Batch['role']; state: string | undefined }>()
  readonly records = new Map<string, Signed[]>()
  /** The same records by instance, oldest first. */
  readonly signed = new Map<InstanceId, SignRecord[]>()
  readonly sealed = new Set<InstanceId>()
  readonly items = new Map<InstanceId, Map<string, Uint8Array>>()
  readonly settings = new Map<string, string>()
  readonly log: StoredLog[] = []
  owner: object | undefined

  /** As it is now, for whoever puts it back later. */
  copy(): MemoryDisk {
    const copy = new MemoryDisk()
    for (const [k, v] of this.machines) copy.machines.set(k, v)
    for (const [k, v] of this.records) copy.records.set(k, [...v])
    for (const [k, v] of this.signed) copy.signed.set(k, [...v])
    for (const k of this.sealed) copy.sealed.add(k)
    for (const [k, v] of this.items) copy.items.set(k, new Map(v))
    for (const [k, v] of this.settings) copy.settings.set(k, v)
    copy.log.push(...this.log)
    return copy
  }
}

export function openMemoryStore(options: { disk?: MemoryDisk; clock?: Clock } = {}): FactoryStore {
  return new MemoryStore(options.disk ?? new MemoryDisk(), options.clock ?? systemClock)
}

class MemoryStore implements FactoryStore {
  readonly #disk: MemoryDisk
  readonly #clock: Clock

  constructor(disk: MemoryDisk, clock: Clock) {
    this.#disk = disk
    this.#clock = clock
    disk.owner = this
  }

  commit(batch: Batch): void {
    const disk = this.#open()
    checkBatch(batch)
    const known = disk.machines.get(batch.instance)
    if (known !== undefined && known.role !== batch.role) {
      throw new FactoryError('duplicate_instance', `instance ${batch.instance} is known with the role ${known.role}`)
    }
    // Nothing is written before the last record is admitted: an error leaves the disk as it was.
    const fresh = new Map<string, Signed[]>()
    const brought: SignRecord[] = []
    for (const record of batch.records) {
      const key = `${outPointKey(record.outpoint)}/${record.class}`
      const signed = fresh.get(key) ?? disk.records.get(key) ?? []
      if (!admit(record, signed)) continue
      if (disk.sealed.has(batch.instance)) throw sealedConflict(batch.instance)
      const { index, rule } = record
      const sighash = Uint8Array.from(record.sighash)
      fresh.set(key, [...signed, { index, rule, sighash }])
      brought.push({ ...record, sighash })
    }

    for (const [key, signed] of fresh) disk.records.set(key, signed)
    if (brought.length > 0) disk.signed.set(batch.instance, [...this.signed(batch.instance), ...brought])
    disk.machines.set(batch.instance, { role: batch.role, state: batch.state ?? known?.state })
    const items = disk.items.get(batch.instance) ?? new Map<string, Uint8Array>()
    disk.items.set(batch.instance, items)
    for (const { key, value } of batch.items) items.set(key, Uint8Array.from(value))
    const time = this.#clock()
    for (const { kind, text } of batch.log) {
      disk.log.push({ seq: disk.log.length + 1, time, instance: batch.instance, kind, text })
    }
  }

  machines(): StoredMachine[] {
    const out: StoredMachine[] = []
    for (const [instance, { role, state }] of this.#open().machines) {
      if (state !== undefined) out.push({ instance, role, state })
    }
    return out
  }

  machine(instance: InstanceId): StoredMachine | undefined {
    const known = this.#open().machines.get(instance)
    return known?.state === undefined ? undefined : { instance, role: known.role, state: known.state }
  }

  signed(instance: InstanceId): SignRecord[] {
    return [...(this.#open().signed.get(instance) ?? [])]
  }

  seal(instance: InstanceId): void {
    const disk = this.#open()
    if (!disk.machines.has(instance)) throw unknownInstance(instance)
    disk.sealed.add(instance)
  }

  isSealed(instance: InstanceId): boolean {
    return this.#open().sealed.has(instance)
  }

  item(instance: InstanceId, key: string): Uint8Array | undefined {
    return this.#open().items.get(instance)?.get(key)?.slice()
  }

  items(instance: InstanceId, prefix: string): Item[] {
    return [...(this.#open().items.get(instance) ?? [])]
      .filter(([key]) => key.startsWith(prefix))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => ({ key, value: Uint8Array.from(value) }))
  }

  log(filter: Parameters<FactoryStore['log']>[0]): StoredLog[] {
    checkLogFilter(filter)
    const { instance, after = 0, limit = Number.MAX_SAFE_INTEGER } = filter
    return this.#open()
      .log.filter((l) => l.seq > after && (instance === undefined || l.instance === instance))
      .slice(0, limit)
  }

  setting(key: string): string | undefined {
    return this.#open().settings.get(key)
  }

  setSetting(key: string, value: string): void {
    this.#open().settings.set(key, value)
  }

  close(): void {
    if (this.#disk.owner === this) this.#disk.owner = undefined
  }

  #open(): MemoryDisk {
    if (this.#disk.owner !== this) throw new FactoryError('internal', 'the store is closed')
    return this.#disk
  }
}
