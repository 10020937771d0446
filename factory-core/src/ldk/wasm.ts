/**
 * LDK's WASM, loaded once in a process. Any Rust panic in it ruins every node of the process: what comes from outside is
 * checked before it gets there.
 */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import * as ldk from 'lightningdevkit'
import { FactoryError } from '@ln-factory/tlv'

/** LDK 0.1 has known losses of funds that upstream fixed later, and there is no newer binding: no main network here. */
export type LdkNetwork = 'regtest' | 'signet' | 'testnet'

const NETWORKS: Readonly<Record<LdkNetwork, ldk.Network>> = {
  regtest: ldk.Network.LDKNetwork_Regtest,
  signet: ldk.Network.LDKNetwork_Signet,
  testnet: ldk.Network.LDKNetwork_Testnet,
}

/** @throws FactoryError `bad_parameter` for the main network, and whatever else is not a test network */
export function ldkNetwork(name: string): ldk.Network {
  if (name === 'regtest' || name === 'signet' || name === 'testnet') return NETWORKS[name]
  throw new FactoryError(
    'bad_parameter',
    `Not for real money: the LDK host (lightningdevkit 0.1.0) runs on regtest, signet and testnet, not on ${name}`,
    'Upstream fixed losses of funds after this version. Use Core Lightning on the main network.',
  )
}

let loading: Promise<void> | undefined

/** Idempotent. */
export function loadLdk(): Promise<void> {
  loading ??= (async () => {
    const file = createRequire(import.meta.url).resolve('lightningdevkit/liblightningjs.wasm')
    await ldk.initializeWasmFromBinary(await readFile(file))
  })()
  return loading
}

interface Shared {
  readonly graph: ldk.NetworkGraph
  readonly logger: ldk.Logger
}
const graphs = new Map<ldk.Network, Shared>()

/** One for all nodes of the process: it is the largest thing a node has. Empty, as we take no gossip. */
export function sharedGraph(network: ldk.Network): ldk.NetworkGraph {
  let shared = graphs.get(network)
  if (shared === undefined) {
    const logger = ldk.Logger.new_impl({ log: () => undefined })
    shared = { logger, graph: ldk.NetworkGraph.constructor_new(network, logger) }
    graphs.set(network, shared)
  }
  return shared.graph
}
