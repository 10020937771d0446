import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { JsonStream } from '../../src/rpc/index.js'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const object = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue())
const space = fc.constantFrom('', '\n\n', ' ', '\r\n\t ')

/** Cuts `data` at these places. */
function* pieces(data: Uint8Array, cuts: readonly number[]): Generator<Uint8Array> {
  let start = 0
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    yield data.subarray(start, cut)
    start = cut
  }
  yield data.subarray(start)
}

describe('JsonStream', () => {
  it('gives the same objects however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(object, space)), fc.array(fc.nat()), (messages, places) => {
        const data = bytes(messages.map(([o, gap]) => JSON.stringify(o) + gap).join(''))
        const stream = new JsonStream()
        const got = [
          ...pieces(
            data,
            places.map((p) => p % (data.length + 1)),
          ),
        ].flatMap((piece) => stream.push(piece))
        expect(JSON.stringify(got)).toBe(
          JSON.stringify(messages.map(([o]) => JSON.parse(JSON.stringify(o)) as unknown)),
        )
        expect(stream.idle).toBe(true)
      }),
    )
  })

  it('survives a cut at every single byte, inside strings, escapes and long characters too', () => {
    const first = { a: '}{"\\', b: ['é', '😀', { c: '\u0000\\"' }] }
    const second = { id: 'x', result: [[], {}, null] }
    const data = bytes(`${JSON.stringify(first)}\n\n${JSON.stringify(second)}`)
    for (let cut = 0; cut <= data.length; cut++) {
      const stream = new JsonStream()
      expect([...stream.push(data.subarray(0, cut)), ...stream.push(data.subarray(cut))]).toEqual([first, second])
    }
    const stream = new JsonStream()
    expect([...data].flatMap((byte) => stream.push(Uint8Array.of(byte)))).toEqual([first, second])
  })

  it('keeps its own copy of what it was given', () => {
    const data = bytes('{"a":1}')
    const stream = new JsonStream()
    const buffer = data.slice(0, 4)
    stream.push(buffer)
    buffer.fill(0)
    expect(stream.push(data.subarray(4))).toEqual([{ a: 1 }])
  })

  it.each(['x', '[1]', '1', '"a"', '}', '{"a":1}]', '{"a":}', '{a:1}', '{]', `{"a":"\n"}`])(
    'refuses %j, and all after it',
    (text) => {
      const stream = new JsonStream()
      expect(() => stream.push(bytes(text))).toThrow(expect.objectContaining({ code: 'host_failed' }))
      expect(stream.idle).toBe(false)
      expect(() => stream.push(bytes('{}'))).toThrow(expect.objectContaining({ code: 'host_failed' }))
    },
  )

  it('refuses bytes that are no UTF-8', () => {
    expect(() => new JsonStream().push(Uint8Array.of(...bytes('{"a":"'), 0xc3, 0x28, ...bytes('"}')))).toThrow(
      'malformed',
    )
  })

  it('holds no more than its limit, in one piece or in many', () => {
    const fits = bytes(`{"a":"${'x'.repeat(92)}"}`)
    expect(fits).toHaveLength(100)
    expect(new JsonStream(100).push(fits)).toHaveLength(1)
    expect(() => new JsonStream(99).push(fits)).toThrow('over 99 bytes')
    const stream = new JsonStream(100)
    stream.push(bytes('{"a":"'))
    expect(() => {
      for (;;) stream.push(bytes('y'))
    }).toThrow('over 100 bytes')
  })
})
