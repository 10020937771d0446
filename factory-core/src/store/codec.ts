/**
 * States of machines as text: JSON, with what JSON lacks written as an object of one key that begins with `$`. Keys of
 * the state that begin with `$` get one more, so a tag can't be forged by a value that came from a peer.
 *
 * Only plain data passes. An instance of a class is refused, which also keeps a secret nonce from being written down
 * (DESIGN.md invariant 3).
 */
import { FactoryError } from '@ln-factory/tlv'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** Deeper than any state of ours, far from what the stack holds; also what ends a cycle. */
const MAX_DEPTH = 64

const unfit = (what: string): FactoryError => new FactoryError('internal', `state can't be written: ${what}`)
const corrupt = (what: string): FactoryError => new FactoryError('store_corrupt', `stored state can't be read: ${what}`)

/**
 * Plain objects, arrays, strings, booleans, null, undefined, finite numbers, bigints and Uint8Arrays.
 * @throws FactoryError `internal` for anything else
 */
export function encodeState(value: unknown): string {
  return JSON.stringify(toJson(value, 0))
}

/**
 * The value whose encoding is exactly `text`.
 * @throws FactoryError `store_corrupt` for a text that `encodeState` would not have written
 */
export function decodeState(text: string): unknown {
  let json: Json
  try {
    json = JSON.parse(text) as Json
  } catch (error) {
    throw new FactoryError('store_corrupt', "stored state can't be read: not JSON", undefined, { cause: error })
  }
  const value = fromJson(json, 0)
  // Catches doubled keys, odd number forms and stray spaces: one value has one text.
  if (encodeState(value) !== text) throw corrupt('not in canonical form')
  return value
}

function toJson(value: unknown, depth: number): Json {
  if (depth > MAX_DEPTH) throw unfit(`nested deeper than ${MAX_DEPTH}`)
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'undefined':
      return { $undefined: true }
    case 'bigint':
      return { $bigint: value.toString() }
    case 'number':
      if (!plainNumber(value)) throw unfit('a number that JSON does not carry')
      return value
    case 'object':
      return value === null ? null : objectToJson(value, depth)
    default:
      throw unfit(`a ${typeof value}`)
  }
}

function objectToJson(value: object, depth: number): Json {
  if (value instanceof Uint8Array) return { $bytes: bytesToHex(value) }
  // Array.from also visits holes, which come back as undefined.
  if (Array.isArray(value)) return Array.from(value, (v: unknown) => toJson(v, depth + 1))
  const proto: unknown = Object.getPrototypeOf(value)
  if (proto !== Object.prototype && proto !== null) throw unfit('an instance of a class')
  return Object.fromEntries(
    Object.entries(value).map(([k, v]) => [k.startsWith('$') ? `$${k}` : k, toJson(v, depth + 1)]),
  )
}

function fromJson(json: Json, depth: number): unknown {
  if (depth > MAX_DEPTH) throw corrupt(`nested deeper than ${MAX_DEPTH}`)
  if (typeof json === 'number' && !plainNumber(json)) throw corrupt('a number that JSON does not carry')
  if (json === null || typeof json !== 'object') return json
  if (Array.isArray(json)) return json.map((v) => fromJson(v, depth + 1))
  const entries = Object.entries(json)
  const tag = entries.find(([k]) => k.startsWith('$') && !k.startsWith('$$'))
  if (tag !== undefined) {
    if (entries.length !== 1) throw corrupt(`${tag[0]} is not alone`)
    return untag(tag[0], tag[1])
  }
  // fromEntries defines own properties, so a key `__proto__` is data and nothing else.
  return Object.fromEntries(entries.map(([k, v]) => [k.startsWith('$') ? k.slice(1) : k, fromJson(v, depth + 1)]))
}

/** NaN and the infinities have no JSON form, and -0 would come back as 0. */
const plainNumber = (n: number): boolean => Number.isFinite(n) && !Object.is(n, -0)

function untag(tag: string, json: Json): unknown {
  if (tag === '$undefined' && json === true) return undefined
  if (tag === '$bigint' && typeof json === 'string' && /^-?[0-9]+$/.test(json)) return BigInt(json)
  if (tag === '$bytes' && typeof json === 'string' && /^([0-9a-f]{2})*$/.test(json)) return hexToBytes(json)
  throw corrupt(`bad ${tag}`)
}
