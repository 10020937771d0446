/** What LDK gave us to keep, read back: a channel manager, and a monitor for each channel. */
import * as ldk from 'lightningdevkit'
import { hex } from '@scure/base'
import { FactoryError } from '@ln-factory/tlv'
import type { Tip } from './bitcoind.js'
import type { Parts } from './parts.js'
import type { LdkStorage } from './storage.js'

/** Keys in the storage: a prefix, followed by the channel's funding outpoint, and the one of the manager. */
export const MONITOR = 'monitor:'
export const MANAGER = 'manager'

export const corrupt = (why: string): FactoryError => new FactoryError('store_corrupt', `LDK's state: ${why}`)

export interface StoredMonitor {
  readonly outpoint: ldk.OutPoint
  readonly monitor: ldk.ChannelMonitor
}

export function readMonitors(storage: LdkStorage, parts: Parts): Map<string, StoredMonitor> {
  const monitors = new Map<string, StoredMonitor>()
  for (const [key, bytes] of storage.list(MONITOR)) {
    const read = ldk.UtilMethods.constructor_C2Tuple_ThirtyTwoBytesChannelMonitorZ_read(
      Uint8Array.from(bytes),
      parts.keys.as_EntropySource(),
      parts.keys.as_SignerProvider(),
    )
    if (!(read instanceof ldk.Result_C2Tuple_ThirtyTwoBytesChannelMonitorZDecodeErrorZ_OK))
      throw corrupt(`the monitor of ${key} is garbled`)
    const monitor = read.res.get_b()
    monitors.set(key, { monitor, outpoint: monitor.get_funding_txo().get_a() })
  }
  return monitors
}

/** The stored one, with its monitors; a new one at the tip when nothing is stored. @throws FactoryError `store_corrupt` */
export function openManager(
  storage: LdkStorage,
  parts: Parts,
  network: ldk.Network,
  tip: Tip,
  monitors: Iterable<StoredMonitor>,
): ldk.ChannelManager {
  const stored = storage.get(MANAGER)
  if (stored === undefined) return newManager(parts, network, tip)
  return readManager(
    stored,
    parts,
    [...monitors].map(({ monitor }) => monitor),
  )
}

function newManager(parts: Parts, network: ldk.Network, tip: Tip): ldk.ChannelManager {
  const { keys } = parts
  const best = ldk.BestBlock.constructor_new(hex.decode(tip.hash).reverse(), tip.height)
  return ldk.ChannelManager.constructor_new(
    parts.fees,
    parts.chain.as_Watch(),
    parts.broadcaster,
    parts.router,
    parts.messageRouter,
    parts.logger,
    keys.as_EntropySource(),
    keys.as_NodeSigner(),
    keys.as_SignerProvider(),
    parts.config,
    ldk.ChainParameters.constructor_new(network, best),
    Math.floor(Date.now() / 1000),
  )
}

function readManager(bytes: Uint8Array, parts: Parts, monitors: ldk.ChannelMonitor[]): ldk.ChannelManager {
  const { keys } = parts
  const read = ldk.UtilMethods.constructor_C2Tuple_ThirtyTwoBytesChannelManagerZ_read(
    Uint8Array.from(bytes),
    keys.as_EntropySource(),
    keys.as_NodeSigner(),
    keys.as_SignerProvider(),
    parts.fees,
    parts.chain.as_Watch(),
    parts.broadcaster,
    parts.router,
    parts.messageRouter,
    parts.logger,
    parts.config,
    monitors,
  )
  if (!(read instanceof ldk.Result_C2Tuple_ThirtyTwoBytesChannelManagerZDecodeErrorZ_OK))
    throw corrupt('the channel manager is garbled, or a monitor of it is missing')
  return read.res.get_b()
}
