/** Brings home what LDK says is ours on chain: each output is spent to the wallet, again until the spend is buried. */
import * as ldk from 'lightningdevkit'
import { hex } from '@scure/base'
import { words } from './bitcoind.js'
import { outPointOf } from './convert.js'
import { outPointKey, type OutPoint } from '../units/index.js'
import type { LdkNode } from './node.js'
import { FLOOR_FEERATE } from './parts.js'
import type { LdkWallet } from './wallet.js'

const PREFIX = 'sweep:'
/** Confirmations after which an output is not looked at any more. */
const BURIED = 6

interface Pending {
  readonly outpoint: OutPoint
  readonly descriptor: Uint8Array
  /** Made once: each new one would pay another address, and compete with the one before. */
  tx: Uint8Array | undefined
  /** Height at which the output was first seen to be spent by a block. */
  spentAt: number | undefined
}

export class Sweeper {
  private readonly pending = new Map<string, Pending>()
  private busy = false

  constructor(
    private readonly node: LdkNode,
    private readonly wallet: Pick<LdkWallet, 'newScript'>,
  ) {
    for (const bytes of node.options.storage.list(PREFIX).values()) this.add(bytes)
  }

  /** Stored with the commit that takes the event from LDK: it is not told twice. */
  outputs(descriptors: readonly ldk.SpendableOutputDescriptor[]): void {
    for (const descriptor of descriptors) {
      const bytes = Uint8Array.from(descriptor.write())
      const key = this.add(bytes)
      if (key !== undefined) this.node.set(PREFIX + key, bytes)
    }
    void this.sweep()
  }

  /** At each block. */
  async sweep(): Promise<void> {
    if (this.busy) return
    this.busy = true
    try {
      for (const [key, output] of this.pending) await this.one(key, output)
    } catch (error) {
      this.node.options.log('warn', `sweep: ${words(error)}`)
    } finally {
      this.busy = false
    }
  }

  private add(bytes: Uint8Array): string | undefined {
    const read = ldk.SpendableOutputDescriptor.constructor_read(Uint8Array.from(bytes))
    if (!(read instanceof ldk.Result_SpendableOutputDescriptorDecodeErrorZ_OK)) return undefined
    const outpoint = outpointOf(read.res)
    if (outpoint === undefined) return undefined
    const key = outPointKey(outpoint)
    if (!this.pending.has(key))
      this.pending.set(key, { outpoint, descriptor: Uint8Array.from(bytes), tx: undefined, spentAt: undefined })
    return key
  }

  private async one(key: string, output: Pending): Promise<void> {
    const { height } = this.node.sync.tip
    if ((await this.node.bitcoin.utxo(output.outpoint, false)) === undefined) {
      // LDK tells of an output when it has six confirmations, so it is not yet to come.
      output.spentAt ??= height
      if (height - output.spentAt < BURIED) return
      this.pending.delete(key)
      this.node.set(PREFIX + key, undefined)
      return
    }
    output.spentAt = undefined
    output.tx ??= await this.spend(output.descriptor)
    if (output.tx === undefined) return
    const { accepted, error } = await this.node.bitcoin.broadcast(output.tx)
    if (!accepted) this.node.options.log('debug', `sweep of ${key}: ${error ?? ''}`)
  }

  private async spend(bytes: Uint8Array): Promise<Uint8Array | undefined> {
    const script = await this.wallet.newScript()
    const read = ldk.SpendableOutputDescriptor.constructor_read(Uint8Array.from(bytes))
    if (!(read instanceof ldk.Result_SpendableOutputDescriptorDecodeErrorZ_OK)) return undefined
    const spent = this.node.parts.keys
      .as_OutputSpender()
      .spend_spendable_outputs([read.res], [], script, FLOOR_FEERATE, ldk.Option_u32Z.constructor_none())
    if (spent instanceof ldk.Result_TransactionNoneZ_OK) return Uint8Array.from(spent.res)
    // Worth less than the fee of its spend.
    this.node.options.log('info', `an output is too small to be swept: ${hex.encode(bytes).slice(0, 80)}`)
    return undefined
  }
}

function outpointOf(descriptor: ldk.SpendableOutputDescriptor): OutPoint | undefined {
  if (descriptor instanceof ldk.SpendableOutputDescriptor_StaticOutput) return outPointOf(descriptor.outpoint)
  if (descriptor instanceof ldk.SpendableOutputDescriptor_DelayedPaymentOutput)
    return outPointOf(descriptor.delayed_payment_output.get_outpoint())
  if (descriptor instanceof ldk.SpendableOutputDescriptor_StaticPaymentOutput)
    return outPointOf(descriptor.static_payment_output.get_outpoint())
  return undefined
}
