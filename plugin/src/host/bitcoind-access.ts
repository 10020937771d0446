/**
 * Where lightningd's bitcoind answers, and with what credentials: its RPC has calls that lightningd does not pass on. First our own
 * options, then lightningd's `bitcoin-*` settings, then bitcoin.conf, then the cookie in bitcoind's data directory: the order in
 * which bitcoin-cli, which lightningd uses, would find them.
 */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { FactoryError } from '@ln-factory/tlv'
import type { HostRpc } from '../rpc/index.js'
import { bitcoinConfig, parse } from './replies.js'

/** What the operator says about it, with our options. */
export interface BitcoindSettings {
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly user?: string | undefined
  readonly password?: string | undefined
  readonly cookieFile?: string | undefined
}

export interface BitcoindAccess {
  readonly url: string
  /** `user:password` */
  readonly credentials: string
}

interface Chain {
  readonly port: number
  /** Of its own files, inside the data directory. */
  readonly folder: string
  /** Its section in bitcoin.conf. */
  readonly section: string
}

const CHAINS: Readonly<Record<string, Chain>> = {
  bitcoin: { port: 8332, folder: '', section: 'main' },
  testnet: { port: 18332, folder: 'testnet3', section: 'test' },
  testnet4: { port: 48332, folder: 'testnet4', section: 'testnet4' },
  signet: { port: 38332, folder: 'signet', section: 'signet' },
  regtest: { port: 18443, folder: 'regtest', section: 'regtest' },
}

/** Values of bitcoin.conf that apply to this chain: what stands before any section (main network: or in its own), then its section. */
export function parseBitcoinConf(text: string, section: string): ReadonlyMap<string, string> {
  const general = new Map<string, string>()
  const own = new Map<string, string>()
  let current: Map<string, string> | undefined = general
  for (const raw of text.split('\n')) {
    const line = raw.replace(/(^|\s)#.*$/, '').trim()
    const header = /^\[(\w+)\]$/.exec(line)?.[1]
    if (header !== undefined) {
      current = header === section ? own : undefined
      continue
    }
    const [, key, value] = /^([\w.]+)\s*=\s*(.*)$/.exec(line) ?? []
    if (key === undefined || value === undefined || current === undefined) continue
    const [prefix, name] = key.includes('.') ? (key.split('.', 2) as [string, string]) : [undefined, key]
    if (prefix !== undefined && prefix !== section) continue
    const target = prefix === undefined ? current : own
    // The first of several counts.
    if (!target.has(name)) target.set(name, value)
  }
  return new Map([...general, ...own])
}

const readable = (file: string): string | undefined => {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

/** @throws FactoryError `host_failed`, which names what was looked for */
export async function findBitcoind(rpc: HostRpc, network: string, settings: BitcoindSettings): Promise<BitcoindAccess> {
  const chain = CHAINS[network]
  if (chain === undefined) throw new FactoryError('host_failed', `no bitcoind is known for the network ${network}`)
  const { configs } = parse(bitcoinConfig, 'listconfigs', await rpc.call('listconfigs'))
  const lightningd = (name: string): string | undefined => {
    const config = configs[`bitcoin-${name}`]
    return config?.value_str ?? config?.value_int?.toString()
  }
  const datadir = lightningd('datadir') ?? join(homedir(), '.bitcoin')
  const conf = parseBitcoinConf(readable(join(datadir, 'bitcoin.conf')) ?? '', chain.section)
  const found = (name: string): string | undefined => lightningd(name) ?? conf.get(name)
  const host = settings.host ?? found('rpcconnect') ?? '127.0.0.1'
  const port = settings.port?.toString() ?? found('rpcport') ?? String(chain.port)
  const url = `http://${host}:${port}/`
  const user = settings.user ?? found('rpcuser')
  const password = settings.password ?? found('rpcpassword')
  if (settings.cookieFile === undefined && password !== undefined) {
    return { url, credentials: `${user ?? ''}:${password}` }
  }
  const named = settings.cookieFile ?? conf.get('rpccookiefile') ?? '.cookie'
  const file = isAbsolute(named) ? named : join(datadir, chain.folder, named)
  const cookie = readable(file)?.trim()
  if (cookie === undefined || !cookie.includes(':')) {
    throw new FactoryError(
      'host_failed',
      `no credentials for bitcoind: no rpcpassword is set, and there is no cookie that we may read at ${file}`,
      'Set factory-bitcoin-rpcuser and factory-bitcoin-rpcpassword, or factory-bitcoin-rpccookiefile.',
    )
  }
  return { url, credentials: cookie }
}
