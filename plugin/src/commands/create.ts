import { checkParams, earlyWarning, type TreeParams } from '@ln-factory/core/tree'
import { blocks, toMsat, type Msat, type NodeId, type Sat } from '@ln-factory/core/units'
import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'
import { amountMsat, amountSat, blockCount, node, wholeNumber } from '../options/values.js'
import { defineCommand } from './command.js'
import { amount } from './results.js'

const ANY_HEIGHT = 499_999_999

const client = z.strictObject({ id: node, capacity_sat: amountSat.optional(), push_msat: amountMsat.optional() })
/** A node id stands for a client with the common capacity and push. */
const one = z.preprocess((value) => (typeof value === 'string' ? { id: value } : value), client)
const ids = z.array(one).min(1, 'a factory needs at least one client')

type Client = { id: NodeId; capacity_sat?: Sat | undefined; push_msat?: Msat | undefined }

interface Shares {
  readonly clients: readonly Client[]
  readonly capacity?: Sat | undefined
  readonly push_msat?: Msat | undefined
}

const wrong = (why: string): FactoryError => new FactoryError('bad_parameter', `factory-create: ${why}`)

/** Each client's channel, from what is said of all and of the one. @throws FactoryError `bad_parameter` */
function channelsOf(args: Shares): { id: NodeId; capacity: Sat; push: Msat }[] {
  const seen = new Set<NodeId>()
  return args.clients.map((one) => {
    if (seen.has(one.id)) throw wrong(`client ${one.id} is named twice`)
    seen.add(one.id)
    const capacity = one.capacity_sat ?? args.capacity
    if (capacity === undefined) throw wrong(`no capacity for client ${one.id}: give capacity, or its own capacity_sat`)
    const push = one.push_msat ?? args.push_msat ?? amountMsat.parse(0)
    if (push > toMsat(capacity)) throw wrong(`push_msat of client ${one.id} is more than its channel`)
    return { id: one.id, capacity, push }
  })
}

export const create = defineCommand({
  name: 'factory-create',
  description: 'Create a factory: one UTXO of this wallet, one channel for each client',
  details:
    'Every client must be connected and accept. All exits are signed and stored before the funding is broadcast: until then an ' +
    'abort costs nothing. Answers when the funding is broadcast; the channels carry payments once it is confirmed.',
  params: {
    clients: ids.describe('node ids, or objects {"id", "capacity_sat", "push_msat"}'),
    capacity: amountSat.optional().describe('satoshi of each channel that has no capacity_sat of its own'),
    push_msat: amountMsat.optional().describe("each client's balance at the start, given by us; default 0"),
    lifetime: blockCount(1, ANY_HEIGHT)
      .optional()
      .describe('blocks from now to the expiry; default factory-active-blocks plus the early warning'),
    arity: wholeNumber(1, 4).optional().describe('clients that share a stock; a leaf holds its square'),
    fanout: wholeNumber(2, 16).optional().describe('most outputs of a fan-out transaction'),
    states: wholeNumber(1, 64).optional().describe('states that a leaf can go through'),
    step: blockCount(1, 1008).optional().describe('blocks of relative lock time between two states'),
    confirmation_margin: blockCount(1, 144).optional().describe('blocks for each level of the tree to confirm'),
    safety_margin: blockCount(0, 144).optional().describe('blocks kept on top of the early warning'),
    stock_csv: blockCount(1, 65_535).optional().describe("blocks until the LSP's branch of a stock opens"),
    stock_per_client: amountSat.optional().describe("satoshi of each client's share of its stock; 0 for no stocks"),
    feerate: wholeNumber(1000, 100_000).optional().describe('satoshi per 1000 vB built into the tree'),
    step_timeout: wholeNumber(1, 86_400).optional().describe('seconds that each step of the ceremony may take'),
  },
  check: (args) => {
    channelsOf(args)
  },
  run: async ({ api, config }, args) => {
    const clients = channelsOf(args)
    if (clients.some(({ id }) => id === api.nodeId)) throw wrong('this node is the LSP, and no client of its own')
    const defaults = config.creation.params
    const params: TreeParams = {
      arity: args.arity ?? defaults.arity,
      fanout: args.fanout ?? defaults.fanout,
      states: args.states ?? defaults.states,
      step: args.step ?? defaults.step,
      confirmationMargin: args.confirmation_margin ?? defaults.confirmationMargin,
      safetyMargin: args.safety_margin ?? defaults.safetyMargin,
      stockCsv: args.stock_csv ?? defaults.stockCsv,
      stockPerClient: args.stock_per_client ?? defaults.stockPerClient,
      feerate: args.feerate ?? defaults.feerate,
    }
    checkParams(params)
    const warning = earlyWarning(params, clients.length)
    const lifetime = args.lifetime ?? blocks(config.creation.activeBlocks + warning)
    const stepTimeout = args.step_timeout ?? config.stepTimeout
    const made = await api.create({ clients, lifetime, params, stepTimeout })
    return {
      instance_id: made.instance,
      funding_txid: made.funding.txid,
      funding_outnum: made.funding.vout,
      funding_sat: amount(made.fundingAmount),
      early_warning: warning,
      lifetime,
      clients: clients.map(({ id, capacity, push }) => ({
        id,
        capacity_sat: amount(capacity),
        push_msat: amount(push),
      })),
    }
  },
})
