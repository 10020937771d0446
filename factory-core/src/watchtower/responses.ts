/**
 * What must be answered on chain for one factory, as finished transactions. One source for each reason: a new kind of transaction (a sale,
 * a superseded state) adds a source to the list, and every watchtower learns it.
 */
import type { ClientState, LspState } from '../ceremony/index.js'
import { storedPath } from '../ceremony/client/path.js'
import { treeOf } from '../ceremony/lsp/factory.js'
import { signatureItem } from '../ceremony/spend-key.js'
import { CLOSE_TX_ITEM } from '../close/state.js'
import { lspDeadline } from '../exit/index.js'
import type { Context } from '../machine/index.js'
import { finalize } from '../tree/index.js'
import type { Spend } from '../tree/types.js'
import { blockHeight, type BlockHeight, type Txid } from '../units/index.js'
import type { Response } from './format.js'

/** What a source may draw from: one participant's view of one factory. */
export interface Known {
  /** All of the tree (LSP) or one's own path (client), parents before children. */
  readonly spends: readonly Spend[]
  readonly funding: Txid
  readonly expiry: BlockHeight
  /** From this height on the whole tree must be published, or the expiry gives everything away. The LSP's concern alone. */
  readonly deadline: BlockHeight | undefined
  /** With witness; undefined when its signature is not here. */
  readonly finished: (spend: Spend) => Uint8Array | undefined
  readonly item: Context['item']
}

export type Source = (known: Known) => readonly Response[]

/** Whoever publishes a kickoff, the latest state follows it: its output has no distribution. */
const latestStates: Source = ({ spends, finished }) =>
  spends.flatMap((leaf) => {
    const raw = leaf.role === 'leaf' ? finished(leaf) : undefined
    if (raw === undefined) return []
    const trigger = { when: 'confirmed', txid: leaf.prevout.outpoint.txid } as const
    return [{ id: leaf.id, trigger, transactions: [raw] }]
  })

/** From the expiry on, every shared output that is left pays the clients, and what it pays to several of them is divided. */
const distributions: Source = ({ spends, finished, funding, expiry }) =>
  spends.flatMap((spend) => {
    if (spend.role !== 'distribution') return []
    const chain = withDescendants(spend, spends).map(finished)
    if (chain.includes(undefined)) return []
    const parent = spend.prevout.outpoint.txid
    const trigger =
      parent === funding
        ? ({ when: 'height', height: expiry } as const)
        : ({ when: 'confirmed', txid: parent } as const)
    return [{ id: spend.id, trigger, transactions: chain as Uint8Array[] }]
  })

function withDescendants(spend: Spend, spends: readonly Spend[]): readonly Spend[] {
  const found = [spend]
  for (const next of spends) if (found.some((s) => s.tx.txid === next.prevout.outpoint.txid)) found.push(next)
  return found
}

/** An LSP that is not there at its deadline: all paths go on chain, where the channels are its own again. */
const paths: Source = ({ spends, finished, deadline }) => {
  if (deadline === undefined) return []
  const height = deadline
  const child = new Map(spends.filter((s) => s.class === 'child').map((s) => [s.tx.txid, s]))
  const upwards = (spend: Spend): Spend[] => {
    const parent = child.get(spend.prevout.outpoint.txid)
    return parent === undefined ? [spend] : [...upwards(parent), spend]
  }
  return spends.flatMap((leaf) => {
    if (leaf.role !== 'leaf') return []
    const path = upwards(leaf).map(finished)
    if (path.includes(undefined)) return []
    return [{ id: `path:${leaf.id}`, trigger: { when: 'height', height }, transactions: path as Uint8Array[] }]
  })
}

/** A close that all have signed is sent at once, and again until it confirms. */
const close: Source = ({ item }) => {
  const raw = item(CLOSE_TX_ITEM)
  return raw === undefined
    ? []
    : [{ id: 'close', trigger: { when: 'height', height: blockHeight(0) }, transactions: [raw] }]
}

/** Liquidity that was sold: once its leaf is on chain, before the LSP's branch of the stock opens. */
const sales: Source = ({ spends, finished }) => {
  const links = spends.filter((s) => s.role === 'chain')
  const made = new Set(links.map((s) => s.tx.txid))
  return links.flatMap((first) => {
    if (made.has(first.prevout.outpoint.txid)) return []
    const chain = withDescendants(first, links).map(finished)
    if (chain.includes(undefined)) return []
    const trigger = { when: 'confirmed', txid: first.prevout.outpoint.txid } as const
    return [{ id: first.id, trigger, transactions: chain as Uint8Array[] }]
  })
}

const SOURCES: readonly Source[] = [close, latestStates, sales, distributions, paths]

/**
 * Empty while nothing can be on chain, and when it is over for good.
 * @param sold what was signed of chains below stocks, parents before children
 */
export function responsesOf(
  state: LspState | ClientState,
  context: Context,
  sold: readonly Spend[],
): readonly Response[] {
  const known = knownOf(state, context)
  if (known === undefined) return []
  const all = { ...known, spends: [...known.spends, ...sold] }
  return SOURCES.flatMap((source) => source(all))
}

function knownOf(state: LspState | ClientState, context: Context): Known | undefined {
  const { item } = context
  const finished = (spend: Spend): Uint8Array | undefined => {
    const signature = item(signatureItem(spend.id))
    // A poison needs its preimage too: who has it makes it a response of its own.
    return signature === undefined || spend.role === 'poison' ? undefined : finalize(spend, signature)
  }
  if (state.role === 'client') {
    if (!['ready', 'active', 'closing', 'exiting', 'settled'].includes(state.stage) || !('salt' in state))
      return undefined
    const { spends } = storedPath(state, context)
    const funding = spends[0]?.prevout.outpoint.txid
    if (funding === undefined) return undefined
    return { spends, funding, expiry: blockHeight(state.invite.expiry), deadline: undefined, finished, item }
  }
  if (!('confirmedAt' in state)) return undefined
  const { spends } = treeOf(state, context)
  const deadline = lspDeadline(state)
  return { spends, funding: state.funding.txid, expiry: state.expiry, deadline, finished, item }
}
