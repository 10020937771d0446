/** The chain as a bitcoind of one's own shows it: all that a watchtower needs. */
import { readFileSync } from 'node:fs'
import type { BroadcastResult } from '@ln-factory/core/host'
import { blockHeight, type BlockHeight } from '@ln-factory/core/units'
import type { TowerDeps } from '@ln-factory/core/watchtower'
import { FactoryError } from '@ln-factory/tlv'
import { hex } from '@scure/base'
import { z } from 'zod'
import { callBitcoind, type BitcoindError } from '../host/bitcoind-rpc.js'

type BitcoindSource = TowerDeps['chain']

/** bitcoind's codes: no block at this height; the transaction is in a block. */
const OUT_OF_RANGE = -8
const IN_CHAIN = -27
/** The fee was fixed when it was signed: whether it is high is not ours to judge. */
const ANY_FEERATE = 0

export class BitcoindChain implements BitcoindSource {
  /** @param cookieFile holds `user:password`: bitcoind's own cookie, or a file of the same form */
  constructor(
    private readonly url: string,
    private readonly cookieFile: string,
  ) {}

  async height(): Promise<BlockHeight> {
    return blockHeight(z.number().parse(await this.#ask('getblockcount')))
  }

  async block(height: BlockHeight): Promise<{ hash: string; raw: Uint8Array } | undefined> {
    const { result, error } = await this.#call('getblockhash', height)
    if (error?.code === OUT_OF_RANGE) return undefined
    if (error !== null) throw refused('getblockhash', error)
    const hash = z.string().parse(result)
    return { hash, raw: hex.decode(z.string().parse(await this.#ask('getblock', hash, 0))) }
  }

  async broadcast(tx: Uint8Array): Promise<BroadcastResult> {
    const { error } = await this.#call('sendrawtransaction', hex.encode(tx), ANY_FEERATE)
    if (error === null) return { accepted: true, error: undefined }
    if (error.code === IN_CHAIN) return { accepted: true, error: undefined, confirmed: true }
    return { accepted: false, error: error.message }
  }

  async #ask(method: string, ...params: readonly unknown[]): Promise<unknown> {
    const { result, error } = await this.#call(method, ...params)
    if (error !== null) throw refused(method, error)
    return result
  }

  #call(method: string, ...params: readonly unknown[]): ReturnType<typeof callBitcoind> {
    // Read each time: bitcoind writes a new one at each of its starts.
    return callBitcoind({ url: this.url, credentials: credentialsIn(this.cookieFile) }, method, params)
  }
}

const refused = (method: string, { message }: BitcoindError): FactoryError =>
  new FactoryError('host_failed', `${method}: bitcoind says: ${message}`)

function credentialsIn(file: string): string {
  let text: string
  try {
    text = readFileSync(file, 'utf8').trim()
  } catch (cause) {
    throw new FactoryError('host_failed', `the cookie file ${file} can't be read`, 'Is bitcoind running?', { cause })
  }
  if (!text.includes(':')) throw new FactoryError('host_failed', `the cookie file ${file} does not hold user:password`)
  return text
}
