import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { BitcoindWallet, LdkHost, openLdkStorage, type BitcoindRpc } from '@ln-factory/core/ldk'
import { defaultPolicy, FactoryNode } from '@ln-factory/core/runner'
import { openSqliteStore } from '@ln-factory/core/store/sqlite'
import { blocks, msat, nodeId } from '@ln-factory/core/units'

export interface WalletOptions {
  /** Where the node's state and the factories' state live: two files, both needed, neither ever copied back. */
  readonly directory: string
  /** 32 bytes: everything is derived from it. */
  readonly seed: Uint8Array
  readonly bitcoind: BitcoindRpc
  readonly lsp: { readonly id: string; readonly host: string; readonly port: number }
}

export async function startWallet({ directory, seed, bitcoind, lsp }: WalletOptions) {
  // 1. The Lightning node. It has followed the chain when this resolves, and has said nothing to anyone yet.
  const host = await LdkHost.open({
    network: 'regtest',
    seed,
    storage: openLdkStorage(join(directory, 'ldk.sqlite')),
    bitcoind,
    wallet: new BitcoindWallet(bitcoind, 'regtest'),
    log: (level, text) => {
      if (level === 'warn' || level === 'error') console.error(level, text)
    },
  })
  // 2. The factories. They answer what happened while we were away.
  const store = openSqliteStore(join(directory, 'factories.sqlite'))
  const factories = await FactoryNode.start({
    host,
    store,
    policy: { ...defaultPolicy, autoAccept: [nodeId(lsp.id)], minLifetime: blocks(50), minDepth: 1 },
    entropy: (bytes) => new Uint8Array(randomBytes(bytes)),
    clock: () => Math.floor(Date.now() / 1000),
  })
  // 3. Only now may peers connect: every open and every HTLC has its judge.
  host.run(factories)
  await host.node.connect(nodeId(lsp.id), lsp.host, lsp.port)

  return {
    id: host.nodeId,
    factories,
    receive: (amountMsat: bigint, description: string): string =>
      host.invoice({ amount: msat(amountMsat), description }, (channel) => factories.gated(channel)),
    pay: (invoice: string): Promise<Uint8Array> => host.pay(invoice, (channel) => factories.gated(channel)),
    balance: async (): Promise<bigint> => (await host.channels()).reduce((sum, channel) => sum + channel.ours, 0n),
    stop: async (): Promise<void> => {
      factories.stop()
      await host.stop()
      store.close()
    },
  }
}
