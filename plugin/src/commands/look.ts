/** Commands that show, and change nothing. */
import { z } from 'zod'
import { instance, wholeNumber } from '../options/values.js'
import { defineCommand } from './command.js'
import { detailsResult, summaryResult } from './results.js'

const phases = z.enum(['forming', 'confirming', 'active', 'closing', 'closed', 'exiting', 'exited', 'aborted'])

export const list = defineCommand({
  name: 'factory-list',
  description: "List this node's factories, as LSP and as client",
  details: 'Amounts are in the unit that their name says; expiry is a block height, early_warning a number of blocks.',
  params: {
    phase: phases
      .optional()
      .describe('only factories in this phase: forming, confirming, active, closing, closed, exiting, exited, aborted'),
  },
  run: async ({ api }, { phase }) => {
    const all = await api.list()
    return { factories: all.filter((f) => phase === undefined || f.phase === phase).map(summaryResult) }
  },
})

export const show = defineCommand({
  name: 'factory-show',
  description: 'Show one factory: tree, channels, balances, cost of an exit, what happens next',
  details: 'An LSP sees every transaction of the tree, a client those of its own path.',
  params: { instance_id: instance.describe('the factory') },
  run: async ({ api }, { instance_id }) => detailsResult(await api.show(instance_id)),
})

export const peers = defineCommand({
  name: 'factory-peers',
  description: 'List peers and whether they can join a factory',
  details:
    'protocol is ours, other (another factory protocol, named: no factory is possible with it), none (no factories) or ' +
    'unknown (not connected, or nothing announced yet).',
  params: {},
  run: async ({ api }) => ({
    peers: (await api.peers()).map(({ id, connected, protocol, names }) => ({ id, connected, protocol, names })),
  }),
})

export const log = defineCommand({
  name: 'factory-log',
  description: 'Show what was signed, sent, received and broadcast',
  details: 'Oldest first. Ask for more with after = the last seq you got.',
  params: {
    instance_id: instance.optional().describe('only this factory'),
    after: wholeNumber(0, Number.MAX_SAFE_INTEGER).optional().describe('only entries with a larger seq'),
    limit: wholeNumber(1, 1000).optional().describe('most entries; default 100'),
  },
  run: ({ api }, { instance_id, after, limit }) =>
    Promise.resolve({
      log: api.log({ instance: instance_id, after, limit: limit ?? 100 }).map((entry) => ({
        seq: entry.seq,
        time: entry.time,
        instance_id: entry.instance,
        kind: entry.kind,
        text: entry.text,
      })),
    }),
})
