import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { sha256 } from '@noble/hashes/sha2.js'
import { hex } from '@scure/base'
import Database from 'better-sqlite3'
import type { FundingCheck } from '@ln-factory/core/host'
import type { HostRpc } from '../rpc/index.js'
import { parse, walletConfig } from './replies.js'

const SQLITE_SCHEME = 'sqlite3://'

/** BOLT 3 funding output: P2WSH of `2 <lesser key> <greater key> 2 CHECKMULTISIG`. Keys: 33 bytes each. */
export function fundingScript(keyA: Uint8Array, keyB: Uint8Array): Uint8Array {
  const [first, second] = hex.encode(keyA) < hex.encode(keyB) ? [keyA, keyB] : [keyB, keyA]
  const script = Uint8Array.from([0x52, 33, ...first, 33, ...second, 0x52, 0xae])
  return Uint8Array.from([0x00, 32, ...sha256(script)])
}

/** File of lightningd's database, or why there is none for us to read. */
async function databaseFile(rpc: HostRpc, lightningDir: string): Promise<{ file: string } | { why: string }> {
  const { configs } = parse(walletConfig, 'listconfigs', await rpc.call('listconfigs', { config: 'wallet' }))
  const dsn = configs.wallet?.value_str
  if (dsn === undefined) return { file: join(lightningDir, 'lightningd.sqlite3') }
  if (!dsn.startsWith(SQLITE_SCHEME)) return { why: 'lightningd keeps its wallet in another database than sqlite3' }
  // `sqlite3://file[:backup]`; relative names are relative to the directory of the network.
  const file = dsn.slice(SQLITE_SCHEME.length).split(':')[0] as string
  return { file: join(file.startsWith('/') ? '/' : lightningDir, file) }
}

/**
 * What the funding output of a channel must be for it to be ours, from the keys in lightningd's own database. No RPC shows
 * them, and a peer that opens to us could name an outpoint that pays others. The database is read, never written.
 */
export async function checkFunding(rpc: HostRpc, lightningDir: string, channelId: string): Promise<FundingCheck> {
  const location = await databaseFile(rpc, lightningDir)
  if ('why' in location) return { result: 'unknown', why: location.why }
  const { file } = location
  if (!existsSync(file)) return { result: 'unknown', why: `no database at ${file}` }
  let db: Database.Database | undefined
  try {
    db = new Database(file, { readonly: true, fileMustExist: true })
    const row = db
      .prepare(
        'SELECT funding_pubkey_local AS ours, fundingkey_remote AS theirs FROM channels WHERE full_channel_id = ?',
      )
      .get(hex.decode(channelId)) as { ours: unknown; theirs: unknown } | undefined
    if (row === undefined) return { result: 'unknown', why: `no channel ${channelId} in the database` }
    const { ours, theirs } = row
    if (!isKey(ours) || !isKey(theirs))
      return { result: 'unknown', why: 'the database holds no funding keys for this channel' }
    return { result: 'ours', script: fundingScript(ours, theirs) }
  } catch (error) {
    return {
      result: 'unknown',
      why: `the database can't be read: ${error instanceof Error ? error.message : String(error)}`,
    }
  } finally {
    db?.close()
  }
}

const isKey = (value: unknown): value is Uint8Array => value instanceof Uint8Array && value.length === 33
