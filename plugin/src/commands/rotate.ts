/** The next factory, and everybody into it. */
import { earlyWarning } from '@ln-factory/core/tree'
import { blocks, msat } from '@ln-factory/core/units'
import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'
import { amountSat, blockCount, instance, node, wholeNumber } from '../options/values.js'
import { defineCommand } from './command.js'
import { feerate as feerateParam, feerateOf } from './feerate.js'

/** Their balances come from the old factory. */
const NOTHING = msat(0)
const ANY_HEIGHT = 499_999_999
const client = z.strictObject({ id: node, capacity_sat: amountSat })

export const rotate = defineCommand({
  name: 'factory-rotate',
  description: 'Move the clients of a factory to the next one, and take its coins back',
  details:
    'For the LSP. Creates the next factory with the clients that are connected, unless told which or given one that exists. When it is ' +
    "confirmed, each balance moves there by payments; the last one is paid for with the client's factory key. When all clients " +
    'have left, one transaction takes the old coins back. Answers when the new funding is broadcast; the rest goes on by itself, ' +
    'also after restarts: factory-show tells how far it is. Clients that are away stay, and can be rotated again to another factory.',
  params: {
    instance_id: instance.describe('the factory that ends'),
    to: instance.optional().describe('a factory that exists and has channels for them; default: create one'),
    clients: z
      .array(client)
      .min(1)
      .optional()
      .describe(
        'objects {"id", "capacity_sat"}; default: those of the old factory that are connected, as large as before',
      ),
    lifetime: blockCount(1, ANY_HEIGHT)
      .optional()
      .describe('blocks from now to the expiry of the new one; default factory-active-blocks plus the early warning'),
    feerate: feerateParam.describe('of the transaction that takes the old coins back; default normal'),
    step_timeout: wholeNumber(1, 86_400).optional().describe('seconds that each step of the ceremony may take'),
  },
  check: ({ to, clients, lifetime }) => {
    if (to !== undefined && (clients !== undefined || lifetime !== undefined))
      throw new FactoryError('bad_parameter', 'factory-rotate: clients and lifetime are for a factory that is created')
  },
  run: async (context, { instance_id, to, clients, lifetime, feerate, step_timeout }) => {
    const { api, config } = context
    const rate = await feerateOf(context, 'factory-rotate', feerate)
    const old = await api.show(instance_id)
    const count = clients?.length ?? old.clients
    const done = await api.rotate({
      instance: instance_id,
      to:
        to === undefined
          ? {
              kind: 'create',
              clients: clients?.map(({ id, capacity_sat }) => ({ id, capacity: capacity_sat, push: NOTHING })),
              lifetime: lifetime ?? blocks(config.creation.activeBlocks + earlyWarning(old.params, count)),
              stepTimeout: step_timeout ?? config.stepTimeout,
            }
          : { kind: 'existing', instance: to },
      feerate: rate,
    })
    return { instance_id: done.instance, from: instance_id, moving: [...done.moving] }
  },
})
