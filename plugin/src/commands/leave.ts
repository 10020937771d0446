/** Commands that end a factory. */
import { instance, line } from '../options/values.js'
import { defineCommand } from './command.js'
import { feerate as feerateParam, feerateOf } from './feerate.js'
import { amount, transactionResult } from './results.js'

export const close = defineCommand({
  name: 'factory-close',
  description: 'Close a factory cooperatively: one transaction pays everyone its balance',
  details:
    'For the LSP. Every client must be connected and sign, and no HTLC may be pending. From the first signature on the balances ' +
    'are frozen. Answers when the transaction is broadcast.',
  params: {
    instance_id: instance.describe('the factory'),
    feerate: feerateParam.describe("of the closing transaction, as lightningd's own commands take it; default normal"),
  },
  run: async (context, { instance_id, feerate }) => {
    const done = await context.api.close(instance_id, await feerateOf(context, 'factory-close', feerate))
    return {
      instance_id,
      txid: done.txid,
      fee_sat: amount(done.fee),
      vsize: done.vsize,
      to_us_sat: amount(done.ours),
    }
  },
})

export const exit = defineCommand({
  name: 'factory-exit',
  description: 'Leave a factory alone: publish our transactions, then close our channels unilaterally',
  details:
    'Needs nobody. A client publishes its path, level by level as each confirms; other channels of the factory that share it come ' +
    'nearer to the chain. An LSP publishes the whole tree. Answers with the plan; factory-show tells how far it is. There is no ' +
    'way back.',
  params: { instance_id: instance.describe('the factory') },
  run: async ({ api }, { instance_id }) => {
    const plan = await api.exit(instance_id)
    return { instance_id, transactions: plan.transactions.map(transactionResult), blocks: plan.blocks }
  },
})

export const abort = defineCommand({
  name: 'factory-abort',
  description: 'Give up a factory that is still forming',
  details: 'Nothing was on chain: reserved coins are free again, and the others are told.',
  params: {
    instance_id: instance.describe('the factory'),
    reason: line(200).optional().describe('the others are told'),
  },
  run: async ({ api }, { instance_id, reason }) => {
    await api.abort(instance_id, reason ?? 'aborted by the operator')
    return { instance_id, phase: 'aborted' }
  },
})
