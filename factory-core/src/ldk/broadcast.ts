/**
 * What LDK wants sent. A commitment of a channel whose leaf is not in a block is not sent: nobody could use it, and LDK asks
 * again at each block.
 */
import { hex } from '@scure/base'
import { RawTx } from '@scure/btc-signer'
import type { Host } from '../host/port.js'
import { words, type Bitcoin } from './bitcoind.js'
import type { Records } from './records.js'

export class Broadcaster {
  constructor(
    private readonly bitcoin: Bitcoin,
    private readonly records: Records,
    private readonly log: Host['log'],
  ) {}

  /** Never rejects. */
  async broadcast(txs: readonly Uint8Array[]): Promise<void> {
    for (const tx of txs) {
      try {
        if (!(await this.hasGround(tx))) continue
        const { accepted, error } = await this.bitcoin.broadcast(tx)
        if (!accepted) this.log('debug', `transaction refused: ${error ?? ''}`)
      } catch (error) {
        this.log('warn', `broadcast: ${words(error)}`)
      }
    }
  }

  private async hasGround(tx: Uint8Array): Promise<boolean> {
    const inputs: readonly { readonly txid: Uint8Array; readonly index: number }[] = RawTx.decode(tx).inputs
    for (const input of inputs) {
      const record = this.records.atFunding(`${hex.encode(input.txid)}:${input.index}`)
      if (record?.factory !== true) continue
      if (record.state === 'dropped' || (await this.bitcoin.utxo(record.funding, false)) === undefined) return false
    }
    return true
  }
}
