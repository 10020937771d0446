/** Coins for fundings, and where money goes that leaves the channels. */
import { sha256 } from '@noble/hashes/sha2.js'
import { hex } from '@scure/base'
import { FactoryError } from '@ln-factory/tlv'
import { Address, NETWORK, OutScript, RawTx, TEST_NETWORK } from '@scure/btc-signer'
import type { FundingTx } from '../host/port.js'
import { txid, type OutPoint, type Sat } from '../units/index.js'
import { Bitcoin, field, integer, rpcCode, text, words, type BitcoindRpc } from './bitcoind.js'
import type { LdkNetwork } from './wasm.js'

/** The money side of the host port; `fundingBroadcast` and the rest owe what `host/port.ts` says. */
export interface LdkWallet {
  newScript(): Promise<Uint8Array>
  fundingPrepare(script: Uint8Array, amount: Sat): Promise<FundingTx>
  fundingRelease(funding: FundingTx): Promise<void>
  fundingBroadcast(funding: FundingTx): Promise<void>
  /** The same transaction, with inputs and a change output appended that pay its fee. `feerate`: sat per 1000 weight units. */
  addFee(tx: Uint8Array, spent: readonly ForeignInput[], feerate: number): Promise<Uint8Array>
  /** Witnesses for the inputs that are the wallet's; the others stay as they are. */
  sign(tx: Uint8Array): Promise<Uint8Array>
}

/** An input that is not the wallet's, and the most that it will weigh. */
export interface ForeignInput {
  readonly outpoint: OutPoint
  readonly weight: number
}

const PREFIX: Readonly<Record<LdkNetwork, typeof NETWORK>> = {
  regtest: { ...TEST_NETWORK, bech32: 'bcrt' },
  signet: TEST_NETWORK,
  testnet: TEST_NETWORK,
}

/** RPC_WALLET_INSUFFICIENT_FUNDS; the general wallet error -4 says it in words only. */
const INSUFFICIENT = -6
/** RPC_INVALID_ADDRESS_OR_KEY, for a transaction that the wallet does not know. */
const NO_SUCH_TRANSACTION = -5
/** Bytes that push the witness program of a nested input. */
const NESTED_SCRIPT_SIG = 23
/** sat/vB of the funding transaction, when bitcoind can't estimate. */
const FALLBACK_FEERATE = 2

/** A wallet of bitcoind's own. Its reservations are persistent locks: they hold over restarts of bitcoind, and of us. */
export class BitcoindWallet implements LdkWallet {
  private readonly chain: Bitcoin
  private readonly addresses: ReturnType<typeof Address>

  /** @param rpc at the wallet's endpoint */
  constructor(
    private readonly rpc: BitcoindRpc,
    network: LdkNetwork,
  ) {
    this.chain = new Bitcoin(rpc)
    this.addresses = Address(PREFIX[network])
  }

  async newScript(): Promise<Uint8Array> {
    const address = text('getnewaddress', await this.rpc.call('getnewaddress', ['', 'bech32m']))
    return OutScript.encode(this.addresses.decode(address))
  }

  async fundingPrepare(script: Uint8Array, amount: Sat): Promise<FundingTx> {
    const address = this.addresses.encode(OutScript.decode(script))
    const outputs = [{ [address]: btc(amount) }]
    const options = {
      lockUnspents: true,
      changePosition: 1,
      add_inputs: true,
      include_unsafe: false,
      change_type: 'bech32m',
      fee_rate: await this.feerate(),
    }
    const reply = await this.rpc.call('walletcreatefundedpsbt', [[], outputs, 0, options]).catch((error: unknown) => {
      if (rpcCode(error) === INSUFFICIENT || /insufficient funds/i.test(words(error)))
        throw new FactoryError('insufficient_funds', `the wallet can't fund ${amount} sat: ${words(error)}`)
      throw error
    })
    const psbt = text('walletcreatefundedpsbt', field('walletcreatefundedpsbt', reply, 'psbt'))
    const decoded = await this.decode(psbt)
    // The lock of the call itself would end with bitcoind's process.
    await this.rpc.call('lockunspent', [true, decoded.inputs])
    await this.rpc.call('lockunspent', [false, decoded.inputs, true])
    try {
      return { psbt, txid: txid(await this.signedId(psbt)), vout: 0 }
    } catch (error) {
      await this.free(psbt)
      throw error
    }
  }

  fundingRelease(funding: FundingTx): Promise<void> {
    return this.free(funding.psbt)
  }

  private async free(psbt: string): Promise<void> {
    for (const input of (await this.decode(psbt)).inputs)
      await this.rpc.call('lockunspent', [true, [input]]).catch((error: unknown) => {
        // Not locked, or spent: free either way.
        if (rpcCode(error) === undefined) throw error
      })
  }

