/**
 * What lightningd answers and asks, as far as it is used: checked once at the border, so that a lightningd that speaks
 * otherwise gives one clear error and not an `undefined` deep inside.
 */
import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'

const hex = z.string().regex(/^([0-9a-f]{2})*$/)
const hash = z.string().regex(/^[0-9a-f]{64}$/)
const nodeIdHex = z.string().regex(/^0[23][0-9a-f]{64}$/)
/** Amounts are numbers; before v23 they were strings that end in "msat". */
const msatAmount = z.number().int().nonnegative()

export const help = z.object({ help: z.array(z.object({ command: z.string() })) })
export const getInfo = z.object({
  id: nodeIdHex,
  version: z.string(),
  network: z.string(),
  blockheight: z.number().int(),
})
export const makeSecret = z.object({ secret: hash })
export const listPeers = z.object({
  peers: z.array(z.object({ id: nodeIdHex, connected: z.boolean(), features: hex.optional() })),
})
export const newAddress = z.object({ p2tr: z.string() })
export const txPrepare = z.object({ psbt: z.string(), unsigned_tx: hex, txid: hash })
export const signPsbt = z.object({ signed_psbt: z.string() })
export const listTransactions = z.object({ transactions: z.array(z.object({ hash, rawtx: hex })) })
export const fundChannelStart = z.object({
  scriptpubkey: hex,
  channel_type: z.object({ bits: z.array(z.number().int()) }),
})
export const fundChannelComplete = z.object({ channel_id: hash, commitments_secured: z.literal(true) })
export const peerChannels = z.object({
  channels: z.array(
    z.object({
      peer_id: nodeIdHex,
      state: z.string(),
      // Absent while an open is under negotiation.
      channel_id: hash.optional(),
      short_channel_id: z.string().optional(),
      funding_txid: hash.optional(),
      funding_outnum: z.number().int().optional(),
      total_msat: msatAmount.optional(),
      to_us_msat: msatAmount.optional(),
      spendable_msat: msatAmount.optional(),
      alias: z.object({ local: z.string().optional() }).optional(),
      htlcs: z
        .array(z.object({ direction: z.enum(['in', 'out']), expiry: z.number().int(), state: z.string() }))
        .optional(),
      funding: z.object({ psbt: z.string().optional(), withheld: z.boolean().optional() }).optional(),
    }),
  ),
})
export type PeerChannel = z.infer<typeof peerChannels>['channels'][number]
export const rawBlock = z.object({ blockhash: hash.nullable(), block: hex.nullable() })
export const utxoOut = z.object({ amount: z.string().nullable(), script: hex.nullable() })
export const sendRawTransaction = z.object({ success: z.boolean(), errmsg: z.string() })
export const estimateFees = z.object({
  feerate_floor: z.number().nonnegative(),
  feerates: z.array(z.object({ blocks: z.number().int(), feerate: z.number().nonnegative() })),
})
export const listFunds = z.object({
  outputs: z.array(
    z.object({
      txid: hash,
      output: z.number().int(),
      amount_msat: msatAmount,
      scriptpubkey: hex,
      status: z.string(),
      reserved: z.boolean(),
      // Of a channel's close: not spendable as an ordinary coin is.
      csv_lock: z.number().int().optional(),
    }),
  ),
})
export const reservations = z.object({ reservations: z.array(z.object({ reserved: z.boolean() })) })
export const bitcoinConfig = z.object({
  configs: z.record(z.string(), z.object({ value_str: z.string().optional(), value_int: z.number().int().optional() })),
})
/** bitcoind's own. */
export const bitcoindReply = z.object({
  result: z.unknown(),
  error: z.object({ code: z.number().int(), message: z.string() }).nullable(),
})
export const submitPackage = z.object({
  package_msg: z.string(),
  'tx-results': z.record(z.string(), z.object({ txid: hash, error: z.string().optional() })).default({}),
})
export const walletConfig = z.object({
  configs: z.object({ wallet: z.object({ value_str: z.string() }).optional() }),
})

export const customMessage = z.object({ peer_id: nodeIdHex, payload: hex })
export const openChannel = z.object({
  openchannel: z.object({
    id: nodeIdHex,
    funding_msat: msatAmount,
    push_msat: msatAmount,
    channel_reserve_msat: msatAmount,
    channel_flags: z.number().int(),
    channel_type: z.object({ bits: z.array(z.number().int()) }).optional(),
    // Of a node that knows bLIP-56.
    channel_in_factory: z
      .object({
        factory_protocol_id: hash,
        factory_instance_id: hash,
        factory_early_warning_time: z.number().int(),
      })
      .optional(),
  }),
})
export const htlcAccepted = z.object({
  onion: z.object({
    short_channel_id: z.string().optional(),
    forward_msat: msatAmount.optional(),
    outgoing_cltv_value: z.number().int().optional(),
  }),
  htlc: z.object({
    short_channel_id: z.string(),
    id: z.number().int().nonnegative(),
    payment_hash: hash,
    amount_msat: msatAmount,
    cltv_expiry: z.number().int(),
    cltv_expiry_relative: z.number().int(),
  }),
  forward_to: hash.optional(),
})
export const connected = z.object({ connect: z.object({ id: nodeIdHex }) })
export const disconnected = z.object({ disconnect: z.object({ id: nodeIdHex }) })
export const blockAdded = z.object({ block_added: z.object({ height: z.number().int() }) })

/** @throws FactoryError `host_failed` when lightningd's answer has not the form that we know */
export function parse<T>(schema: z.ZodType<T>, what: string, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw new FactoryError('host_failed', `${what}: unexpected form: ${z.prettifyError(result.error)}`)
}
