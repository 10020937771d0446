/** A sale from the first word to the proposal, LSP side. */
import { FactoryError, type SaleAccept, type SaleRequest } from '@ln-factory/tlv'
import { clientPosition, participantAt } from '../../ceremony/lsp/factory.js'
import type { LspLive } from '../../ceremony/lsp/forming.js'
import { isForming, type LspState } from '../../ceremony/lsp/state.js'
import { lastHtlcHeight } from '../../htlc/index.js'
import { idBytes, type Context, type HostCall, type OperatorOrder } from '../../machine/index.js'
import { checkSold, MAX_EARLY_WARNING } from '../../tree/index.js'
import { msat, sat, type Msat, type NodeId, type ParticipantIndex, type Sat } from '../../units/index.js'
import { channelIdOf, clientsOf, nextLink, restOf, warningAt, type Chain } from '../chain.js'
import { checkSale, priceOf } from '../price.js'
import type { LspUnsigned } from '../state.js'
import { startRound } from './sign.js'
import {
  chainNamed,
  giveUp,
  lspChains,
  nodeOf,
  participantOf,
  salesOf,
  sendSaleAbort,
  setPending,
  setSales,
  type Builder,
} from './sales.js'

type Opening = Extract<LspUnsigned, { step: 'opening' }>

export function onSaleRequest(
  step: Builder,
  context: Context,
  live: LspLive,
  peer: NodeId,
  message: SaleRequest,
): void {
  const { state } = step
  try {
    const capacity = sat(message.capacity)
    const { sales } = context.policy
    const before = pendingOf(step, participantOf(state, peer))
    if (before?.step === 'offered' && before.capacity === capacity) return // asked twice
    checkSale(sales, peer, capacity)
    const price = priceOf(sales, capacity, state.expiry - context.height)
    if (price > message.maxPrice)
      throw new FactoryError('policy_refused', `the price is ${price} msat, more than the ${message.maxPrice} offered`)
    offer(step, context, live, { buyer: participantOf(state, peer), capacity, price })
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    step.remark(`sale to ${peer} refused: ${error.message}`)
    sendSaleAbort(step, peer, error.hint === undefined ? error.message : `${error.message}: ${error.hint}`)
  }
}

/** Ordered again, a sale that binds goes on with those who are there. */
export function onSellOrder(
  step: Builder,
  context: Context,
  live: LspLive,
  order: Extract<OperatorOrder, { order: 'sell' }>,
): void {
  const { state } = step
  const position = clientPosition(state, order.client)
  if (position < 0) throw new FactoryError('bad_parameter', `${order.client} is no client of this factory`)
  const buyer = participantAt(position)
  const bound = salesOf(state).pending.find((p) => p.step === 'binding' && p.buyer === buyer)
  if (bound?.step === 'binding' && bound.capacity === order.capacity) {
    step.to({ ...state, notice: undefined })
    return startRound(step, context, live, bound)
  }
  const price = order.price ?? priceOf(context.policy.sales, order.capacity, state.expiry - context.height)
  offer(step, context, live, { buyer, capacity: order.capacity, price })
}

interface Offer {
  readonly buyer: ParticipantIndex
  readonly capacity: Sat
  readonly price: Msat
}

/** @throws FactoryError saying why this can't be sold now */
function offer(step: Builder, context: Context, live: LspLive, { buyer, capacity, price }: Offer): void {
  const { state } = step
  if (state.stage !== 'active') throw new FactoryError('wrong_state', `the factory is ${state.stage}`)
  if (Object.keys(state.seen).length > 0 || state.exit !== undefined)
    throw new FactoryError('wrong_state', 'part of the tree is on chain: nothing is sold of it any more')
  const chain = lspChains(state, context, live).find((c) => clientsOf(c.stock).includes(buyer))
  if (chain === undefined) throw new FactoryError('wrong_state', 'this factory was made without stocks')
  const { pending, failures } = salesOf(state)
  if (pending.some((p) => p.stock === chain.name))
    throw new FactoryError('channel_busy', 'another sale of this stock is under way', 'Try again when it is over.')
  const rest = restOf(chain)
  if (rest === undefined) throw new FactoryError('insufficient_funds', 'the stock is sold out')
  checkSold(state.params, rest, capacity)
  const earlyWarning = warningOf(step, chain)
  if (earlyWarning > MAX_EARLY_WARNING)
    throw new FactoryError('early_warning_unpayable', `W of the channel would be ${earlyWarning} blocks`)
  if (lastHtlcHeight(state.expiry, earlyWarning, state.params.confirmationMargin) <= context.height)
    throw new FactoryError('wrong_state', 'the factory is too near to its end for another channel')
  for (const i of clientsOf(chain.stock))
    if (!context.connected(nodeOf(state, i)))
      throw new FactoryError(
        'peer_offline',
        `client ${nodeOf(state, i)}, who shares the stock and has to sign, is not connected`,
      )
  setSales(step, {
    pending: [...pending, { step: 'offered', stock: chain.name, buyer, capacity, price }],
    failures: failures.filter((f) => f.buyer !== buyer),
  })
  step.log('sent', `channel of ${capacity} sat offered to client ${buyer} for ${price} msat`)
  step.send(nodeOf(state, buyer), {
    kind: 'sale_offer',
    instanceId: idBytes(state.instance),
    capacity,
    price,
    earlyWarning,
  })
  awaitAnswers(step)
}

const warningOf = ({ state }: Builder, chain: Chain): ReturnType<typeof warningAt> =>
  warningAt(state.earlyWarning, state.params.confirmationMargin, chain.links.length + 1)

