/** What peers speak: their announcements, fragments under assembly, and one queue of outgoing messages each. */
import {
  decodeFactoryMessage,
  decodePayload,
  encodeFactoryMessage,
  FactoryError,
  isOurProtocol,
  piggyback,
  protocolId,
  protocolName,
  Reassembler,
  type Payload,
} from '@ln-factory/tlv'
import type { Host, PeerInfo } from '../host/port.js'
import type { NodeId } from '../units/index.js'
import { MAX_PROTOCOLS, MAX_QUEUED } from './allowance.js'
import type { PeerSummary } from './api.js'

interface Peer {
  protocols: readonly Uint8Array[] | undefined
  /** Announced on another protocol's own message type. */
  foreign: readonly Uint8Array[]
  readonly reassembler: Reassembler
  queue: Promise<void>
  /** In the queue, not taken by the host yet. */
  queued: number
}

export class Peers {
  readonly #peers = new Map<NodeId, Peer>()

  constructor(readonly host: Host) {}

  connected(peer: NodeId): void {
    this.#peers.get(peer)?.reassembler.reset()
    this.#post(peer, [encodeFactoryMessage({ kind: 'supported_factory_protocols', protocols: [protocolId()] })])
  }

  disconnected(peer: NodeId): void {
    this.#peers.delete(peer)
  }

  /** Can it be sent something now, as far as we were told? */
  isConnected(peer: NodeId): boolean {
    return this.#peers.has(peer)
  }

  /** In order per peer; a message that can't be delivered is dropped, as a lost connection would have dropped it. */
  send(peer: NodeId, payload: Payload): void {
    this.#post(peer, piggyback(payload))
  }

  /**
   * A message of type 32800.
   * @returns the payload for the factory, if the message carried one to its end
   * @throws FactoryError `wire_*`; `peer_other_protocol` for a piggyback that is not ours
   */
  receive(peer: NodeId, body: Uint8Array): Payload | undefined {
    const message = decodeFactoryMessage(body)
    switch (message.kind) {
      case 'supported_factory_protocols':
        this.#peer(peer).protocols = remembered(message.protocols)
        return undefined
      case 'factory_piggyback': {
        if (!isOurProtocol(message.protocolId))
          throw new FactoryError('peer_other_protocol', `${peer} sent a message of ${describe(message.protocolId)}`)
        const whole = this.#peer(peer).reassembler.accept(message.payload)
        if (whole === undefined) return undefined
        const payload = decodePayload(whole)
        return payload.kind === 'unknown_odd' ? undefined : payload
      }
      default:
        // factory_change_*: only hosts that announce channels in factories speak it; we told nobody that we do.
        return undefined
    }
  }

  /** The same announcement on another protocol's message type. @throws FactoryError `wire_*` */
  foreign(peer: NodeId, body: Uint8Array): void {
    const message = decodeFactoryMessage(body)
    if (message.kind === 'supported_factory_protocols') this.#peer(peer).foreign = remembered(message.protocols)
  }

  summary(info: PeerInfo): PeerSummary {
    const peer = this.#peers.get(info.id)
    const announced = [...(peer?.protocols ?? []), ...(peer?.foreign ?? [])]
    return {
      id: info.id,
      connected: info.connected,
      protocol: protocolOf(info, peer, announced),
      names: announced.map(describe),
    }
  }

  #peer(id: NodeId): Peer {
    let peer = this.#peers.get(id)
    if (peer === undefined) {
      peer = { protocols: undefined, foreign: [], reassembler: new Reassembler(), queue: Promise.resolve(), queued: 0 }
      this.#peers.set(id, peer)
    }
    return peer
  }

  #post(id: NodeId, bodies: readonly Uint8Array[]): void {
    const peer = this.#peer(id)
    if (peer.queued + bodies.length > MAX_QUEUED) {
      this.host.log('debug', `message to ${id} dropped: ${peer.queued} are waiting`)
      return
    }
    peer.queued += bodies.length
    peer.queue = peer.queue.then(async () => {
      try {
        // What waits when the connection is lost is lost with it, and never comes out of turn on the next one.
        for (const body of bodies) if (this.#peers.get(id) === peer) await this.host.send(id, body)
      } catch (error) {
        this.host.log('debug', `message to ${id} not sent: ${error instanceof Error ? error.message : String(error)}`)
      } finally {
        peer.queued -= bodies.length
      }
    })
  }
}

/** Ours in any case; of the others the first ones. */
function remembered(protocols: readonly Uint8Array[]): Uint8Array[] {
  const ours = protocols.filter(isOurProtocol).slice(0, 1)
  const others = protocols.filter((id) => !isOurProtocol(id)).slice(0, MAX_PROTOCOLS - ours.length)
  // Copies: a slice of the message would keep all of it.
  return [...ours, ...others].map((id) => id.slice())
}

function protocolOf(info: PeerInfo, peer: Peer | undefined, announced: readonly Uint8Array[]): PeerSummary['protocol'] {
  if (peer?.protocols?.some(isOurProtocol) === true) return 'ours'
  if (announced.length > 0) return 'other'
  if (!info.connected || (info.factories && peer?.protocols === undefined)) return 'unknown'
  return 'none'
}

const describe = (id: Uint8Array): string => protocolName(id) ?? `unknown protocol ${Buffer.from(id).toString('hex')}`
