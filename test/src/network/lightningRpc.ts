import { createConnection } from 'node:net'
import { RpcError } from './rpcError.js'

export interface ListedChannel {
  readonly peer_id: string
  readonly peer_connected: boolean
  readonly state: string
  readonly channel_id: string
  readonly short_channel_id?: string
  readonly alias?: { readonly local?: string; readonly remote?: string }
  readonly funding_txid: string
  readonly funding_outnum: number
  readonly to_us_msat: number
  readonly total_msat: number
  readonly spendable_msat: number
  readonly receivable_msat: number
  readonly private: boolean
  readonly channel_type: { readonly bits: readonly number[]; readonly names: readonly string[] }
  readonly htlcs: readonly unknown[]
  readonly status?: readonly string[]
}

/** What lightningd answers, as far as this library and the suites read it. Fields ending in `_msat` are millisatoshi. */
export interface LightningResults {
  readonly getinfo: {
    readonly id: string
    readonly alias: string
    readonly version: string
    readonly blockheight: number
    readonly num_active_channels: number
    readonly our_features: { readonly init: string; readonly node: string }
    readonly warning_bitcoind_sync?: string
    readonly warning_lightningd_sync?: string
  }
  readonly newaddr: { readonly bech32?: string; readonly p2tr?: string }
  readonly listfunds: {
    readonly outputs: readonly {
      readonly txid: string
      readonly output: number
      readonly amount_msat: number
      readonly status: 'unconfirmed' | 'confirmed' | 'spent' | 'immature'
      readonly reserved: boolean
    }[]
  }
  readonly listpeers: {
    readonly peers: readonly { readonly id: string; readonly connected: boolean; readonly features?: string }[]
  }
  readonly listpeerchannels: { readonly channels: readonly ListedChannel[] }
  readonly listchannels: {
    readonly channels: readonly {
      readonly source: string
      readonly destination: string
      readonly short_channel_id: string
      readonly active: boolean
    }[]
  }
  readonly connect: { readonly id: string }
  readonly fundchannel: { readonly txid: string; readonly outnum: number; readonly channel_id: string }
  readonly invoice: { readonly bolt11: string; readonly payment_hash: string; readonly payment_secret: string }
  readonly listinvoices: {
    readonly invoices: readonly {
      readonly label: string
      readonly status: 'unpaid' | 'paid' | 'expired'
      readonly amount_received_msat?: number
    }[]
  }
  readonly pay: {
    readonly payment_preimage: string
    readonly status: 'complete' | 'pending' | 'failed'
    readonly parts: number
    readonly amount_msat: number
    readonly amount_sent_msat: number
  }
  readonly close: { readonly type: string; readonly txid?: string; readonly txids?: readonly string[] }
  readonly withdraw: { readonly tx: string; readonly txid: string }
  readonly stop: string
}

/** The answer to a method: typed when it is in the table, otherwise for the caller to narrow. */
export type LightningResult<M extends string> = M extends keyof LightningResults
  ? LightningResults[M]
  : Readonly<Record<string, unknown>>

export type LightningParams = readonly unknown[] | Readonly<Record<string, unknown>>

interface Reply {
  readonly result?: unknown
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown }
}

/** An answer ends with an empty line, and JSON as lightningd writes it has none inside. */
const END = Buffer.from('\n\n')

/**
 * lightningd's JSON-RPC over its unix socket. Every call has a connection of its own, so that calls neither wait for nor
 * confuse each other, and a node that dies fails exactly the calls that it had not answered.
 */
export class LightningRpc {
  private nextId = 0

  /** @param socket at most 107 bytes long, which is what a unix socket address holds */
  constructor(private readonly socket: string) {}

  /**
   * @throws RpcError with the node's code, words and data
   * @throws Error when the node is not there, or goes before it has answered
   */
  async call<M extends string>(method: M, params: LightningParams = {}): Promise<LightningResult<M>> {
    const id = `harness-${this.nextId++}`
    const text = await this.exchange(method, JSON.stringify({ jsonrpc: '2.0', id, method, params }))
    const reply = JSON.parse(text) as Reply
    if (reply.error !== undefined) {
      throw new RpcError(method, reply.error.code, reply.error.message, reply.error.data)
    }
    return reply.result as LightningResult<M>
  }

  private exchange(method: string, request: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const connection = createConnection(this.socket)
      // Decoded only when whole: a chunk may end inside a character.
      const chunks: Buffer[] = []
      connection.once('error', (error) => {
        reject(new Error(`${method}: ${error.message}`, { cause: error }))
      })
      connection.on('data', (chunk) => {
        chunks.push(chunk)
        const previous = chunks.at(-2)
        const end = chunk.length >= END.length || previous === undefined ? chunk : Buffer.concat([previous, chunk])
        if (!end.subarray(-END.length).equals(END)) return
        resolve(Buffer.concat(chunks).toString('utf8'))
        connection.destroy()
      })
      connection.once('close', () => {
        reject(new Error(`${method}: the node closed the connection before it answered`))
      })
      connection.write(request)
    })
  }
}
