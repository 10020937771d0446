/** A sale from the proposal to the open channel, LSP side: the round, its signatures, and the price. */
import { FactoryError, type SaleNonces, type SalePartialSignatures, type SaleStored } from '@ln-factory/tlv'
import { sha256 } from '@noble/hashes/sha2.js'
import { factoryKeys, lspKey } from '../../ceremony/lsp/factory.js'
import type { LspLive } from '../../ceremony/lsp/forming.js'
import { SigningRound } from '../../ceremony/lsp/round.js'
import { signatureItem, signRecord } from '../../ceremony/spend-key.js'
import { CLAIM_BLOCKS } from '../../htlc/index.js'
import { idBytes, type Context } from '../../machine/index.js'
import { txidBytes, type ChainLink } from '../../tree/index.js'
import type { ReceivedHtlc } from '../../host/port.js'
import type { BlockHeight, NodeId } from '../../units/index.js'
import { storedSignature } from '../chain.js'
import type { LspProposed, LspSigned, LspUnsigned } from '../state.js'
import {
  giveUp,
  lspChains,
  nodeOf,
  participantOf,
  proposedLink,
  refund,
  salesOf,
  sendSaleAbort,
  setPending,
  setSales,
  setSigned,
  type Active,
  type Builder,
} from './sales.js'

type Proposed = Extract<LspUnsigned, { step: 'proposed' | 'binding' }>

export interface SaleRound {
  readonly link: ChainLink
  readonly round: SigningRound
  /** The host has been asked to make the channel survive. */
  releasing: boolean
}

const NOTHING = new Uint8Array(32)
const idsOf = (link: ChainLink): string[] => link.spends.map((s) => s.id)

/** (Re)starts the round over a chain transaction that is on disk. */
export function startRound(step: Builder, context: Context, live: LspLive, sale: Proposed): void {
  const { state } = step
  if (state.stage !== 'active') return
  const link = proposedLink(state, context, live, sale)
  const { secretKey } = lspKey(state, context)
  const round = new SigningRound(link.spends, factoryKeys(state, context), secretKey, () => context.entropy(32))
  live.rounds.set(sale.stock, { link, round, releasing: false })
  const number = salesOf(state).signed.filter((s) => s.stock === sale.stock).length + 1
  for (const signer of link.chain.signers.slice(1))
    step.send(nodeOf(state, signer), {
      kind: 'sale_propose',
      instanceId: idBytes(state.instance),
      number,
      buyer: sale.buyer,
      capacity: sale.capacity,
      channelScript: sale.channelScript,
      paymentSecret: signer === sale.buyer ? (sale.payment.secret ?? NOTHING) : NOTHING,
    })
}

const chainTxid = (link: ChainLink): Uint8Array => txidBytes(link.chain.tx.txid)

/** The proposed sale of a stock that `peer` shares, and its round, when the message is about it. */
function roundOf(
  step: Builder,
  live: LspLive,
  peer: NodeId,
  message: { readonly chainTxid: Uint8Array },
): { sale: Proposed; round: SaleRound; state: Active } | undefined {
  const { state } = step
  if (state.stage !== 'active') return undefined
  const participant = participantOf(state, peer)
  for (const sale of salesOf(state).pending) {
    const round = live.rounds.get(sale.stock)
    if (round?.link.chain.signers.includes(participant) !== true) continue
    if (sale.step !== 'proposed' && sale.step !== 'binding') continue
    if (Buffer.compare(chainTxid(round.link), message.chainTxid) === 0) return { sale, round, state }
  }
  return undefined
}

export function onSaleOpenCompleted(
  step: Builder,
  context: Context,
  live: LspLive,
  peer: NodeId,
  channelId: string,
): void {
  const { strays, pending } = salesOf(step.state)
  if (strays.includes(channelId)) {
    // The abort was faster than the host: what it opened since is undone too.
    step.call({ call: 'cleanUp', opens: [], channels: [{ peer, channelId }], funding: undefined })
    return
  }
  const sale = pending.find((p) => p.step === 'proposed' && nodeOf(step.state, p.buyer) === peer)
  if (sale?.step !== 'proposed') return
  if (sale.channelId !== channelId)
    return giveUp(
      step,
      context,
      live,
      sale,
      new FactoryError('channel_mismatch', `the host opened channel ${channelId}`),
    )
  const next: Proposed = { ...sale, completed: true }
  setPending(step, sale, next)
  step.log('host', `channel ${channelId} with ${peer} completed on the chain transaction`)
  bindWhenReady(step, context, live, next)
}

