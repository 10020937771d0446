import { bytesToHex } from './hex.js'

/** What JSON can hold. */
export type Readable = string | number | Readable[] | { [name: string]: Readable }

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/**
 * A decoded message as JSON, in the form of the test vectors and of docs/protocol.md: field names in snake case, byte strings
 * in hex, 64-bit integers as decimal strings (JSON numbers lose their last digits), absent fields left out.
 */
export function readable(value: unknown): Readable {
  if (value instanceof Uint8Array) return bytesToHex(value)
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'string' || typeof value === 'number') return value
  if (Array.isArray(value)) return value.map(readable)
  const fields = Object.entries(value ?? {}).filter(([, field]) => field !== undefined)
  return Object.fromEntries(fields.map(([name, field]) => [snake(name), readable(field)]))
}
