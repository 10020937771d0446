import { msat, type Msat } from '@ln-factory/core/units'
import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'
import { defineCommand, type JsonObject, type Rpc } from '../commands/command.js'
import { ask } from '../commands/node-state.js'
import { amount } from '../commands/results.js'
import { amountMsat, percent, wholeNumber } from '../options/values.js'
import { readInvoice, type Invoice } from './bolt11.js'
import { Payment } from './payment.js'

const HALF_PERCENT = 5000
/** Fees under 5 sat are paid for any amount. */
const EXEMPT_FEE: Msat = msat(5000)

const sendpays = z.object({
  payments: z.array(
    z.object({
      status: z.enum(['pending', 'complete', 'failed']),
      // 64 random bits where pay made it: not exact as a number, which is enough to avoid it.
      groupid: z.number().optional(),
      amount_msat: z.int().optional(),
      amount_sent_msat: z.int(),
      created_at: z.number(),
      payment_preimage: z.string().optional(),
    }),
  ),
})
type Sent = z.output<typeof sendpays>['payments']

const earlier = async (rpc: Rpc, paymentHash: string): Promise<Sent> =>
  (await ask(rpc, 'listsendpays', { payment_hash: paymentHash }, sendpays)).payments

/** This process pays an invoice once at a time; across restarts, lightningd's own records do. */
const underWay = new Set<string>()

/** @throws FactoryError `bad_parameter` */
function amountOf(invoice: Invoice, given: Msat | undefined): Msat {
  if (invoice.amount === undefined) {
    if (given === undefined || given === 0n) {
      throw new FactoryError('bad_parameter', 'factory-pay: the invoice names no amount: give amount_msat')
    }
    return given
  }
  if (given !== undefined && given !== invoice.amount) {
    throw new FactoryError('bad_parameter', `factory-pay: the invoice is for ${invoice.amount} msat, not ${given}`)
  }
  return invoice.amount
}

/** Each try has a group of its own: lightningd doesn't mix parts of two. */
const nextGroup = (sent: Sent): number =>
  1 + Math.max(0, ...sent.flatMap(({ groupid }) => (Number.isSafeInteger(groupid) ? [groupid ?? 0] : [])))

/** The answer for an invoice that is paid already. */
function alreadyPaid(invoice: Invoice, sent: Sent): JsonObject | undefined {
  const done = sent.filter(({ status }) => status === 'complete')
  const first = done[0]
  if (first?.payment_preimage === undefined) return undefined
  return {
    destination: invoice.payee,
    payment_hash: invoice.paymentHash,
    payment_preimage: first.payment_preimage,
    created_at: first.created_at,
    parts: done.length,
    amount_msat: done.reduce((sum, part) => sum + (part.amount_msat ?? 0), 0),
    amount_sent_msat: done.reduce((sum, part) => sum + part.amount_sent_msat, 0),
    status: 'complete',
  }
}

export const pay = defineCommand({
  name: 'factory-pay',
  description: 'Pay a BOLT 11 invoice over our factory channels',
  details:
    'The first HTLC gets the expiry that the LSP of a factory needs (pay and xpay give too little, and the LSP refuses). Splits the ' +
    'amount over several channels when one does not suffice, and tries again when a part fails. Ordinary channels are used too. An ' +
    'invoice that is paid already answers as it did. After payment_pending ask again later with the same invoice: it is never paid twice.',
  params: {
    bolt11: z.string().min(1).max(10_000).describe('the invoice'),
    amount_msat: amountMsat.optional().describe('millisatoshi, for an invoice that names no amount'),
    maxfeepercent: percent.optional().describe('most fee, in percent of the amount; default 0.5'),
    exemptfee: amountMsat.optional().describe('millisatoshi of fee that is paid in any case; default 5000'),
    maxfee: amountMsat.optional().describe('millisatoshi; instead of maxfeepercent and exemptfee'),
    retry_for: wholeNumber(1, 3600).optional().describe('seconds in which new parts are tried; default 60'),
    maxdelay: wholeNumber(1, 2016).optional().describe('most blocks that the payment may be held; default 2016'),
  },
  check: ({ maxfee, maxfeepercent, exemptfee }) => {
    if (maxfee !== undefined && (maxfeepercent ?? exemptfee) !== undefined) {
      throw new FactoryError('bad_parameter', 'factory-pay: give maxfee, or maxfeepercent and exemptfee')
    }
  },
  run: async ({ api, rpc, config }, args) => {
    const invoice = await readInvoice(rpc, config.network, args.bolt11)
    const total = amountOf(invoice, args.amount_msat)
    if (invoice.payee === api.nodeId) throw new FactoryError('bad_parameter', 'factory-pay: this is our own invoice')
    if (underWay.has(invoice.paymentHash)) throw pending('this command is paying it already')
    underWay.add(invoice.paymentHash)
    try {
      const sent = await earlier(rpc, invoice.paymentHash)
      const before = alreadyPaid(invoice, sent)
      if (before !== undefined) return before
      if (sent.some(({ status }) => status === 'pending')) throw pending('parts of an earlier try are still under way')
      const createdAt = Math.floor(Date.now() / 1000)
      if (createdAt > invoice.expiresAt)
        throw new FactoryError('payment_failed', 'the invoice has expired', 'ask for a new one')
      const percentFee = (total * BigInt(args.maxfeepercent ?? HALF_PERCENT)) / 1_000_000n
      const exempt = args.exemptfee ?? EXEMPT_FEE
      const paid = await Payment.run(rpc, api, invoice, {
        total,
        maxFee: args.maxfee ?? msat(percentFee > exempt ? percentFee : exempt),
        maxDelay: args.maxdelay ?? 2016,
        retryFor: args.retry_for ?? 60,
        groupId: nextGroup(sent),
      })
      return {
        destination: invoice.payee,
        payment_hash: invoice.paymentHash,
        payment_preimage: paid.preimage,
        created_at: createdAt,
        parts: paid.parts,
        amount_msat: amount(total),
        amount_sent_msat: amount(paid.sent),
        status: 'complete',
      }
    } finally {
      underWay.delete(invoice.paymentHash)
    }
  },
})

const pending = (why: string): FactoryError => new FactoryError('payment_pending', why, 'ask again later')
