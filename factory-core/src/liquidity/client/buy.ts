/** A sale from the first word to our nonces, client side. */
import { FactoryError, type SaleOffer, type SalePropose } from '@ln-factory/tlv'
import { sha256 } from '@noble/hashes/sha2.js'
import { clientKey, storedKeys } from '../../ceremony/client/path.js'
import type { ClientLive } from '../../ceremony/client/forming.js'
import { spendAggregate } from '../../ceremony/spend-key.js'
import type { FundingCheck, HostChannel, OpenRequest } from '../../host/port.js'
import { finalCltvDelta } from '../../htlc/index.js'
import { idBytes, type Context, type OperatorOrder } from '../../machine/index.js'
import type { Policy } from '../../runner/api.js'
import { generateNonce } from '../../signing/index.js'
import { txidBytes, type ChainLink } from '../../tree/index.js'
import type { ClientState } from '../../ceremony/client/state.js'
import { blocks, participantIndex, sat, msat } from '../../units/index.js'
import { channelIdOf, clientsOf, nextLink, warningAt, type Chain } from '../chain.js'
import type { Link, Purchase, Wish } from '../state.js'
import {
  clientChain,
  giveUp,
  giveUpWish,
  ownChannels,
  ownWarning,
  paramsOf,
  preimageOf,
  salesOf,
  sendSaleAbort,
  setSales,
  type Builder,
} from './sales.js'

type Active = Extract<ClientState, { stage: 'active' }>
type Accepted = Extract<Wish, { step: 'accepted' }>

export function onBuyOrder(
  step: Builder,
  context: Context,
  live: ClientLive,
  order: Extract<OperatorOrder, { order: 'buy' }>,
): void {
  const { state } = step
  if (state.stage !== 'active') throw new FactoryError('wrong_state', `the factory is ${state.stage}`)
  if (salesOf(state).wish !== undefined)
    throw new FactoryError('channel_busy', 'we are buying a channel of this factory already')
  if (Object.keys(state.seen).length > 0)
    throw new FactoryError('wrong_state', 'part of the tree is on chain: nothing is sold of it any more')
  if (clientChain(state, context, live) === undefined)
    throw new FactoryError('wrong_state', 'this factory was made without stocks: there is nothing to buy')
  if (!context.connected(state.lsp)) throw new FactoryError('peer_offline', 'the LSP is not connected')
  const { capacity, maxPrice } = order
  setSales(step, { wish: { step: 'asked', capacity, maxPrice }, failure: undefined })
  step.send(state.lsp, { kind: 'sale_request', instanceId: idBytes(state.instance), capacity, maxPrice })
  awaitAnswer(step)
}

/** Steps that the LSP takes with everyone before it is our turn again. */
const PATIENCE = 10
const awaitAnswer = (step: Builder): void => {
  step.effect({ do: 'timer', name: 'sale', seconds: PATIENCE * step.state.invite.respondWithin })
}

export function onSaleTimer(step: Builder, live: ClientLive): void {
  const silent = new FactoryError('peer_silent', 'the sale made no progress')
  if (salesOf(step.state).wish !== undefined) sendSaleAbort(step, silent.message)
  giveUpWish(step, silent)
  if (salesOf(step.state).pending?.step === 'checking') giveUp(step, live, silent)
}

export function onSaleOffer(step: Builder, context: Context, live: ClientLive, message: SaleOffer): void {
  const { state } = step
  if (state.stage !== 'active') return sendSaleAbort(step, `our factory is ${state.stage}`)
  const fault = faultOf(state, context, live, message)
  const { wish } = salesOf(state)
  if (wish?.step === 'accepted' && wish.capacity === message.capacity && wish.price === message.price) return // told twice
  if (fault !== undefined) {
    step.remark(`offer of a channel refused: ${fault}`)
    giveUpWish(step, new FactoryError('bad_proposal', fault))
    return sendSaleAbort(step, fault)
  }
  const salt = context.entropy(16)
  const capacity = sat(message.capacity)
  const price = msat(message.price)
  setSales(step, { wish: { step: 'accepted', capacity, price, salt, opened: false }, failure: undefined })
  step.log('sent', `agreed: a channel of ${capacity} sat for ${price} msat`)
  step.send(state.lsp, {
    kind: 'sale_accept',
    instanceId: idBytes(state.instance),
    capacity,
    price,
    paymentHash: sha256(preimageOf(state, context, salt)),
  })
  awaitAnswer(step)
}

function faultOf(state: Active, context: Context, live: ClientLive, offer: SaleOffer): string | undefined {
  const { policy } = context
  const chain = clientChain(state, context, live)
  if (chain === undefined) return 'our factory has no stocks'
  const { wish, pending } = salesOf(state)
  if (pending?.step === 'signed') return 'a sale of our stock is under way'
  if (wish?.step === 'accepted') return 'we have agreed to buy already'
  if (Object.keys(state.seen).length > 0) return 'part of the tree is on chain'
  const w = warningAt(state.invite.earlyWarning, state.invite.params.confirmationMargin, chain.links.length + 1)
  if (offer.earlyWarning !== w) return `W of the channel is ${w} blocks, not ${offer.earlyWarning}`
  if (w > policy.maxEarlyWarning) return `W of ${w} blocks is over my maximum of ${policy.maxEarlyWarning}`
  return wish === undefined ? faultOfUnasked(state, policy, offer) : faultOfAsked(wish, offer)
}

