import { amountMsat, line, wholeNumber } from '../options/values.js'
import { z } from 'zod'
import { FactoryError } from '@ln-factory/tlv'
import { defineCommand, type CommandContext } from '../commands/command.js'
import { ask, currentHeight } from '../commands/node-state.js'
import { ownChannels } from './channels.js'
import { readInvoice } from './bolt11.js'
import { planReceive, type ReceivePlan } from './receiving.js'

const made = z.object({
  bolt11: z.string(),
  payment_hash: z.string(),
  payment_secret: z.string(),
  expires_at: z.int(),
  created_index: z.int().optional(),
  warning_capacity: z.string().optional(),
  warning_offline: z.string().optional(),
  warning_deadends: z.string().optional(),
  warning_mpp: z.string().optional(),
})

/** A week, as lightningd's own `invoice`. */
const DEFAULT_EXPIRY = 604_800
const SECONDS_PER_BLOCK = 600

/** lightningd builds the invoice; what must be in it for the payment to be safe is read back from the result. */
async function check({ rpc, config }: CommandContext, bolt11: string, plan: ReceivePlan): Promise<void> {
  const { finalCltv, hints } = await readInvoice(rpc, config.network, bolt11)
  if (finalCltv !== plan.cltv)
    throw new FactoryError('host_failed', `invoice with a final CLTV of ${finalCltv}, not ${plan.cltv}`)
  const named = hints.flatMap((route) => (route.length === 1 ? route.map((hop) => hop.scid) : []))
  if (named.length === 0 || !named.every((scid) => plan.hints.includes(scid))) {
    throw new FactoryError('host_failed', 'invoice without the route hints that lead into the factory')
  }
}

export const invoice = defineCommand({
  name: 'factory-invoice',
  description: 'Create an invoice that can be paid over our factory channels',
  details:
    "lightningd's invoice, with the final CLTV delta that the early warning of our factories needs, and route hints over their " +
    'channels. Refused when no channel can receive. It expires early enough for the factory to enforce the payment.',
  params: {
    amount_msat: z.union([z.literal('any').transform(() => undefined), amountMsat]).describe('millisatoshi, or "any"'),
    label: z
      .union([z.string().max(200), z.int().transform(String)])
      .describe('unique name of the invoice on this node'),
    description: line(640).describe('shown to the payer'),
    expiry: wholeNumber(1, 31_536_000)
      .optional()
      .describe('seconds; default 604800, less when a factory expires before'),
    preimage: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex characters')
      .optional()
      .describe('64 hex characters; only if you know why'),
  },
  check: ({ amount_msat: wanted }) => {
    if (wanted === 0n)
      throw new FactoryError('bad_parameter', 'factory-invoice: amount_msat: 0 can\'t be paid; write "any"')
  },
  run: async (context, args) => {
    const { api, rpc } = context
    const height = await currentHeight(rpc)
    const plan = planReceive(await ownChannels(rpc, api), args.amount_msat, height)
    // Blocks may come faster than every ten minutes: the gate holds then too, and the payment fails cleanly.
    const longest = (plan.lastHeight - height) * SECONDS_PER_BLOCK
    const answer = await ask(
      rpc,
      'invoice',
      {
        amount_msat: args.amount_msat === undefined ? 'any' : `${args.amount_msat}msat`,
        label: args.label,
        description: args.description,
        expiry: Math.min(args.expiry ?? DEFAULT_EXPIRY, longest),
        ...(args.preimage === undefined ? {} : { preimage: args.preimage }),
        exposeprivatechannels: plan.hints,
        cltv: plan.cltv,
      },
      made,
    )
    try {
      await check(context, answer.bolt11, plan)
    } catch (error) {
      await rpc.call('delinvoice', { label: args.label, status: 'unpaid' })
      throw error
    }
    return { ...answer, cltv: plan.cltv, last_height: plan.lastHeight }
  },
})
