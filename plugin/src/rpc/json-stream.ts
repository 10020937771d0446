import { FactoryError } from '@ln-factory/tlv'

/** More than any reply of lightningd that we ask for; a block in hex (8 MB) fits several times. */
export const MAX_JSON_BYTES = 64 * 1024 * 1024

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN = [0x7b, 0x5b]
const CLOSE = [0x7d, 0x5d]
const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

/**
 * Cuts a stream of bytes into JSON objects. lightningd puts `\n\n` between messages but promises nothing about the reads in
 * which they arrive, so only the nesting of braces outside of strings says where an object ends. Works on bytes: in UTF-8
 * no byte of a longer character looks like a brace, a quote or a backslash, so a character cut in two does no harm.
 */
export class JsonStream {
  private parts: Uint8Array[] = []
  private size = 0
  private depth = 0
  private inString = false
  private escaped = false
  private broken = false

  constructor(private readonly maxBytes: number = MAX_JSON_BYTES) {}

  /**
   * Feed the next bytes; returns the objects that they complete, in order.
   * @throws FactoryError `host_failed` when this is not a stream of JSON objects, or one is larger than the limit. The stream
   * can't be used afterwards: where the next message would start is unknown. Objects before the fault are lost with it.
   */
  push(chunk: Uint8Array): Record<string, unknown>[] {
    if (this.broken) throw new FactoryError('host_failed', 'JSON stream is broken')
    const objects: Record<string, unknown>[] = []
    let start = 0
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i] as number
      if (this.depth === 0) {
        if (isSpace(byte)) {
          start = i + 1
          continue
        }
        if (byte !== 0x7b)
          throw this.fail(`JSON stream: expected an object, got byte 0x${byte.toString(16).padStart(2, '0')}`)
        start = i
        this.depth = 1
        continue
      }
      if (this.size + (i - start) >= this.maxBytes) throw this.fail(`JSON stream: message over ${this.maxBytes} bytes`)
      if (this.inString) {
        if (this.escaped) this.escaped = false
        else if (byte === BACKSLASH) this.escaped = true
        else if (byte === QUOTE) this.inString = false
      } else if (byte === QUOTE) this.inString = true
      else if (OPEN.includes(byte)) this.depth++
      else if (CLOSE.includes(byte) && --this.depth === 0) {
        this.keep(chunk.subarray(start, i + 1))
        objects.push(this.take())
        start = i + 1
      }
    }
    if (this.depth > 0) this.keep(chunk.subarray(start))
    return objects
  }

  /** True when the stream may end here: no object is half read. */
  get idle(): boolean {
    return this.depth === 0 && !this.broken
  }

  private keep(bytes: Uint8Array): void {
    // A copy: the caller may reuse its buffer.
    this.parts.push(Uint8Array.from(bytes))
    this.size += bytes.length
  }

  private take(): Record<string, unknown> {
    const bytes = Buffer.concat(this.parts)
    this.parts = []
    this.size = 0
    try {
      return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Record<string, unknown>
    } catch (cause) {
      throw this.fail('JSON stream: malformed object', cause)
    }
  }

  private fail(message: string, cause?: unknown): FactoryError {
    this.broken = true
    this.parts = []
    return new FactoryError('host_failed', message, undefined, { cause })
  }
}
