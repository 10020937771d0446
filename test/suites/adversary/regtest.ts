/** The real chain as a node's host sees it, and as a thief with a miner at hand does. */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { Address, TEST_NETWORK } from '@scure/btc-signer'
import type { BroadcastResult, FundingTx } from '../../../factory-core/src/host/port.js'
import {
  blockHeight,
  sat,
  txid,
  type BlockHeight,
  type OutPoint,
  type Sat,
} from '../../../factory-core/src/units/index.js'
import { Bitcoind, btcOfSat, RpcError, satOfBtc } from '../../src/network/index.js'
import { FactoryError } from '@ln-factory/tlv'

const REGTEST = { ...TEST_NETWORK, bech32: 'bcrt' }

interface Scan {
  readonly total_amount: number
}

const addressOf = (script: Uint8Array): string =>
  script[0] === 0x51
    ? Address(REGTEST).encode({ type: 'tr', pubkey: script.subarray(2) })
    : script.length === 34
      ? Address(REGTEST).encode({ type: 'wsh', hash: script.subarray(2) })
      : Address(REGTEST).encode({ type: 'wpkh', hash: script.subarray(2) })

const NOBODY = addressOf(Uint8Array.from([0, 20, ...new Uint8Array(20)]))

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error))

export class Regtest {
  readonly #blocks = new Map<string, Uint8Array>()
  readonly #hashes = new Map<number, string>()

  private constructor(readonly bitcoind: Bitcoind) {}

  static async start(): Promise<Regtest> {
    // A funding whose txid changes by signing would be refused by every host.
    return new Regtest(await Bitcoind.start({ extraArgs: ['-addresstype=bech32', '-changetype=bech32'] }))
  }

  stop(): Promise<void> {
    return this.bitcoind.stop()
  }

  async height(): Promise<BlockHeight> {
    return blockHeight(await this.bitcoind.height())
  }

  async block(height: BlockHeight): Promise<{ hash: string; raw: Uint8Array } | undefined> {
    try {
      const hash = this.#hashes.get(height) ?? (await this.bitcoind.call('getblockhash', [height]))
      this.#hashes.set(height, hash)
      let raw = this.#blocks.get(hash)
      if (raw === undefined) {
        raw = hexToBytes((await this.bitcoind.call<string>('getblock', [hash, 0])) as string)
        this.#blocks.set(hash, raw)
      }
      return { hash, raw }
    } catch (error) {
      if (error instanceof RpcError) return undefined
      throw error
    }
  }

  /** Blocks that take in what the mempool holds, paid to nobody: the wallet has enough, and is slow with more. */
  async mine(count: number): Promise<void> {
    await this.bitcoind.call('generatetoaddress', [count, NOBODY])
  }

  /** The chain may be another one now. */
  changed(): void {
    this.#hashes.clear()
  }

  async utxo({ txid: id, vout }: OutPoint): Promise<{ amount: Sat; script: Uint8Array } | undefined> {
    const out = await this.bitcoind.call('gettxout', [id, vout])
    return out === null ? undefined : { amount: sat(satOfBtc(out.value)), script: hexToBytes(out.scriptPubKey.hex) }
  }

  async broadcast(raw: Uint8Array): Promise<BroadcastResult> {
    try {
      await this.bitcoind.call('sendrawtransaction', [bytesToHex(raw)])
      return { accepted: true, error: undefined }
    } catch (error) {
      const known = /already in|txn-already/.test(words(error))
      return { accepted: known, error: known ? undefined : words(error) }
    }
  }

  // ---- the wallet of whoever funds a factory --------------------------------------------------------------------------

  async prepare(script: Uint8Array, amount: Sat): Promise<FundingTx> {
    const bare = await this.bitcoind.call('createrawtransaction', [
      [],
      { [addressOf(script)]: btcOfSat(Number(amount)) },
    ])
    const { hex } = (await this.bitcoind.call('fundrawtransaction', [
      bare,
      { lockUnspents: true, changePosition: 1, fee_rate: 5 },
    ])) as { hex: string }
    const { txid: id } = (await this.bitcoind.call('decoderawtransaction', [hex])) as { txid: string }
    return { psbt: hex, txid: txid(id), vout: 0 }
  }

