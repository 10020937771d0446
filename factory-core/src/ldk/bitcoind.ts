/** The chain, by bitcoind's RPC. The caller brings the transport. */
import { hex } from '@scure/base'
import { FactoryError } from '@ln-factory/tlv'
import type { BroadcastResult } from '../host/port.js'
import { sat, type OutPoint, type Sat } from '../units/index.js'

export interface BitcoindRpc {
  /** Rejects with an Error that has bitcoind's `code` (number) and words. A wallet's calls need its endpoint. */
  call(method: string, params?: readonly unknown[]): Promise<unknown>
}

export interface Tip {
  readonly height: number
  readonly hash: string
}

/** RPC_VERIFY_ALREADY_IN_UTXO_SET: confirmed already, which is all that we wanted. */
const ALREADY_KNOWN = -27
/** RPC_INVALID_PARAMETER, for a height that is not there. */
const NO_SUCH_HEIGHT = -8

export const rpcCode = (error: unknown): number | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined
/** With its cause: `fetch failed` alone says nothing. */
export function words(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}

const unexpected = (method: string): FactoryError =>
  new FactoryError('host_failed', `bitcoind's ${method} answered in an unexpected form`)

export function field(method: string, reply: unknown, name: string): unknown {
  if (typeof reply !== 'object' || reply === null) throw unexpected(method)
  return (reply as Readonly<Record<string, unknown>>)[name]
}
export function text(method: string, value: unknown): string {
  if (typeof value !== 'string') throw unexpected(method)
  return value
}
export function integer(method: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw unexpected(method)
  return value
}
/** An amount in BTC, as bitcoind's JSON has it. Exact: no amount needs more digits than a double has. */
export function satOfBtc(method: string, value: unknown): Sat {
  if (typeof value !== 'number') throw unexpected(method)
  return sat(BigInt(Math.round(value * 1e8)))
}

export class Bitcoin {
  constructor(readonly rpc: BitcoindRpc) {}

  async tip(): Promise<Tip> {
    const hash = text('getbestblockhash', await this.rpc.call('getbestblockhash'))
    const header = await this.rpc.call('getblockheader', [hash])
    return { hash, height: integer('getblockheader', field('getblockheader', header, 'height')) }
  }

  /** Hash of the best chain's block at this height. */
  async hashAt(height: number): Promise<string | undefined> {
    try {
      return text('getblockhash', await this.rpc.call('getblockhash', [height]))
    } catch (error) {
      if (rpcCode(error) === NO_SUCH_HEIGHT) return undefined
      throw error
    }
  }

  /** 80 bytes; of a stale block too. */
  async header(hash: string): Promise<Uint8Array> {
    return hex.decode(text('getblockheader', await this.rpc.call('getblockheader', [hash, false])))
  }

  async rawBlock(hash: string): Promise<Uint8Array> {
    return hex.decode(text('getblock', await this.rpc.call('getblock', [hash, 0])))
  }

  async utxo(outpoint: OutPoint, mempool = true): Promise<{ amount: Sat; script: Uint8Array } | undefined> {
    const out = await this.rpc.call('gettxout', [outpoint.txid, outpoint.vout, mempool])
    if (out === null) return undefined
    const script = field('gettxout', field('gettxout', out, 'scriptPubKey'), 'hex')
    return {
      amount: satOfBtc('gettxout', field('gettxout', out, 'value')),
      script: hex.decode(text('gettxout', script)),
    }
  }

  async broadcast(tx: Uint8Array): Promise<BroadcastResult> {
    try {
      // No fee is too high: it was fixed when the transaction was signed.
      await this.rpc.call('sendrawtransaction', [hex.encode(tx), 0])
      return { accepted: true, error: undefined }
    } catch (error) {
      if (rpcCode(error) === ALREADY_KNOWN) return { accepted: true, error: undefined }
      if (rpcCode(error) === undefined) throw error
      return { accepted: false, error: words(error) }
    }
  }
}
