import { RpcError } from './rpcError.js'

/** What bitcoind answers, as far as this library and the suites read it. Amounts are in BTC, as JSON numbers. */
export interface BitcoindResults {
  readonly getblockcount: number
  readonly getbestblockhash: string
  readonly getblockhash: string
  readonly getblockchaininfo: { readonly blocks: number; readonly initialblockdownload: boolean }
  readonly getblock: { readonly hash: string; readonly height: number; readonly tx: readonly string[] }
  readonly getnewaddress: string
  readonly getbalance: number
  readonly generatetoaddress: readonly string[]
  readonly generateblock: { readonly hash: string }
  readonly sendtoaddress: string
  readonly sendmany: string
  readonly sendrawtransaction: string
  readonly getrawmempool: readonly string[]
  readonly getrawtransaction: {
    readonly txid: string
    readonly hex: string
    readonly vsize: number
    readonly weight: number
    readonly confirmations?: number
    readonly blockhash?: string
    readonly vin: readonly { readonly txid?: string; readonly vout?: number; readonly sequence: number }[]
    readonly vout: readonly {
      readonly value: number
      readonly n: number
      readonly scriptPubKey: { readonly hex: string; readonly type: string; readonly address?: string }
    }[]
  }
  readonly testmempoolaccept: readonly {
    readonly txid: string
    readonly allowed?: boolean
    readonly vsize?: number
    readonly 'reject-reason'?: string
    readonly 'reject-details'?: string
  }[]
  readonly submitpackage: {
    readonly package_msg: string
    readonly 'tx-results': Readonly<Record<string, { readonly txid: string; readonly error?: string }>>
  }
  readonly gettxout: {
    readonly value: number
    readonly confirmations: number
    readonly scriptPubKey: { readonly hex: string }
  } | null
  readonly gettxspendingprevout: readonly {
    readonly txid: string
    readonly vout: number
    readonly spendingtxid?: string
  }[]
  readonly createwallet: { readonly name: string }
  readonly invalidateblock: null
  readonly stop: string
}

/** The answer to a method: typed when it is in the table, otherwise for the caller to narrow. */
export type BitcoindResult<M extends string> = M extends keyof BitcoindResults ? BitcoindResults[M] : unknown

/** Satoshi of an amount in BTC. Exact for every amount that exists: 21e14 is far below 2^53. */
export const satOfBtc = (btc: number): number => Math.round(btc * 1e8)
/** BTC as bitcoind reads it, with all eight digits, so that no binary fraction is rounded. */
export const btcOfSat = (sat: number): string => `${Math.floor(sat / 1e8)}.${String(sat % 1e8).padStart(8, '0')}`

interface Reply {
  readonly result: unknown
  readonly error: { readonly code: number; readonly message: string } | null
}

export class BitcoindRpc {
  private readonly authorization: string
  private nextId = 0

  constructor(
    private readonly url: string,
    user: string,
    password: string,
  ) {
    this.authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  }

  /**
   * @param params positional (array) or by name (object)
   * @throws RpcError with bitcoind's code and words
   */
  async call<M extends string>(
    method: M,
    params: readonly unknown[] | Readonly<Record<string, unknown>> = [],
  ): Promise<BitcoindResult<M>> {
    const response = await fetch(this.url, {
      method: 'POST',
      // bitcoind drops idle connections when it likes; one connection a call can't be caught by that.
      headers: { authorization: this.authorization, 'content-type': 'application/json', connection: 'close' },
      body: JSON.stringify({ jsonrpc: '1.0', id: this.nextId++, method, params }),
    })
    const text = await response.text()
    if (text === '') throw new RpcError(method, response.status, `HTTP ${response.status} ${response.statusText}`)
    const reply = JSON.parse(text) as Reply
    if (reply.error !== null) throw new RpcError(method, reply.error.code, reply.error.message)
    return reply.result as BitcoindResult<M>
  }
}
