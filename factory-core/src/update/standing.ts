/** Trees and paths in the state that counts: built again from terms that were checked before they were stored. */
import { FactoryError } from '@ln-factory/tlv'
import { storedProposal } from '../ceremony/client/path.js'
import type { ClientBase, Joined } from '../ceremony/client/state.js'
import { accepted } from '../ceremony/lsp/factory.js'
import type { LspBase } from '../ceremony/lsp/state.js'
import { fromWire } from '../ceremony/terms.js'
import type { Context } from '../machine/index.js'
import {
  buildLeafState,
  FactoryKeys,
  leafPlaceOf,
  pathInState,
  treeInStates,
  type LeafPlace,
  type LeafState,
  type LeafStateSpec,
  type LeafTerms,
  type LiveTree,
} from '../tree/index.js'
import type { ClientPath, FactoryTree, Spend } from '../tree/types.js'
import { blockHeight, participantIndex } from '../units/index.js'
import { standing, type LeafChoice } from './state.js'

const NONE: readonly LeafChoice[] = []
export const choicesOf = (state: Pick<LspBase, 'leaves'>, leaf: number): readonly LeafChoice[] =>
  state.leaves[String(leaf)] ?? NONE

function kickoffOutput(spends: readonly Spend[], leaf: number): LeafStateSpec['kickoff'] {
  const kickoff = spends.find((s) => s.id === `kickoff:${leaf}`)
  const [out] = kickoff?.tx.outputs ?? []
  if (kickoff === undefined || out === undefined) throw new FactoryError('internal', `no kickoff of leaf ${leaf}`)
  return { outpoint: { txid: kickoff.tx.txid, vout: 0 }, ...out }
}

/** The whole state, as the LSP has it. */
export function lspLeafState(
  state: LspBase,
  tree: Pick<FactoryTree, 'spends'>,
  keys: FactoryKeys,
  leaf: number,
  terms: LeafTerms,
): LeafState {
  return buildLeafState({
    params: state.params,
    expiry: state.expiry,
    keys,
    leaf,
    kickoff: kickoffOutput(tree.spends, leaf),
    terms,
    payoutScript: (position) => {
      const client = state.clients[position]
      return client === undefined ? undefined : accepted(client).payoutScript
    },
  })
}

/** Each leaf in the state that is on chain, or else in its latest. */
export function standingTree(state: LspBase, tree: FactoryTree, keys: FactoryKeys): LiveTree {
  const states = new Map<number, LeafState>()
  for (const [leaf, choices] of Object.entries(state.leaves)) {
    const choice = standing(choices, state.seen)
    if (choice?.terms !== undefined)
      states.set(Number(leaf), lspLeafState(state, tree, keys, Number(leaf), choice.terms))
  }
  return states.size === 0 ? tree : treeInStates(tree, states)
}

/** Where a client is. */
export function placeOf(state: ClientBase, context: Context): LeafPlace & { readonly position: number } {
  const position = storedProposal(context).clientIndex - 1
  return { position, ...leafPlaceOf(fromWire(state.invite.params), state.invite.clients, position) }
}

/** A state of the client's leaf: the leaf, and what spends its own stock. `path`: in any state. */
export function clientLeafState(
  state: ClientBase & Joined,
  context: Context,
  path: ClientPath,
  terms: LeafTerms,
  keys = new FactoryKeys(storedProposal(context).keys),
): LeafState {
  const place = placeOf(state, context)
  const mates = place.stocks.find((s) => s.includes(place.position)) ?? []
  // Who shares our stock, and where it is paid, is in the poison that we signed at the start.
  const poison = path.spends.find((s) => s.role === 'poison')
  return buildLeafState({
    params: fromWire(state.invite.params),
    expiry: blockHeight(state.invite.expiry),
    keys,
    leaf: place.leaf,
    kickoff: kickoffOutput(path.spends, place.leaf),
    terms,
    payoutScript: (position) => {
      const at = mates.indexOf(position)
      return at < 0 ? undefined : poison?.tx.outputs[at]?.script
    },
  })
}

/** The path in the state that is on chain, or else in the latest. `first`: as the tree was built. */
export function standingPath(state: ClientBase & Joined, context: Context, first: ClientPath): ClientPath {
  const terms = standing(state.leaf, state.seen)?.terms
  if (terms === undefined) return first
  const leafState = clientLeafState(state, context, first, terms)
  return pathInState(first, leafState, participantIndex(storedProposal(context).clientIndex))
}
