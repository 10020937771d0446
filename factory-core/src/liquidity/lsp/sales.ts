/** What the LSP's rules of a sale share: the sales of a state, their chains, and giving one up. */
import { clipText, FactoryError, type SaleAbort } from '@ln-factory/tlv'
import { participantAt, treeOf } from '../../ceremony/lsp/factory.js'
import type { LspLive } from '../../ceremony/lsp/forming.js'
import type { Funded, LspBase, LspState } from '../../ceremony/lsp/state.js'
import { temporaryNodeFailure } from '../../htlc/index.js'
import { idBytes, type Context, type StepBuilder } from '../../machine/index.js'
import type { ChainLink } from '../../tree/index.js'
import type { NodeId, ParticipantIndex, Sat } from '../../units/index.js'
import { chainsOf, clientsOf, nextLink, NO_CHAIN, type Chain } from '../chain.js'
import { noLspSales, type LspProposed, type LspSales, type LspSigned, type LspUnsigned } from '../state.js'

export type Builder = StepBuilder<LspState>
export type Active = Extract<LspState, { stage: 'active' }>
export type WithTree = LspBase & Funded

export const salesOf = (state: LspBase): LspSales => state.sales ?? noLspSales

export function setSales(step: Builder, change: Partial<LspSales>): void {
  step.to({ ...step.state, sales: { ...salesOf(step.state), ...change } })
}

export function setPending(step: Builder, before: LspUnsigned, after: LspUnsigned | undefined): void {
  const pending = salesOf(step.state).pending.flatMap((p) => (p.stock === before.stock ? (after ?? []) : p))
  setSales(step, { pending })
}

export function setSigned(step: Builder, before: LspSigned, after: LspSigned): void {
  setSales(step, { signed: salesOf(step.state).signed.map((s) => (s === before ? after : s)) })
}

/** Of every stock, with what was sold of it. */
export const lspChains = (state: WithTree, context: Context, live: LspLive): readonly Chain[] =>
  chainsOf(state.params, (live.tree ??= treeOf(state, context)).spends, salesOf(state).signed)

export function chainNamed(chains: readonly Chain[], name: string): Chain {
  const chain = chains.find((c) => c.name === name)
  if (chain === undefined) throw new FactoryError('wrong_state', `the factory has no stock ${name} any more`)
  return chain
}

/** The link that a proposed sale is going to be. */
export function proposedLink(state: WithTree, context: Context, live: LspLive, sale: LspProposed): ChainLink {
  const chain = chainNamed(lspChains(state, context, live), sale.stock)
  return nextLink(state.params, chain, salesOf(state).signed, sale)
}

export const nodeOf = (state: LspBase, participant: ParticipantIndex): NodeId => {
  const client = state.clients[participant - 1]
  if (client === undefined) throw new FactoryError('internal', `no client ${participant}`)
  return client.id
}

export const participantOf = (state: LspState, peer: NodeId): ParticipantIndex =>
  participantAt(state.clients.findIndex((c) => c.id === peer))

/** Nodes that share the stock of a sale. */
export function partiesOf(state: LspState, context: Context, live: LspLive, stock: string): readonly NodeId[] {
  if (!('funding' in state) || state.funding === undefined) return []
  const chain = lspChains({ ...state, funding: state.funding }, context, live).find((c) => c.name === stock)
  return chain === undefined ? [] : clientsOf(chain.stock).map((i) => nodeOf(state, i))
}

/** @param chainTxid of the proposal, which is the channel's id too */
export function sendSaleAbort(step: Builder, peer: NodeId, reason: string, chainTxid: Uint8Array = NO_CHAIN): void {
  const { instance } = step.state
  step.send(peer, { kind: 'sale_abort', instanceId: idBytes(instance), chainTxid, reason: clipText(reason, 500) })
}

/** Fails the HTLC that pays for it, if it is there. */
export function refund(step: Builder, live: LspLive, hash: string, reason: string): void {
  const held = live.payments.get(hash)
  if (held === undefined) return
  live.payments.delete(hash)
  const decision = { kind: 'fail', failure: temporaryNodeFailure(), reason } as const
  step.effect({ do: 'answerHtlc', htlc: held.id, decision })
}

