import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { installStaged, openSqliteStore, saveBackup, stageBackup } from '../../src/store/sqlite/index.js'
import { openBackup, sealBackup } from '../../src/store/sqlite/envelope.js'
import { RESTORED_SETTING } from '../../src/store/index.js'
import { nodeId } from '../../src/units/index.js'
import { batch, bytes, codeOf, instance, signed } from './conformance.js'

const directories: string[] = []
afterEach(() => {
  for (const d of directories.splice(0)) rmSync(d, { recursive: true, force: true })
})
function place(): { database: string; file: string; directory: string } {
  const directory = mkdtempSync(join(tmpdir(), 'ln-factory-backup-'))
  directories.push(directory)
  return { directory, database: join(directory, 'store.db'), file: join(directory, 'backup') }
}

const key = { secret: bytes(7), node: nodeId(`02${'11'.repeat(32)}`) }
const fill = (n: number) => batch(n, { state: `s${n}`, records: [signed(n, 1)], log: [{ kind: 'signed', text: 'x' }] })

describe('invariant 8: a backup', () => {
  it('is made while the store is open, holds the last commit, and comes back at the next start', () => {
    const { database, file, directory } = place()
    const store = openSqliteStore(database)
    store.commit(fill(1))
    expect(saveBackup(store, file, key, 1_700_000_000)).toMatchObject({ factories: 1, time: 1_700_000_000 })
    expect(statSync(file).mode & 0o777).toBe(0o600)
    store.close()
    for (const name of readdirSync(directory)) if (name.startsWith('store.db')) rmSync(join(directory, name))
    const fresh = openSqliteStore(database)
    expect(stageBackup(fresh, database, file, key)).toMatchObject({ factories: 1, time: 1_700_000_000 })
    expect(fresh.machines()).toEqual([])
    fresh.close()
    expect(installStaged(database)).toBe(`${database}.before-restore-1`)
    expect(installStaged(database)).toBeUndefined()
    const back = openSqliteStore(database)
    expect(back.machine(instance(1))?.state).toBe('s1')
    expect(back.signed(instance(1))).toHaveLength(1)
    expect(back.setting(RESTORED_SETTING)).toBe('yes')
    back.close()
    expect(readdirSync(directory).filter((n) => n.includes('restored'))).toEqual([])
  })

  it('is refused when the store that is here knows more: when it is staged, and when it would be installed', () => {
    const { database, file } = place()
    const store = openSqliteStore(database)
    store.commit(fill(1))
    saveBackup(store, file, key, 1)
    stageBackup(store, database, file, key)
    store.commit(batch(1, { records: [signed(5, 1)] }))
    expect(codeOf(() => stageBackup(store, database, file, key))).toBe('wrong_state')
    store.close()
    expect(codeOf(() => installStaged(database))).toBe('wrong_state')
    const same = openSqliteStore(database)
    expect(same.signed(instance(1))).toHaveLength(2)
    same.close()
    const other = place()
    const another = openSqliteStore(other.database)
    another.commit(fill(2))
    expect(codeOf(() => stageBackup(another, other.database, file, key))).toBe('wrong_state')
    another.close()
  })

  it('writes over nothing, and to no path that depends on where the process runs', () => {
    const { database, file } = place()
    const store = openSqliteStore(database)
    writeFileSync(file, 'mine')
    expect(codeOf(() => saveBackup(store, file, key, 1))).toBe('bad_parameter')
    expect(codeOf(() => saveBackup(store, 'backup', key, 1))).toBe('bad_parameter')
    expect(codeOf(() => stageBackup(store, database, `${file}.none`, key))).toBe('bad_parameter')
    expect(readFileSync(file, 'utf8')).toBe('mine')
    store.close()
  })

  it('that is no store of ours is refused, and nothing is staged', () => {
    const { database, file, directory } = place()
    const store = openSqliteStore(database)
    writeFileSync(file, sealBackup(bytes(1, 5000), key, bytes(2), 1))
    expect(codeOf(() => stageBackup(store, database, file, key))).toBe('store_corrupt')
    expect(readdirSync(directory).sort()).toEqual(['backup', 'store.db'])
    store.close()
  })
})

describe('the file of a backup', () => {
  const plain = Uint8Array.from({ length: (1 << 20) + 5000 }, (_, i) => (i * 7) % 251)
  const file = sealBackup(plain, key, bytes(3), 42)

  it('opens for its node, and nothing of it is readable', () => {
    const opened = openBackup(file, key)
    expect([Buffer.compare(opened.plain, plain), opened.time]).toEqual([0, 42])
    expect(openBackup(sealBackup(new Uint8Array(), key, bytes(3), 42), key).plain).toHaveLength(0)
    expect(Buffer.from(file).includes(Buffer.from(plain.subarray(0, 32)))).toBe(false)
  })

  it('does not open for another node, nor with another seed', () => {
    const other = nodeId(`03${'22'.repeat(32)}`)
    expect(codeOf(() => openBackup(file, { ...key, node: other }))).toBe('bad_parameter')
    expect(codeOf(() => openBackup(file, { ...key, secret: bytes(8) }))).toBe('store_corrupt')
  })

  it('is refused when any byte is changed, cut off, added or moved', () => {
    const small = sealBackup(plain.subarray(0, 3000), key, bytes(4), 42)
    fc.assert(
      fc.property(fc.nat(small.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
        const changed = Uint8Array.from(small)
        changed[at] = (changed[at] ?? 0) ^ by
        expect(codeOf(() => openBackup(changed, key))).toMatch(/store_corrupt|store_version|bad_parameter/)
        expect(codeOf(() => openBackup(small.subarray(0, at), key))).toBe('store_corrupt')
      }),
      { numRuns: 200 },
    )
    const chunk = (1 << 20) + 16
    const head = file.length - plain.length - 32
    expect(codeOf(() => openBackup(file.subarray(0, head + chunk), key))).toBe('store_corrupt')
    expect(codeOf(() => openBackup(Buffer.concat([file, bytes(0, 20)]), key))).toBe('store_corrupt')
    const second = file.subarray(head + chunk)
    expect(codeOf(() => openBackup(Buffer.concat([file.subarray(0, head), second]), key))).toBe('store_corrupt')
  })

  it('of a later version is not guessed at', () => {
    const later = Uint8Array.from(file)
    later[17] = 2
    expect(codeOf(() => openBackup(later, key))).toBe('store_version')
  })
})
