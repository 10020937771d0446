/** A Lightning peer that has heard of no factory: it shakes hands, and says nothing more. */
import * as ldk from 'lightningdevkit'
import { hex } from '@scure/base'
import { Tcp } from '@ln-factory/core/ldk'
import { nodeId, type NodeId } from '@ln-factory/core/units'

const SECRET = new Uint8Array(32).fill(99)

export class Outsider {
  private constructor(
    readonly id: NodeId,
    readonly port: number,
    private readonly tcp: Tcp,
  ) {}

  /** After LDK was loaded: some host of this process has. */
  static async start(): Promise<Outsider> {
    const keys = ldk.KeysManager.constructor_new(SECRET, 0n, 0)
    const ignore = ldk.IgnoringMessageHandler.constructor_new()
    const peers = ldk.PeerManager.constructor_new(
      ldk.ErroringMessageHandler.constructor_new().as_ChannelMessageHandler(),
      ignore.as_RoutingMessageHandler(),
      ignore.as_OnionMessageHandler(),
      ignore.as_CustomMessageHandler(),
      0,
      SECRET,
      ldk.Logger.new_impl({ log: () => undefined }),
      keys.as_NodeSigner(),
    )
    const wake = (): void => {
      setImmediate(() => {
        peers.process_events()
      })
    }
    const tcp = new Tcp({ peers, wake })
    const id = keys.as_NodeSigner().get_node_id(ldk.Recipient.LDKRecipient_Node)
    if (!(id instanceof ldk.Result_PublicKeyNoneZ_OK)) throw new Error('LDK has no node id')
    return new Outsider(nodeId(hex.encode(id.res)), await tcp.listen('127.0.0.1', 0), tcp)
  }

  stop(): Promise<void> {
    return this.tcp.close()
  }
}
