import type {
  HeldDecision,
  HostHandlers,
  HtlcDecision,
  HtlcEvent,
  OpenDecision,
  OpenRequest,
  ReceivedHtlc,
} from '@ln-factory/core/host'
import { instanceId, type NodeId } from '@ln-factory/core/units'

export const FACTORY: OpenDecision = { kind: 'factory', instance: instanceId('11'.repeat(32)) }

/** Handlers that note what the host calls, and answer what the test tells them to. */
export class Recorder implements HostHandlers {
  readonly messages: { readonly peer: NodeId; readonly body: Uint8Array }[] = []
  readonly connected: NodeId[] = []
  readonly disconnected: NodeId[] = []
  readonly opens: OpenRequest[] = []
  readonly htlcs: HtlcEvent[] = []
  readonly foreign: Uint8Array[] = []
  /** Hashes that are waited for, and every time that one of them was told. */
  readonly holds = new Set<string>()
  readonly held: { readonly htlc: ReceivedHtlc; readonly answer: (decision: HeldDecision) => void }[] = []
  height = 0
  changes = 0
  openDecision: OpenDecision = FACTORY
  htlcDecision: HtlcDecision = { kind: 'continue' }

  message(peer: NodeId, body: Uint8Array): Promise<void> {
    this.messages.push({ peer, body })
    return Promise.resolve()
  }

  peerConnected(peer: NodeId): Promise<void> {
    this.connected.push(peer)
    return Promise.resolve()
  }

  peerDisconnected(peer: NodeId): Promise<void> {
    this.disconnected.push(peer)
    return Promise.resolve()
  }

  openRequest(request: OpenRequest): OpenDecision {
    this.opens.push(request)
    return this.openDecision
  }

  htlc(event: HtlcEvent): HtlcDecision {
    this.htlcs.push(event)
    return this.htlcDecision
  }

  received(htlc: ReceivedHtlc): Promise<HeldDecision> | undefined {
    if (!this.holds.has(htlc.hash)) return undefined
    return new Promise((answer) => {
      this.held.push({ htlc, answer })
    })
  }

  block(height: number): Promise<void> {
    this.height = Math.max(this.height, height)
    return Promise.resolve()
  }

  channelsChanged(): Promise<void> {
    this.changes++
    return Promise.resolve()
  }

  otherProtocol(_peer: NodeId, body: Uint8Array): void {
    this.foreign.push(body)
  }
}
