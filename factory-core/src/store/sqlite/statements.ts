/** Every statement of the store, prepared once, with the types of what goes in and comes out. */
import type { Database, Statement } from 'better-sqlite3'
import type { Signed } from '../rule.js'

interface LogRow {
  seq: number
  time: number
  instance: string | null
  kind: string
  text: string
}

interface RecordRow {
  readonly txid: string
  readonly vout: number
  readonly class: string
  readonly index: number
  readonly sighash: Buffer
  readonly rule: 'once' | 'increasing'
}

type SignedRow = Omit<Signed, 'sighash'> & { readonly sighash: Buffer }

/** Written out, because the types that `prepare` would infer have no name outside of better-sqlite3. */
export interface Statements {
  readonly role: Statement<[string], { role: string }>
  readonly putMachine: Statement<[string, string, string | null]>
  readonly machines: Statement<[], { instance: string; role: string; state: string }>
  readonly machine: Statement<[string], { role: string; state: string }>
  readonly recordsOf: Statement<[string], RecordRow>
  readonly seal: Statement<[string]>
  readonly sealed: Statement<[string], { instance: string }>
  readonly signed: Statement<[string, number, string], SignedRow>
  readonly addRecord: Statement<[string, number, string, number, Uint8Array, string, string]>
  readonly putItem: Statement<[string, string, Uint8Array]>
  readonly item: Statement<[string, string], { value: Buffer }>
  readonly items: Statement<[string, string, string], { key: string; value: Buffer }>
  readonly addLog: Statement<[number, string, string, string]>
  readonly log: Statement<[number, number], LogRow>
  readonly logOf: Statement<[string, number, number], LogRow>
  readonly setting: Statement<[string], { value: string }>
  readonly putSetting: Statement<[string, string]>
}

export function prepare(db: Database): Statements {
  return {
    role: db.prepare('SELECT role FROM machine WHERE instance = ?'),
    putMachine: db.prepare(
      `INSERT INTO machine (instance, role, state) VALUES (?, ?, ?)
       ON CONFLICT (instance) DO UPDATE SET state = coalesce(excluded.state, state)`,
    ),
    machines: db.prepare('SELECT instance, role, state FROM machine WHERE state IS NOT NULL ORDER BY rowid'),
    machine: db.prepare('SELECT role, state FROM machine WHERE instance = ? AND state IS NOT NULL'),
    recordsOf: db.prepare(
      'SELECT txid, vout, class, idx AS "index", sighash, rule FROM sign_record WHERE instance = ? ORDER BY id',
    ),
    seal: db.prepare('INSERT INTO seal (instance) VALUES (?) ON CONFLICT (instance) DO NOTHING'),
    sealed: db.prepare('SELECT instance FROM seal WHERE instance = ?'),
    signed: db.prepare(
      'SELECT idx AS "index", sighash, rule FROM sign_record WHERE txid = ? AND vout = ? AND class = ?',
    ),
    addRecord: db.prepare(
      'INSERT INTO sign_record (txid, vout, class, idx, sighash, rule, instance) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ),
    putItem: db.prepare(
      `INSERT INTO item (instance, key, value) VALUES (?, ?, ?)
       ON CONFLICT (instance, key) DO UPDATE SET value = excluded.value`,
    ),
    item: db.prepare('SELECT value FROM item WHERE instance = ? AND key = ?'),
    items: db.prepare('SELECT key, value FROM item WHERE instance = ? AND key >= ? AND key < ? ORDER BY key'),
    addLog: db.prepare('INSERT INTO log (time, instance, kind, text) VALUES (?, ?, ?, ?)'),
    log: db.prepare('SELECT * FROM log WHERE seq > ? ORDER BY seq LIMIT ?'),
    logOf: db.prepare('SELECT * FROM log WHERE instance = ? AND seq > ? ORDER BY seq LIMIT ?'),
    setting: db.prepare('SELECT value FROM setting WHERE key = ?'),
    putSetting: db.prepare(
      'INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
    ),
  }
}
