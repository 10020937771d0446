/** Calls to bitcoind itself. */
import { FactoryError } from '@ln-factory/tlv'
import type { BitcoindAccess } from './bitcoind-access.js'
import { bitcoindReply, parse } from './replies.js'

const TIMEOUT_MS = 60_000

export interface BitcoindError {
  readonly code: number
  readonly message: string
}

/**
 * One call, answered with a result or refused with bitcoind's own error.
 * @throws FactoryError `host_failed` when bitcoind does not answer, or not as it should
 */
export async function callBitcoind(
  { url, credentials }: BitcoindAccess,
  method: string,
  params: readonly unknown[],
): Promise<{ readonly result: unknown; readonly error: BitcoindError | null }> {
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
  return parse(bitcoindReply, method, json)
}