/** One timer for all sales: whichever is not bound when it rings is given up. */
export const awaitAnswers = (step: Builder): void => {
  step.effect({ do: 'timer', name: 'sale', seconds: step.state.stepTimeout })
}

const pendingOf = (step: Builder, buyer: ParticipantIndex): LspUnsigned | undefined =>
  salesOf(step.state).pending.find((p) => p.buyer === buyer)

export function onSaleAccept(step: Builder, peer: NodeId, message: SaleAccept): void {
  const sale = pendingOf(step, participantOf(step.state, peer))
  if (sale?.step !== 'offered' || sale.capacity !== message.capacity || sale.price !== message.price) {
    step.remark(`sale_accept from ${peer} ignored: nothing like it was offered`)
    return
  }
  const hash = Buffer.from(message.paymentHash).toString('hex')
  if (isUsed(step, hash)) return sendSaleAbort(step, peer, 'this payment_hash was used before')
  setPending(step, sale, { ...sale, step: 'opening', payment: { hash, secret: undefined }, channelScript: undefined })
  step.log('received', `client ${sale.buyer} agrees to the price`)
  step.call({ call: 'openStart', peer, capacity: sale.capacity, push: msat(0) })
  if (sale.price > 0n) step.call({ call: 'expectPayment', hash, amount: sale.price })
  awaitAnswers(step)
}

const isUsed = (step: Builder, hash: string): boolean => {
  const { signed, pending } = salesOf(step.state)
  return [...signed, ...pending].some((s) => s.step !== 'offered' && s.payment.hash === hash)
}

/** @returns whether it was a sale's */
export function onSaleOpenStarted(
  step: Builder,
  context: Context,
  live: LspLive,
  peer: NodeId,
  channelScript: Uint8Array,
): void {
  if (live.lateOpens.delete(peer)) {
    step.call({ call: 'cleanUp', opens: [peer], channels: [], funding: undefined })
    return
  }
  const sale = pendingOf(step, participantOf(step.state, peer))
  if (sale?.step !== 'opening' || sale.channelScript !== undefined) return
  const next: Opening = { ...sale, channelScript }
  setPending(step, sale, next)
  proposeWhenReady(step, context, live, next)
}

export function onPaymentExpected(
  step: Builder,
  context: Context,
  live: LspLive,
  hash: string,
  secret: Uint8Array,
): void {
  const sale = salesOf(step.state).pending.find((p) => p.step === 'opening' && p.payment.hash === hash)
  if (sale?.step !== 'opening') return
  const next: Opening = { ...sale, payment: { hash, secret } }
  setPending(step, sale, next)
  proposeWhenReady(step, context, live, next)
}

function proposeWhenReady(step: Builder, context: Context, live: LspLive, sale: Opening): void {
  const { state } = step
  const { stock, buyer, capacity, price, payment, channelScript } = sale
  if (state.stage !== 'active' || channelScript === undefined || (price > 0n && payment.secret === undefined)) return
  const sold = { stock, buyer, capacity, channelScript }
  const chain = chainNamed(lspChains(state, context, live), stock)
  const link = nextLink(state.params, chain, salesOf(state).signed, sold)
  const proposed = {
    ...sold,
    step: 'proposed',
    price,
    payment,
    completed: false,
    channelId: channelIdOf(link.channel.outpoint),
  } as const
  setPending(step, sale, proposed)
  startRound(step, context, live, proposed)
  step.call({
    call: 'openComplete',
    open: {
      peer: nodeOf(state, buyer),
      leaf: link.chain.tx.bytes,
      prevout: { amount: link.chain.prevout.amount, script: link.chain.prevout.script },
      vout: link.channel.outpoint.vout,
      script: channelScript,
      capacity,
    },
  })
  awaitAnswers(step)
}

/** The sale that this call was made for, as long as it can be given up. */
function saleOf(state: LspState, call: HostCall): LspUnsigned | undefined {
  return salesOf(state).pending.find((sale) => {
    if (sale.step === 'offered' || sale.step === 'binding') return false
    const peer = nodeOf(state, sale.buyer)
    switch (call.call) {
      case 'openStart':
        return call.peer === peer && sale.step === 'opening'
      case 'openComplete':
        return call.open.peer === peer && sale.step === 'proposed'
      case 'expectPayment':
        return call.hash === sale.payment.hash
      case 'release':
        return sale.step === 'proposed' && call.channelId === sale.channelId
      default:
        return false
    }
  })
}

/**
 * The host could not. Before anything binds that ends the sale.
 * @returns whether it was a sale's
 */
export function onSaleCallFailed(
  step: Builder,
  context: Context,
  live: LspLive,
  call: HostCall,
  error: FactoryError,
): boolean {
  if (isForming(step.state.stage) || step.state.stage === 'aborted') return false
  const late = call.call === 'openStart' && live.lateOpens.delete(call.peer)
  const sale = saleOf(step.state, call)
  if (sale !== undefined) giveUp(step, context, live, sale, error)
  return late || sale !== undefined
}

/** Time is over for everything that does not bind. */
export function onSaleTimer(step: Builder, context: Context, live: LspLive): void {
  for (const sale of salesOf(step.state).pending) {
    if (sale.step === 'binding') continue
    const round = live.rounds.get(sale.stock)
    const silent = round?.link.chain.signers.slice(1).filter((i) => round.round.awaits(i)) ?? [sale.buyer]
    const who = silent.length === 0 ? [sale.buyer] : silent
    const names = who.map((i) => nodeOf(step.state, i)).join(', ')
    giveUp(
      step,
      context,
      live,
      sale,
      new FactoryError('peer_silent', `no answer from ${names} within ${step.state.stepTimeout} s`),
    )
  }
}
