/**
 * No lightningd that knows bLIP-56 runs here: its part is played by answers as they were seen on one (the parameters in `help`, the
 * reply of `fundchannel_start`, the hook). What it does on the wire is not shown by this.
 */
import { blocks, instanceId, msat, nodeId, sat } from '@ln-factory/core/units'
import { PROTOCOL_ID } from '@ln-factory/tlv'
import { hex } from '@scure/base'
import { describe, expect, it } from 'vitest'
import { bindingParams, describeBlip56, detectBlip56 } from '../../src/host/blip56.js'
import { Channels } from '../../src/host/channels.js'
import { Opening } from '../../src/host/opening.js'
import { Peers } from '../../src/host/peers.js'
import { HostRpcError } from '../../src/rpc/index.js'
import { FakeRpc, type Answer } from './fake-rpc.js'

const PEER = nodeId('0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798')
const INSTANCE = instanceId('5a'.repeat(32))
const binding = { instance: INSTANCE, earlyWarning: blocks(480) }

const STOCK = {
  fundchannel_start:
    'fundchannel_start id amount [feerate] [announce] [close_to] [push_msat] [channel_type] [mindepth] [reserve]',
  fundchannel_complete: 'fundchannel_complete id psbt [withhold]',
}
const PATCHED = {
  fundchannel_start: `${STOCK.fundchannel_start} [factory_protocol_id] [factory_instance_id] [factory_early_warning_time]`,
  fundchannel_complete: `${STOCK.fundchannel_complete} [factory_funding_txid] [factory_funding_outnum]`,
  'factory-change': 'factory-change channel_id new_funding_txid new_funding_outnum',
  checkutxo: 'checkutxo txid vout',
}

const node = (usages: Record<string, string>, answers: Record<string, Answer> = {}): FakeRpc =>
  new FakeRpc({
    help: ({ command }) => {
      const usage = usages[command as string]
      if (usage === undefined) throw new HostRpcError('help', -32601, `Unknown command ${String(command)}`)
      return { help: [{ command: usage }], 'format-hint': 'simple' }
    },
    listpeers: () => ({ peers: [{ id: PEER, connected: true, features: `80${'00'.repeat(33)}` }] }),
    listpeerchannels: () => ({ channels: [] }),
    fundchannel_start: () => ({ scriptpubkey: `0020${'22'.repeat(32)}`, channel_type: { bits: [12, 22, 46, 50] } }),
    fundchannel_complete: () => ({ channel_id: 'cc'.repeat(32), commitments_secured: true }),
    ...answers,
  })

const without = (command: keyof typeof PATCHED, param: string) => ({
  ...PATCHED,
  [command]: PATCHED[command].replace(param, ''),
})
const all = { channelInFactory: true, factoryChange: true, checkUtxo: true }

describe('what a node knows of bLIP-56', () => {
  it('nothing, on a stock node', async () => {
    expect(await detectBlip56(node(STOCK))).toBeUndefined()
  })

  it('all of it, on a patched one', async () => {
    expect(await detectBlip56(node(PATCHED))).toEqual(all)
    expect(describeBlip56({ ...all, checkUtxo: false })).toBe(
      'this node knows bLIP-56: channelInFactory yes, factoryChange yes, checkUtxo no',
    )
  })

  it.each([
    ['fundchannel_start', '[factory_protocol_id]', 'channelInFactory'],
    ['fundchannel_start', '[factory_instance_id]', 'channelInFactory'],
    ['fundchannel_start', '[factory_early_warning_time]', 'channelInFactory'],
    ['fundchannel_complete', '[factory_funding_txid]', 'channelInFactory'],
    ['fundchannel_complete', '[factory_funding_outnum]', 'channelInFactory'],
    ['factory-change', 'new_funding_outnum', 'factoryChange'],
    ['checkutxo', 'vout', 'checkUtxo'],
  ] as const)('half an ability is none: %s without %s', async (command, param, ability) => {
    expect(await detectBlip56(node(without(command, param)))).toEqual({ ...all, [ability]: false })
  })

  it('is found in whole words only', async () => {
    const usages = without('fundchannel_start', '[factory_protocol_id]')
    const alike = { ...usages, fundchannel_start: `${usages.fundchannel_start} [my_factory_protocol_id_list]` }
    expect(await detectBlip56(node(alike))).toMatchObject({ channelInFactory: false })
  })

  it('a node that does not answer `help` in its form is an error, and no guess', async () => {
    await expect(detectBlip56(node({}, { help: () => ({}) }))).rejects.toMatchObject({ code: 'host_failed' })
  })
})

describe('an open', () => {
  const leaf = hex.decode(
    `0300000001${'11'.repeat(32)}0000000000ffffffff01a086010000000000220020${'22'.repeat(32)}00000000`,
  )
  const prevout = { amount: sat(101_240), script: hex.decode(`5120${'33'.repeat(32)}`) }
  const open = async (usages: Record<string, string>, bound: boolean) => {
    const rpc = node(usages)
    const caps = { dropsChannels: false, blip56: await detectBlip56(rpc) }
    const opening = new Opening(rpc, new Peers(rpc), new Channels(rpc), caps)
    const capacity = sat(100_000)
    await opening.start({ peer: PEER, capacity, push: msat(0), ...(bound ? { binding } : {}) })
    await opening.complete({ peer: PEER, leaf, prevout, vout: 0 })
    const of = (method: string) => rpc.calls.find((c) => c.method === method)?.params ?? {}
    return { start: of('fundchannel_start'), complete: of('fundchannel_complete') }
  }

  it('carries channel_in_factory where both nodes know it', async () => {
    const { start, complete } = await open(PATCHED, true)
    expect(start).toMatchObject({
      factory_protocol_id: PROTOCOL_ID,
      factory_instance_id: INSTANCE,
      factory_early_warning_time: 480,
      mindepth: 0,
      channel_type: [12, 22, 46, 50],
    })
    const { factory_funding_txid: txid, factory_funding_outnum: vout, withhold } = complete
    expect(txid).toMatch(/^[0-9a-f]{64}$/)
    expect([vout, withhold]).toEqual([0, true])
  })

  it.each([
    ['the peer’s node does not read it', PATCHED, false],
    ['ours is a stock node', STOCK, true],
    ['ours lacks a parameter', without('fundchannel_complete', '[factory_funding_outnum]'), true],
  ])('is a stock one where %s', async (_why, usages, bound) => {
    const { start, complete } = await open(usages, bound)
    expect([...Object.keys(start), ...Object.keys(complete)].filter((k) => k.startsWith('factory'))).toEqual([])
  })

  it('gives the node no id that it would fill up with its memory, and no W that it would cut', () => {
    expect(() => bindingParams({ ...binding, instance: '5a' as typeof INSTANCE })).toThrow(/does not fit/)
    expect(() => bindingParams({ ...binding, earlyWarning: blocks(65_536) })).toThrow(/does not fit/)
  })
})
