import { describe, expect, it } from 'vitest'
import { aggregateKeys, aggregateNonces, generateNonce, openSession, type Session } from '../../src/signing/index.js'
import { entropy, message, partyOf } from './party.js'
import { backends, bytesOf, keyOf, pick, refused } from './support.js'

const [a, b] = [keyOf('a'), keyOf('b')]
const keys = aggregateKeys([a.publicKey, b.publicKey])
const aggregate = keys.taproot(undefined)
const other = (): Uint8Array => generateNonce({ secretKey: b, aggregate, message, entropy }).public

describe('invariant 3: a secret nonce', () => {
  const fresh = (): ReturnType<typeof generateNonce> => generateNonce({ secretKey: a, aggregate, message, entropy })
  const sessionFor = (publicNonce: Uint8Array, changes: Partial<Parameters<typeof openSession>[0]> = {}): Session =>
    openSession({ aggregate, message, aggregatedNonce: aggregateNonces([publicNonce, other()]), ...changes })

  it.each(backends)('signs once, on $name', (backend) => {
    const { session, members } = partyOf(['a', 'b'], backend)
    const { nonce, key } = pick(members, 0)
    expect(nonce.consumed).toBe(false)
    session.sign(nonce, key)
    expect(nonce.consumed).toBe(true)
    refused('nonce_consumed', () => session.sign(nonce, key))
  })

  it('signs once, also when the coordinator asks again with another aggregated nonce', () => {
    const { secret, public: mine } = fresh()
    sessionFor(mine).sign(secret, a)
    const again = sessionFor(mine)
    refused('nonce_consumed', () => again.sign(secret, a))
  })

  it('signs no other message', () => {
    const { secret, public: mine } = fresh()
    const session = sessionFor(mine, { message: bytesOf('another sighash') })
    expect(refused('bad_nonce', () => session.sign(secret, a))).toContain('another message')
    expect(secret.consumed).toBe(false)
    expect(sessionFor(mine).sign(secret, a)).toHaveLength(32)
  })

  it('signs for no other aggregate, and for no other tweak of it', () => {
    const { secret, public: mine } = fresh()
    const larger = aggregateKeys([a.publicKey, b.publicKey, keyOf('c').publicKey]).taproot(undefined)
    for (const wrong of [keys.untweaked(), keys.taproot(bytesOf('root')), larger]) {
      const session = sessionFor(mine, { aggregate: wrong })
      expect(refused('bad_nonce', () => session.sign(secret, a))).toContain('another aggregate key')
    }
    expect(sessionFor(mine).sign(secret, a)).toHaveLength(32)
  })

  it('signs with no other key', () => {
    const { secret, public: mine } = fresh()
    const session = sessionFor(mine)
    expect(refused('bad_nonce', () => session.sign(secret, b))).toContain('another key')
    refused('bad_key', () => session.sign(secret, keyOf('stranger')))
    expect(session.sign(secret, a)).toHaveLength(32)
  })

  it('stays bound when the buffers it was made from change', () => {
    const sighash = Uint8Array.from(message)
    const { secret, public: mine } = generateNonce({ secretKey: a, aggregate, message: sighash, entropy })
    sighash.fill(7)
    const session = sessionFor(mine, { message: sighash })
    refused('bad_nonce', () => session.sign(secret, a))
    // A session, too, keeps the message that it was opened with.
    const kept = Uint8Array.from(message)
    const honest = sessionFor(mine, { message: kept })
    kept.fill(7)
    expect(honest.message).toEqual(message)
    expect(honest.sign(secret, a)).toHaveLength(32)
  })

  it('can be discarded', () => {
    const { secret, public: mine } = fresh()
    secret.discard()
    secret.discard()
    refused('nonce_consumed', () => sessionFor(mine).sign(secret, a))
  })
})

describe('nonce generation', () => {
  const request = { secretKey: a, aggregate, message, entropy: () => bytesOf('fixed') }

  it('depends on everything that it is given', () => {
    const nonces = [
      request,
      { ...request, secretKey: b },
      { ...request, message: bytesOf('another sighash') },
      { ...request, aggregate: keys.untweaked() },
      { ...request, entropy: () => bytesOf('other') },
      { ...request, extra: Uint8Array.of(1) },
    ].map((each) => Buffer.from(generateNonce(each).public).toString('hex'))
    expect(new Set(nonces).size).toBe(nonces.length)
    expect(nonces.join('').length).toBe(6 * 132)
  })

  it('draws entropy once for each nonce', () => {
    let draws = 0
    generateNonce({ ...request, entropy: () => bytesOf(`draw ${draws++}`) })
    expect(draws).toBe(1)
  })

  it('refuses a broken source of entropy', () => {
    for (const bytes of [
      new Uint8Array(32),
      new Uint8Array(0),
      new Uint8Array(31).fill(1),
      new Uint8Array(33).fill(1),
    ]) {
      expect(refused('bad_parameter', () => generateNonce({ ...request, entropy: () => bytes }))).toContain('entropy')
    }
  })

  it('refuses a key outside the aggregate, and what is no sighash', () => {
    refused('bad_key', () => generateNonce({ ...request, secretKey: keyOf('stranger') }))
    refused('bad_parameter', () => generateNonce({ ...request, message: new Uint8Array(31) }))
  })
})
