/** What a client's rules of a sale share: its chain, its channels, and giving a purchase up. */
import { clipText, FactoryError, type SaleAbort } from '@ln-factory/tlv'
import type { ClientLive } from '../../ceremony/client/forming.js'
import { livePath } from '../../ceremony/client/running.js'
import type { ClientState, Joined } from '../../ceremony/client/state.js'
import { fromWire } from '../../ceremony/terms.js'
import { idBytes, type Context, type StepBuilder } from '../../machine/index.js'
import { derivePurchasePreimage } from '../../signing/index.js'
import type { ChainLink } from '../../tree/index.js'
import type { Blocks } from '../../units/index.js'
import { chainsOf, NO_CHAIN, warningAt, type Chain } from '../chain.js'
import { noClientSales, type ClientLink, type ClientSales, type OwnChannel } from '../state.js'

export type Builder = StepBuilder<ClientState>
export type WithPath = ClientState & Joined & { readonly channelId: string }

export const salesOf = (state: ClientState): ClientSales => state.sales ?? noClientSales

export function setSales(step: Builder, change: Partial<ClientSales>): void {
  step.to({ ...step.state, sales: { ...salesOf(step.state), ...change } })
}

export const paramsOf = (state: ClientState): ReturnType<typeof fromWire> => fromWire(state.invite.params)

/** Of our stock; undefined in a factory without. */
export const clientChain = (state: WithPath, context: Context, live: ClientLive): Chain | undefined =>
  chainsOf(paramsOf(state), livePath(state, context, live).spends, salesOf(state).chain)[0]

/** What was sold of our stock as it stands, with its place in the chain. */
export function soldLinks(
  state: WithPath,
  chain: Chain,
): readonly { readonly sold: ClientLink; readonly link: ChainLink; readonly depth: number }[] {
  const sold = salesOf(state).chain.filter((l) => l.stock === chain.name)
  return chain.links.flatMap((link, i) => {
    const at = sold[i]
    return at === undefined ? [] : [{ sold: at, link, depth: i + 1 }]
  })
}

/** Our channels of this factory: the one it started with, and what we bought. */
export function ownChannels(state: WithPath, context: Context, live: ClientLive): readonly OwnChannel[] {
  const first = {
    peer: state.lsp,
    channelId: state.channelId,
    outpoint: livePath(state, context, live).channel.outpoint,
    depth: 0,
  }
  const chain = clientChain(state, context, live)
  const links = chain === undefined ? [] : soldLinks(state, chain)
  const bought = links.flatMap(({ sold, link, depth }) =>
    sold.bought === undefined
      ? []
      : [{ peer: state.lsp, channelId: sold.channelId, outpoint: link.channel.outpoint, depth }],
  )
  return [first, ...bought]
}

export const ownWarning = (state: ClientState, { depth }: OwnChannel): Blocks =>
  warningAt(state.invite.earlyWarning, state.invite.params.confirmationMargin, depth)

export const preimageOf = (state: ClientState, context: Context, salt: Uint8Array): Uint8Array =>
  derivePurchasePreimage({ nodeSecret: context.nodeSecret, instanceId: state.instance, salt })

/** What we wanted is not to be had. */
export function giveUpWish(step: Builder, error: FactoryError): void {
  if (salesOf(step.state).wish === undefined) return
  const { code, message: reason } = error
  setSales(step, { wish: undefined, failure: { code, reason } })
  step.log('warning', `no channel bought: ${reason}`)
}

/** Before our partial signatures are out: nothing is lost. */
export function giveUp(step: Builder, live: ClientLive, error: FactoryError): void {
  const { pending, strays, failure } = salesOf(step.state)
  if (pending === undefined || pending.step === 'signed') return
  live.saleNonces = undefined
  const { code, message: reason } = error
  const ours = pending.bought !== undefined
  setSales(step, {
    pending: undefined,
    strays: ours ? [...strays, pending.channelId] : strays,
    failure: ours ? { code, reason } : failure,
  })
  step.log('warning', `sale given up: ${reason}`)
  sendSaleAbort(step, reason, Uint8Array.from(Buffer.from(pending.channelId, 'hex')))
}

/** @param chainTxid of the proposal; the channel is its output 0, so the channel's id is the same bytes */
export function sendSaleAbort(step: Builder, reason: string, chainTxid: Uint8Array = NO_CHAIN): void {
  const { lsp, instance } = step.state
  step.send(lsp, { kind: 'sale_abort', instanceId: idBytes(instance), chainTxid, reason: clipText(reason, 500) })
}

/**
 * The connection, or our memory, is gone. Once our nonces are out the sale may bind the others, so it waits for the LSP's word; what
 * came before is off on both sides.
 */
export function dropSale(step: Builder, live: ClientLive, why: string): void {
  const error = new FactoryError('peer_offline', why)
  live.saleNonces = undefined
  giveUpWish(step, error)
  if (salesOf(step.state).pending?.step === 'checking') giveUp(step, live, error)
}

/** The LSP gives up. What we have signed stays as it is: this sale or none. */
export function onSaleAbort(step: Builder, live: ClientLive, message: SaleAbort): void {
  const error = new FactoryError('aborted', `by the LSP: ${message.reason}`)
  if (message.chainTxid.every((byte) => byte === 0)) return giveUpWish(step, error)
  const { pending } = salesOf(step.state)
  if (pending?.channelId === Buffer.from(message.chainTxid).toString('hex')) giveUp(step, live, error)
}
