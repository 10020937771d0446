/**
 * Backups of a store while it is open, and putting one back. A backup is put beside the store and takes its place at the next start:
 * two databases can't be swapped under a running node.
 */
import { FactoryError } from '@ln-factory/tlv'
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname, isAbsolute, resolve } from 'node:path'
import { RESTORED_SETTING, type FactoryStore } from '../port.js'
import { openBackup, sealBackup, type BackupKey } from './envelope.js'
import { mapErrors } from './errors.js'
import { openSqliteStore, type SnapshotStore } from './store.js'

export interface BackupReport {
  /** Bytes of the file. */
  readonly size: number
  readonly factories: number
  /** Unix seconds at which it was made. */
  readonly time: number
}

const waiting = (database: string): string => `${database}.restored`

/**
 * Everything up to the last commit, in a new file that only its owner can read.
 * @throws FactoryError `bad_parameter` when the file exists or can't be written
 */
export function saveBackup(store: SnapshotStore, file: string, key: BackupKey, time: number): BackupReport {
  if (!isAbsolute(file)) throw new FactoryError('bad_parameter', `${file} is no absolute path`)
  const bytes = sealBackup(store.snapshot(), key, randomBytes(32), time)
  writeNew(file, bytes)
  return { size: bytes.length, factories: store.machines().length, time }
}

/**
 * Check a backup and lay it beside the open store, to take its place at the next start.
 * @param database path of `store`
 * @throws FactoryError `store_corrupt`, `store_version`, `bad_parameter`; `wrong_state` when the open store knows more
 */
export function stageBackup(store: FactoryStore, database: string, file: string, key: BackupKey): BackupReport {
  if (!isAbsolute(file)) throw new FactoryError('bad_parameter', `${file} is no absolute path`)
  const bytes = read(file)
  const { plain, time } = openBackup(bytes, key)
  const place = waiting(resolve(database))
  const aside = `${place}.${process.pid}`
  removeDatabase(aside)
  try {
    writeNew(aside, plain)
    const copy = openSqliteStore(aside)
    let factories: number
    try {
      requireOlder(store, copy)
      copy.setSetting(RESTORED_SETTING, 'yes')
      factories = copy.machines().length
    } finally {
      copy.close()
    }
    renameSync(aside, place)
    syncDirectory(dirname(place))
    return { size: bytes.length, factories, time }
  } finally {
    removeDatabase(aside)
  }
}

/**
 * At a start, before the store is opened: a staged backup takes its place, and the old one is kept under another name.
 * @returns the name under which the old store is kept, or undefined when nothing was staged
 * @throws FactoryError `wrong_state` when the store went on since the backup was staged
 */
export function installStaged(database: string): string | undefined {
  const path = resolve(database)
  const place = waiting(path)
  if (!existsSync(place)) return undefined
  return mapErrors(path, () => {
    const kept = freeName(path)
    if (existsSync(path)) {
      // Closing it leaves one file: what waits in its log goes into it.
      const [old, copy] = [openSqliteStore(path), openSqliteStore(place)]
      try {
        requireOlder(old, copy)
      } finally {
        old.close()
        copy.close()
      }
      renameSync(path, kept)
    }
    renameSync(place, path)
    syncDirectory(dirname(path))
    return kept
  })
}

/** What the store has that the copy has not would be forgotten. */
function requireOlder(store: FactoryStore, copy: FactoryStore): void {
  for (const { instance } of store.machines()) {
    const forgets =
      copy.machine(instance) === undefined ||
      copy.signed(instance).length < store.signed(instance).length ||
      copy.log({ instance }).length < store.log({ instance }).length
    if (forgets)
      throw new FactoryError(
        'wrong_state',
        `the database that is here knows more of factory ${instance} than the backup does`,
        'Keep it. To use the backup nevertheless, stop the node and move the database away; docs/store.md says what that costs.',
      )
  }
}

function freeName(path: string): string {
  for (let n = 1; ; n++) if (!existsSync(`${path}.before-restore-${n}`)) return `${path}.before-restore-${n}`
}

function read(file: string): Uint8Array {
  try {
    return readFileSync(file)
  } catch (cause) {
    throw new FactoryError('bad_parameter', `${file} can't be read`, undefined, { cause })
  }
}

function writeNew(file: string, bytes: Uint8Array): void {
  let handle: number | undefined
  try {
    handle = openSync(file, 'wx', 0o600)
    for (let done = 0; done < bytes.length;) done += writeSync(handle, bytes, done)
    fsyncSync(handle)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new FactoryError('bad_parameter', `${file} can't be written: ${why}`, undefined, { cause })
  } finally {
    if (handle !== undefined) closeSync(handle)
  }
  syncDirectory(dirname(file))
}

function syncDirectory(directory: string): void {
  const handle = openSync(directory, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}

function removeDatabase(path: string): void {
  for (const end of ['', '-wal', '-shm', '-journal']) rmSync(path + end, { force: true })
}