function faultOfAsked(asked: Extract<Wish, { step: 'asked' }>, offer: SaleOffer): string | undefined {
  if (offer.capacity !== asked.capacity) return `offered ${offer.capacity} sat instead of ${asked.capacity}`
  if (offer.price > asked.maxPrice) return `the price of ${offer.price} msat is more than ${asked.maxPrice}`
  return undefined
}

/** A channel that we did not ask for. */
function faultOfUnasked({ lsp }: Active, { autoAccept, sales }: Policy, offer: SaleOffer): string | undefined {
  if (!autoAccept.includes(lsp)) return 'I asked for no channel'
  if (offer.price > sales.unaskedPrice)
    return `I asked for no channel, and pay no more than ${sales.unaskedPrice} msat for one`
  return undefined
}

/** Invariant 6: zero-conf for the one open that this sale announced. */
export function expectsSaleOpen(state: ClientState, request: OpenRequest): boolean {
  const wish = state.stage === 'active' ? salesOf(state).wish : undefined
  return (
    wish?.step === 'accepted' &&
    !wish.opened &&
    state.lsp === request.peer &&
    wish.capacity === request.capacity &&
    request.push === 0n
  )
}

export function grantSaleOpen(step: Builder): void {
  const { wish } = salesOf(step.state)
  if (wish?.step !== 'accepted') return
  setSales(step, { wish: { ...wish, opened: true } })
  step.log('host', 'zero-conf granted to the open of a bought channel')
}

/** What the proposal comes to. @throws FactoryError `bad_proposal`, `bad_amount` */
function proposedBy(
  state: Active,
  chain: Chain,
  message: SalePropose,
): { sold: Link; channelId: string; link: ChainLink } {
  const bad = (why: string): FactoryError => new FactoryError('bad_proposal', why)
  if (message.number !== chain.links.length + 1)
    throw bad(`sale ${message.number} of our stock proposed, and the next one is ${chain.links.length + 1}`)
  const buyer = participantIndex(message.buyer)
  if (!clientsOf(chain.stock).includes(buyer)) throw bad(`client ${buyer} has no part in our stock`)
  const sold = {
    stock: chain.name,
    buyer,
    capacity: sat(message.capacity),
    channelScript: message.channelScript,
  }
  const link = nextLink(paramsOf(state), chain, salesOf(state).chain, sold)
  return { sold, channelId: channelIdOf(link.channel.outpoint), link }
}

export function onSalePropose(step: Builder, context: Context, live: ClientLive, message: SalePropose): void {
  const { state } = step
  if (state.stage !== 'active') return sendSaleAbort(step, `our factory is ${state.stage}`)
  const chain = clientChain(state, context, live)
  if (chain === undefined) return sendSaleAbort(step, 'our factory has no stocks')
  const { pending } = salesOf(state)
  try {
    const { sold, channelId, link } = proposedBy(state, chain, message)
    if (pending?.channelId === channelId) {
      // A round that is repeated.
      if (pending.step !== 'checking') sendNonces(step, context, live, link)
      return
    }
    // The same child of our stock, or none.
    if (pending?.step === 'signed')
      throw new FactoryError('signing_conflict', 'another sale of our stock was signed, and can not be taken back')
    if (pending !== undefined) giveUp(step, live, new FactoryError('aborted', 'the LSP proposes another sale'))
    if (Object.keys(state.seen).length > 0) throw new FactoryError('wrong_state', 'part of the tree is on chain')
    const bought = sold.buyer === ownIndex(context, state) ? purchaseOf(state, sold, message) : undefined
    live.saleNonces = undefined
    setSales(step, { pending: { step: 'checking', link: sold, channelId, bought } })
    if (bought !== undefined) setSales(step, { wish: undefined })
    if (bought === undefined) return agree(step, context, live)
    step.call({ call: 'channels' })
    awaitAnswer(step)
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    // What was agreed before stands: the LSP hears no, and nothing is signed.
    step.remark(`sale refused: ${error.message}`)
    sendSaleAbort(step, error.message)
  }
}

/** Is it the one that we agreed to? */
function purchaseOf(state: Active, sold: Link, message: SalePropose): Purchase {
  const { wish } = salesOf(state)
  if (wish?.step !== 'accepted') throw new FactoryError('bad_proposal', 'we have agreed to buy nothing')
  const { capacity, price, salt, opened }: Accepted = wish
  if (sold.capacity !== capacity) throw new FactoryError('bad_proposal', `${sold.capacity} sat instead of ${capacity}`)
  if (!opened) throw new FactoryError('bad_proposal', 'the channel was not opened')
  // Which channel pays is chosen when we have looked at them.
  return { price, salt, pay: price === 0n ? undefined : { secret: message.paymentSecret, channelId: '' } }
}

