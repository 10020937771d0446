/**
 * Opening the file: its permissions, the lock, the checks, the migrations. What comes out is a database that is ours, is
 * whole, has this version's tables and is held by this process alone.
 */
import { FactoryError } from '@ln-factory/tlv'
import Database from 'better-sqlite3'
import { chmodSync, closeSync, existsSync, fsyncSync, linkSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { corruptStore } from './errors.js'
import { APPLICATION_ID, MIGRATIONS } from './schema.js'

/** How long SQLite waits for a process that is about to end. */
const LOCK_WAIT_MS = 1000

export function openDatabase(path: string): Database.Database {
  if (!existsSync(path)) create(path)
  // SQLite takes an empty file for a new database: all that this node ever signed would be forgotten.
  if (statSync(path).size === 0) throw corruptStore(path, 'the file is empty')
  chmodSync(path, 0o600)
  const db = new Database(path, { fileMustExist: true, timeout: LOCK_WAIT_MS })
  try {
    // Taken with the first read or write and kept until close: a second process is refused there. Two plugins that sign
    // from one file would each keep the rule and together break it.
    db.pragma('locking_mode = EXCLUSIVE')
    identify(db, path)
    settle(db)
    checkIntegrity(db, path)
    migrate(db)
    if (db.pragma('journal_mode = WAL', { simple: true }) !== 'wal') {
      throw new FactoryError('internal', `${path}: the file system does not support SQLite's WAL mode`)
    }
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/**
 * Make the tables in a file aside and give it its name when it is complete, so that a file of that name never is half made,
 * whatever happens. A link, unlike a rename, can't replace what another process has put there.
 */
function create(path: string): void {
  const directory = dirname(path)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const aside = `${path}.${process.pid}.new`
  rmSync(aside, { force: true })
  closeSync(openSync(aside, 'wx', 0o600))
  try {
    const db = new Database(aside)
    try {
      settle(db)
      migrate(db)
    } finally {
      db.close()
    }
    linkSync(aside, path)
  } finally {
    rmSync(aside, { force: true })
  }
  syncDirectory(directory)
}

function syncDirectory(directory: string): void {
  const handle = openSync(directory, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}

/** Before anything is written: is this file ours, and not from the future? */
function identify(db: Database.Database, path: string): void {
  if (db.pragma('application_id', { simple: true }) !== APPLICATION_ID) {
    throw corruptStore(path, 'not a store of ln-factory')
  }
  const version = schemaVersion(db)
  if (version > MIGRATIONS.length) {
    throw new FactoryError(
      'store_version',
      `${path} was written by a newer ln-factory (version ${version}, this one knows ${MIGRATIONS.length})`,
      'Upgrade ln-factory.',
    )
  }
}

function settle(db: Database.Database): void {
  db.pragma('synchronous = FULL')
  db.pragma('foreign_keys = ON')
  // Without this, INSERT OR REPLACE would delete rows past the triggers that protect them.
  db.pragma('recursive_triggers = ON')
}

function checkIntegrity(db: Database.Database, path: string): void {
  const result = db.pragma('integrity_check(1)', { simple: true })
  if (result !== 'ok') throw corruptStore(path, `integrity check failed: ${String(result)}`)
  const orphans = db.pragma('foreign_key_check')
  if (!Array.isArray(orphans) || orphans.length > 0) throw corruptStore(path, 'a row refers to one that is missing')
}

function migrate(db: Database.Database): void {
  const run = db.transaction(() => {
    for (const step of MIGRATIONS.slice(schemaVersion(db))) db.exec(step)
    db.pragma(`application_id = ${APPLICATION_ID}`)
    db.pragma(`user_version = ${MIGRATIONS.length}`)
  })
  // Also when there is nothing to migrate: the write takes the lock before anything relies on it.
  run.exclusive()
}

const schemaVersion = (db: Database.Database): number => Number(db.pragma('user_version', { simple: true }))
