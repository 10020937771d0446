import Database from 'better-sqlite3'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  openSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { openSqliteStore } from '../../src/store/sqlite/index.js'
import { batch, bytes, codeOf, instance, signed, storeConformance } from './conformance.js'

const directories: string[] = []
const newPath = (): string => {
  const directory = mkdtempSync(join(tmpdir(), 'ln-factory-store-'))
  directories.push(directory)
  return join(directory, 'factory', 'store.db')
}
const removeAll = (): void => {
  for (const d of directories.splice(0)) rmSync(d, { recursive: true, force: true })
}
afterEach(removeAll)

storeConformance('sqlite', (clock) => {
  const path = newPath()
  let store = openSqliteStore(path, { clock })
  return {
    store: () => store,
    restart: () => {
      store.close()
      store = openSqliteStore(path, { clock })
    },
    dispose: () => {
      store.close()
    },
  }
})

/** Open, and close again when that worked. */
const openCode = (path: string): string | undefined =>
  codeOf(() => {
    openSqliteStore(path).close()
  })

function filled(path: string, records = 1): void {
  const store = openSqliteStore(path)
  for (let i = 0; i < records; i++) {
    store.commit(
      batch(1, {
        state: 's',
        records: [signed(i, 1)],
        items: [{ key: `item ${i}`, value: bytes(i % 256, 500) }],
        log: [{ kind: 'signed', text: `line ${i}` }],
      }),
    )
  }
  store.close()
}

describe('the SQLite file', () => {
  it('is readable by its owner only, whatever the umask and whatever it was before', () => {
    const path = newPath()
    const store = openSqliteStore(path)
    store.commit(batch(1, { state: 'secret' }))
    const mode = (p: string): number => statSync(p).mode & 0o777
    const directory = join(path, '..')
    expect(mode(directory)).toBe(0o700)
    for (const file of readdirSync(directory)) expect(mode(join(directory, file)), file).toBe(0o600)
    expect(readdirSync(directory).sort()).toEqual(['store.db', 'store.db-wal'])
    store.close()
    chmodSync(path, 0o644)
    filled(path)
    expect(mode(path)).toBe(0o600)
  })

  it('never changes or deletes what was signed and logged, even by hand', () => {
    const path = newPath()
    filled(path)
    const db = new Database(path)
    const attempts = [
      'UPDATE sign_record SET sighash = zeroblob(32)',
      'DELETE FROM sign_record',
      "UPDATE log SET text = 'x'",
      'DELETE FROM log',
      'DELETE FROM machine',
      "UPDATE machine SET role = 'client'",
      `INSERT INTO sign_record (txid, vout, class, idx, sighash, rule, instance)
         SELECT txid, vout, class, 9, zeroblob(32), 'once', instance FROM sign_record`,
      `INSERT INTO sign_record (txid, vout, class, idx, sighash, rule, instance)
         SELECT txid, vout, class, 9, zeroblob(32), 'increasing', instance FROM sign_record`,
      `INSERT INTO sign_record (txid, vout, class, idx, sighash, rule, instance)
         SELECT txid, 77, class, 9, zeroblob(32), 'once', '${instance(5)}' FROM sign_record`,
    ]
    for (const sql of attempts) expect(() => db.exec(sql), sql).toThrow()
    db.pragma('recursive_triggers = ON')
    expect(() => db.exec('REPLACE INTO sign_record SELECT * FROM sign_record')).toThrow()
    db.close()
    const store = openSqliteStore(path)
    expect(
      codeOf(() => {
        store.commit(batch(1, { records: [signed(0, 2)] }))
      }),
    ).toBe('signing_conflict')
    store.close()
  })

  it('is refused when it is damaged, cut, empty, or not ours', () => {
    const garbage = newPath()
    filled(garbage)
    writeFileSync(garbage, Buffer.alloc(8192, 0x5a))
    expect(openCode(garbage)).toBe('store_corrupt')

    const flipped = newPath()
    filled(flipped, 60)
    const whole = readFileSync(flipped)
    const pages = whole.length / 4096
    expect(pages).toBeGreaterThan(10)
    // The first bytes of every page but the first: b-tree headers.
    for (let p = 1; p < pages; p++) whole.fill(0xff, p * 4096, p * 4096 + 64)
    writeFileSync(flipped, whole)
    expect(openCode(flipped)).toBe('store_corrupt')

    const cut = newPath()
    filled(cut, 60)
    truncateSync(cut, 4096 * 5)
    expect(openCode(cut)).toBe('store_corrupt')

    const empty = newPath()
    filled(empty)
    truncateSync(empty, 0)
    expect(openCode(empty)).toBe('store_corrupt')

    const foreign = newPath()
    mkdirSync(join(foreign, '..'))
    const db = new Database(foreign)
    db.exec('CREATE TABLE t (a)')
    db.close()
    const before = readFileSync(foreign)
    expect(openCode(foreign)).toBe('store_corrupt')
    expect(readFileSync(foreign).equals(before), 'and left as it was').toBe(true)
  })

  it('is refused when a row refers to one that is missing', () => {
    const path = newPath()
    filled(path)
    const db = new Database(path)
    db.pragma('foreign_keys = OFF')
    db.exec(`INSERT INTO item (instance, key, value) VALUES ('${instance(8)}', 'k', x'00')`)
    db.close()
    expect(openCode(path)).toBe('store_corrupt')
  })

  it('of a newer version is refused and left as it was', () => {
    const path = newPath()
    filled(path)
    const db = new Database(path)
    db.pragma('user_version = 1000')
    db.close()
    expect(openCode(path)).toBe('store_version')
    expect(new Database(path, { readonly: true }).pragma('user_version', { simple: true })).toBe(1000)
  })

  it('that can not be created gives a FactoryError', () => {
    expect(openCode('/dev/null/store.db')).toBe('internal')
    expect(openCode('/proc/store.db')).toBe('internal')
  })
})

