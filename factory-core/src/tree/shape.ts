/**
 * The shape of the tree: which clients are below which output. It follows from the parameters and the number of clients alone,
 * so nobody has to be told. Clients are numbered by position (participant index less one) and stay in order; every group is a
 * range of positions.
 */
import type { TreeParams } from './types.js'

/** Clients `from` to `to - 1`, and how they divide further. A single client has no children. */
export interface Group {
  readonly from: number
  readonly to: number
  readonly children: readonly Group[]
}

/** Clients that share a stock; at most k of them. */
export interface StockGroup extends Group {
  readonly leaf: number
  readonly number: number
}

export interface LeafGroup extends Group {
  readonly kind: 'leaf'
  readonly path: string
  readonly number: number
  readonly stocks: readonly StockGroup[]
}

/** At least two leaves, under one fan-out transaction. */
export interface StaticGroup extends Group {
  readonly kind: 'static'
  readonly path: string
  readonly children: readonly TreeGroup[]
}

/** `path` is `0` for the root, `0.2.1` for the second child of its third child. */
export type TreeGroup = StaticGroup | LeafGroup

export const ROOT = '0'

export const sizeOf = (group: Group): number => group.to - group.from
export const holds = (group: Group, position: number): boolean => group.from <= position && position < group.to

/** Leaves that `clients` clients need when each takes k^2. */
export const leafCount = (arity: number, clients: number): number => Math.ceil(clients / arity ** 2)

/** Static levels above `leaves` leaves: the least that a fan-out of `fanout` allows. */
export function levelsFor(leaves: number, fanout: number): number {
  let levels = 0
  for (let reach = 1; reach < leaves; reach *= fanout) levels++
  return levels
}

type Range = readonly [from: number, to: number]

/** Bounds of `parts` consecutive ranges over [from, to) whose sizes differ by at most one, the larger first. */
function divide(from: number, to: number, parts: number): Range[] {
  const size = Math.floor((to - from) / parts)
  const larger = (to - from) % parts
  let next = from
  return Array.from({ length: parts }, (_, i) => {
    const start = next
    next += size + (i < larger ? 1 : 0)
    return [start, next]
  })
}

const single = (from: number): Group => ({ from, to: from + 1, children: [] })
const singles = (from: number, to: number): Group[] => Array.from({ length: to - from }, (_, i) => single(from + i))

function leafGroup(number: number, path: string, [from, to]: Range, params: TreeParams): LeafGroup {
  const stocks = params.stockPerClient === 0n ? 0 : Math.ceil((to - from) / params.arity)
  const stock = ([a, b]: Range, i: number): StockGroup => ({
    leaf: number,
    number: i,
    from: a,
    to: b,
    children: singles(a, b),
  })
  return {
    kind: 'leaf',
    number,
    path,
    from,
    to,
    children: singles(from, to),
    stocks: stocks === 0 ? [] : divide(from, to, stocks).map(stock),
  }
}

export interface Shape {
  readonly root: TreeGroup
  /** By number. */
  readonly leaves: readonly LeafGroup[]
}

/** Shape of a checked parameter set and a checked number of clients. */
export function shapeOf(params: TreeParams, clients: number): Shape {
  const { arity, fanout } = params
  const leaves: LeafGroup[] = []
  // Fewest children that keep the depth least, evenly filled: this gives the fewest transactions and shared outputs.
  const above = (ranges: readonly Range[], path: string): TreeGroup => {
    const [first] = ranges
    const last = ranges.at(-1)
    if (first === undefined || last === undefined) throw new RangeError('every group has a client')
    if (ranges.length === 1) {
      const leaf = leafGroup(leaves.length, path, first, params)
      leaves.push(leaf)
      return leaf
    }
    const reach = fanout ** (levelsFor(ranges.length, fanout) - 1)
    const parts = divide(0, ranges.length, Math.ceil(ranges.length / reach))
    const children = parts.map(([a, b], i) => above(ranges.slice(a, b), `${path}.${i}`))
    return { kind: 'static', path, from: first[0], to: last[1], children }
  }
  const root = above(divide(0, clients, leafCount(arity, clients)), ROOT)
  return { root, leaves }
}

/** Most outputs of one distribution or payout, before the anchor. */
const MAX_ENTRIES = 16

/**
 * Whom a distribution of `group`'s output pays: its children, theirs, and so on, as long as the list stays short. So one client
 * handles a number of outputs that grows with the depth of the tree only. What is left with several clients is paid to
 * them jointly, and a payout divides it the same way.
 */
export function entriesOf(group: Group): readonly Group[] {
  let entries: readonly Group[] = [group]
  for (;;) {
    const next = entries.flatMap((entry) => (sizeOf(entry) === 1 ? [entry] : entry.children))
    if (next.length === entries.length || (next.length > MAX_ENTRIES && entries[0] !== group)) return entries
    entries = next
  }
}
