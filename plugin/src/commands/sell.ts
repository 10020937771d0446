/** Commands that trade liquidity: a channel out of a stock, without touching the chain. */
import type { SaleResult } from '@ln-factory/core/runner'
import { amountMsat, amountSat, instance, node } from '../options/values.js'
import { defineCommand, type JsonObject } from './command.js'
import { amount } from './results.js'

const saleResult = (sale: SaleResult): JsonObject => ({
  channel_id: sale.channelId,
  capacity_sat: amount(sale.capacity),
  price_msat: amount(sale.price),
})

export const buy = defineCommand({
  name: 'factory-buy',
  description: 'Buy inbound liquidity: another channel of a factory, out of the stock that we share',
  details:
    'For a client. The other clients of the stock must be connected to the LSP, as they sign too. The price goes as one HTLC over a ' +
    'channel of this factory, and is taken only when every signature is stored. Answers when payments can come in over the channel.',
  params: {
    instance_id: instance.describe('the factory'),
    capacity: amountSat.describe('satoshi of the channel'),
    max_price: amountMsat.describe('the most that is paid, in millisatoshi'),
  },
  run: async ({ api }, { instance_id, capacity, max_price }) => ({
    instance_id,
    ...saleResult(await api.buy(instance_id, capacity, max_price)),
  }),
})

export const sell = defineCommand({
  name: 'factory-sell',
  description: 'Sell a client another channel of a factory, out of its stock',
  details:
    'For the LSP, without being asked; requests of clients are answered by factory-policy. The client takes it if its own policy ' +
    'allows the price. Ordered again, a sale that some have signed and others not goes on. Answers when it is paid and open.',
  params: {
    instance_id: instance.describe('the factory'),
    client_id: node.describe('the client'),
    capacity: amountSat.describe('satoshi of the channel'),
    price: amountMsat.optional().describe('millisatoshi; default: what factory-policy says'),
  },
  run: async ({ api }, { instance_id, client_id, capacity, price }) => ({
    instance_id,
    client_id,
    ...saleResult(await api.sell(instance_id, client_id, capacity, price)),
  }),
})
