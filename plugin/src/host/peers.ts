import { FactoryError } from '@ln-factory/tlv'
import { hex } from '@scure/base'
import { nodeId, type NodeId } from '@ln-factory/core/units'
import type { PeerInfo } from '@ln-factory/core/host'
import type { HostRpc } from '../rpc/index.js'
import { listPeers, parse } from './replies.js'

/** bLIP-56 `pluggable_channel_factories`, required and optional. */
const FACTORY_BITS = [270, 271]
/** `featurebits` of the manifest: the optional bit alone, big-endian as in BOLT 9. */
export const FACTORY_FEATURES = '80'.padEnd(2 * 34, '0')

export function hasFeature(features: string, bit: number): boolean {
  const bytes = hex.decode(features)
  const byte = bytes[bytes.length - 1 - (bit >> 3)] ?? 0
  return (byte & (1 << (bit & 7))) !== 0
}

/** Peers and what they offer. */
export class Peers {
  /** Peers that are connected and offer factories, as far as we asked. */
  private readonly offering = new Set<string>()

  constructor(private readonly rpc: HostRpc) {}

  async list(): Promise<PeerInfo[]> {
    return this.query({})
  }

  async find(id: NodeId): Promise<PeerInfo | undefined> {
    return (await this.query({ id }))[0]
  }

  /**
   * A node without the feature bit hangs up on our message, whose type is even: it must never be sent one.
   * @throws FactoryError `peer_offline`, `peer_unsupported`
   */
  async requireFactories(id: NodeId): Promise<void> {
    if (this.offering.has(id)) return
    const peer = await this.find(id)
    if (peer?.connected !== true) throw new FactoryError('peer_offline', `${id} is not connected`)
    if (!peer.factories)
      throw new FactoryError('peer_unsupported', `${id} does not offer channel factories (feature bit 271)`)
    this.offering.add(id)
  }

  /** It may come back as another version. */
  disconnected(id: NodeId): void {
    this.offering.delete(id)
  }

  private async query(params: object): Promise<PeerInfo[]> {
    const { peers } = parse(listPeers, 'listpeers', await this.rpc.call('listpeers', params))
    return peers.map((p) => {
      // What a peer offers counts while it is there.
      const features = p.connected ? (p.features ?? '') : ''
      const factories = FACTORY_BITS.some((bit) => hasFeature(features, bit))
      return { id: nodeId(p.id), connected: p.connected, factories }
    })
  }
}
