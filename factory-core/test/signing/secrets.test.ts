/** Nothing secret shows up where programs print, store or send things. */
import { inspect } from 'node:util'
import { serialize } from 'node:v8'
import { bytesToHex } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { aggregateKeys, generateNonce, openSession, SecretKey, type SecretNonce } from '../../src/signing/index.js'
import { nonceGen } from '../../src/signing/nonce.js'
import { N, scalarBytes } from '../../src/signing/scalar.js'
import { bytesOf, refused } from './support.js'

const secret = bytesOf('the secret key')
const key = SecretKey.fromBytes(secret)
const aggregate = aggregateKeys([key.publicKey]).taproot(undefined)
const message = bytesOf('sighash')
const random = bytesOf('entropy')
const nonce = (): SecretNonce =>
  generateNonce({ secretKey: key, aggregate, message, entropy: () => Uint8Array.from(random) }).secret
const [k1, k2] = nonceGen({
  random,
  publicKey: key.publicKey,
  secretKey: secret,
  aggregateKey: aggregate.xonly,
  message,
  extra: undefined,
})
const secrets = [secret, scalarBytes(k1), scalarBytes(k2)]

/** Everything that a log, a store or a message might make of a value. */
function shown(value: object): string {
  const plain: object = Object.assign({}, value)
  const texts = [
    JSON.stringify({ value }),
    inspect(value, { depth: 9, showHidden: true, getters: true }),
    inspect({ value }),
    `${(value as { toString: () => string }).toString()} ${Object.entries(value).join()}`,
    inspect(plain, { depth: 9, showHidden: true }),
    inspect(structuredClone(plain), { depth: 9 }),
    serialize(plain).toString('hex'),
  ]
  return texts.join('\n').toLowerCase().replaceAll(/,\s+/g, ',')
}

const traces = (bytes: Uint8Array): string[] => [
  bytesToHex(bytes).slice(0, 16),
  Array.from(bytes.subarray(0, 4)).join(','),
  BigInt(`0x${bytesToHex(bytes)}`)
    .toString()
    .slice(0, 16),
]

describe('secrets', () => {
  it("don't show in a SecretKey or a SecretNonce", () => {
    for (const value of [key, nonce()]) {
      const text = shown(value)
      for (const trace of secrets.flatMap(traces)) expect(text).not.toContain(trace)
    }
  })

  it('would have been found by this test', () => {
    for (const bytes of secrets) {
      for (const trace of traces(bytes).slice(0, 2))
        expect(shown({ leak: bytes, hex: bytesToHex(bytes) })).toContain(trace)
    }
  })

  it('JSON drops them', () => {
    expect(JSON.stringify({ key, nonce: nonce() })).toBe('{}')
    expect(String(key) + String(nonce())).toBe('[SecretKey][SecretNonce]')
  })

  it('invariant 3: a copy of a nonce is no nonce', () => {
    const session = openSession({
      aggregate,
      message,
      aggregatedNonce: generateNonce({ secretKey: key, aggregate, message, entropy: () => random }).public,
    })
    const original = nonce()
    for (const copy of [
      Object.assign({}, original),
      structuredClone(Object.assign({}, original)),
      Object.create(Object.getPrototypeOf(original) as object) as unknown,
      Object.assign(Object.create(original) as object, original),
    ]) {
      expect(() => session.sign(copy as SecretNonce, key)).toThrow(TypeError)
    }
    expect(session.sign(original, key)).toHaveLength(32)
  })

  it("don't show in errors", () => {
    const bad = Uint8Array.from(scalarBytes(N - 1n))
    bad.fill(0xff, 16)
    const text = refused('bad_key', () => SecretKey.fromBytes(bad))
    for (const trace of traces(bad)) expect(text).not.toContain(trace)
  })

  it("a wiped key can't sign, and its bytes are gone", () => {
    const input = Uint8Array.from(secret)
    const mine = SecretKey.fromBytes(input)
    mine.wipe()
    expect(input).toEqual(secret) // the caller's copy is the caller's business
    expect(mine.wiped).toBe(true)
    refused('bad_key', () => generateNonce({ secretKey: mine, aggregate, message, entropy: () => random }))
    const unused = nonce()
    const session = openSession({ aggregate, message, aggregatedNonce: new Uint8Array(66) })
    refused('bad_key', () => session.sign(unused, mine))
    expect(unused.consumed).toBe(false)
  })

  it.each([
    ['zero', new Uint8Array(32)],
    ['the group order', scalarBytes(N)],
    ['above the group order', new Uint8Array(32).fill(0xff)],
    ['31 bytes', new Uint8Array(31).fill(1)],
    ['33 bytes', new Uint8Array(33).fill(1)],
  ])('no secret key: %s', (_, bytes) => {
    refused('bad_key', () => SecretKey.fromBytes(bytes))
  })
})
