/** Paying and being paid over a node's channels. */
import * as ldk from 'lightningdevkit'
import { hex } from '@scure/base'
import { FactoryError } from '@ln-factory/tlv'
import { FORWARD_BLOCKS, finalCltvDelta, minForwardDelta } from '../htlc/index.js'
import type { HostHandlers } from '../host/port.js'
import type { GatedChannel } from '../runner/api.js'
import { blockHeight, blocks, msat, nodeId, type Blocks, type Msat } from '../units/index.js'
import { channelAt, incoming, scidsOf } from './channels.js'
import { channelIdOf, nodeIdOf, present, someU64, u16, u32, u64 } from './convert.js'
import type { Refused } from './gate.js'
import { encodeInvoice, type RouteHint } from './invoice.js'
import type { LdkNode } from './node.js'

/** Seconds that an invoice is good for. */
const EXPIRY = 3600
/** Blocks that a payment may be under way: W of two factories, and the hops. Routers drop what is longer (BOLT 2's 2016). */
const MAX_CLTV = 2016
const ATTEMPTS = 5
/** BOLT 4 temporary_node_failure. */
const TEMPORARY_NODE_FAILURE = '2002'

export interface InvoiceRequest {
  readonly amount: Msat
  readonly description: string
}

/** Says whether, and how, a channel is a factory's: `FactoryNode.gated`. */
export type Gates = (channelId: string) => GatedChannel | undefined

interface Waiting {
  readonly resolve: (preimage: Uint8Array) => void
  readonly reject: (error: FactoryError) => void
}

export class Payments {
  private readonly outgoing = new Map<string, Waiting>()

  constructor(private readonly node: LdkNode) {}

  /** An invoice that every usable channel with a peer above us can be paid over, each named as a hint. */
  invoice(request: InvoiceRequest, gates: Gates): string {
    const { node } = this
    const channels = node.manager
      .list_usable_channels()
      .map((c) => ({ c, gate: gates(channelIdOf(c.get_channel_id())) }))
    const open = channels.filter(({ gate }) => gate?.gate !== 'shut')
    const warning = blocks(Math.max(0, ...open.map(({ gate }) => gate?.earlyWarning ?? 0)))
    const finalCltv = finalCltvDelta(warning)
    const made = node.manager.create_inbound_payment(
      ldk.Option_u64Z.constructor_some(request.amount),
      EXPIRY,
      ldk.Option_u16Z.constructor_some(finalCltv),
    )
    if (!(made instanceof ldk.Result_C2Tuple_ThirtyTwoBytesThirtyTwoBytesZNoneZ_OK))
      throw new FactoryError('bad_parameter', `LDK makes no invoice over ${request.amount} msat`)
    return encodeInvoice(
      {
        network: node.options.network,
        amount: request.amount,
        paymentHash: made.res.get_a(),
        paymentSecret: made.res.get_b(),
        description: request.description,
        created: Math.floor(Date.now() / 1000),
        expiry: EXPIRY,
        finalCltv,
        // What we opened leads to a client of ours: nobody pays us through it.
        hints: open.flatMap(({ c, gate }) => (c.get_is_outbound() ? [] : hintOf(c, gate?.earlyWarning))),
      },
      node.parts.keys.get_node_secret_key(),
    )
  }

  /** Resolves with the preimage. @throws FactoryError `bad_parameter`, `payment_failed` */
  pay(invoice: string, gates: Gates): Promise<Uint8Array> {
    const read = ldk.Bolt11Invoice.constructor_from_str(invoice)
    if (!(read instanceof ldk.Result_Bolt11InvoiceParseOrSemanticErrorZ_OK))
      return Promise.reject(new FactoryError('bad_parameter', 'no BOLT 11 invoice'))
    const params = ldk.UtilMethods.constructor_payment_parameters_from_invoice(read.res)
    if (!(params instanceof ldk.Result_C3Tuple_ThirtyTwoBytesRecipientOnionFieldsRouteParametersZNoneZ_OK))
      return Promise.reject(new FactoryError('bad_parameter', 'the invoice names no amount'))
    const hash = params.res.get_a()
    const route = params.res.get_c()
    const payment = route.get_payment_params()
    payment.set_max_total_cltv_expiry_delta(MAX_CLTV)
    this.giveTime(payment, gates)
    // A channel that is shut (its factory closed, or left) is in the node until that is final: LDK must not choose it.
    const shut = this.node.manager
      .list_usable_channels()
      .filter((c) => gates(channelIdOf(c.get_channel_id()))?.gate === 'shut')
    payment.set_previously_failed_channels(shut.flatMap(scidsOf))
    route.set_payment_params(payment)
    const key = hex.encode(hash)
    return new Promise((resolve, reject) => {
      const sent = this.node.manager.send_payment(
        hash,
        params.res.get_b(),
        hash,
        route,
        ldk.Retry.constructor_attempts(ATTEMPTS),
      )
      if (!sent.is_ok()) {
        reject(new FactoryError('payment_failed', 'no route, or it is being paid already'))
        return
      }
      this.outgoing.set(key, { resolve, reject })
      this.node.wake()
    })
  }

