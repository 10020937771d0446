/** Packages of transactions, sent to bitcoind itself: lightningd has no call for them. */
import { FactoryError } from '@ln-factory/tlv'
import { hex } from '@scure/base'
import type { BroadcastResult } from '@ln-factory/core/host'
import type { BitcoindAccess } from './bitcoind-access.js'
import { callBitcoind } from './bitcoind-rpc.js'
import { parse, submitPackage } from './replies.js'

/** Parent and child, both or none of use: accepted when both are in the mempool afterwards. */
export async function sendPackage(
  access: BitcoindAccess,
  parent: Uint8Array,
  child: Uint8Array,
): Promise<BroadcastResult> {
  const { result, error } = await callBitcoind(access, 'submitpackage', [[hex.encode(parent), hex.encode(child)]])
  if (error !== null) throw new FactoryError('host_failed', `submitpackage: bitcoind says: ${error.message}`)
  const { package_msg, 'tx-results': results } = parse(submitPackage, 'submitpackage', result)
  if (package_msg === 'success') return { accepted: true, error: undefined }
  const errors = Object.values(results).flatMap((r) => (r.error === undefined ? [] : [`${r.txid}: ${r.error}`]))
  return { accepted: false, error: [package_msg, ...errors].join('; ') }
}
