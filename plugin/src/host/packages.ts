/** Packages of transactions, sent to bitcoind itself: lightningd has no call for them. */
import { FactoryError } from '@ln-factory/tlv'
import { hex } from '@scure/base'
import type { BroadcastResult } from '@ln-factory/core/host'
import type { BitcoindAccess } from './bitcoind-access.js'
import { bitcoindReply, parse, submitPackage } from './replies.js'

const TIMEOUT_MS = 60_000

/** @throws FactoryError `host_failed` when bitcoind does not answer, or not as it should */
async function ask({ url, credentials }: BitcoindAccess, method: string, params: unknown[]): Promise<unknown> {
  let text: string
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
        'content-type': 'application/json',
        // bitcoind drops idle connections when it likes; one connection a call can't be caught by that.
        connection: 'close',
      },
      body: JSON.stringify({ jsonrpc: '1.0', id: 'cln-factory', method, params }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    text = await response.text()
    if (response.status === 401) throw new FactoryError('host_failed', `bitcoind at ${url} refuses our credentials`)
  } catch (error) {
    if (error instanceof FactoryError) throw error
    const why = error instanceof Error ? error.message : String(error)
    throw new FactoryError('host_failed', `bitcoind at ${url} can't be reached: ${why}`, undefined, { cause: error })
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new FactoryError('host_failed', `${method}: bitcoind's answer is no JSON`, undefined, { cause: error })
  }
  const { result, error } = parse(bitcoindReply, method, json)
  if (error !== null) throw new FactoryError('host_failed', `${method}: bitcoind says: ${error.message}`)
  return result
}

/** Parent and child, both or none of use: accepted when both are in the mempool afterwards. */
export async function sendPackage(
  access: BitcoindAccess,
  parent: Uint8Array,
  child: Uint8Array,
): Promise<BroadcastResult> {
  const answer = await ask(access, 'submitpackage', [[hex.encode(parent), hex.encode(child)]])
  const { package_msg, 'tx-results': results } = parse(submitPackage, 'submitpackage', answer)
  if (package_msg === 'success') return { accepted: true, error: undefined }
  const errors = Object.values(results).flatMap((r) => (r.error === undefined ? [] : [`${r.txid}: ${r.error}`]))
  return { accepted: false, error: [package_msg, ...errors].join('; ') }
}
