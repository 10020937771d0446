/**
 * A lightningd that knows bLIP-56 is told from a stock one by the parameters of its commands, in the words of `help`: nothing is
 * assumed from a version. An ability counts when all of it is there; half of it is none.
 */
import type { Blip56Caps, FactoryBinding } from '@ln-factory/core/host'
import { FactoryError, PROTOCOL_ID } from '@ln-factory/tlv'
import { HostRpcError, type HostRpc } from '../rpc/index.js'
import { help, parse } from './replies.js'

const OPENS = ['factory_protocol_id', 'factory_instance_id', 'factory_early_warning_time']
const COMPLETES = ['factory_funding_txid', 'factory_funding_outnum']
const CHANGES = ['channel_id', 'new_funding_txid', 'new_funding_outnum']
const CHECKS = ['txid', 'vout']

/** @returns undefined for a stock node */
export async function detectBlip56(rpc: HostRpc): Promise<Blip56Caps | undefined> {
  const channelInFactory =
    (await takes(rpc, 'fundchannel_start', OPENS)) && (await takes(rpc, 'fundchannel_complete', COMPLETES))
  const factoryChange = await takes(rpc, 'factory-change', CHANGES)
  const checkUtxo = await takes(rpc, 'checkutxo', CHECKS)
  return channelInFactory || factoryChange || checkUtxo ? { channelInFactory, factoryChange, checkUtxo } : undefined
}

async function takes(rpc: HostRpc, command: string, params: readonly string[]): Promise<boolean> {
  const reply = await rpc.call('help', { command }).catch((error: unknown) => {
    if (error instanceof HostRpcError) return undefined
    throw error
  })
  if (reply === undefined) return false
  const words = parse(help, 'help', reply).help.flatMap(({ command: usage }) => usage.split(/[\s[\]=|]+/))
  return params.every((param) => words.includes(param))
}

const HEX32 = /^[0-9a-f]{64}$/

/**
 * Parameters of `fundchannel_start`. Checked here: the node takes a shorter id as it is and fills it up with what is in its
 * memory, and cuts W to 16 bits.
 * @throws FactoryError `internal`
 */
export function bindingParams({ instance, earlyWarning }: FactoryBinding): object {
  if (!HEX32.test(instance) || earlyWarning > 0xffff)
    throw new FactoryError('internal', `factory ${instance} with W = ${earlyWarning} does not fit channel_in_factory`)
  return {
    factory_protocol_id: PROTOCOL_ID,
    factory_instance_id: instance,
    factory_early_warning_time: earlyWarning,
  }
}

export const describeBlip56 = (caps: Blip56Caps): string =>
  `this node knows bLIP-56: ${Object.entries(caps)
    .map(([ability, has]) => `${ability} ${has ? 'yes' : 'no'}`)
    .join(', ')}`
