/** What the commands ask lightningd, checked: a node's answer in another form than we know stops the command. */
import { blockHeight, type BlockHeight } from '@ln-factory/core/units'
import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'
import { firstIssue } from '../options/values.js'
import type { Rpc } from './command.js'

/** Call lightningd and check the answer; fields that the schema doesn't name are ignored. */
export async function ask<T>(
  rpc: Rpc,
  method: string,
  params: object,
  schema: z.ZodType<T>,
  timeout?: number,
): Promise<T> {
  const answer = await rpc.call(method, params, timeout === undefined ? {} : { timeout })
  const parsed = schema.safeParse(answer)
  if (!parsed.success)
    throw new FactoryError('host_failed', `lightningd's answer to ${method}: ${firstIssue(parsed.error)}`)
  return parsed.data
}

const info = z.object({ blockheight: z.number() })

export const currentHeight = async (rpc: Rpc): Promise<BlockHeight> =>
  blockHeight((await ask(rpc, 'getinfo', {}, info)).blockheight)
