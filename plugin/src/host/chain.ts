import { FactoryError } from '@ln-factory/tlv'
import { hex } from '@scure/base'
import { blockHeight, sat, type BlockHeight, type OutPoint, type Sat } from '@ln-factory/core/units'
import type { BroadcastResult } from '@ln-factory/core/host'
import type { HostRpc } from '../rpc/index.js'
import { getInfo, parse, rawBlock, sendRawTransaction, utxoOut } from './replies.js'

/** bitcoind's answer to a transaction that is confirmed already: lightningd means to take it for success, and does not. */
const IN_CHAIN = /error code: -27\b/

/** The chain as lightningd's bitcoin backend shows it. */
export class Chain {
  constructor(private readonly rpc: HostRpc) {}

  /**
   * The height that lightningd has processed. Not bitcoind's, which is ahead while lightningd catches up: the HTLC rules must
   * count as lightningd does, and a block that we see must have been seen by onchaind's watches too.
   */
  async height(): Promise<BlockHeight> {
    return blockHeight(parse(getInfo, 'getinfo', await this.rpc.call('getinfo')).blockheight)
  }

  async block(height: BlockHeight): Promise<{ hash: string; raw: Uint8Array } | undefined> {
    const { blockhash, block } = parse(
      rawBlock,
      'getrawblockbyheight',
      await this.rpc.call('getrawblockbyheight', { height }),
    )
    return blockhash === null || block === null ? undefined : { hash: blockhash, raw: hex.decode(block) }
  }

  async utxo(outpoint: OutPoint): Promise<{ amount: Sat; script: Uint8Array } | undefined> {
    const reply = await this.rpc.call('getutxout', { txid: outpoint.txid, vout: outpoint.vout })
    const { amount, script } = parse(utxoOut, 'getutxout', reply)
    if (amount === null || script === null) return undefined
    const digits = /^(\d+)sat$/.exec(amount)?.[1]
    if (digits === undefined) throw new FactoryError('host_failed', `getutxout: not an amount: ${amount}`)
    return { amount: sat(BigInt(digits)), script: hex.decode(script) }
  }

  async broadcast(tx: Uint8Array): Promise<BroadcastResult> {
    // The fee was fixed when the transaction was signed: a node that finds it high must not keep us from our money.
    const reply = await this.rpc.call('sendrawtransaction', { tx: hex.encode(tx), allowhighfees: true })
    const { success, errmsg } = parse(sendRawTransaction, 'sendrawtransaction', reply)
    if (IN_CHAIN.test(errmsg)) return { accepted: true, error: undefined, confirmed: true }
    return { accepted: success, error: success ? undefined : errmsg.trim().replace(/\s*\n\s*/g, ' ') }
  }
}