export function onSaleNonces(step: Builder, context: Context, live: LspLive, peer: NodeId, message: SaleNonces): void {
  const found = roundOf(step, live, peer, message)
  if (found === undefined) return
  const { round, link } = found.round
  const participant = participantOf(found.state, peer)
  if (round.hasNonces(participant)) return // the first ones count
  blamed(step, context, live, found.sale, peer, () => {
    round.addNonces(participant, idsOf(link), message.nonces)
    bindWhenReady(step, context, live, found.sale)
  })
}

/** What a peer sent is wrong: given up when that is still possible, else shown and asked for again. */
function blamed(step: Builder, context: Context, live: LspLive, sale: Proposed, peer: NodeId, rule: () => void): void {
  try {
    rule()
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    const named = new FactoryError(error.code, `client ${peer}: ${error.message}`)
    if (sale.step === 'proposed') giveUp(step, context, live, sale, named)
    else stall(step, live, sale, named.message)
  }
}

function stall(step: Builder, live: LspLive, sale: Proposed, why: string): void {
  live.rounds.delete(sale.stock)
  step.to({
    ...step.state,
    notice: `sale to client ${sale.buyer} not signed: ${why}; it goes on when they reconnect, or is ordered again`,
  })
  step.log('warning', `sale to client ${sale.buyer} not signed: ${why}`)
}

const isPaid = (live: LspLive, { price, payment }: LspProposed): boolean =>
  price === 0n || live.payments.has(payment.hash)

/** Last moment at which giving up is free: all nonces, the channel, and the money are there. */
export function bindWhenReady(step: Builder, context: Context, live: LspLive, sale: Proposed): void {
  const found = live.rounds.get(sale.stock)
  if (found === undefined || found.round.isAggregated || !isPaid(live, sale)) return
  if (!found.link.chain.signers.slice(1).every((i) => found.round.hasNonces(i))) return
  if (sale.step === 'binding') return bind(step, live, sale, found)
  if (!sale.completed || found.releasing) return
  found.releasing = true
  // From the first signature on the channel must survive whatever happens to the host.
  step.call({ call: 'release', channelId: sale.channelId })
}

export function onSaleReleased(step: Builder, context: Context, live: LspLive, channelId: string): void {
  const sale = salesOf(step.state).pending.find((p) => p.step === 'proposed' && p.channelId === channelId)
  if (sale?.step !== 'proposed') return
  const found = live.rounds.get(sale.stock)
  if (found === undefined) return
  if (!isPaid(live, sale)) {
    found.releasing = false
    return
  }
  bind(step, live, sale, found)
}

function bind(step: Builder, live: LspLive, sale: Proposed, { round, link }: SaleRound): void {
  const { state } = step
  if (state.stage !== 'active') return
  round.aggregate()
  if (sale.step === 'proposed') {
    const { stock, buyer, capacity, price, channelScript, payment, channelId } = sale
    setPending(step, sale, { step: 'binding', stock, buyer, capacity, price, channelScript, payment, channelId })
    step.log('sent', `aggregated nonces of ${link.chain.id}: from here on this sale binds`)
  }
  for (const signer of link.chain.signers.slice(1))
    step.send(nodeOf(state, signer), {
      kind: 'sale_aggregated_nonces',
      instanceId: idBytes(state.instance),
      chainTxid: chainTxid(link),
      nonces: round.aggregatedNonces(idsOf(link)),
    })
}

export function onSalePartials(
  step: Builder,
  context: Context,
  live: LspLive,
  peer: NodeId,
  message: SalePartialSignatures,
): void {
  const found = roundOf(step, live, peer, message)
  if (found?.sale.step !== 'binding' || !found.round.round.isAggregated) return
  const { round, link } = found.round
  const participant = participantOf(found.state, peer)
  if (round.hasPartials(participant)) return // the first ones count
  blamed(step, context, live, found.sale, peer, () => {
    round.addPartials(participant, idsOf(link), message.signatures)
    signWhenReady(step, live, found.sale, found.round)
  })
}

