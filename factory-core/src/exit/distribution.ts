/**
 * At the expiry, whoever is there publishes the distributions: every shared output that is still unspent pays the clients alone. A client
 * gets its channel's capacity and its stock share, which is never less than its balance, so it does not wait for anybody.
 */
import { FactoryError } from '@ln-factory/tlv'
import type { ClientLive } from '../ceremony/client/forming.js'
import { fundingOf, livePath } from '../ceremony/client/running.js'
import type { ClientState, Distributable } from '../ceremony/client/state.js'
import { signatureItem } from '../ceremony/spend-key.js'
import { fromWire } from '../ceremony/terms.js'
import { restOf } from '../liquidity/chain.js'
import { clientChain } from '../liquidity/client/sales.js'
import { bumpOf } from '../fees/index.js'
import { settle, unsettle } from '../finality/client.js'
import type { Context, StepBuilder } from '../machine/index.js'
import { finalize } from '../tree/index.js'
import type { ClientPath, Spend } from '../tree/types.js'
import type { BlockHeight } from '../units/index.js'
import { exitSpends } from './plan.js'

type Builder = StepBuilder<ClientState>
type OnChain = Extract<ClientState, { stage: 'active' | 'closing' | 'exiting' }>

const isOnChain = (state: ClientState): state is OnChain =>
  state.stage === 'active' || state.stage === 'closing' || state.stage === 'exiting'

/** A distribution and the payouts that bring it to us, in order. */
type Chain = readonly Spend[]

/** `pathIds` order: each distribution is followed by its payouts. */
function chains(path: ClientPath, stock: Spend | undefined): Chain[] {
  const result: Spend[][] = []
  for (const spend of path.spends) {
    // Of a stock that was sold from, only the last rest is distributed: the one before holds the buyers' channels.
    const due = spend.role === 'distribution' && isOfStock([spend]) ? stock : spend
    if (spend.role === 'distribution' && due !== undefined) result.push([due])
    if (spend.role === 'payout') result.at(-1)?.push(spend)
  }
  return result
}

/** What distributes our stock: itself, or what the sales left of it, if anything. */
function ofStock(state: OnChain, context: Context, live: ClientLive): Spend | undefined {
  const chain = clientChain(state, context, live)
  return chain === undefined ? undefined : restOf(chain)?.distribution
}

/** Of a stock: what it pays comes on top of the channel, which it does not touch. */
const isOfStock = (chain: Chain): boolean => chain[0]?.key.path === 'key' && chain[0].key.merkleRoot !== undefined

/** Sent again on every block from the expiry on. What spends an output that is gone is refused by the node, and harmless. */
export function advanceDistribution(step: Builder, context: Context, live: ClientLive, height: BlockHeight): void {
  const { state } = step
  // Who has moved has been paid: what the distribution would give is the LSP's.
  if (!isOnChain(state) || height < state.invite.expiry || state.move?.moved === true) return
  const path = livePath(state, context, live)
  const funding = fundingOf(path).txid
  const published = exitSpends(path).some((s) => state.seen[s.tx.txid] !== undefined)
  for (const chain of chains(path, ofStock(state, context, live))) {
    const next = chain.find((s) => state.seen[s.tx.txid] === undefined)
    if (next === undefined) continue
    const parent = next.prevout.outpoint.txid
    // The funding is there until the tree spends it; any other output once its transaction is in a block.
    if (parent === funding ? published : state.seen[parent] === undefined) continue
    const signature = context.item(signatureItem(next.id))
    if (signature === undefined) throw new FactoryError('store_corrupt', `the signature of ${next.id} is missing`)
    const bump = bumpOf(next, fromWire(state.invite.params).confirmationMargin)
    step.call({ call: 'broadcast', tx: finalize(next, signature), txid: next.tx.txid, bump })
  }
}

/** Everything below a distributed output has been paid out: our channel can't appear on chain unless that is reorganised. */
export function settleWhenDistributed(step: Builder, context: Context, live: ClientLive): void {
  const { state } = step
  if (!isOnChain(state)) return
  const at = distributedAt(livePath(state, context, live), state)
  if (at === undefined) return
  settle(step, state, { how: 'distribution', from: stageOf(state) }, at, 'the distribution has paid us')
}

export function onDistributionUnconfirmed(step: Builder, context: Context, live: ClientLive): void {
  const { state } = step
  if (state.stage !== 'settled' || state.how !== 'distribution') return
  if (distributedAt(livePath(state, context, live), state) === undefined)
    unsettle(step, 'the distribution was reorganised out of the chain')
}

/** Height of the block in which the last transaction of a distribution that replaces our channel was seen. */
function distributedAt(path: ClientPath, { seen }: ClientState): BlockHeight | undefined {
  for (const chain of chains(path, undefined)) {
    const heights = chain.flatMap((s) => seen[s.tx.txid] ?? [])
    if (!isOfStock(chain) && heights.length === chain.length) return heights.reduce((a, b) => (a > b ? a : b))
  }
  return undefined
}

function stageOf(state: OnChain): Distributable {
  switch (state.stage) {
    case 'active':
      return { stage: state.stage, confirmedAt: state.confirmedAt }
    case 'closing':
      return { stage: state.stage, confirmedAt: state.confirmedAt, close: state.close }
    case 'exiting':
      return { stage: state.stage, exit: state.exit }
  }
}
