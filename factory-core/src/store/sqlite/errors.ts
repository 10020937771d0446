/** SQLite's errors in the project's words. */
import { FactoryError } from '@ln-factory/tlv'
import Database from 'better-sqlite3'

export const corruptStore = (path: string, what: string, cause?: unknown): FactoryError =>
  new FactoryError(
    'store_corrupt',
    `${path}: ${what}`,
    'Do not delete it and do not restore an old copy: a node that forgets what it signed can be robbed. See docs/store.md.',
    { cause },
  )

/** Run `work`; what SQLite or the file system throws comes out as a FactoryError. */
export function mapErrors<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw error instanceof FactoryError ? error : translate(path, error)
  }
}

function translate(path: string, error: unknown): FactoryError {
  const text = error instanceof Error ? error.message : String(error)
  if (error instanceof Database.SqliteError) {
    if (error.code.startsWith('SQLITE_CORRUPT') || error.code === 'SQLITE_NOTADB')
      return corruptStore(path, text, error)
    if (error.code.startsWith('SQLITE_BUSY') || error.code.startsWith('SQLITE_LOCKED')) {
      const hint = 'Two nodes that sign from one store lose funds. Stop the other one, or give this one its own store.'
      return new FactoryError('store_locked', `${path} is in use by another process`, hint, { cause: error })
    }
    return new FactoryError('internal', `${path}: ${text} (${error.code})`, undefined, { cause: error })
  }
  return new FactoryError('internal', `${path}: ${text}`, undefined, { cause: error })
}