/** The LSP signs last, and only against the held price. */
export function signWhenReady(step: Builder, live: LspLive, sale: Proposed, { round, link }: SaleRound): void {
  const { state } = step
  if (state.stage !== 'active' || sale.step !== 'binding' || !round.isAggregated || !isPaid(live, sale)) return
  if (!link.chain.signers.slice(1).every((i) => round.hasPartials(i))) return
  const result = round.finish()
  live.rounds.delete(sale.stock)
  if (!result.ok) {
    const guilty = result.culprits.map((i) => state.clients[i - 1]?.id ?? 'the LSP itself')
    return stall(step, live, sale, `bad partial signature by ${guilty.join(', ')}`)
  }
  const signed: LspSigned = { ...sale, step: 'signed', stored: [], preimage: undefined, live: false }
  setPending(step, sale, undefined)
  setSales(step, { signed: [...salesOf(step.state).signed, signed] })
  // Records and signatures are committed with this step, before any signature leaves.
  for (const spend of link.spends) {
    const signature = result.signatures.get(spend.id)
    if (signature === undefined) throw new FactoryError('internal', `no signature of ${spend.id}`)
    step.record(signRecord(spend)).item(signatureItem(spend.id), signature)
  }
  step.to({ ...step.state, notice: undefined })
  step.log('signed', `${link.chain.id} (${link.chain.tx.txid}): ${sale.capacity} sat for client ${sale.buyer}`)
  step.effect({ do: 'watchTx', txid: link.chain.tx.txid, since: state.createdAt })
  step.effect({ do: 'watchOutpoint', outpoint: link.channel.outpoint, since: state.createdAt })
  if (link.rest !== undefined)
    step.effect({ do: 'watchOutpoint', outpoint: link.rest.poison.prevout.outpoint, since: state.createdAt })
  const signatures = link.spends.map((s) => result.signatures.get(s.id) ?? NOTHING)
  for (const signer of link.chain.signers.slice(1))
    step.send(nodeOf(state, signer), {
      kind: 'sale_signatures',
      instanceId: idBytes(state.instance),
      chainTxid: chainTxid(link),
      signatures,
    })
}

/** Everything that a client may not have got, oldest first. */
export function resumeSales(step: Builder, context: Context, live: LspLive, peer: NodeId): void {
  const { state } = step
  if (state.stage !== 'active') return
  const participant = participantOf(state, peer)
  const { signed, pending } = salesOf(state)
  for (const chain of lspChains(state, context, live)) {
    if (!chain.stock.poison.signers.includes(participant)) continue
    const sold = signed.filter((s) => s.stock === chain.name)
    for (const [i, link] of chain.links.entries()) {
      const sale = sold[i]
      const about = { instanceId: idBytes(state.instance), chainTxid: chainTxid(link) }
      if (sale?.stored.includes(participant) === false)
        step.send(peer, {
          kind: 'sale_signatures',
          ...about,
          signatures: link.spends.map((s) => storedSignature(context, s)),
        })
      if (sale?.live === true && sale.buyer === participant) step.send(peer, { kind: 'sale_live', ...about })
    }
    const bound = pending.find((p) => p.stock === chain.name)
    if (bound?.step === 'binding') startRound(step, context, live, bound)
    // What it agreed to sign and we gave up while it was away.
    for (const id of salesOf(state).strays)
      sendSaleAbort(step, peer, 'the sale was given up', Uint8Array.from(Buffer.from(id, 'hex')))
  }
}

export function onSaleStored(step: Builder, context: Context, live: LspLive, peer: NodeId, message: SaleStored): void {
  const { state } = step
  if (state.stage !== 'active' && state.stage !== 'closing' && state.stage !== 'confirming') return
  const participant = participantOf(state, peer)
  const { signed } = salesOf(state)
  for (const chain of lspChains(state, context, live))
    for (const [i, link] of chain.links.entries()) {
      const sale = signed.filter((s) => s.stock === chain.name)[i]
      if (sale === undefined || Buffer.compare(chainTxid(link), message.chainTxid) !== 0) continue
      if (!link.chain.signers.includes(participant)) continue
      const stored = sale.stored.includes(participant) ? sale.stored : [...sale.stored, participant]
      const [given] = message.preimage
      const fits = given !== undefined && sale.buyer === participant && hashOf(given) === sale.payment.hash
      const next: LspSigned = { ...sale, stored, preimage: sale.preimage ?? (fits ? given : undefined) }
      if (next.stored !== sale.stored || next.preimage !== sale.preimage) setSigned(step, sale, next)
      const same = salesOf(step.state).signed.find((s) => s.channelId === sale.channelId)
      if (same !== undefined) liveWhenPaid(step, live, same, link)
    }
}