  async #inputs({ psbt }: FundingTx): Promise<{ txid: string; vout: number }[]> {
    const { vin } = (await this.bitcoind.call('decoderawtransaction', [psbt])) as {
      vin: { txid: string; vout: number }[]
    }
    return vin.map(({ txid: id, vout }) => ({ txid: id, vout }))
  }

  async isReserved(funding: FundingTx): Promise<boolean> {
    const locked = (await this.bitcoind.call('listlockunspent')) as { txid: string; vout: number }[]
    const inputs = await this.#inputs(funding)
    return inputs.some((i) => locked.some((l) => l.txid === i.txid && l.vout === i.vout))
  }

  async release(funding: FundingTx): Promise<void> {
    if (await this.isReserved(funding)) await this.bitcoind.call('lockunspent', [true, await this.#inputs(funding)])
  }

  async sign(hex: string): Promise<string> {
    const signed = (await this.bitcoind.call('signrawtransactionwithwallet', [hex])) as { hex: string }
    return signed.hex
  }

  async launch(funding: FundingTx): Promise<void> {
    const result = await this.broadcast(hexToBytes(await this.sign(funding.psbt)))
    if (!result.accepted) throw new FactoryError('host_failed', result.error ?? 'refused')
  }

  /** Another transaction with the same inputs: all of it back to the wallet, at ten times the fee. */
  async doubleSpend(funding: FundingTx): Promise<string> {
    const inputs = await this.#inputs(funding)
    // The wallet takes these for spent, and must be told again what they are.
    const spent: { txid: string; vout: number; scriptPubKey: string; amount: number }[] = []
    for (const input of inputs) {
      const { vout } = await this.bitcoind.call('getrawtransaction', [input.txid, true])
      const output = vout[input.vout]
      if (output === undefined) throw new Error('a funding of nothing')
      spent.push({ ...input, scriptPubKey: output.scriptPubKey.hex, amount: output.value })
    }
    const total = spent.reduce((sum, s) => sum + satOfBtc(s.amount), 0)
    const bare = (await this.bitcoind.call('createrawtransaction', [
      inputs,
      { [await this.bitcoind.call('getnewaddress')]: btcOfSat(total - 50_000) },
    ])) as string
    const signed = (await this.bitcoind.call('signrawtransactionwithwallet', [bare, spent])) as { hex: string }
    return signed.hex
  }

  // ---- what a thief can try -------------------------------------------------------------------------------------------

  /** What the mempool says to it: `accepted`, or why not. */
  async verdict(raw: Uint8Array): Promise<string> {
    const [answer] = await this.bitcoind.call('testmempoolaccept', [[bytesToHex(raw)]])
    return answer?.allowed === true ? 'accepted' : (answer?.['reject-reason'] ?? 'no reason')
  }

  /** A block made for it alone by a miner who is in on it: the rules of consensus, not of relay. */
  async minerSays(raw: Uint8Array): Promise<string> {
    try {
      const address = await this.bitcoind.call('getnewaddress')
      // Not submitted: whether the block would be valid is all that is asked.
      await this.bitcoind.call('generateblock', [address, [bytesToHex(raw)], false])
      return 'accepted'
    } catch (error) {
      return words(error)
    }
  }

  /** In one block, without asking the mempool. */
  async mineExactly(...transactions: readonly string[]): Promise<void> {
    await this.bitcoind.call('generateblock', [await this.bitcoind.call('getnewaddress'), transactions])
  }

  /** Unspent and confirmed, at any of these scripts. */
  async wealth(scripts: readonly Uint8Array[]): Promise<bigint> {
    if (scripts.length === 0) return 0n
    const scan = (await this.bitcoind.call('scantxoutset', [
      'start',
      scripts.map((s) => `raw(${bytesToHex(s)})`),
    ])) as Scan
    return BigInt(satOfBtc(scan.total_amount))
  }
}
