/** Random changes to data of any shape: types stay, values don't. */
import fc, { type Arbitrary } from 'fast-check'

/** A number of choices, for one mutation after the other. */
export type Dice = (below: number) => number

export const diceArb: Arbitrary<Dice> = fc.infiniteStream(fc.nat({ max: 0x7fffffff })).map((stream) => {
  return (below: number): number => {
    const { value } = stream.next() as { value: number }
    return value % below
  }
})

const BIGINTS = [0n, 1n, -1n, 546n, 2_100_000_000_000_000n, (1n << 63n) - 1n]
const NUMBERS = [0, 1, 2, 0xffff, 0xffffffff, 499_999_999]

/** A copy with about one leaf in `rarity` changed. Instances of classes are passed through as they are. */
export function mutated<T>(value: T, dice: Dice, rarity = 6): T {
  return change(value, dice, rarity) as T
}

function change(value: unknown, dice: Dice, rarity: number): unknown {
  const hit = dice(rarity) === 0
  switch (typeof value) {
    case 'bigint':
      return hit ? (BIGINTS[dice(BIGINTS.length + 1)] ?? value + 1n) : value
    case 'number':
      return hit ? (NUMBERS[dice(NUMBERS.length + 2)] ?? (dice(2) === 0 ? value + 1 : Math.max(0, value - 1))) : value
    case 'boolean':
      return hit ? !value : value
    case 'string':
      // Names are the machine's own; hex comes from outside.
      return hit && /^[0-9a-f]{64,}$/.test(value) ? flipHex(value, dice) : value
    case 'object':
      return value === null ? value : changeObject(value, dice, rarity, hit)
    default:
      return value
  }
}

function changeObject(value: object, dice: Dice, rarity: number, hit: boolean): unknown {
  if (value instanceof Uint8Array) {
    if (!hit || value.length === 0) return value
    const bytes = Uint8Array.from(value)
    const at = dice(bytes.length)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << dice(8))
    return dice(4) === 0 ? bytes.slice(0, at) : bytes
  }
  if (Array.isArray(value)) {
    const items = value.map((v: unknown) => change(v, dice, rarity))
    if (!hit || items.length === 0) return items
    const at = dice(items.length)
    return dice(2) === 0 ? items.filter((_, i) => i !== at) : [...items, items[at]]
  }
  const proto: unknown = Object.getPrototypeOf(value)
  if (proto !== Object.prototype && proto !== null) return value
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, change(v, dice, rarity)]))
}

function flipHex(value: string, dice: Dice): string {
  const at = dice(value.length)
  return value.slice(0, at) + (value[at] === '0' ? '1' : '0') + value.slice(at + 1)
}