describe('the SQLite file and other processes', () => {
  const children: ChildProcess[] = []
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
  })

  /** Commits to `path` in a loop; `lines` holds the number of each commit that has returned. */
  function startWriter(path: string): { child: ChildProcess; lines: () => string[] } {
    const hooks = new URL('./typescript-hooks.mjs', import.meta.url).href
    const writer = fileURLToPath(new URL('./writer.ts', import.meta.url))
    // A file, not a pipe: what was written to it stays, and a slow reader does not stop the writer.
    const output = `${path}.acknowledged`
    writeFileSync(output, '')
    const fd = openSync(output, 'a')
    const child = spawn(process.execPath, ['--import', hooks, writer, path], { stdio: ['ignore', fd, 'inherit'] })
    closeSync(fd)
    children.push(child)
    return { child, lines: () => readFileSync(output, 'utf8').split('\n').slice(0, -1) }
  }

  async function reach(count: number, lines: () => string[]): Promise<void> {
    while (lines().length < count) await setTimeout(2)
  }

  async function kill(child: ChildProcess): Promise<void> {
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  it('refuses a second process, and a second opener in the same one', async () => {
    const path = newPath()
    mkdirSync(join(path, '..'))
    const first = startWriter(path)
    await reach(1, first.lines)
    expect(openCode(path)).toBe('store_locked')
    await kill(first.child)
    const store = openSqliteStore(path)
    expect(openCode(path)).toBe('store_locked')
    // The refused attempt did not take the lock away from the one who holds it.
    const second = startWriter(path)
    await reach(1, second.lines)
    expect(second.lines()).toEqual(['store_locked'])
    store.setSetting('still', 'mine')
    store.close()
  })

  it('invariant 4: every acknowledged commit survives a SIGKILL at any moment', async () => {
    const path = newPath()
    mkdirSync(join(path, '..'))
    let before = 0
    for (const rounds of [1, 17, 60]) {
      const { child, lines } = startWriter(path)
      await reach(rounds, lines)
      await kill(child)
      const last = Number(lines().at(-1))
      expect(last).toBeGreaterThanOrEqual(before + rounds - 1)

      const store = openSqliteStore(path)
      const count = store.log({}).length
      // The one commit that may be more was on disk when the process died, and not acknowledged yet.
      expect([last + 1, last + 2]).toContain(count)
      for (let i = 0; i < count; i++) {
        const other = batch(1, { records: [signed(i, 255)] })
        const code = codeOf(() => {
          store.commit(other)
        })
        expect(code, `record ${i}`).toBe('signing_conflict')
        expect(store.item(instance(1), `item ${i}`)).toEqual(bytes(i % 256, 300))
      }
      expect(store.machines().map((m) => m.state)).toEqual([`state ${count - 1}`])
      store.close()
      before = count
    }
  }, 180_000)
})
