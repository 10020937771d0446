import type { Context } from '../../src/machine/index.js'
import { defaultPolicy } from '../../src/runner/index.js'
import { FACTORY_SECRET_LABEL } from '../../src/signing/index.js'
import { msat, type InstanceId, type NodeId } from '../../src/units/index.js'
import type { Net } from './net.js'

/** What a machine of `id` would look at: to rebuild in a test what a node rebuilds. */
export async function contextOf(net: Net, id: NodeId, instance: InstanceId): Promise<Context> {
  return {
    self: id,
    nodeSecret: await net.host(id).deriveSecret(FACTORY_SECRET_LABEL),
    entropy: (bytes) => net.world.entropy(bytes),
    height: net.world.chain.height,
    now: 0,
    policy: defaultPolicy,
    maxPush: msat(0),
    choosesForwardingChannel: true,
    sealed: false,
    item: (key) => net.disk(id).items.get(instance)?.get(key),
    factory: () => undefined,
    connected: () => true,
  }
}
