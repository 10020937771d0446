/**
 * What an LDK node must not lose, in one file. Writes go in sets that are whole or not there: a channel manager that is older
 * or newer than one of its monitors loses the channel.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import Database from 'better-sqlite3'
import { FactoryError } from '@ln-factory/tlv'

/** Bytes to keep under the key, or undefined to remove it. */
export type Writes = ReadonlyMap<string, Uint8Array | undefined>

export interface LdkStorage {
  get(key: string): Uint8Array | undefined
  /** Everything whose key starts so, the prefix cut off. */
  list(prefix: string): Map<string, Uint8Array>
  /** Durable when it returns. All or nothing. */
  commit(writes: Writes): void
  close(): void
}

interface Row {
  readonly key: string
  readonly value: Uint8Array
}

/** @throws FactoryError `store_locked` when another process has it */
export function openLdkStorage(path: string): LdkStorage {
  if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const db = new Database(path, { timeout: 1000 })
  try {
    // Two nodes on one state would each revoke what the other still holds.
    db.pragma('locking_mode = EXCLUSIVE')
    db.pragma('journal_mode = WAL')
    db.pragma('synchronous = FULL')
    db.exec('CREATE TABLE IF NOT EXISTS ldk (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID')
  } catch (cause) {
    db.close()
    throw new FactoryError('store_locked', `${path} is in use by another process`, undefined, { cause })
  }
  const get = db.prepare<[string], Row>('SELECT key, value FROM ldk WHERE key = ?')
  const list = db.prepare<[string, string], Row>('SELECT key, value FROM ldk WHERE key >= ? AND key < ?')
  const put = db.prepare<[string, Uint8Array]>('INSERT OR REPLACE INTO ldk (key, value) VALUES (?, ?)')
  const remove = db.prepare<[string]>('DELETE FROM ldk WHERE key = ?')
  const commit = db.transaction((writes: Writes) => {
    for (const [key, value] of writes) {
      if (value === undefined) remove.run(key)
      else put.run(key, value)
    }
  })
  return {
    get: (key) => get.get(key)?.value,
    list: (prefix) =>
      new Map(list.all(prefix, `${prefix}\uffff`).map((row) => [row.key.slice(prefix.length), row.value])),
    commit: (writes) => {
      commit.immediate(writes)
    },
    close: () => {
      db.close()
    },
  }
}
