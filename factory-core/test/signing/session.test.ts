import fc from 'fast-check'
import { concatBytes } from '@noble/hashes/utils.js'
import { p2tr } from '@scure/btc-signer'
import { describe, expect, it } from 'vitest'
import {
  aggregateKeys,
  aggregateKeysInOrder,
  aggregateNonces,
  combineOrBlame,
  KeyAggregator,
  openSession,
  parsePublicNonce,
  sortKeys,
  verifySchnorr,
  type CurveBackend,
} from '../../src/signing/index.js'
import { N, parseScalar, scalarBytes } from '../../src/signing/scalar.js'
import { message, partyOf } from './party.js'
import { backends, bytesOf, keyOf, pick, refused } from './support.js'

const names = ['lsp', 'a', 'b', 'c']

describe.each(backends)('a session on $name', (backend: CurveBackend) => {
  it('signs for any signer set, with duplicate keys and any tweaks', () => {
    const tweak = fc.record({ seed: fc.string(), mode: fc.constantFrom('plain' as const, 'xonly' as const) })
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 15 }), { minLength: 1, maxLength: 20 }),
        fc.array(tweak, { maxLength: 4 }),
        (members, tweaks) => {
          const party = partyOf(
            members.map((member) => `member ${member}`),
            backend,
            (keys) => tweaks.reduce((sum, { seed, mode }) => sum.tweak(bytesOf(seed), mode), keys.untweaked()),
          )
          const partials = party.partials()
          for (const partial of partials) expect(party.session.verifyPartial(partial)).toBe(true)
          const result = combineOrBlame({ session: party.session, partials })
          expect(result.ok).toBe(true)
          if (!result.ok) return
          const item = { signature: result.signature, message, publicKey: party.aggregate.xonly }
          for (const each of backends) expect(verifySchnorr(item, each)).toBe(true)
        },
      ),
      { numRuns: 25 },
    )
  })

  it('names every culprit, and nobody else', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 5 }), { minLength: 1 }), (guilty) => {
        const { session, partials } = partyOf(['0', '1', '2', '3', '4', '5'], backend)
        const sent = partials().map((partial) =>
          guilty.includes(partial.signer) ? { ...partial, signature: bytesOf(`lie ${partial.signer}`) } : partial,
        )
        expect(combineOrBlame({ session, partials: sent })).toEqual({ ok: false, culprits: guilty.toSorted() })
      }),
      { numRuns: 12 },
    )
  })

  it('names a partial signature out of range, beside one that is wrong', () => {
    const { session, partials } = partyOf(names, backend)
    const sent = partials()
      .with(2, { ...pick(partialsOf(names), 2), signer: 2, signature: scalarBytes(N) })
      .map((partial) => (partial.signer === 0 ? { ...partial, signature: new Uint8Array(32) } : partial))
    expect(combineOrBlame({ session, partials: sent })).toEqual({ ok: false, culprits: [0, 2] })
  })

  /** Partial signatures of another session of the same people. */
  const partialsOf = (who: string[]): ReturnType<ReturnType<typeof partyOf>['partials']> =>
    partyOf(who, backend).partials()

  it('names a signer of another session, a negated signature, and one of 31 bytes', () => {
    const { session, partials } = partyOf(names, backend)
    const honest = partials()
    const last = pick(honest, 3)
    const stale = pick(partialsOf(names), 3)
    const negated = scalarBytes(N - (parseScalar(last.signature) ?? 0n))
    for (const signature of [
      stale.signature,
      negated,
      last.signature.subarray(1),
      concatBytes(last.signature, Uint8Array.of(0)),
    ]) {
      expect(combineOrBlame({ session, partials: honest.with(3, { ...last, signature }) })).toEqual({
        ok: false,
        culprits: [3],
      })
    }
  })

  it('names both signers whose signatures were swapped', () => {
    const { session, partials } = partyOf(names, backend)
    const honest = partials()
    const [second, third] = [pick(honest, 1), pick(honest, 2)]
    // A swap leaves the sum, and so the final signature, as it was.
    const swapped = honest
      .with(1, { ...second, signature: third.signature })
      .with(2, { ...third, signature: second.signature })
    expect(combineOrBlame({ session, partials: swapped }).ok).toBe(true)
    expect(swapped.filter((partial) => !session.verifyPartial(partial)).map(({ signer }) => signer)).toEqual([1, 2])
  })

  it('blames who sent another nonce than it signs with', () => {
    const { aggregate, members, partials: sign } = partyOf(names, backend)
    const liar = pick(partyOf(names, backend).members, 1).publicNonce
    const nonces = members.map((member, i) => (i === 1 ? liar : member.publicNonce))
    const session = openSession({ aggregate, message, aggregatedNonce: aggregateNonces(nonces, [], backend) })
    const partials = members.map(({ key, nonce }, signer) => ({
      signer,
      signature: session.sign(nonce, key),
      publicNonce: pick(nonces, signer),
      publicKey: key.publicKey,
    }))
    expect(combineOrBlame({ session, partials })).toEqual({ ok: false, culprits: [1] })
    refused('nonce_consumed', sign)
  })

  it('survives nonces that sum to infinity', () => {
    // The last signer knows all other nonces and sends what cancels them; it can't sign then, and is named.
    const { aggregate, members } = partyOf(names, backend)
    const honest = members.slice(0, 3)
    const negated = (half: 'first' | 'second'): Uint8Array => {
      const points = honest.map(({ publicNonce }) => parsePublicNonce(publicNonce, backend)?.[half] ?? backend.infinity)
      return backend.compress(backend.negate(backend.sum(points)))
    }
    const rogue = concatBytes(negated('first'), negated('second'))
    const nonces = [...honest.map((member) => member.publicNonce), rogue]
    for (const order of [nonces, nonces.toReversed()]) {
      expect(aggregateNonces(order, [], backend)).toEqual(new Uint8Array(66))
    }
    const session = openSession({ aggregate, message, aggregatedNonce: new Uint8Array(66) })
    const partials = members.map(({ key, nonce }, signer) => ({
      signer,
      signature: session.sign(nonce, key),
      publicNonce: pick(nonces, signer),
      publicKey: key.publicKey,
    }))
    expect(combineOrBlame({ session, partials })).toEqual({ ok: false, culprits: [3] })
    // R = G, as BIP-327 says.
    expect(session.combine(partials.map(({ signature }) => signature)).subarray(0, 32)).toEqual(
      backend.compress(backend.generator).subarray(1),
    )
  })

  it('goes on after an intermediate sum of infinity', () => {
    const { members } = partyOf(names, backend)
    const nonce = pick(members, 0).publicNonce
    const minus = nonce.map((byte, i) => (i % 33 === 0 ? byte ^ 1 : byte))
    const last = pick(members, 1).publicNonce
    expect(aggregateNonces([nonce, minus, last], [], backend)).toEqual(last)
    expect(aggregateNonces([nonce, minus], [], backend)).toEqual(new Uint8Array(66))
  })

  it('blames nobody when the aggregated nonce itself is wrong', () => {
    const { aggregate, members } = partyOf(names, backend)
    const aggregatedNonce = pick(members, 0).publicNonce
    const session = openSession({ aggregate, message, aggregatedNonce })
    const partials = members.map(({ key, nonce, publicNonce }, signer) => ({
      signer,
      signature: session.sign(nonce, key),
      publicNonce,
      publicKey: key.publicKey,
    }))
    expect(refused('bad_nonce', () => combineOrBlame({ session, partials }))).toContain('aggregated nonce')
  })

  it('takes exactly one partial signature for each key', () => {
    const { session, partials } = partyOf(names, backend)
    const all = partials()
    const stranger = { ...pick(all, 3), publicKey: keyOf('stranger').publicKey }
    for (const wrong of [[], all.slice(1), [...all, pick(all, 0)], all.with(3, pick(all, 0)), all.with(3, stranger)]) {
      refused('bad_parameter', () => combineOrBlame({ session, partials: wrong }))
    }
    refused('bad_parameter', () => session.combine(all.slice(1).map(({ signature }) => signature)))
    expect(combineOrBlame({ session, partials: all.toReversed() }).ok).toBe(true)
  })

  it('finds no partial signature valid that is not', () => {
    const { session, partials } = partyOf(names, backend)
    const good = pick(partials(), 0)
    expect(session.verifyPartial(good)).toBe(true)
    expect(session.verifyPartial({ ...good, publicKey: keyOf('stranger').publicKey })).toBe(false)
    expect(session.verifyPartial({ ...good, publicKey: keyOf('a').publicKey })).toBe(false)
    expect(session.verifyPartial({ ...good, publicNonce: new Uint8Array(66) })).toBe(false)
    expect(session.verifyPartial({ ...good, publicNonce: new Uint8Array(65).fill(2) })).toBe(false)
    expect(session.verifyPartial({ ...good, signature: new Uint8Array(32) })).toBe(false)
  })

  it('names who sent a malformed nonce', () => {
    const nonces = partyOf(names, backend).members.map((member) => member.publicNonce)
    const good = pick(nonces, 2)
    const noPoint = concatBytes(good.subarray(0, 33), Uint8Array.of(2), new Uint8Array(31), Uint8Array.of(5))
    const infinite = concatBytes(good.subarray(0, 33), new Uint8Array(33))
    for (const bad of [noPoint, infinite, good.subarray(1), concatBytes(good, Uint8Array.of(0)), new Uint8Array(0)]) {
      const sent = nonces.with(2, bad)
      expect(refused('bad_nonce', () => aggregateNonces(sent, [], backend))).toContain('participant 2 ')
      expect(refused('bad_nonce', () => aggregateNonces(sent, ['x', 'y', 'bob'], backend))).toContain('of bob ')
    }
    refused('bad_parameter', () => aggregateNonces([], [], backend))
  })

  it('refuses a malformed aggregated nonce', () => {
    const { aggregate, aggregatedNonce } = partyOf(names, backend)
    const wrongTag = Uint8Array.of(4, ...aggregatedNonce.subarray(1))
    const halfZero = Uint8Array.of(0, ...aggregatedNonce.subarray(1))
    for (const bad of [wrongTag, halfZero, aggregatedNonce.subarray(1), new Uint8Array(0), new Uint8Array(67)]) {
      expect(refused('bad_nonce', () => openSession({ aggregate, message, aggregatedNonce: bad }))).toContain(
        'coordinator',
      )
    }
    refused('bad_parameter', () => openSession({ aggregate, message: new Uint8Array(33), aggregatedNonce }))
  })
})

