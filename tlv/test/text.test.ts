import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { clipText, decodeText, encodeText } from '../src/text.js'
import { codeOf } from './vectors.js'

describe('text', () => {
  it('decodes exactly what TextDecoder does, less what cannot be printed', () => {
    const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 12 }),
          fc.string({ unit: 'binary' }).map((s) => Buffer.from(s)),
        ),
        (bytes) => {
          let reference: string | undefined
          try {
            reference = strict.decode(bytes)
          } catch {
            reference = undefined
          }
          if (reference === undefined || clipText(reference, 1000) !== reference) {
            expect(codeOf(() => decodeText(bytes))).toBe('wire_value')
          } else expect(decodeText(bytes)).toBe(reference)
        },
      ),
      { numRuns: 3000 },
    )
  })

  it('comes back from its bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const clipped = clipText(text, 1000)
        expect(decodeText(encodeText(clipped))).toBe(clipped)
        expect(Buffer.from(encodeText(clipped)).toString()).toBe(clipped)
      }),
    )
  })

  it.each([
    ['short enough', 'abc', 3, 'abc'],
    ['cut', 'abcd', 3, 'abc'],
    ['never inside a character', 'a🔒b', 4, 'a'],
    ['control characters become spaces', 'a\u001b[1mb\r\nc', 20, 'a [1mb  c'],
    ['so do direction marks', 'a\u202eb\u2066c', 20, 'a b c'],
    ['and lone surrogates', 'a\ud800b\udc00', 20, 'a b '],
  ])('clipText: %s', (_, text, max, expected) => {
    expect(clipText(text, max)).toBe(expected)
  })

  it('refuses the code points that docs/protocol.md names, and only those around them', () => {
    const refused = [0x00, 0x1f, 0x7f, 0x9f, 0x200e, 0x200f, 0x2028, 0x202e, 0x2066, 0x2069]
    const allowed = [0x20, 0x7e, 0xa0, 0x200d, 0x2010, 0x2027, 0x202f, 0x2065, 0x206a, 0xfeff, 0x10ffff]
    const char = (code: number): string => String.fromCodePoint(code)
    for (const code of refused)
      expect(
        codeOf(() => decodeText(Buffer.from(char(code)))),
        code.toString(16),
      ).toBe('wire_value')
    for (const code of allowed) expect(decodeText(Buffer.from(char(code)))).toBe(char(code))
  })

  it('clipText always gives what may be sent', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.nat({ max: 30 }), (text, max) => {
        expect(encodeText(clipText(text, max)).length).toBeLessThanOrEqual(max)
      }),
    )
  })
})
