import { FactoryError } from '@ln-factory/tlv'
import { hex } from '@scure/base'
import { sat, txid, type Sat } from '@ln-factory/core/units'
import type { BroadcastResult, Feerates, FeeWallet, WalletCoin } from '@ln-factory/core/host'
import { HostRpcError, type HostRpc } from '../rpc/index.js'
import { findBitcoind, type BitcoindSettings } from './bitcoind-access.js'
import { sendPackage } from './packages.js'
import { coinPsbt, inputWitness, signedTxid, txidOf, unsignedPsbtOf } from './psbt.js'
import { estimateFees, listFunds, parse, reservations, signPsbt } from './replies.js'

/** A day: longer than any transaction should wait, short enough for a coin that nobody releases. */
const RESERVE_BLOCKS = 144
/** lightningd adds reservations up, and a child is renewed every few blocks. */
const RENEW_BLOCKS = 6
/** So many blocks take back any. */
const RELEASE_BLOCKS = 1_000_000
/** P2WPKH and P2TR: what the wallet signs with a witness of known size. */
const NATIVE = /^(0014[0-9a-f]{40}|5120[0-9a-f]{64})$/

/** lightningd's wallet and its bitcoind, as far as children of tree transactions need them. */
export class ClnFeeWallet implements FeeWallet {
  constructor(
    private readonly rpc: HostRpc,
    private readonly network: string,
    private readonly bitcoind: BitcoindSettings,
  ) {}

  async feerates(): Promise<Feerates> {
    const { feerate_floor, feerates } = parse(estimateFees, 'estimatefees', await this.rpc.call('estimatefees'))
    return { floor: feerate_floor, estimates: feerates }
  }

  async coins(): Promise<WalletCoin[]> {
    const { outputs } = parse(listFunds, 'listfunds', await this.rpc.call('listfunds'))
    return outputs
      .filter((o) => o.status === 'confirmed' && !o.reserved && o.csv_lock === undefined && NATIVE.test(o.scriptpubkey))
      .map((o) => ({
        outpoint: { txid: txid(o.txid), vout: o.output },
        amount: sat(BigInt(o.amount_msat) / 1000n),
        script: hex.decode(o.scriptpubkey),
      }))
  }

  reserve(coin: WalletCoin): Promise<boolean> {
    return this.reserveInputs(coin, { exclusive: true, reserve: RESERVE_BLOCKS })
  }

  renew(coin: WalletCoin): Promise<boolean> {
    return this.reserveInputs(coin, { exclusive: false, reserve: RENEW_BLOCKS })
  }

  async release(coin: WalletCoin): Promise<void> {
    await this.rpc.call('unreserveinputs', { psbt: coinPsbt(coin), reserve: RELEASE_BLOCKS })
  }

  async sign(
    tx: Uint8Array,
    prevouts: readonly { readonly amount: Sat; readonly script: Uint8Array }[],
    input: number,
  ): Promise<Uint8Array[]> {
    const params = { psbt: unsignedPsbtOf(tx, prevouts), signonly: [input] }
    const { signed_psbt } = parse(signPsbt, 'signpsbt', await this.rpc.call('signpsbt', params))
    if (signedTxid(signed_psbt) !== txidOf(tx))
      throw new FactoryError('host_failed', 'signing changed the child: not sent')
    return inputWitness(signed_psbt, input)
  }

  async submitPackage(parent: Uint8Array, child: Uint8Array): Promise<BroadcastResult> {
    try {
      // Looked up each time: bitcoind writes a new cookie at each of its starts.
      return await sendPackage(await findBitcoind(this.rpc, this.network, this.bitcoind), parent, child)
    } catch (error) {
      if (!(error instanceof FactoryError)) throw error
      const hint = error.hint === undefined ? '' : ` ${error.hint}`
      return { accepted: false, error: `no package can be sent: ${error.message}.${hint}` }
    }
  }

  private async reserveInputs(coin: WalletCoin, how: { exclusive: boolean; reserve: number }): Promise<boolean> {
    try {
      const reply = await this.rpc.call('reserveinputs', { psbt: coinPsbt(coin), ...how })
      // Of a coin that lightningd does not know it says nothing.
      return parse(reservations, 'reserveinputs', reply).reservations.some((r) => r.reserved)
    } catch (error) {
      if (error instanceof HostRpcError) return false
      throw error
    }
  }
}
