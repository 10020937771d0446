/**
 * Payloads that don't fit one message travel in fragments: `u16 kind = 0 | u16 index | u16 total | bytes`. A transport delivers
 * in order, so a receiver assembles one payload per peer at a time and needs no more than its bytes.
 */
import { encodeFactoryMessage, PAYLOAD_OVERHEAD } from './blip56/codec.js'
import { MAX_BODY } from './blip56/messages.js'
import { protocolId } from './blip56/protocol.js'
import { FactoryError } from './error.js'
import { encodePayload, MAX_PAYLOAD } from './payload/codec.js'
import type { Payload } from './payload/types.js'
import { Reader } from './reader.js'
import { Writer } from './writer.js'

export const FRAGMENT_KIND = 0
/** Kind, index and total, in bytes. */
const HEADER = 6
/** Largest payload of one `factory_piggyback`, in bytes. */
export const MAX_UNSPLIT = MAX_BODY - PAYLOAD_OVERHEAD

export interface Fragment {
  readonly index: number
  readonly total: number
  readonly bytes: Uint8Array
}

/** Is this payload a fragment (kind 0)? */
export const isFragment = (payload: Uint8Array): boolean => payload[0] === 0 && payload[1] === FRAGMENT_KIND

/** @throws `wire_truncated`, `wire_value` unless index < total and total >= 2, `wire_length` without content. */
export function decodeFragment(payload: Uint8Array): Fragment {
  const reader = new Reader(payload)
  const kind = reader.u16()
  if (kind !== FRAGMENT_KIND) throw new FactoryError('wire_value', `payload kind ${kind} is not a fragment`)
  const index = reader.u16()
  const total = reader.u16()
  if (total < 2 || index >= total) throw new FactoryError('wire_value', `fragment ${index} of ${total}`)
  if (reader.left === 0) throw new FactoryError('wire_length', `fragment ${index} of ${total} is empty`)
  return { index, total, bytes: reader.rest() }
}

/**
 * What to send for one payload, in order: itself when it has at most `max` bytes, else fragments of exactly `max` bytes (the
 * last may be shorter).
 *
 * @throws `wire_limit` above 1 MiB.
 */
export function splitPayload(payload: Uint8Array, max = MAX_UNSPLIT): Uint8Array[] {
  if (payload.length > MAX_PAYLOAD) {
    throw new FactoryError('wire_limit', `payload of ${payload.length} bytes, at most ${MAX_PAYLOAD}`)
  }
  if (payload.length <= max) return [payload]
  const chunk = max - HEADER
  const total = Math.ceil(payload.length / chunk)
  return Array.from({ length: total }, (_, index) =>
    new Writer()
      .u16(FRAGMENT_KIND)
      .u16(index)
      .u16(total)
      .bytes(payload.subarray(index * chunk, (index + 1) * chunk))
      .finish(),
  )
}

interface Assembly {
  readonly total: number
  readonly parts: Uint8Array[]
  size: number
}

/**
 * Puts fragments of one peer together again. Forget it, or `reset` it, when the peer disconnects. Every refusal throws away what
 * was assembled so far: the sender broke the order, so nothing that follows can complete it.
 */
export class Reassembler {
  #assembly: Assembly | undefined

  /** `max` as in `splitPayload`; both sides must agree on it. */
  constructor(private readonly max = MAX_UNSPLIT) {}

  /**
   * Takes the payload of one `factory_piggyback`. Returns a whole payload, or undefined while fragments are missing. Payloads
   * that are not fragments pass through and may come between fragments.
   *
   * @throws `wire_order` for a fragment out of turn, `wire_limit` beyond 1 MiB, `wire_length` for a fragment that is not full or
   * a split that was not needed, `wire_value` for impossible numbers.
   */
  accept(payload: Uint8Array): Uint8Array | undefined {
    if (!isFragment(payload)) return payload
    const assembly = this.#assembly
    this.#assembly = undefined
    const fragment = decodeFragment(payload)
    const next = this.#extend(assembly ?? { total: fragment.total, parts: [], size: 0 }, fragment, payload.length)
    if (next.parts.length < next.total) {
      this.#assembly = next
      return undefined
    }
    return this.#join(next)
  }

  reset(): void {
    this.#assembly = undefined
  }

  #extend(assembly: Assembly, { index, total, bytes }: Fragment, length: number): Assembly {
    if (total !== assembly.total || index !== assembly.parts.length) {
      throw new FactoryError(
        'wire_order',
        `fragment ${index} of ${total} where ${assembly.parts.length} of ${assembly.total} was due`,
      )
    }
    const last = index === total - 1
    if (length > this.max || (!last && length < this.max)) {
      throw new FactoryError('wire_length', `fragment ${index} of ${total} has ${length} bytes, not ${this.max}`)
    }
    const size = assembly.size + bytes.length
    // All but the last are full, so the first one already tells how long the whole must be at the least.
    if ((total - 1) * (this.max - HEADER) >= MAX_PAYLOAD || size > MAX_PAYLOAD) {
      throw new FactoryError('wire_limit', `${total} fragments hold more than ${MAX_PAYLOAD} bytes`)
    }
    assembly.parts.push(bytes)
    assembly.size = size
    return assembly
  }

  #join({ parts, size }: Assembly): Uint8Array {
    if (size <= this.max) throw new FactoryError('wire_length', `${size} bytes were split though they fit one message`)
    const writer = new Writer()
    for (const part of parts) writer.bytes(part)
    const payload = writer.finish()
    if (isFragment(payload)) throw new FactoryError('wire_value', 'fragments of fragments')
    return payload
  }
}

/** Bodies of the `factory_piggyback` messages that carry `payload`, to be sent in this order. */
export const piggyback = (payload: Payload): Uint8Array[] =>
  splitPayload(encodePayload(payload)).map((part) =>
    encodeFactoryMessage({ kind: 'factory_piggyback', protocolId: protocolId(), payload: part }),
  )
