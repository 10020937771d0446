/** Feerates as Core Lightning's own commands take them. */
import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'
import type { CommandContext } from './command.js'
import { ask } from './node-state.js'

const parsedFeerate = z.object({ perkw: z.number().int().positive() })
/** A weight unit is a quarter of a virtual byte. */
const WEIGHT = 4
/** Below it nothing is relayed. */
const LOWEST = 1000

/** As lightningd writes it: `normal`, `2000perkb`, `500perkw`, or a number of perkb. */
export const feerate = z.union([z.string().max(40), z.number().transform(String)]).optional()

/** Satoshi per 1000 vB. @throws FactoryError `bad_parameter` in the name of `command` */
export async function feerateOf(
  { rpc, config }: CommandContext,
  command: string,
  given: string | undefined,
): Promise<number> {
  try {
    const { perkw } = await ask(rpc, 'parsefeerate', [given ?? 'normal'], parsedFeerate)
    return Math.max(LOWEST, perkw * WEIGHT)
  } catch (error) {
    // A regtest node has no estimates, and nobody to compete with.
    if (given === undefined && config.network === 'regtest') return LOWEST
    const why = error instanceof Error ? error.message : String(error)
    throw new FactoryError('bad_parameter', `${command}: feerate: ${why}`, 'give feerate, for example 2000perkb')
  }
}
