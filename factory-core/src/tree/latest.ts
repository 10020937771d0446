/** The tree and the path as they stand after updates: the latest state of a leaf in the place of the first. */
import type { ParticipantIndex } from '../units/index.js'
import { positionOf } from './participants.js'
import type { LeafState } from './state.js'
import type { ClientPath, FactoryTree, Spend } from './types.js'

/** What of the LSP's tree is asked for after its ceremony. */
export type LiveTree = Pick<FactoryTree, 'spec' | 'fundingScript' | 'spends' | 'channel' | 'leafOf'>

/** Poison and distribution of a stock spend an output of the leaf. */
const isBelow = (spend: Spend, leaf: Spend): boolean => spend.prevout.outpoint.txid === leaf.tx.txid

/** `spends` with `first`, and what spends it, replaced. Each stock's spends stay in their order. */
function replaced(spends: readonly Spend[], first: Spend, state: LeafState): Spend[] {
  const later = [...state.stocks]
  return spends.flatMap((spend) => {
    if (spend === first) return [state.leaf]
    if (!isBelow(spend, first)) return [spend]
    const next = later.shift()
    return next === undefined ? [] : [next]
  })
}

/** @param client whose path it is */
export function pathInState(path: ClientPath, state: LeafState, client: ParticipantIndex): ClientPath {
  const first = path.spends.find((s) => s.role === 'leaf')
  if (first === undefined) return path
  return {
    ...path,
    spends: replaced(path.spends, first, state),
    channel: state.channel(positionOf(client)),
  }
}

/** @param states by number of the leaf; leaves without one are in their first state */
export function treeInStates(tree: FactoryTree, states: ReadonlyMap<number, LeafState>): LiveTree {
  let spends = tree.spends
  for (const [leaf, state] of states) {
    const first = tree.spends.find((s) => s.id === `leaf:${leaf}`)
    if (first !== undefined) spends = replaced(spends, first, state)
  }
  return {
    spec: tree.spec,
    fundingScript: tree.fundingScript,
    spends,
    leafOf: (client) => tree.leafOf(client),
    channel: (client) => states.get(tree.leafOf(client))?.channel(positionOf(client)) ?? tree.channel(client),
  }
}
