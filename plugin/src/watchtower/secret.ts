/**
 * How a feeder proves who it is: an HMAC-SHA256 with a secret shared with the tower's operator over what is asked. The secret itself
 * never travels. What is sent is not encrypted: it holds no secret, but it tells whose transactions they are; a tunnel hides that. A
 * request that is recorded and sent again asks for what is there already.
 */
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { timingSafeEqual } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { FactoryError } from '@ln-factory/tlv'

export const SCHEME = 'LnFactory'
const NAME = /^[a-z0-9_-]{1,32}$/
const SECRET = /^[0-9a-f]{64}$/
const HEADER = new RegExp(`^${SCHEME} ([a-z0-9_-]{1,32}):([0-9a-f]{64})$`)

function macOf(secret: string, method: string, path: string, body: string): Uint8Array {
  const message = `${method}\n${path}\n${bytesToHex(sha256(utf8ToBytes(body)))}`
  return hmac(sha256, hexToBytes(secret), utf8ToBytes(message))
}

/** The `Authorization` header of a request. */
export const authorize = (name: string, secret: string, method: string, path: string, body: string): string =>
  `${SCHEME} ${name}:${bytesToHex(macOf(secret, method, path, body))}`

/** Whose header it says it is; nothing is proven yet. */
export const claimedName = (header: string | undefined): string | undefined => HEADER.exec(header ?? '')?.[1]

export function isAuthentic(header: string, secret: string, method: string, path: string, body: string): boolean {
  const given = HEADER.exec(header)?.[2]
  return given !== undefined && timingSafeEqual(hexToBytes(given), macOf(secret, method, path, body))
}

/** Lines of words that end with a name and a secret (32 bytes in hex); `#` begins a comment. */
function readLines(file: string, words: number): string[][] {
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.replace(/#.*$/, '').trim())
    .filter((line) => line !== '')
    .map((line) => line.split(/\s+/))
  for (const line of lines) {
    const [name = '', secret = ''] = line.slice(-2)
    if (line.length !== words || !NAME.test(name) || !SECRET.test(secret))
      throw new FactoryError(
        'bad_parameter',
        `${file}: a line is not ${words === 2 ? '' : 'url '}name secret`,
        'openssl rand -hex 32 makes a secret',
      )
  }
  if ((statSync(file).mode & 0o077) !== 0)
    throw new FactoryError('bad_parameter', `${file} holds secrets and others may read it`, `chmod 600 ${file}`)
  return lines
}

/** The tower's side: by feeder. @throws FactoryError `bad_parameter` */
export const readFeeders = (file: string): ReadonlyMap<string, string> =>
  new Map(readLines(file, 2).map(([name = '', secret = '']) => [name, secret]))

export interface TowerAddress {
  readonly url: string
  readonly name: string
  readonly secret: string
}

/** The feeder's side: one tower a line. @throws FactoryError `bad_parameter` */
export const readTowers = (file: string): readonly TowerAddress[] =>
  readLines(file, 3).map(([url = '', name = '', secret = '']) => {
    if (!/^https?:\/\/[^/?#]+\/?$/.test(url))
      throw new FactoryError('bad_parameter', `${file}: ${url} is no http URL without a path`)
    return { url: url.replace(/\/$/, ''), name, secret }
  })
