/**
 * HTLCs on our own commitment. With anchors their transactions pay no fee (BOLT 3): the wallet adds an input that does. LDK asks
 * for it at every block until it confirms.
 */
import * as ldk from 'lightningdevkit'
import { hex } from '@scure/base'
import { RawTx, RawWitness } from '@scure/btc-signer'
import { words } from './bitcoind.js'
import { outPointOf, u32 } from './convert.js'
import type { LdkNode } from './node.js'
import type { LdkWallet } from './wallet.js'

/** What an HTLC input weighs at the most: 41 bytes bare, and a witness of two signatures, a preimage and the longer script. */
const HTLC_INPUT_WEIGHT = 4 * 41 + 1 + 1 + 73 + 73 + 33 + 144

export class Claims {
  /** By LDK's claim id: the transaction that was sent last. */
  private readonly sent = new Map<string, Uint8Array>()

  constructor(
    private readonly node: LdkNode,
    private readonly wallet: Pick<LdkWallet, 'addFee' | 'sign'>,
  ) {}

  async resolve(event: ldk.BumpTransactionEvent_HTLCResolution): Promise<void> {
    const id = hex.encode(event.claim_id)
    const { log } = this.node.options
    try {
      const before = this.sent.get(id)
      if (before !== undefined && (await this.node.bitcoin.broadcast(before)).accepted) return
      const tx = await this.build(event)
      this.sent.set(id, tx)
      const { accepted, error } = await this.node.bitcoin.broadcast(tx)
      if (!accepted) log('debug', `HTLC claim refused: ${error ?? ''}`)
    } catch (error) {
      log('warn', `HTLC claim: ${words(error)}`)
    }
  }

  private async build(event: ldk.BumpTransactionEvent_HTLCResolution): Promise<Uint8Array> {
    const { htlc_descriptors: htlcs } = event
    const bare = RawTx.encode({
      version: 2,
      segwitFlag: false,
      inputs: htlcs.map((htlc) => {
        const { txid, vout } = outPointOf(htlc.outpoint())
        const { sequence } = htlc.unsigned_tx_input()
        return { txid: hex.decode(txid), index: vout, finalScriptSig: new Uint8Array(), sequence: u32(sequence) }
      }),
      // The peer signed each input together with the output at its place (SINGLE | ANYONECANPAY).
      outputs: htlcs.map((htlc) => {
        const { value, script_pubkey: script } = htlc.tx_output()
        return { amount: value, script: Uint8Array.from(script) }
      }),
      witnesses: [],
      lockTime: u32(event.tx_lock_time),
    })
    const spent = htlcs.map((htlc) => ({ outpoint: outPointOf(htlc.outpoint()), weight: HTLC_INPUT_WEIGHT }))
    const funded = await this.wallet.addFee(bare, spent, u32(event.target_feerate_sat_per_1000_weight))
    const tx = RawTx.decode(funded)
    const witnesses: Uint8Array[][] = tx.inputs.map((_: unknown, i: number) => {
      const htlc = htlcs[i]
      return htlc === undefined ? [] : this.witness(htlc, funded, i)
    })
    return this.wallet.sign(RawTx.encode({ ...tx, segwitFlag: true, witnesses }))
  }

  private witness(htlc: ldk.HTLCDescriptor, tx: Uint8Array, input: number): Uint8Array[] {
    const signer = htlc.derive_channel_signer(this.node.parts.keys.as_SignerProvider())
    const signed = signer.sign_holder_htlc_transaction(tx, input, htlc)
    if (!(signed instanceof ldk.Result_ECDSASignatureNoneZ_OK)) throw new Error('LDK did not sign its HTLC')
    return RawWitness.decode(Uint8Array.from(htlc.tx_input_witness(signed.res, htlc.witness_script())))
  }
}