/** Before anything binds: the channel is forgotten, and nobody has lost anything. */
export function giveUp(step: Builder, context: Context, live: LspLive, sale: LspUnsigned, error: FactoryError): void {
  if (sale.step === 'binding') throw new FactoryError('internal', 'a sale that binds is not given up')
  const { state } = step
  const { code, message: reason } = error
  const { strays, failures } = salesOf(state)
  const channelId = sale.step === 'proposed' ? sale.channelId : undefined
  setPending(step, sale, undefined)
  setSales(step, {
    strays: channelId === undefined ? strays : [...strays, channelId],
    failures: [...failures.filter((f) => f.buyer !== sale.buyer), { buyer: sale.buyer, code, reason }],
  })
  step.log('warning', `sale to client ${sale.buyer} given up: ${reason}`)
  live.rounds.delete(sale.stock)
  const buyer = nodeOf(state, sale.buyer)
  if (sale.step !== 'offered') {
    refund(step, live, sale.payment.hash, reason)
    // The abort may be faster than the host: what it opens since is undone when it tells.
    if (sale.step === 'opening' && sale.channelScript === undefined) live.lateOpens.add(buyer)
    const channels = channelId === undefined ? [] : [{ peer: buyer, channelId }]
    step.call({ call: 'cleanUp', opens: [buyer], channels, funding: undefined })
  }
  if (sale.step !== 'proposed') return sendSaleAbort(step, buyer, reason)
  const chainTxid = Uint8Array.from(Buffer.from(sale.channelId, 'hex'))
  for (const peer of partiesOf(state, context, live, sale.stock)) sendSaleAbort(step, peer, reason, chainTxid)
}

/** All that can be given up is. */
export function giveUpAll(step: Builder, context: Context, live: LspLive, error: FactoryError): void {
  for (const sale of salesOf(step.state).pending) if (sale.step !== 'binding') giveUp(step, context, live, sale, error)
}

/** Channels that were sold and are backed: each with its buyer. */
export const soldChannels = (
  state: LspBase,
): readonly { readonly peer: NodeId; readonly channelId: string; readonly capacity: Sat; readonly live: boolean }[] =>
  salesOf(state).signed.map(({ buyer, channelId, capacity, live }) => ({
    peer: nodeOf(state, buyer),
    channelId,
    capacity,
    live,
  }))

/** A pending open dies with the connection, and so do nonces. */
export function onSaleDisconnected(step: Builder, context: Context, live: LspLive, peer: NodeId): void {
  const gone = new FactoryError('peer_offline', `client ${peer} disconnected`)
  for (const sale of salesOf(step.state).pending) {
    const concerned =
      nodeOf(step.state, sale.buyer) === peer || partiesOf(step.state, context, live, sale.stock).includes(peer)
    if (!concerned) continue
    if (sale.step === 'binding') live.rounds.delete(sale.stock)
    else giveUp(step, context, live, sale, gone)
  }
}

/** A client does not agree. What binds is kept, and shown. */
export function onSaleAbort(step: Builder, context: Context, live: LspLive, peer: NodeId, message: SaleAbort): void {
  const about = Buffer.from(message.chainTxid).toString('hex')
  const any = message.chainTxid.every((byte) => byte === 0)
  for (const sale of salesOf(step.state).pending) {
    const channelId = 'channelId' in sale ? sale.channelId : undefined
    if (!partiesOf(step.state, context, live, sale.stock).includes(peer)) continue
    if (!any && about !== channelId) continue
    const refused = new FactoryError('policy_refused', `client ${peer}: ${message.reason}`)
    if (sale.step !== 'binding') giveUp(step, context, live, sale, refused)
    else step.to({ ...step.state, notice: `sale to client ${sale.buyer} not signed: ${refused.message}` })
  }
}

/** The factory is closing, or leaves for the chain: nothing new is sold, and what is held for what is not delivered goes back. */
export function leaveSales(step: Builder, context: Context, live: LspLive): void {
  giveUpAll(step, context, live, new FactoryError('wrong_state', `the factory is ${step.state.stage}`))
  const { pending, signed } = salesOf(step.state)
  for (const sale of [...pending, ...signed]) {
    if (sale.step === 'offered' || (sale.step === 'signed' && sale.preimage !== undefined)) continue
    refund(step, live, sale.payment.hash, `the factory is ${step.state.stage}`)
  }
}

/** The same with their links, and how many chain transactions are above each. */
export function soldLinks(
  state: WithTree,
  context: Context,
  live: LspLive,
): readonly { readonly sale: LspSigned; readonly link: ChainLink; readonly depth: number }[] {
  const { signed } = salesOf(state)
  if (signed.length === 0) return []
  return lspChains(state, context, live).flatMap((chain) => {
    const sold = signed.filter((s) => s.stock === chain.name)
    return chain.links.flatMap((link, i) => {
      const sale = sold[i]
      return sale === undefined ? [] : [{ sale, link, depth: i + 1 }]
    })
  })
}

/** Most chain transactions of one stock. */
export function longestChain(state: LspBase): number {
  const lengths = new Map<string, number>()
  for (const { stock } of salesOf(state).signed) lengths.set(stock, (lengths.get(stock) ?? 0) + 1)
  return Math.max(0, ...lengths.values())
}
