/** Brings LDK to bitcoind's best chain, block by block, through reorganisations. */
import * as ldk from 'lightningdevkit'
import { hex } from '@scure/base'
import { parseBlock } from '../watch/block.js'
import type { Bitcoin, Tip } from './bitcoind.js'
import { u32 } from './convert.js'
import type { Parts } from './parts.js'

const tipOf = (best: ldk.BestBlock): Tip => ({
  hash: hex.encode(Uint8Array.from(best.get_block_hash()).reverse()),
  height: u32(best.get_height()),
})

export interface BlockListener {
  blockConnected(txids: ReadonlySet<string>, height: number): void
  blockDisconnected(height: number): void
}

/** Something with a best block of its own. */
interface Follower {
  tip(): Tip
  connect(raw: Uint8Array, height: number): void
  disconnect(header: Uint8Array, height: number): void
}

export class ChainSync {
  private running: Promise<void> = Promise.resolve()

  constructor(
    private readonly bitcoin: Bitcoin,
    private readonly parts: Parts,
    private readonly manager: ldk.ChannelManager,
    private readonly listener: BlockListener,
  ) {}

  get tip(): Tip {
    return tipOf(this.manager.current_best_block())
  }

  /**
   * A stored monitor can be some blocks behind the stored manager: LDK does not write every one at every block. It is brought to
   * the manager's height before it is watched. Call `rewind` first.
   */
  async catchUp(monitor: ldk.ChannelMonitor): Promise<void> {
    const { broadcaster, fees, logger } = this.parts
    const follower: Follower = {
      tip: () => tipOf(monitor.current_best_block()),
      connect: (raw, height) => {
        const txs = parseBlock(raw).txs.map((tx, i) =>
          ldk.TwoTuple_usizeTransactionZ.constructor_new(i, Uint8Array.from(tx.raw)),
        )
        monitor.block_connected(raw.subarray(0, 80), txs, height, broadcaster, fees, logger)
      },
      disconnect: (header, height) => monitor.block_disconnected(header, height, broadcaster, fees, logger),
    }
    await this.toBestChain(follower)
    await this.forward(follower, this.tip.height)
  }

  /** Take the manager, alone, back to a block of the best chain. */
  rewind(): Promise<void> {
    const listen = this.manager.as_Listen()
    return this.toBestChain({
      tip: () => this.tip,
      connect: () => undefined,
      disconnect: (header, height) => {
        listen.block_disconnected(header, height)
        this.listener.blockDisconnected(height)
      },
    })
  }

  /** Up to bitcoind's tip. Calls queue up; each brings what there is when it runs. */
  sync(): Promise<void> {
    const next = this.running.catch(() => undefined).then(() => this.run())
    this.running = next
    return next
  }

  private async run(): Promise<void> {
    const target = await this.bitcoin.tip()
    if (target.hash === this.tip.hash) return
    const manager = this.manager.as_Listen()
    const chain = this.parts.chain.as_Listen()
    const both: Follower = {
      tip: () => this.tip,
      connect: (raw, height) => {
        chain.block_connected(raw, height)
        manager.block_connected(raw, height)
        this.listener.blockConnected(new Set(parseBlock(raw).txs.map((tx) => tx.txid)), height)
      },
      disconnect: (header, height) => {
        chain.block_disconnected(header, height)
        manager.block_disconnected(header, height)
        this.listener.blockDisconnected(height)
      },
    }
    await this.toBestChain(both)
    await this.forward(both, target.height)
  }

  private async toBestChain(follower: Follower): Promise<void> {
    for (;;) {
      const tip = follower.tip()
      if ((await this.bitcoin.hashAt(tip.height)) === tip.hash) return
      follower.disconnect(await this.bitcoin.header(tip.hash), tip.height)
    }
  }

  private async forward(follower: Follower, height: number): Promise<void> {
    while (follower.tip().height < height) {
      const { height: at, hash } = follower.tip()
      const next = await this.bitcoin.hashAt(at + 1)
      if (next === undefined) return
      const raw = await this.bitcoin.rawBlock(next)
      // Reorganised while we asked: LDK would panic. The next sync starts from the fork.
      if (parseBlock(raw).previous !== hash) return
      follower.connect(raw, at + 1)
    }
  }
}