describe.each(backends)('an aggregate on $name', (backend: CurveBackend) => {
  const keys = names.map((name) => keyOf(name, backend).publicKey)

  it('does not depend on the order of keys; the unsorted variant does', () => {
    const expected = aggregateKeys(keys, backend).xonly
    expect(aggregateKeys(keys.toReversed(), backend).xonly).toEqual(expected)
    expect(aggregateKeysInOrder(sortKeys(keys), backend).xonly).toEqual(expected)
    expect(aggregateKeysInOrder(sortKeys(keys).toReversed(), backend).xonly).not.toEqual(expected)
    expect(aggregateKeys([...keys, pick(keys, 0)], backend).xonly).not.toEqual(expected)
  })

  it('names the participant with a bad key by its place before sorting', () => {
    const none = Uint8Array.of(2, ...new Uint8Array(31), 5)
    for (const index of keys.keys()) {
      for (const bad of [none, new Uint8Array(33), pick(keys, index).subarray(1), new Uint8Array(0)]) {
        const run = (): unknown => aggregateKeys(keys.with(index, bad), backend)
        expect(refused('bad_key', run)).toContain(`participant ${index} `)
      }
    }
    refused('bad_parameter', () => aggregateKeys([], backend))
  })

  it('keeps its own copy of the keys', () => {
    const mine = keys.map((key) => Uint8Array.from(key))
    const aggregate = aggregateKeys(mine, backend)
    for (const key of mine) key.fill(0)
    expect(aggregate.keys).toEqual(sortKeys(keys))
    expect(aggregate.signer(pick(keys, 0))).toBeDefined()
    expect(aggregate.signer(keyOf('stranger').publicKey)).toBeUndefined()
  })

  it('is made once for each signer set', () => {
    let parsed = 0
    const parse: CurveBackend['parse'] = (bytes) => {
      parsed++
      return backend.parse(bytes)
    }
    const aggregator = new KeyAggregator({ ...backend, parse })
    const aggregate = aggregator.aggregate(keys)
    expect(aggregator.aggregate(keys.toReversed())).toBe(aggregate)
    expect(aggregate.taproot(undefined)).toBe(aggregate.taproot(undefined))
    expect(aggregator.aggregate(keys.slice(1))).not.toBe(aggregate)
    expect(parsed).toBe(keys.length)
    expect(aggregator.held).toBe(4 + 4 + 3)
    expect(aggregateKeys(keys, backend)).toBe(aggregateKeys(keys.toReversed(), backend))
  })

  it('is forgotten when too many are remembered', () => {
    // No real arithmetic: thousands of keys, and only what is remembered of them.
    const cheap = { ...backend, parse: () => backend.generator, combine: () => backend.generator }
    const first = aggregateKeys(keys, cheap)
    const set = (i: number): Uint8Array[] =>
      keys.map((key) => concatBytes(Uint8Array.of(2), bytesOf(`${i} ${key.join()}`)))
    for (let i = 0; i < 1500; i++) aggregateKeys(set(i), cheap)
    expect(aggregateKeys(keys, cheap)).toBe(first)
    for (let i = 1500; i < 2600; i++) aggregateKeys(set(i), cheap)
    const again = aggregateKeys(keys, cheap)
    expect(again).not.toBe(first)
    expect(again.xonly).toEqual(first.xonly)
  })

  it('gives the P2TR output that @scure/btc-signer gives', () => {
    fc.assert(
      fc.property(fc.string(), (seed) => {
        const aggregate = aggregateKeys([keyOf(`${seed}1`).publicKey, keyOf(`${seed}2`).publicKey], backend)
        const plain = p2tr(aggregate.xonly)
        expect(aggregate.taproot(undefined).script).toEqual(plain.script)
        expect(aggregate.taproot(undefined).xonly).toEqual(plain.tweakedPubkey)
        const leaf = { script: concatBytes(Uint8Array.of(0x20), aggregate.xonly, Uint8Array.of(0xac)) }
        const theirs = p2tr(aggregate.xonly, leaf, undefined, true)
        const ours = aggregate.taproot(theirs.tapMerkleRoot)
        expect(ours.script).toEqual(theirs.script)
        const [control] = pick(theirs.tapLeafScript ?? [], 0)
        expect(ours.parity).toBe(control.version & 1)
      }),
      { numRuns: 12 },
    )
  })

  it('refuses a merkle root and a tweak of the wrong size', () => {
    const aggregate = aggregateKeys(keys, backend)
    refused('bad_parameter', () => aggregate.taproot(new Uint8Array(31)))
    refused('bad_parameter', () => aggregate.taproot(new Uint8Array(0)))
    refused('bad_parameter', () => aggregate.untweaked().tweak(new Uint8Array(31), 'plain'))
    refused('bad_parameter', () => aggregate.untweaked().tweak(scalarBytes(N), 'xonly'))
  })
})
