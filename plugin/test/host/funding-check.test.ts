import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hex } from '@scure/base'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkFunding, fundingScript } from '../../src/host/funding-check.js'
import { FakeRpc } from './fake-rpc.js'

// BOLT 3, appendix B: funding transaction.
const LOCAL = hex.decode('023da092f6980e58d2c037173180e9a465476026ee50f96695963e8efe436f54eb')
const REMOTE = hex.decode('030e9f7b623d2ccc7c9bd44d66d5ce21ce504c0acf6385a132cec6d3c39fa711c1')
const SCRIPT = '0020c015c4a6be010e21657068fc2e6a9d02b27ebe4d490a25846f7237f104d1a3cd'
const CHANNEL = 'ab'.repeat(32)

const answering = (wallet?: string): FakeRpc =>
  new FakeRpc({ listconfigs: () => ({ configs: wallet === undefined ? {} : { wallet: { value_str: wallet } } }) })

describe('the funding script of a channel', () => {
  let dir: string
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'check-'))
  })
  afterEach(() => {
    rmSync(dir, { recursive: true })
  })

  const database = (name = 'lightningd.sqlite3', ours: Uint8Array | null = LOCAL): void => {
    const db = new Database(join(dir, name))
    db.exec('CREATE TABLE channels (full_channel_id BLOB, funding_pubkey_local BLOB, fundingkey_remote BLOB)')
    db.prepare('INSERT INTO channels VALUES (?, ?, ?)').run(hex.decode(CHANNEL), ours, REMOTE)
    db.close()
  }

  it('is that of BOLT 3’s example, in either order of the keys', () => {
    expect(hex.encode(fundingScript(LOCAL, REMOTE))).toBe(SCRIPT)
    expect(hex.encode(fundingScript(REMOTE, LOCAL))).toBe(SCRIPT)
  })

  it('is read from lightningd’s database', async () => {
    database()
    expect(await checkFunding(answering(), dir, CHANNEL)).toEqual({ result: 'ours', script: hex.decode(SCRIPT) })
  })

  it('is read from where the operator put the database, with or without a backup', async () => {
    database('other.db')
    const found = { result: 'ours', script: hex.decode(SCRIPT) }
    expect(await checkFunding(answering(`sqlite3://${dir}/other.db`), '/nowhere', CHANNEL)).toEqual(found)
    expect(await checkFunding(answering(`sqlite3://${dir}/other.db:/backup/b.db`), '/nowhere', CHANNEL)).toEqual(found)
    expect(await checkFunding(answering('sqlite3://other.db'), dir, CHANNEL)).toEqual(found)
  })

  it.each([
    ['postgres', 'postgres://user:secret@host/db', /another database/],
    ['a file that is not there', undefined, /no database/],
  ])('is unknown with %s, and no secret is told', async (_name, wallet, why) => {
    const check = await checkFunding(answering(wallet), dir, CHANNEL)
    expect(check).toEqual({ result: 'unknown', why: expect.stringMatching(why) as string })
    expect(JSON.stringify(check)).not.toContain('secret')
  })

  it('is unknown for a channel that is not there, without keys, or when the file is none', async () => {
    database('lightningd.sqlite3', null)
    expect((await checkFunding(answering(), dir, CHANNEL)).result).toBe('unknown')
    expect((await checkFunding(answering(), dir, 'cd'.repeat(32))).result).toBe('unknown')
    writeFileSync(join(dir, 'lightningd.sqlite3'), 'not a database at all, but long enough to be looked at')
    expect((await checkFunding(answering(), dir, CHANNEL)).result).toBe('unknown')
  })
})