const ownIndex = (context: Context, state: Active): number => {
  const ours = clientKey(state, context).publicKey
  return storedKeys(context).keys.findIndex((k) => Buffer.compare(k, ours) === 0)
}

/** Our channels as the host shows them: is the new one right, and which can pay for it? */
export function onSaleChannels(
  step: Builder,
  context: Context,
  live: ClientLive,
  channels: readonly HostChannel[],
): void {
  const { state } = step
  const { pending } = salesOf(state)
  if (state.stage !== 'active' || pending?.step !== 'checking') return
  if (pending.bought === undefined) return
  const found = channels.find((c) => c.channelId === pending.channelId)
  if (found === undefined) return // The host tells when it is there.
  if (found.peer !== state.lsp || found.capacity !== pending.link.capacity || found.ours !== 0n)
    return giveUp(
      step,
      live,
      new FactoryError('channel_mismatch', `the channel holds ${found.capacity} sat, ${found.ours} msat of them ours`),
    )
  const { price, pay } = pending.bought
  if (pay !== undefined) {
    const own = ownChannels(state, context, live).map((c) => c.channelId)
    const from = channels.find((c) => own.includes(c.channelId) && c.spendable >= price)
    if (from === undefined)
      return giveUp(
        step,
        live,
        new FactoryError('insufficient_funds', `no channel of ours in this factory can pay ${price} msat`),
      )
    const bought = { ...pending.bought, pay: { ...pay, channelId: from.channelId } }
    setSales(step, { pending: { ...pending, bought } })
  }
  step.call({ call: 'checkFunding', channelId: pending.channelId })
}

export function onSaleFundingChecked(
  step: Builder,
  context: Context,
  live: ClientLive,
  channelId: string,
  check: FundingCheck,
): void {
  const { state } = step
  const { pending } = salesOf(state)
  if (state.stage !== 'active' || pending?.step !== 'checking' || pending.channelId !== channelId) return
  if (check.result === 'unknown') {
    const notice = `The funding script of the bought channel could not be checked (${check.why}): that the chain transaction pays our channel is the LSP's word.`
    step.to({ ...step.state, notice })
    step.log('warning', notice)
  } else if (Buffer.compare(check.script, pending.link.channelScript) !== 0)
    return giveUp(
      step,
      live,
      new FactoryError('channel_mismatch', 'the chain transaction does not pay the 2-of-2 of this channel'),
    )
  agree(step, context, live)
}

function agree(step: Builder, context: Context, live: ClientLive): void {
  const { state } = step
  if (state.stage !== 'active') return
  const chain = clientChain(state, context, live)
  const { pending } = salesOf(state)
  if (chain === undefined || pending?.step !== 'checking') return
  setSales(step, { pending: { ...pending, step: 'agreed' } })
  sendNonces(step, context, live, nextLink(paramsOf(state), chain, salesOf(state).chain, pending.link))
  pay(step, context, live)
}

function sendNonces(step: Builder, context: Context, live: ClientLive, link: ChainLink): void {
  const { state } = step
  if (state.stage !== 'active') return
  const keys = (live.keys ??= storedKeys(context))
  const { secretKey } = clientKey(state, context)
  const txid = link.chain.tx.txid
  // A round may be repeated while our answer to the last one is on its way: it must be right for either.
  if (live.saleNonces?.txid !== txid) {
    const nonces = link.spends.map((spend) =>
      generateNonce({
        secretKey,
        aggregate: spendAggregate(spend, keys),
        message: spend.sighash,
        entropy: () => context.entropy(32),
      }),
    )
    live.saleNonces = { txid, nonces }
  }
  step.send(state.lsp, {
    kind: 'sale_nonces',
    instanceId: idBytes(state.instance),
    chainTxid: txidBytes(txid),
    nonces: live.saleNonces.nonces.map((n) => n.public),
  })
}

/** The price of what we buy, until the LSP says that it has it. The host pays a hash once, however often it is asked. */
export function pay(step: Builder, context: Context, live: ClientLive): void {
  const { state } = step
  if (state.stage !== 'active') return
  const { pending, chain } = salesOf(state)
  const due = [
    ...chain.flatMap(({ bought }) => (bought === undefined || bought.live ? [] : bought)),
    ...(pending === undefined || pending.step === 'checking' ? [] : [pending.bought].filter((b) => b !== undefined)),
  ]
  for (const { price, salt, pay: over } of due) {
    if (over === undefined) continue
    const own = ownChannels(state, context, live).find((c) => c.channelId === over.channelId)
    if (own === undefined) continue
    const hash = Buffer.from(sha256(preimageOf(state, context, salt))).toString('hex')
    step.call({
      call: 'payDirect',
      payment: {
        peer: state.lsp,
        channelId: over.channelId,
        hash,
        amount: price,
        secret: over.secret,
        delta: finalCltvDelta(blocks(ownWarning(state, own))),
      },
    })
  }
}
