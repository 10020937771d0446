/** A BOLT 11 invoice, read and checked by lightningd's `decode`. */
import { msat, nodeId, type Msat, type NodeId } from '@ln-factory/core/units'
import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'
import type { Rpc } from '../commands/command.js'
import { ask } from '../commands/node-state.js'

export interface HintHop {
  /** Start of the hop; the next entry, or the payee, is its end. */
  readonly node: NodeId
  readonly scid: string
  readonly feeBase: Msat
  /** Parts per million. */
  readonly feeRate: number
  readonly cltvDelta: number
}

export interface Invoice {
  readonly text: string
  readonly payee: NodeId
  readonly paymentHash: string
  readonly paymentSecret: string
  readonly metadata: string | undefined
  readonly amount: Msat | undefined
  /** Unix seconds. */
  readonly expiresAt: number
  readonly finalCltv: number
  readonly multiPart: boolean
  readonly hints: readonly (readonly HintHop[])[]
}

const decoded = z.object({
  type: z.string(),
  valid: z.boolean(),
  currency: z.string().optional(),
  payee: z.string().optional(),
  payment_hash: z.string().optional(),
  payment_secret: z.string().optional(),
  payment_metadata: z.string().optional(),
  amount_msat: z.int().positive().optional(),
  created_at: z.int().optional(),
  expiry: z.int().optional(),
  min_final_cltv_expiry: z.int().nonnegative().optional(),
  features: z.string().optional(),
  routes: z
    .array(
      z.array(
        z.object({
          pubkey: z.string(),
          short_channel_id: z.string(),
          fee_base_msat: z.int().nonnegative(),
          fee_proportional_millionths: z.int().nonnegative(),
          cltv_expiry_delta: z.int().nonnegative(),
        }),
      ),
    )
    .optional(),
})

const refused = (why: string): FactoryError => new FactoryError('bad_parameter', `bolt11: ${why}`)

/** BOLT 11's prefix (BIP-173) of each network, by lightningd's name for it. */
const CURRENCIES: Readonly<Record<string, string>> = {
  bitcoin: 'bc',
  testnet: 'tb',
  testnet4: 'tb',
  signet: 'tbs',
  regtest: 'bcrt',
}

/** BOLT 9: tlv onion, payment secret, basic multi-part, payment metadata. */
const KNOWN_FEATURES = new Set([8, 14, 16, 48])
const MULTI_PART = 16

/** Is the bit, or its odd twin, set in a big-endian hex bit field? */
function featureBits(hex: string): number[] {
  const bits: number[] = []
  for (let i = 0; i < hex.length; i++) {
    const nibble = parseInt(hex.charAt(hex.length - 1 - i), 16)
    for (let bit = 0; bit < 4; bit++) if ((nibble & (1 << bit)) !== 0) bits.push(i * 4 + bit)
  }
  return bits
}

/** @throws FactoryError `bad_parameter` when it is no invoice that can be paid here */
export async function readInvoice(rpc: Rpc, network: string, text: string): Promise<Invoice> {
  let answer: z.output<typeof decoded>
  try {
    answer = await ask(rpc, 'decode', { string: text.replace(/^lightning:/i, '') }, decoded)
  } catch (error) {
    throw refused(error instanceof Error ? error.message : String(error))
  }
  if (answer.type !== 'bolt11 invoice')
    throw refused(`this is a ${answer.type}, and only BOLT 11 invoices are paid here`)
  const { payee, payment_hash: paymentHash, payment_secret: paymentSecret, created_at: created, expiry } = answer
  const finalCltv = answer.min_final_cltv_expiry
  if (!answer.valid || payee === undefined || paymentHash === undefined || created === undefined)
    throw refused('invalid')
  if (answer.currency !== CURRENCIES[network]) throw refused(`it is for another network (${answer.currency ?? 'none'})`)
  if (paymentSecret === undefined) throw refused('it has no payment secret, which every payee needs today')
  const bits = featureBits(answer.features ?? '')
  const unknown = bits.find((bit) => bit % 2 === 0 && !KNOWN_FEATURES.has(bit))
  if (unknown !== undefined) throw refused(`it needs feature ${unknown}, which this command doesn't know`)
  return {
    text,
    payee: nodeId(payee),
    paymentHash,
    paymentSecret,
    metadata: answer.payment_metadata,
    amount: answer.amount_msat === undefined ? undefined : msat(answer.amount_msat),
    expiresAt: created + (expiry ?? 3600),
    finalCltv: finalCltv ?? 18,
    multiPart: bits.some((bit) => bit === MULTI_PART || bit === MULTI_PART + 1),
    hints: (answer.routes ?? []).map((route) =>
      route.map((hop) => ({
        node: nodeId(hop.pubkey),
        scid: hop.short_channel_id,
        feeBase: msat(hop.fee_base_msat),
        feeRate: hop.fee_proportional_millionths,
        cltvDelta: hop.cltv_expiry_delta,
      })),
    ),
  }
}
