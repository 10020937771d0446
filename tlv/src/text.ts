/**
 * Text from a peer ends up in logs and terminals: it must be well-formed UTF-8 without control characters, line separators
 * and the marks that turn the direction of what follows.
 */
import { FactoryError } from './error.js'

// eslint's no-control-regex guards against accidents; a list of ranges says the same without a regular expression.
const UNPRINTABLE: readonly (readonly [first: number, last: number])[] = [
  [0x00, 0x1f],
  [0x7f, 0x9f],
  [0x200e, 0x200f],
  [0x2028, 0x202e],
  [0x2066, 0x2069],
]

const isPrintable = (char: string): boolean => {
  const code = char.codePointAt(0) ?? 0
  return !UNPRINTABLE.some(([first, last]) => code >= first && code <= last)
}

const hexByte = (byte: number): string => byte.toString(16).padStart(2, '0')

// decodeURIComponent and encodeURIComponent are the strict UTF-8 codec of the language itself (ECMA-262, section 19.2.6):
// overlong forms, surrogates and code points beyond U+10FFFF throw. TextDecoder belongs to hosts, not to the language.
function fromUtf8(bytes: Uint8Array): string | undefined {
  try {
    return decodeURIComponent(Array.from(bytes, (byte) => `%${hexByte(byte)}`).join(''))
  } catch {
    return undefined
  }
}

function toUtf8(text: string): Uint8Array | undefined {
  try {
    const escaped = encodeURIComponent(text)
    const bytes: number[] = []
    for (let i = 0; i < escaped.length; i++) {
      if (escaped[i] === '%') {
        bytes.push(Number.parseInt(escaped.slice(i + 1, i + 3), 16))
        i += 2
      } else bytes.push(escaped.charCodeAt(i))
    }
    return Uint8Array.from(bytes)
  } catch {
    return undefined
  }
}

/** @throws `wire_value` unless well-formed UTF-8 and printable. */
export function decodeText(bytes: Uint8Array): string {
  const text = fromUtf8(bytes)
  if (text === undefined) throw new FactoryError('wire_value', 'text is not UTF-8')
  if (!Array.from(text).every(isPrintable)) throw new FactoryError('wire_value', 'text is not printable')
  return text
}

/** @throws `wire_value` for lone surrogates and what is not printable. */
export function encodeText(text: string): Uint8Array {
  const bytes = toUtf8(text)
  if (bytes === undefined) throw new FactoryError('wire_value', 'text holds a lone surrogate')
  if (!Array.from(text).every(isPrintable)) throw new FactoryError('wire_value', 'text is not printable')
  return bytes
}

/**
 * Any string as text that may be sent: what can't be printed becomes a space, what does not fit `maxBytes` is cut off between
 * two characters. For reasons that quote somebody else's words.
 */
export function clipText(text: string, maxBytes: number): string {
  let clipped = ''
  let size = 0
  for (const char of text) {
    const safe = isPrintable(char) && toUtf8(char) !== undefined ? char : ' '
    size += toUtf8(safe)?.length ?? 0
    if (size > maxBytes) break
    clipped += safe
  }
  return clipped
}
