/** Every statement of the store, prepared once, with the types of what goes in and comes out. */
import type BetterSqlite3 from 'better-sqlite3'
import type { Signed } from '../rule.js'

interface LogRow {
  seq: number
  time: number
  instance: string | null
  kind: string
  text: string
}

type SignedRow = Omit<Signed, 'sighash'> & { readonly sighash: Buffer }

export type Statements = ReturnType<typeof prepare>

export function prepare(db: BetterSqlite3.Database) {
  return {
    role: db.prepare<[string], { role: string }>('SELECT role FROM machine WHERE instance = ?'),
    putMachine: db.prepare<[string, string, string | null]>(
      `INSERT INTO machine (instance, role, state) VALUES (?, ?, ?)
       ON CONFLICT (instance) DO UPDATE SET state = coalesce(excluded.state, state)`,
    ),
    machines: db.prepare<[], { instance: string; role: string; state: string }>(
      'SELECT instance, role, state FROM machine WHERE state IS NOT NULL ORDER BY rowid',
    ),
    signed: db.prepare<[string, number, string], SignedRow>(
      'SELECT idx AS "index", sighash, rule FROM sign_record WHERE txid = ? AND vout = ? AND class = ?',
    ),
    addRecord: db.prepare<[string, number, string, number, Uint8Array, string, string]>(
      'INSERT INTO sign_record (txid, vout, class, idx, sighash, rule, instance) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ),
    putItem: db.prepare<[string, string, Uint8Array]>(
      `INSERT INTO item (instance, key, value) VALUES (?, ?, ?)
       ON CONFLICT (instance, key) DO UPDATE SET value = excluded.value`,
    ),
    item: db.prepare<[string, string], { value: Buffer }>('SELECT value FROM item WHERE instance = ? AND key = ?'),
    items: db.prepare<[string, string, string], { key: string; value: Buffer }>(
      'SELECT key, value FROM item WHERE instance = ? AND key >= ? AND key < ? ORDER BY key',
    ),
    addLog: db.prepare<[number, string, string, string]>(
      'INSERT INTO log (time, instance, kind, text) VALUES (?, ?, ?, ?)',
    ),
    log: db.prepare<[number, number], LogRow>('SELECT * FROM log WHERE seq > ? ORDER BY seq LIMIT ?'),
    logOf: db.prepare<[string, number, number], LogRow>(
      'SELECT * FROM log WHERE instance = ? AND seq > ? ORDER BY seq LIMIT ?',
    ),
    setting: db.prepare<[string], { value: string }>('SELECT value FROM setting WHERE key = ?'),
    putSetting: db.prepare<[string, string]>(
      'INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
    ),
  }
}
