import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  bytesToHex,
  decodeFactoryMessage,
  decodePayload,
  encodePayload,
  hexToBytes,
  isOurProtocol,
  MAX_BODY,
  MAX_PAYLOAD,
  MAX_UNSPLIT,
  piggyback,
  Reassembler,
  splitPayload,
  type Payload,
} from '../src/index.js'
import { payloadArb } from './arbitraries.js'
import { codeOf, load, type FragmentVectorFile } from './vectors.js'

const vectors = load('fragments') as FragmentVectorFile

/** What comes out of a reassembler for these payloads, the undefined left out. */
const feed = (reassembler: Reassembler, parts: readonly Uint8Array[]): Uint8Array[] =>
  parts.map((part) => reassembler.accept(part)).filter((whole) => whole !== undefined)

/** Starts with a kind that is no fragment. */
const sample = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i === 0 ? 0x7f : i % 251))

describe('fragment vectors', () => {
  it.each(vectors.valid)('$name', ({ max, payload, fragments }) => {
    expect(splitPayload(hexToBytes(payload), max).map(bytesToHex)).toEqual(fragments)
    expect(feed(new Reassembler(max), fragments.map(hexToBytes)).map(bytesToHex)).toEqual([payload])
  })

  it.each(vectors.invalid)('refuses: $name', ({ max, fragments, error }) => {
    const reassembler = new Reassembler(max)
    const last = fragments.length - 1
    fragments.forEach((fragment, i) => {
      const run = (): unknown => reassembler.accept(hexToBytes(fragment))
      if (i === last) expect(codeOf(run)).toBe(error)
      else
        try {
          run()
        } catch {
          expect(i).toBe(last - 1) // "goes on after a refusal"
        }
    })
  })

  it.each(vectors.invalid)('starts afresh after: $name', ({ max, fragments }) => {
    const reassembler = new Reassembler(max)
    for (const fragment of fragments) {
      try {
        reassembler.accept(hexToBytes(fragment))
      } catch {
        // refused, as the test above says
      }
    }
    const whole = sample(max + 5)
    expect(feed(reassembler, splitPayload(whole, max))).toEqual([whole])
  })
})

describe('splitting', () => {
  it('a payload that fits travels as it is, to the byte', () => {
    const fits = sample(MAX_UNSPLIT)
    expect(splitPayload(fits)).toEqual([fits])
    const parts = splitPayload(sample(MAX_UNSPLIT + 1))
    expect(parts.map((part) => part.length)).toEqual([MAX_UNSPLIT, 6 + 7])
  })

  it('stops at 1 MiB, on both sides', () => {
    const largest = sample(MAX_PAYLOAD)
    const [whole] = feed(new Reassembler(), splitPayload(largest))
    expect(Buffer.compare(whole ?? new Uint8Array(), largest)).toBe(0)
    expect(codeOf(() => splitPayload(sample(MAX_PAYLOAD + 1)))).toBe('wire_limit')

    // One byte more, as a hostile sender would write it.
    const max = 1024
    const parts = splitPayload(largest, max)
    const last = parts.pop() ?? expect.fail('no fragments')
    const reassembler = new Reassembler(max)
    for (const part of parts) reassembler.accept(part)
    expect(last.length).toBeLessThan(max)
    const longer = Uint8Array.from([...last, 0])
    expect(codeOf(() => reassembler.accept(longer))).toBe('wire_limit')
  })

  it('any payload comes back, whatever the size of a message, with whole payloads in between', () => {
    fc.assert(
      fc.property(payloadArb, fc.integer({ min: 7, max: 400 }), (payload, max) => {
        const bytes = encodePayload(payload)
        const between = sample(3)
        const reassembler = new Reassembler(max)
        const parts = splitPayload(bytes, max)
        for (const part of parts) expect(part.length).toBeLessThanOrEqual(max)
        const arrived = feed(
          reassembler,
          parts.flatMap((part) => [part, between]),
        )
        expect(arrived.filter((whole) => whole !== between)).toEqual([bytes])
        expect(arrived.filter((whole) => whole === between)).toHaveLength(parts.length)
      }),
    )
  })

  it('never gives out anything but what was sent, in any order of fragments', () => {
    const bytes = sample(100)
    const parts = splitPayload(bytes, 26)
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: parts.length - 1 }), { maxLength: 40 }), (order) => {
        const reassembler = new Reassembler(26)
        for (const i of order) {
          try {
            const whole = reassembler.accept(parts[i] ?? bytes)
            if (whole !== undefined) expect(whole).toEqual(bytes)
          } catch (error) {
            expect(
              codeOf(() => {
                throw error
              }),
            ).toBe('wire_order')
          }
        }
      }),
    )
  })

  it('reset forgets: a reconnected peer starts again', () => {
    const reassembler = new Reassembler(26)
    const parts = splitPayload(sample(100), 26)
    feed(reassembler, parts.slice(0, 2))
    reassembler.reset()
    expect(feed(reassembler, parts)).toEqual([sample(100)])
  })
})

describe('piggyback', () => {
  it('wraps a payload in one message of our protocol', () => {
    fc.assert(
      fc.property(payloadArb, (payload) => {
        const [body, ...more] = piggyback(payload)
        expect(more).toEqual([])
        const m = decodeFactoryMessage(body ?? new Uint8Array())
        if (m.kind !== 'factory_piggyback') expect.fail(m.kind)
        expect(isOurProtocol(m.protocolId)).toBe(true)
        expect(decodePayload(m.payload)).toEqual(payload)
      }),
    )
  })

  it('carries the largest proposal that may be sent, in messages that are full but the last', () => {
    const point = hexToBytes('02' + '01'.repeat(32))
    const output = { amount: 1n, script: new Uint8Array(42) }
    const payload: Payload = {
      kind: 'propose',
      instanceId: new Uint8Array(32),
      clientIndex: 2000,
      fundingTxid: new Uint8Array(32),
      fundingVout: 0,
      fundingAmount: 1n,
      channelScript: new Uint8Array(34),
      poisonHash: new Uint8Array(32),
      keys: Array<Uint8Array>(2001).fill(point),
      siblings: Array.from({ length: 64 }, () => Array.from({ length: 64 }, () => output)),
    }
    const bodies = piggyback(payload)
    expect(bodies.length).toBeGreaterThan(1)
    for (const body of bodies.slice(0, -1)) expect(body).toHaveLength(MAX_BODY)
    const reassembler = new Reassembler()
    const arrived = bodies.map((body) => {
      const m = decodeFactoryMessage(body)
      return m.kind === 'factory_piggyback' ? reassembler.accept(m.payload) : expect.fail(m.kind)
    })
    expect(decodePayload(arrived.at(-1) ?? new Uint8Array())).toEqual(payload)
    expect(arrived.slice(0, -1).every((whole) => whole === undefined)).toBe(true)
  })
})
