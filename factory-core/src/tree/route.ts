/**
 * A client's route: every transaction that it signs, in the canonical order in which nonces, signatures and siblings travel.
 * First from the funding to its leaf; then poison and distribution of its stock; then, for each shared output from the funding
 * down, the distribution and the payouts between it and the client.
 */
import {
  distributionId,
  FIRST_STATE,
  kickoffId,
  leafId,
  payoutId,
  payoutName,
  poisonId,
  sharedName,
  staticId,
  stockName,
} from './names.js'
import {
  entriesOf,
  holds,
  sizeOf,
  type Group,
  type LeafGroup,
  type Shape,
  type StaticGroup,
  type StockGroup,
} from './shape.js'

interface StepOf<Kind extends string, G extends Group> {
  readonly kind: Kind
  readonly id: string
  /** Those below the output that is spent. */
  readonly group: G
  /** Outputs that the client knows by itself, ascending: its own next one, and in a leaf its stock. */
  readonly own: readonly number[]
}

export type ChildStep = StepOf<'static', StaticGroup> | StepOf<'kickoff', LeafGroup> | StepOf<'leaf', LeafGroup>
export type StockStep =
  StepOf<'poison', StockGroup> | (StepOf<'stockDistribution', StockGroup> & { readonly name: string })
export type EntriesStep = StepOf<'distribution' | 'payout', Group> & {
  readonly name: string
  readonly entries: readonly Group[]
  /** The one that the client is in. */
  readonly entry: Group
}
export type Step = ChildStep | StockStep | EntriesStep

function find<G extends Group>(groups: readonly G[], position: number): { readonly index: number; readonly group: G } {
  const index = groups.findIndex((g) => holds(g, position))
  const group = groups[index]
  if (group === undefined) throw new RangeError(`no client at position ${position}`)
  return { index, group }
}

/** The stock that `position` shares; undefined when the factory has none. */
export const stockOf = (leaf: LeafGroup, position: number): StockGroup | undefined =>
  leaf.stocks.length === 0 ? undefined : find(leaf.stocks, position).group

/** The leaf that `position` is in. */
export const leafAt = (shape: Shape, position: number): LeafGroup => find(shape.leaves, position).group

function childSteps(root: StaticGroup | LeafGroup, position: number): ChildStep[] {
  if (root.kind === 'static') {
    const { index, group } = find(root.children, position)
    return [{ kind: 'static', id: staticId(root), group: root, own: [index] }, ...childSteps(group, position)]
  }
  const stock = stockOf(root, position)
  const channel = position - root.from
  const own = stock === undefined ? [channel] : [channel, sizeOf(root) + stock.number]
  return [
    { kind: 'kickoff', id: kickoffId(root), group: root, own: [0] },
    { kind: 'leaf', id: leafId(root, FIRST_STATE), group: root, own },
  ]
}

function stockSteps(stock: StockGroup, position: number): StockStep[] {
  const own = [find(stock.children, position).index]
  const name = stockName(stock, FIRST_STATE)
  return [
    { kind: 'poison', id: poisonId(stock, FIRST_STATE), group: stock, own },
    { kind: 'stockDistribution', id: distributionId(name), name, group: stock, own },
  ]
}

function entriesSteps(kind: EntriesStep['kind'], name: string, group: Group, position: number): EntriesStep[] {
  const entries = entriesOf(group)
  const { index, group: entry } = find(entries, position)
  const id = kind === 'distribution' ? distributionId(name) : payoutId(name)
  const step: EntriesStep = { kind, id, name, group, entries, entry, own: [index] }
  return sizeOf(entry) === 1 ? [step] : [step, ...entriesSteps('payout', payoutName(name, index), entry, position)]
}

/** Steps of the client at `position`. */
export function routeOf(shape: Shape, position: number): Step[] {
  const children = childSteps(shape.root, position)
  const stock = stockOf(leafAt(shape, position), position)
  return [
    ...children,
    ...(stock === undefined ? [] : stockSteps(stock, position)),
    ...children.flatMap((step) =>
      step.kind === 'leaf' ? [] : entriesSteps('distribution', sharedName(step.group), step.group, position),
    ),
  ]
}
