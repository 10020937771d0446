/** What is checked of everything that enters the tree from outside. */
import { FactoryError, type ErrorCode } from '@ln-factory/tlv'
import { MIN_CAPACITY } from './params.js'
import { isP2wsh, isPayoutScript } from './script.js'
import type { TreeClient } from './types.js'

export const require32 = (what: string, bytes: Uint8Array, code: ErrorCode): void => {
  if (bytes.length !== 32) throw new FactoryError(code, `${what} has ${bytes.length} bytes, not 32`)
}

/** @throws FactoryError `bad_amount` */
export function checkCapacity(participant: number, capacity: bigint): void {
  if (capacity < MIN_CAPACITY) {
    throw new FactoryError(
      'bad_amount',
      `the channel of client ${participant} has ${capacity} sat; at least ${MIN_CAPACITY}`,
    )
  }
}

/** @throws FactoryError `bad_amount`, `bad_parameter` naming the client */
export function checkClient(participant: number, client: TreeClient): void {
  checkCapacity(participant, client.capacity)
  if (!isP2wsh(client.channelScript)) {
    throw new FactoryError('bad_parameter', `the channel script of client ${participant} is not P2WSH`)
  }
  if (!isPayoutScript(client.payoutScript)) {
    throw new FactoryError(
      'bad_parameter',
      `the payout script of client ${participant} is none of P2WPKH, P2WSH, P2TR`,
      'every node must relay a distribution, and it pays several clients',
    )
  }
}
