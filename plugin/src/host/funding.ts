import { FactoryError } from '@ln-factory/tlv'
import { hex } from '@scure/base'
import { outPointKey, txid, type OutPoint, type Sat } from '@ln-factory/core/units'
import type { FundingTx } from '@ln-factory/core/host'
import { HostRpcError, type HostRpc } from '../rpc/index.js'
import type { AddressCodec } from './address.js'
import { findOutput, inputsOf, signedTxid, txidOf } from './psbt.js'
import { listTransactions, parse, signPsbt, txPrepare } from './replies.js'

/** lightningd: the wallet can't pay for it (fee and its reserve for emergencies included). */
const FUND_CANNOT_AFFORD = 301
/**
 * Blocks that the inputs stay reserved: two days. Long enough for clients whose operators are asked; short enough that coins
 * come back by themselves when the plugin dies between the reservation and the first commit of the ceremony.
 */
const RESERVE_BLOCKS = 288
/** lightningd adds reservations up; so many blocks take back any. */
const RELEASE_BLOCKS = 1_000_000

/** lightningd's wallet pays for a factory: a transaction whose id is fixed long before it is signed. */
export class FundingWallet {
  constructor(
    private readonly rpc: HostRpc,
    private readonly addresses: AddressCodec,
    private readonly utxo: (outpoint: OutPoint) => Promise<unknown>,
  ) {}

  async prepare(script: Uint8Array, amount: Sat): Promise<FundingTx> {
    const outputs = [{ [this.addresses.encode(script)]: `${amount}sat` }]
    const reply = await this.rpc.call('txprepare', { outputs, minconf: 1 }).catch((error: unknown) => {
      if (error instanceof HostRpcError && error.rpcCode === FUND_CANNOT_AFFORD)
        throw new FactoryError(
          'insufficient_funds',
          `the wallet can't fund ${amount} sat: ${error.rpcMessage}`,
          'Send coins to `lightning-cli newaddr`, or wait until they confirm.',
        )
      throw error
    })
    const { psbt, unsigned_tx, txid: id } = parse(txPrepare, 'txprepare', reply)
    try {
      const raw = hex.decode(unsigned_tx)
      const funding = { psbt, txid: txid(id), vout: findOutput(raw, script, amount), inputs: inputsOf(raw) }
      if (txidOf(raw) !== funding.txid || signedTxid(psbt) !== funding.txid)
        throw new FactoryError('host_failed', `txprepare: PSBT is not of ${id}`)
      await this.reserve(funding)
      return funding
    } catch (error) {
      await this.release({ psbt })
      throw error
    }
  }

  async release(funding: Pick<FundingTx, 'psbt'>): Promise<void> {
    await this.rpc.call('unreserveinputs', { psbt: funding.psbt, reserve: RELEASE_BLOCKS })
  }

  async broadcast(funding: FundingTx): Promise<void> {
    if ((await this.utxo(funding)) !== undefined) return
    const sent = await this.sentBefore(funding)
    if (sent !== undefined) {
      // Spent since, or thrown out of a block or a mempool. The wallet takes it for sent, so its inputs can't be signed again.
      await this.rpc.call('sendrawtransaction', { tx: sent, allowhighfees: true })
      return
    }
    await this.reserve(funding)
    const { signed_psbt } = parse(signPsbt, 'signpsbt', await this.rpc.call('signpsbt', { psbt: funding.psbt }))
    const signed = signedTxid(signed_psbt)
    if (signed !== funding.txid)
      throw new FactoryError(
        'host_failed',
        `signing changed the funding transaction: ${signed}, not ${funding.txid}; not sent`,
      )
    await this.rpc.call('sendpsbt', { psbt: signed_psbt }).catch(async (error: unknown) => {
      // A node that sees it already refuses it a second time.
      const known = (await this.utxo(funding)) !== undefined || (await this.sentBefore(funding)) !== undefined
      if (!known) throw error
    })
  }

  /** The signed transaction, when the wallet has sent it. */
  private async sentBefore(funding: FundingTx): Promise<string | undefined> {
    const { transactions } = parse(listTransactions, 'listtransactions', await this.rpc.call('listtransactions'))
    return transactions.find((t) => t.hash === funding.txid)?.rawtx
  }

  /** Make the reservation last, whether or not it is still there. @throws `host_failed` when an input is spent */
  private async reserve(funding: FundingTx): Promise<void> {
    await this.rpc
      .call('reserveinputs', { psbt: funding.psbt, exclusive: false, reserve: RESERVE_BLOCKS })
      .catch((error: unknown) => {
        throw new FactoryError('host_failed', `inputs of ${outPointKey(funding)} can't be reserved`, undefined, {
          cause: error,
        })
      })
  }
}