const hashOf = (preimage: Uint8Array): string => Buffer.from(sha256(preimage)).toString('hex')

/** With the preimage and the HTLC the price is ours, and the channel is open. */
function liveWhenPaid(step: Builder, live: LspLive, sale: LspSigned, link: ChainLink): void {
  const { preimage, payment, price } = sale
  const held = live.payments.get(payment.hash)
  if (preimage === undefined || (price > 0n && held === undefined && !sale.live)) return
  if (!sale.live) {
    setSigned(step, sale, { ...sale, live: true })
    step.log('state', `channel ${sale.channelId} of client ${sale.buyer} is open: ${price} msat paid`)
  }
  if (held !== undefined) {
    live.payments.delete(payment.hash)
    step.effect({ do: 'answerHtlc', htlc: held.id, decision: { kind: 'settle', preimage } })
  }
  step.send(nodeOf(step.state, sale.buyer), {
    kind: 'sale_live',
    instanceId: idBytes(step.state.instance),
    chainTxid: chainTxid(link),
  })
}

/** Blocks that a held HTLC must have before its client would go on chain for it. */
const HOLD_MARGIN = 6

const isTooLate = (step: Builder, htlc: ReceivedHtlc, height: BlockHeight): boolean =>
  height + step.state.earlyWarning + CLAIM_BLOCKS + HOLD_MARGIN >= htlc.expiry

/** An HTLC with the hash of a sale is there. */
export function onSaleHtlc(step: Builder, context: Context, live: LspLive, htlc: ReceivedHtlc): void {
  const { state } = step
  const { signed, pending } = salesOf(state)
  const sale = [...signed, ...pending].find((s) => s.step !== 'offered' && s.payment.hash === htlc.hash)
  if (sale === undefined || sale.step === 'offered') return
  live.payments.set(htlc.hash, htlc)
  const settled = sale.step === 'signed' && sale.preimage !== undefined
  if (!settled && (htlc.amount < sale.price || sale.price === 0n)) return refund(step, live, htlc.hash, 'not the price')
  if (!settled && isTooLate(step, htlc, context.height)) return refund(step, live, htlc.hash, 'it expires too soon')
  if (state.stage !== 'active' && !settled) return refund(step, live, htlc.hash, `the factory is ${state.stage}`)
  if (sale.step === 'signed') {
    if (state.stage !== 'active' && state.stage !== 'closing' && state.stage !== 'confirming') {
      // Over, or leaving: what was revealed is taken, and nothing else matters any more.
      if (sale.preimage !== undefined) {
        live.payments.delete(htlc.hash)
        step.effect({ do: 'answerHtlc', htlc: htlc.id, decision: { kind: 'settle', preimage: sale.preimage } })
      }
      return
    }
    const at = signed.filter((s) => s.stock === sale.stock).indexOf(sale)
    const link = lspChains(state, context, live).find((c) => c.name === sale.stock)?.links[at]
    if (link !== undefined) liveWhenPaid(step, live, sale, link)
    return
  }
  if (sale.step === 'opening') return
  const round = live.rounds.get(sale.stock)
  if (round === undefined) return
  bindWhenReady(step, context, live, sale)
  const now = salesOf(step.state).pending.find((p) => p.stock === sale.stock)
  if (now?.step === 'binding') signWhenReady(step, live, now, round)
}

/** A price that waits too long is given back, so that nobody has to go on chain for it. */
export function refundInTime(step: Builder, live: LspLive, height: BlockHeight): void {
  for (const htlc of live.payments.values())
    if (isTooLate(step, htlc, height)) refund(step, live, htlc.hash, 'the sale took too long')
}