  async fundingBroadcast(funding: FundingTx): Promise<void> {
    // The wallet can sign a transaction once: when it is sent, its inputs are spent.
    const known = await this.rpc.call('gettransaction', [funding.txid]).then(
      (reply) => text('gettransaction', field('gettransaction', reply, 'hex')),
      (error: unknown) => {
        if (rpcCode(error) === NO_SUCH_TRANSACTION) return undefined
        throw error
      },
    )
    const raw = known ?? (await this.signFunding(funding))
    const { accepted, error } = await this.chain.broadcast(hex.decode(raw))
    if (!accepted) throw new FactoryError('host_failed', `funding ${funding.txid} was refused: ${error ?? ''}`)
  }

  async addFee(tx: Uint8Array, spent: readonly ForeignInput[], feerate: number): Promise<Uint8Array> {
    const options = {
      input_weights: spent.map(({ outpoint, weight }) => ({ txid: outpoint.txid, vout: outpoint.vout, weight })),
      // Behind the outputs that stand beside their inputs.
      changePosition: RawTx.decode(tx).outputs.length,
      change_type: 'bech32m',
      // sat/vB, rounded up to three digits.
      fee_rate: Math.ceil(feerate * 4) / 1000,
      add_inputs: true,
    }
    const reply = await this.rpc.call('fundrawtransaction', [hex.encode(tx), options, false])
    return hex.decode(text('fundrawtransaction', field('fundrawtransaction', reply, 'hex')))
  }

  async sign(tx: Uint8Array): Promise<Uint8Array> {
    const reply = await this.rpc.call('signrawtransactionwithwallet', [hex.encode(tx)])
    return hex.decode(text('signrawtransactionwithwallet', field('signrawtransactionwithwallet', reply, 'hex')))
  }

  private async signFunding(funding: FundingTx): Promise<string> {
    const raw = await this.finalize(funding.psbt)
    if ((await this.signedId(funding.psbt)) !== funding.txid)
      throw new FactoryError('host_failed', `signing changed the txid of funding ${funding.txid}`)
    return raw
  }

  private async finalize(psbt: string): Promise<string> {
    const signed = text(
      'walletprocesspsbt',
      field('walletprocesspsbt', await this.rpc.call('walletprocesspsbt', [psbt]), 'psbt'),
    )
    const final = await this.rpc.call('finalizepsbt', [signed])
    if (field('finalizepsbt', final, 'complete') !== true)
      throw new FactoryError('host_failed', 'the wallet could not sign a funding')
    return text('finalizepsbt', field('finalizepsbt', final, 'hex'))
  }

  /** With the scripts of nested inputs, which are part of it. */
  private async signedId(psbt: string): Promise<string> {
    const tx = RawTx.decode(hex.decode(await this.finalize(psbt)))
    const inputs: readonly { readonly finalScriptSig: Uint8Array }[] = tx.inputs
    // A longer one holds a signature, which anyone may change, and the txid with it.
    if (inputs.some((input) => input.finalScriptSig.length > NESTED_SCRIPT_SIG))
      throw new FactoryError(
        'insufficient_funds',
        'the wallet would spend coins without segwit, and a factory needs a txid that stays',
        'Send these coins to an address of type bech32m first.',
      )
    const bytes = RawTx.encode({ ...tx, segwitFlag: false, witnesses: [] })
    return hex.encode(sha256(sha256(bytes)).reverse())
  }

  /** sat/vB for six blocks. */
  private async feerate(): Promise<number> {
    const reply = await this.rpc.call('estimatesmartfee', [6])
    const rate = field('estimatesmartfee', reply, 'feerate')
    return typeof rate === 'number' ? Math.max(1, Math.round(rate * 1e5)) : FALLBACK_FEERATE
  }

  private async decode(psbt: string): Promise<{ inputs: { txid: string; vout: number }[] }> {
    const tx = field('decodepsbt', await this.rpc.call('decodepsbt', [psbt]), 'tx')
    const vin = field('decodepsbt', tx, 'vin')
    if (!Array.isArray(vin)) throw new FactoryError('host_failed', 'bitcoind decoded a PSBT without inputs')
    return {
      inputs: vin.map((input: unknown) => ({
        txid: text('decodepsbt', field('decodepsbt', input, 'txid')),
        vout: integer('decodepsbt', field('decodepsbt', input, 'vout')),
      })),
    }
  }
}

/** With all eight digits, so that no binary fraction is rounded. */
const btc = (amount: Sat): string => `${amount / 100_000_000n}.${String(amount % 100_000_000n).padStart(8, '0')}`
