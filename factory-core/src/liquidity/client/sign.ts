/** A sale from our partial signatures to an open channel, client side. */
import { FactoryError, type SaleAggregatedNonces, type SaleLive, type SaleSignatures } from '@ln-factory/tlv'
import { clientKey, storedKeys } from '../../ceremony/client/path.js'
import type { ClientLive } from '../../ceremony/client/forming.js'
import { isValid, signatureItem, signRecord, spendAggregate } from '../../ceremony/spend-key.js'
import { idBytes, type Context } from '../../machine/index.js'
import { openSession } from '../../signing/index.js'
import { txidBytes, type ChainLink } from '../../tree/index.js'
import { nextLink } from '../chain.js'
import type { ClientPending } from '../state.js'
import { pay } from './buy.js'
import {
  clientChain,
  giveUp,
  paramsOf,
  preimageOf,
  salesOf,
  setSales,
  soldLinks,
  type Builder,
  type WithPath,
} from './sales.js'
import { watchLink } from './exit.js'

function pendingLink(
  step: Builder,
  context: Context,
  live: ClientLive,
  { chainTxid }: { readonly chainTxid: Uint8Array },
): { readonly pending: ClientPending; readonly link: ChainLink } | undefined {
  const { state } = step
  const { pending } = salesOf(state)
  if (state.stage !== 'active' && state.stage !== 'closing') return undefined
  if (pending === undefined || pending.step === 'checking') return undefined
  const chain = clientChain(state, context, live)
  if (chain === undefined) return undefined
  const link = nextLink(paramsOf(state), chain, salesOf(state).chain, pending.link)
  return Buffer.compare(txidBytes(link.chain.tx.txid), chainTxid) === 0 ? { pending, link } : undefined
}

export function onSaleAggregatedNonces(
  step: Builder,
  context: Context,
  live: ClientLive,
  message: SaleAggregatedNonces,
): void {
  const found = pendingLink(step, context, live, message)
  const { state } = step
  if (state.stage !== 'active' || found === undefined) return
  const { pending, link } = found
  const ours = live.saleNonces
  if (ours?.txid !== link.chain.tx.txid) return
  if (message.nonces.length !== link.spends.length)
    throw new FactoryError('bad_message', `${message.nonces.length} aggregated nonces for ${link.spends.length}`)
  live.saleNonces = undefined
  const keys = (live.keys ??= storedKeys(context))
  const { secretKey } = clientKey(state, context)
  const signatures = link.spends.map((spend, i) => {
    const aggregatedNonce = message.nonces[i]
    const nonce = ours.nonces[i]
    if (aggregatedNonce === undefined || nonce === undefined)
      throw new FactoryError('internal', `no nonce for ${spend.id}`)
    step.record(signRecord(spend))
    return openSession({ aggregate: spendAggregate(spend, keys), message: spend.sighash, aggregatedNonce }).sign(
      nonce.secret,
      secretKey,
    )
  })
  setSales(step, { pending: { ...pending, step: 'signed' } })
  step.log('signed', `${link.chain.id} (${link.chain.tx.txid}): this sale of our stock or none`)
  step.effect({ do: 'cancelTimer', name: 'sale' })
  step.send(state.lsp, {
    kind: 'sale_partial_signatures',
    instanceId: idBytes(state.instance),
    chainTxid: message.chainTxid,
    signatures,
  })
}

/** The store knows of another signature: this one has not left, and never will. */
export function onSaleConflict(step: Builder, live: ClientLive, error: string): void {
  giveUp(step, live, new FactoryError('signing_conflict', `refused to sign: ${error}`))
}

export function onSaleSignatures(step: Builder, context: Context, live: ClientLive, message: SaleSignatures): void {
  const found = pendingLink(step, context, live, message)
  if (found?.pending.step !== 'signed') return sendStored(step, context, live)
  const { pending, link } = found
  if (message.signatures.length !== link.spends.length)
    throw new FactoryError('bad_message', `${message.signatures.length} signatures for ${link.spends.length}`)
  const keys = (live.keys ??= storedKeys(context))
  link.spends.forEach((spend, i) => {
    const signature = message.signatures[i]
    if (signature === undefined || !isValid(signature, spend, keys))
      throw new FactoryError('bad_signature', `the LSP's signature for ${spend.id} is not valid`)
    step.item(signatureItem(spend.id), signature)
  })
  live.keys = undefined
  const { link: sold, channelId, bought } = pending
  const added = { ...sold, channelId, bought: bought && { ...bought, live: false } }
  setSales(step, { pending: undefined, chain: [...salesOf(step.state).chain, added] })
  step.log('state', `${link.chain.id} stored: ${sold.capacity} sat sold to client ${sold.buyer}`)
  watchLink(step, link, bought !== undefined)
  sendStored(step, context, live)
}

/** Again for every purchase that is not open yet, and for the newest link of others. */
export function sendStored(step: Builder, context: Context, live: ClientLive): void {
  const { state } = step
  if (state.stage !== 'active' && state.stage !== 'closing') return
  const chain = clientChain(state, context, live)
  const links = chain === undefined ? [] : soldLinks(state, chain)
  for (const { sold, link, depth } of links) {
    if (sold.bought === undefined ? depth < links.length : sold.bought.live) continue
    step.send(state.lsp, {
      kind: 'sale_stored',
      instanceId: idBytes(state.instance),
      chainTxid: txidBytes(link.chain.tx.txid),
      preimage: sold.bought === undefined ? [] : [preimageOf(state, context, sold.bought.salt)],
    })
  }
}

export function onSaleLive(step: Builder, context: Context, live: ClientLive, message: SaleLive): void {
  const { state } = step
  if (state.stage !== 'active' && state.stage !== 'closing') return
  const found = linkOf(state, context, live, message.chainTxid)
  if (found?.bought === undefined || found.bought.live) return
  const opened = { ...found, bought: { ...found.bought, live: true } }
  setSales(step, { chain: salesOf(state).chain.map((l) => (l === found ? opened : l)) })
  step.log('state', `channel ${found.channelId} of ${found.capacity} sat is open`)
}

function linkOf(state: WithPath, context: Context, live: ClientLive, chainTxid: Uint8Array) {
  const chain = clientChain(state, context, live)
  const links = chain === undefined ? [] : soldLinks(state, chain)
  return links.find(({ link }) => Buffer.compare(txidBytes(link.chain.tx.txid), chainTxid) === 0)?.sold
}

/** After a reconnection: what is stored is said again, and what is due is paid. Before our signature everything is off. */
export function resumeSales(step: Builder, context: Context, live: ClientLive): void {
  sendStored(step, context, live)
  pay(step, context, live)
}