  /**
   * A hint that starts at our own LSP names what its outgoing channel needs. Ours is a factory's, and the LSP must be able to leave
   * that first: it needs W more between the two HTLCs, which the payee's node can't know.
   */
  private giveTime(payment: ldk.PaymentParameters, gates: Gates): void {
    const payee = payment.get_payee()
    if (!(payee instanceof ldk.Payee_Clear)) return
    const needs = new Map<string, number>()
    for (const c of this.node.manager.list_usable_channels()) {
      const gate = gates(channelIdOf(c.get_channel_id()))
      const peer = nodeIdOf(c.get_counterparty().get_node_id())
      if (gate?.gate === 'open') needs.set(peer, Math.max(needs.get(peer) ?? 0, minForwardDelta(gate.earlyWarning)))
    }
    const hints = payee.route_hints.map((hint) => {
      const hops = hint.get_a()
      const [first] = hops
      const least = first === undefined ? undefined : needs.get(nodeIdOf(first.get_src_node_id()))
      if (first !== undefined && least !== undefined)
        first.set_cltv_expiry_delta(Math.max(u16(first.get_cltv_expiry_delta()), least))
      return ldk.RouteHint.constructor_new(hops)
    })
    payment.set_payee(
      ldk.Payee.constructor_clear(payee.node_id, hints, payee.features, u32(payee.final_cltv_expiry_delta)),
    )
  }

  onSent(event: ldk.Event_PaymentSent): void {
    const key = hex.encode(event.payment_hash)
    this.outgoing.get(key)?.resolve(Uint8Array.from(event.payment_preimage))
    this.outgoing.delete(key)
  }

  onFailed(event: ldk.Event_PaymentFailed): void {
    const key = hex.encode(event.payment_id)
    const reason =
      event.reason instanceof ldk.Option_PaymentFailureReasonZ_Some
        ? ldk.PaymentFailureReason[event.reason.some].replace(/^LDKPaymentFailureReason_/, '')
        : 'unknown'
    this.outgoing.get(key)?.reject(new FactoryError('payment_failed', `the payment failed: ${reason}`))
    this.outgoing.delete(key)
  }

  /** All parts are here: claim them, unless the factory's rules refuse one. */
  onClaimable(event: ldk.Event_PaymentClaimable, handlers: HostHandlers): void {
    const { node } = this
    const height = blockHeight(node.sync.tip.height)
    const refusals = incoming(node, event.payment_hash).flatMap((part) => {
      const decision = handlers.htlc({
        inChannelId: part.channelId,
        outChannelId: undefined,
        amountIn: part.amount,
        amountOut: undefined,
        cltvIn: part.expiry,
        cltvOut: undefined,
        height,
      })
      return decision.kind === 'fail' ? [decision] : []
    })
    const preimage = event.purpose.preimage()
    if (refusals[0] === undefined && preimage instanceof ldk.Option_ThirtyTwoBytesZ_Some) {
      node.manager.claim_funds(preimage.some)
      return
    }
    node.options.log('info', `payment refused: ${refusals[0]?.reason ?? 'its preimage is not known'}`)
    const code =
      refusals[0]?.failure.startsWith(TEMPORARY_NODE_FAILURE) === true
        ? ldk.FailureCode.constructor_temporary_node_failure()
        : ldk.FailureCode.constructor_incorrect_or_unknown_payment_details()
    node.manager.fail_htlc_backwards_with_reason(event.payment_hash, code)
  }

  /** Why an HTLC is not to be forwarded. Those that pay us are looked at when all their parts are here. */
  refuses(message: ldk.UpdateAddHTLC, handlers: HostHandlers): Refused | undefined {
    const { node } = this
    const { height } = node.sync.tip
    const peeled = ldk.UtilMethods.constructor_peel_payment_onion(
      message,
      node.parts.keys.as_NodeSigner(),
      node.parts.logger,
      height,
      false,
    )
    // LDK refuses it by itself.
    if (!(peeled instanceof ldk.Result_PendingHTLCInfoInboundHTLCErrZ_OK)) return undefined
    const routing = peeled.res.get_routing()
    if (!(routing instanceof ldk.PendingHTLCRouting_Forward)) return undefined
    const decision = handlers.htlc({
      inChannelId: channelIdOf(message.get_channel_id()),
      outChannelId: channelAt(node, u64(routing.short_channel_id)),
      amountIn: msat(u64(message.get_amount_msat())),
      amountOut: msat(u64(peeled.res.get_outgoing_amt_msat())),
      cltvIn: u32(message.get_cltv_expiry()),
      cltvOut: u32(peeled.res.get_outgoing_cltv_value()),
      height: blockHeight(height),
    })
    return decision.kind === 'fail' ? decision : undefined
  }
}

function hintOf(c: ldk.ChannelDetails, earlyWarning: Blocks | undefined): RouteHint[] {
  const scid = someU64(c.get_inbound_payment_scid())
  const info = c.get_counterparty().get_forwarding_info()
  if (scid === undefined || !present(info)) return []
  const least = earlyWarning === undefined ? FORWARD_BLOCKS : minForwardDelta(earlyWarning)
  return [
    {
      node: nodeId(nodeIdOf(c.get_counterparty().get_node_id())),
      scid,
      feeBase: u32(info.get_fee_base_msat()),
      feeRate: u32(info.get_fee_proportional_millionths()),
      cltvDelta: Math.max(u16(info.get_cltv_expiry_delta()), least),
    },
  ]
}
