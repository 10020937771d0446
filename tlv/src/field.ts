/** Fields: how one value is written and read. A message is a struct of fields, in the order in which they are listed. */
import { FactoryError } from './error.js'
import { Reader } from './reader.js'
import { decodeText, encodeText } from './text.js'
import { Writer } from './writer.js'

export interface Field<T> {
  write(writer: Writer, value: T): void
  /** @throws `FactoryError` with a `wire_` code. */
  read(reader: Reader): T
}

export const u8: Field<number> = { write: (w, v) => w.u8(v), read: (r) => r.u8() }
export const u16: Field<number> = { write: (w, v) => w.u16(v), read: (r) => r.u16() }
export const u32: Field<number> = { write: (w, v) => w.u32(v), read: (r) => r.u32() }
export const s64: Field<bigint> = { write: (w, v) => w.s64(v), read: (r) => r.s64() }

/** A field whose values must also pass `check`, both ways; it throws what is wrong. */
export const checked = <T>(field: Field<T>, check: (value: T) => void): Field<T> => ({
  write(w, v) {
    check(v)
    field.write(w, v)
  },
  read(r) {
    const v = field.read(r)
    check(v)
    return v
  },
})

const amount = (unit: string, max: bigint): Field<bigint> =>
  checked({ write: (w, v) => w.u64(v), read: (r) => r.u64() }, (v) => {
    if (v > max) throw new FactoryError('wire_value', `${v.toString()} ${unit} is more than 21 million bitcoin`)
  })

/** u64 satoshi; BOLT 1 bounds it by 21 million bitcoin. */
export const sat = amount('sat', 2_100_000_000_000_000n)
/** u64 millisatoshi, same bound. */
export const msat = amount('msat', 2_100_000_000_000_000_000n)

/** u32 block height: below the threshold from which nLockTime means a time. */
export const height = checked(u32, (v) => {
  if (v >= 500_000_000) throw new FactoryError('wire_value', `${v} is not a block height`)
})

/** Exactly `length` bytes, no prefix. */
export const fixed = (length: number): Field<Uint8Array> => ({
  write(w, v) {
    if (v.length !== length) throw new FactoryError('wire_length', `${v.length} bytes where ${length} are needed`)
    w.bytes(v)
  },
  read: (r) => r.bytes(length),
})

const isPoint = (v: Uint8Array, at = 0): boolean => v[at] === 2 || v[at] === 3

/** Compressed secp256k1 point, 33 bytes. The first byte is checked here, the curve by whoever uses it. */
export const point = checked(fixed(33), (v) => {
  if (!isPoint(v)) throw new FactoryError('wire_value', 'a compressed point starts with 02 or 03')
})

/** BIP-327 public nonce: two points, 66 bytes. */
export const publicNonce = checked(fixed(66), (v) => {
  if (!isPoint(v) || !isPoint(v, 33)) throw new FactoryError('wire_value', 'a nonce is two points, each 02 or 03 first')
})

/** BIP-327 aggregate nonce: as a public nonce, but either half may be the point at infinity, 33 zero bytes. */
export const aggregateNonce = checked(fixed(66), (v) => {
  for (const at of [0, 33]) {
    if (!isPoint(v, at) && v.subarray(at, at + 33).some((byte) => byte !== 0)) {
      throw new FactoryError('wire_value', 'half of an aggregate nonce is a point or 33 zero bytes')
    }
  }
})

/** Length prefix, then so many bytes, `min` to `max`. */
export const sized = (prefix: Field<number>, min: number, max: number): Field<Uint8Array> => {
  const length = checked(prefix, (n) => {
    if (n < min || n > max) throw new FactoryError('wire_limit', `${n} bytes where ${min} to ${max} are allowed`)
  })
  return {
    write(w, v) {
      length.write(w, v.length)
      w.bytes(v)
    },
    read: (r) => r.bytes(length.read(r)),
  }
}

/** Length prefix in bytes, then printable UTF-8. */
export const text = (prefix: Field<number>, min: number, max: number): Field<string> => {
  const bytes = sized(prefix, min, max)
  return {
    write: (w, v) => {
      bytes.write(w, encodeText(v))
    },
    read: (r) => decodeText(bytes.read(r)),
  }
}

/** Count, then so many items, `min` to `max`. */
export const list = <T>(prefix: Field<number>, item: Field<T>, min: number, max: number): Field<readonly T[]> => {
  const count = checked(prefix, (n) => {
    if (n < min || n > max) throw new FactoryError('wire_limit', `${n} items where ${min} to ${max} are allowed`)
  })
  return {
    write(w, v) {
      count.write(w, v.length)
      for (const value of v) item.write(w, value)
    },
    read: (r) => Array.from({ length: count.read(r) }, () => item.read(r)),
  }
}

/** Says in which field it happened. */
function within<T>(name: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (error instanceof FactoryError) throw new FactoryError(error.code, `${name}: ${error.message}`, error.hint)
    throw error
  }
}

/** Fields one after the other, in the order of the keys of `fields`. */
export const struct = <T extends object>(fields: { readonly [K in keyof T]: Field<T[K]> }): Field<T> => {
  const names = Object.keys(fields) as (keyof T & string)[]
  return {
    write(w, v) {
      for (const name of names)
        within(name, () => {
          fields[name].write(w, v[name])
        })
    },
    read(r) {
      const v: Partial<T> = {}
      for (const name of names) v[name] = within(name, () => fields[name].read(r))
      return v as T
    },
  }
}

/** The whole of `bytes` as one field. @throws `wire_length` when bytes follow. */
export function decodeField<T>(field: Field<T>, bytes: Uint8Array): T {
  const reader = new Reader(bytes)
  const value = field.read(reader)
  reader.end()
  return value
}

export function encodeField<T>(field: Field<T>, value: T): Uint8Array {
  const writer = new Writer()
  field.write(writer, value)
  return writer.finish()
}
