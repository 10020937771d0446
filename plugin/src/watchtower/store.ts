/** A watchtower's own database: the bundles it guards, and how far it has followed the chain. Held by one process alone. */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import type { InstanceId } from '@ln-factory/core/units'
import type { Feeder, StoredBundle, TowerStore } from '@ln-factory/core/watchtower'
import { FactoryError } from '@ln-factory/tlv'
import Database from 'better-sqlite3'

/** "lnft", so that no other SQLite database is taken for ours. */
const APPLICATION_ID = 0x6c6e6674
const VERSION = 1
const TABLES = `
  CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
  CREATE TABLE bundle (feeder TEXT, instance TEXT, text TEXT NOT NULL, PRIMARY KEY (feeder, instance)) STRICT;
`

export class SqliteTowerStore implements TowerStore {
  readonly #db: Database.Database

  /** @throws FactoryError `store_corrupt`, `store_version`, `store_locked` */
  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    if (!existsSync(path)) closeSync(openSync(path, 'wx', 0o600))
    chmodSync(path, 0o600)
    this.#db = new Database(path, { timeout: 1000 })
    try {
      this.#db.pragma('locking_mode = EXCLUSIVE')
      this.#db.pragma('journal_mode = WAL')
      this.#db.pragma('synchronous = FULL')
      this.#open(path)
    } catch (error) {
      this.#db.close()
      if (error instanceof FactoryError) throw error
      const locked = error instanceof Database.SqliteError && error.code === 'SQLITE_BUSY'
      throw new FactoryError(
        locked ? 'store_locked' : 'store_corrupt',
        locked ? `another watchtower uses ${path}` : `${path} is no database of a watchtower`,
        undefined,
        { cause: error },
      )
    }
  }

  #open(path: string): void {
    const create = this.#db.transaction(() => {
      const version = Number(this.#db.pragma('user_version', { simple: true }))
      const id = Number(this.#db.pragma('application_id', { simple: true }))
      if (version > VERSION)
        throw new FactoryError('store_version', `${path} was written by a newer ln-factory-watchtower`, 'Upgrade it.')
      if (version !== 0 && id !== APPLICATION_ID)
        throw new FactoryError('store_corrupt', `${path} is no database of a watchtower`)
      if (version === 0) this.#db.exec(TABLES)
      this.#db.pragma(`application_id = ${APPLICATION_ID}`)
      this.#db.pragma(`user_version = ${VERSION}`)
    })
    create.exclusive()
  }

  setting(key: string): string | undefined {
    const row = this.#db.prepare<[string], { value: string }>('SELECT value FROM setting WHERE key = ?').get(key)
    return row?.value
  }

  setSetting(key: string, value: string): void {
    this.#db.prepare('INSERT OR REPLACE INTO setting (key, value) VALUES (?, ?)').run(key, value)
  }

  bundles(): readonly StoredBundle[] {
    return this.#db.prepare<[], StoredBundle>('SELECT feeder, text FROM bundle ORDER BY feeder, instance').all()
  }

  put(feeder: Feeder, instance: InstanceId, text: string): void {
    this.#db
      .prepare('INSERT OR REPLACE INTO bundle (feeder, instance, text) VALUES (?, ?, ?)')
      .run(feeder, instance, text)
  }

  remove(feeder: Feeder, instance: InstanceId): void {
    this.#db.prepare('DELETE FROM bundle WHERE feeder = ? AND instance = ?').run(feeder, instance)
  }

  close(): void {
    this.#db.close()
  }
}
