/** A client's operator: who may take this node into a factory, and under which terms. */
import type { Policy } from '@ln-factory/core/runner'
import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'
import { amountMsat, amountSat, blockCount, instance, line, node, wholeNumber, yesOrNo } from '../options/values.js'
import { defineCommand } from './command.js'
import { wishResult } from './ladder-results.js'
import { inviteResult, policyResult } from './results.js'

const ANY_HEIGHT = 499_999_999

export const join = defineCommand({
  name: 'factory-join',
  description: 'Ask an LSP for a place in a factory, or list and answer invitations',
  details:
    'With lsp and capacity it asks: the LSP may take this node into its waiting room, it is asked again on every connection, and its next ' +
    'invitation to a channel of exactly this capacity is accepted within the limits of factory-policy, once. With lsp and ' +
    'accept=false the request is withdrawn. Without parameters it lists requests and invitations. Invitations of LSPs that the ' +
    'policy accepts from are answered automatically and never appear here; those that break its limits are refused at once.',
  params: {
    instance_id: instance.optional().describe('the invitation to answer'),
    accept: yesOrNo.optional().describe('true to join (default), false to refuse or to withdraw a request'),
    reason: line(200).optional().describe('why it is refused; the LSP is told'),
    lsp: node.optional().describe('whom to ask for a place'),
    capacity: amountSat.optional().describe('satoshi of the channel that is asked for'),
  },
  check: ({ instance_id, accept, reason, lsp, capacity }) => {
    const wrong = (why: string): FactoryError => new FactoryError('bad_parameter', `factory-join: ${why}`)
    if (instance_id !== undefined && lsp !== undefined)
      throw wrong('instance_id answers an invitation, lsp asks for one')
    if (lsp !== undefined && accept === true) throw wrong('accept=true goes with instance_id')
    if (lsp !== undefined && accept === undefined && capacity === undefined) throw wrong('capacity is missing')
    if (capacity !== undefined && (lsp === undefined || accept === false)) throw wrong('capacity goes with lsp alone')
    if (instance_id === undefined && lsp === undefined && (accept ?? reason) !== undefined)
      throw wrong('instance_id is missing')
    if (reason !== undefined && (accept !== false || lsp !== undefined))
      throw wrong('reason goes with accept=false of an invitation only')
  },
  run: async ({ api }, { instance_id, accept = true, reason, lsp, capacity }) => {
    if (lsp !== undefined) {
      if (capacity === undefined) api.ladder.withdraw(lsp)
      else api.ladder.join(lsp, capacity)
      return { requests: api.ladder.wishes().map(wishResult) }
    }
    if (instance_id === undefined)
      return { invitations: api.invites().map(inviteResult), requests: api.ladder.wishes().map(wishResult) }
    await api.answer(instance_id, accept, reason)
    return { instance_id, accepted: accept }
  },
})

export const policy = defineCommand({
  name: 'factory-policy',
  description: 'Show or change which invitations this node accepts, and how it sells liquidity',
  details: 'Without parameters it shows. What is given replaces that limit, and is kept over restarts.',
  params: {
    accept_from: z
      .array(node)
      .optional()
      .describe('node ids of LSPs that are accepted within the limits without asking'),
    min_capacity: amountSat.optional().describe('satoshi of the smallest channel'),
    max_capacity: amountSat.optional().describe('satoshi of the largest channel'),
    min_lifetime: blockCount(1, ANY_HEIGHT).optional().describe('fewest blocks to the expiry'),
    max_lifetime: blockCount(1, ANY_HEIGHT).optional().describe('most blocks to the expiry'),
    max_early_warning: blockCount(1, 2016).optional().describe('most blocks that an exit must start ahead'),
    max_clients: wholeNumber(1, 1000).optional().describe('most clients'),
    max_feerate: wholeNumber(1000, 100_000).optional().describe('highest feerate of the tree, satoshi per 1000 vB'),
    min_depth: wholeNumber(1, 144).optional().describe('confirmations of the funding before HTLCs flow'),
    sells: yesOrNo
      .optional()
      .describe('LSP: answer clients that want to buy liquidity; default false: only factory-sell does'),
    sale_base: amountMsat.optional().describe('LSP: millisatoshi that every sold channel costs'),
    sale_rate: amountMsat
      .optional()
      .describe('LSP: millisatoshi per 1,000,000 sat of capacity and 1000 blocks until the expiry, on top'),
    sale_min: amountSat.optional().describe('LSP: satoshi of the smallest channel that is sold on request'),
    sale_max: amountSat.optional().describe('LSP: satoshi of the largest channel that is sold on request'),
    sale_deny: z.array(node).optional().describe('LSP: clients whose requests are refused'),
    unasked_price: amountMsat
      .optional()
      .describe(
        'client: the most that is paid, in millisatoshi, for a channel that an LSP of accept_from offers unasked',
      ),
  },
  run: ({ api }, args) => {
    const old = api.policy()
    if (Object.keys(args).length === 0) return Promise.resolve(policyResult(old))
    const next: Policy = {
      autoAccept: args.accept_from === undefined ? old.autoAccept : [...new Set(args.accept_from)],
      minCapacity: args.min_capacity ?? old.minCapacity,
      maxCapacity: args.max_capacity ?? old.maxCapacity,
      minLifetime: args.min_lifetime ?? old.minLifetime,
      maxLifetime: args.max_lifetime ?? old.maxLifetime,
      maxEarlyWarning: args.max_early_warning ?? old.maxEarlyWarning,
      maxClients: args.max_clients ?? old.maxClients,
      maxFeerate: args.max_feerate ?? old.maxFeerate,
      minDepth: args.min_depth ?? old.minDepth,
      sales: {
        sells: args.sells ?? old.sales.sells,
        base: args.sale_base ?? old.sales.base,
        rate: args.sale_rate ?? old.sales.rate,
        min: args.sale_min ?? old.sales.min,
        max: args.sale_max ?? old.sales.max,
        deny: args.sale_deny === undefined ? old.sales.deny : [...new Set(args.sale_deny)],
        unaskedPrice: args.unasked_price ?? old.sales.unaskedPrice,
      },
    }
    if (next.minCapacity > next.maxCapacity) throw crossed('capacity')
    if (next.minLifetime > next.maxLifetime) throw crossed('lifetime')
    if (next.sales.min > next.sales.max)
      throw new FactoryError('bad_parameter', 'factory-policy: sale_min would be more than sale_max')
    api.setPolicy(next)
    return Promise.resolve(policyResult(next))
  },
})

const crossed = (what: string): FactoryError =>
  new FactoryError('bad_parameter', `factory-policy: min_${what} would be more than max_${what}`)
