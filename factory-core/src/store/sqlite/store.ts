/** The store port on one SQLite file. Every write is one transaction, on disk (fsync) when the call returns. */
import { FactoryError } from '@ln-factory/tlv'
import type Database from 'better-sqlite3'
import { resolve } from 'node:path'
import type { SpendClass } from '../../tree/types.js'
import type { InstanceId, Txid } from '../../units/index.js'
import { checkBatch, checkLogFilter } from '../check.js'
import { systemClock, type Clock } from '../clock.js'
import type { Batch, FactoryStore, Item, LogKind, Role, SignRecord, StoredLog, StoredMachine } from '../port.js'
import { admit, sealedConflict, unknownInstance } from '../rule.js'
import { mapErrors } from './errors.js'
import { openDatabase } from './open.js'
import { prepare, type Statements } from './statements.js'

export interface SnapshotStore extends FactoryStore {
  /** The whole database up to the last commit, as the bytes of one file. */
  snapshot(): Uint8Array
}

/**
 * Open the store at `path`, or create it (file mode 0600, missing directories 0700).
 * @throws FactoryError `store_corrupt` not ours, damaged or empty; `store_version` written by a newer version;
 *   `store_locked` open in another process; `internal` the file can't be used
 */
export function openSqliteStore(path: string, options: { clock?: Clock } = {}): SnapshotStore {
  const file = resolve(path)
  return mapErrors(file, () => new SqliteStore(file, openDatabase(file), options.clock ?? systemClock))
}

class SqliteStore implements SnapshotStore {
  readonly #path: string
  readonly #db: Database.Database
  readonly #clock: Clock
  readonly #sql: Statements
  readonly #write: Database.Transaction<(batch: Batch) => void>

  constructor(path: string, db: Database.Database, clock: Clock) {
    this.#path = path
    this.#db = db
    this.#clock = clock
    this.#sql = prepare(db)
    this.#write = db.transaction((batch) => {
      this.#writeBatch(batch)
    })
  }

  commit(batch: Batch): void {
    checkBatch(batch)
    mapErrors(this.#path, () => {
      this.#write.immediate(batch)
    })
  }

  #writeBatch({ instance, role, state, records, items, log }: Batch): void {
    const known = this.#sql.role.get(instance)
    if (known !== undefined && known.role !== role) {
      throw new FactoryError('duplicate_instance', `instance ${instance} is known with the role ${known.role}`)
    }
    this.#sql.putMachine.run(instance, role, state ?? null)
    for (const record of records) this.#sign(instance, record)
    for (const { key, value } of items) this.#sql.putItem.run(instance, key, value)
    const time = this.#clock()
    for (const { kind, text } of log) this.#sql.addLog.run(time, instance, kind, text)
  }

  #sign(instance: InstanceId, record: SignRecord): void {
    const { outpoint, index, sighash, rule } = record
    const signed = this.#sql.signed.all(outpoint.txid, outpoint.vout, record.class)
    if (!admit(record, signed)) return
    if (this.#sql.sealed.get(instance) !== undefined) throw sealedConflict(instance)
    this.#sql.addRecord.run(outpoint.txid, outpoint.vout, record.class, index, sighash, rule, instance)
  }

  machines(): StoredMachine[] {
    return mapErrors(this.#path, () =>
      this.#sql.machines.all().map(({ instance, role, state }) => ({
        instance: instance as InstanceId,
        role: role as Role,
        state,
      })),
    )
  }

  machine(instance: InstanceId): StoredMachine | undefined {
    return mapErrors(this.#path, () => {
      const row = this.#sql.machine.get(instance)
      return row && { instance, role: row.role as Role, state: row.state }
    })
  }

  signed(instance: InstanceId): SignRecord[] {
    return mapErrors(this.#path, () =>
      this.#sql.recordsOf.all(instance).map(({ txid: id, vout, class: kind, index, sighash, rule }) => ({
        outpoint: { txid: id as Txid, vout },
        class: kind as SpendClass,
        index,
        sighash: new Uint8Array(sighash),
        rule,
      })),
    )
  }

  seal(instance: InstanceId): void {
    mapErrors(this.#path, () => {
      if (this.#sql.role.get(instance) === undefined) throw unknownInstance(instance)
      this.#sql.seal.run(instance)
    })
  }

  isSealed(instance: InstanceId): boolean {
    return mapErrors(this.#path, () => this.#sql.sealed.get(instance) !== undefined)
  }

  item(instance: InstanceId, key: string): Uint8Array | undefined {
    return mapErrors(this.#path, () => {
      const row = this.#sql.item.get(instance, key)
      return row && new Uint8Array(row.value)
    })
  }

  items(instance: InstanceId, prefix: string): Item[] {
    // Keys are printable ASCII: 0x7f is greater than whatever follows the prefix.
    return mapErrors(this.#path, () =>
      this.#sql.items
        .all(instance, prefix, `${prefix}\x7f`)
        .map(({ key, value }) => ({ key, value: new Uint8Array(value) })),
    )
  }

  log(filter: Parameters<FactoryStore['log']>[0]): StoredLog[] {
    checkLogFilter(filter)
    const { instance, after = 0, limit = Number.MAX_SAFE_INTEGER } = filter
    return mapErrors(this.#path, () => {
      const rows =
        instance === undefined ? this.#sql.log.all(after, limit) : this.#sql.logOf.all(instance, after, limit)
      return rows.map((row) => ({
        ...row,
        instance: row.instance === null ? undefined : (row.instance as InstanceId),
        kind: row.kind as LogKind,
      }))
    })
  }

  setting(key: string): string | undefined {
    return mapErrors(this.#path, () => this.#sql.setting.get(key)?.value)
  }

  setSetting(key: string, value: string): void {
    mapErrors(this.#path, () => this.#sql.putSetting.run(key, value))
  }

  snapshot(): Uint8Array {
    return mapErrors(this.#path, () => this.#db.serialize())
  }

  close(): void {
    mapErrors(this.#path, () => this.#db.close())
  }
}
