import { FactoryError, type ErrorCode } from '@ln-factory/tlv'

/** The host's own error, with lightningd's numeric code (JSON-RPC 2.0, or the ones in lightningd's command manuals). */
export class HostRpcError extends FactoryError {
  constructor(
    readonly method: string,
    readonly rpcCode: number,
    /** lightningd's words. */
    readonly rpcMessage: string,
    readonly data?: unknown,
  ) {
    super('host_failed', `${method}: ${rpcMessage} (lightningd code ${rpcCode})`)
  }
}

/** No answer: the connection broke, or time ran out. Whether lightningd executed the command is unknown. */
export class HostUnansweredError extends FactoryError {
  constructor(
    readonly method: string,
    why: string,
  ) {
    super('host_failed', `${method}: ${why}`)
  }
}

/** JSON-RPC 2.0's own codes. */
export const INVALID_REQUEST = -32600
export const METHOD_NOT_FOUND = -32601
export const INVALID_PARAMS = -32602
export const INTERNAL_ERROR = -32603

/**
 * Our codes on the RPC surface. Stable: a number never changes its meaning; new ones are added at the end. Positive and above
 * those that lightningd uses itself (200 to 1999).
 */
const RPC_CODES: Readonly<Record<ErrorCode, number>> = {
  bad_parameter: INVALID_PARAMS,
  internal: INTERNAL_ERROR,
  host_failed: 5600,
  host_unsupported: 5604,
  store_corrupt: 5601,
  store_version: 5602,
  store_locked: 5603,
  bad_amount: 5610,
  early_warning_unpayable: 5611,
  policy_refused: 5620,
  bad_proposal: 5621,
  bad_message: 5622,
  peer_silent: 5623,
  peer_offline: 5624,
  peer_unsupported: 5625,
  peer_other_protocol: 5626,
  duplicate_instance: 5630,
  unknown_instance: 5631,
  wrong_state: 5632,
  aborted: 5633,
  insufficient_funds: 5634,
  channel_mismatch: 5635,
  channel_busy: 5636,
  bad_key: 5640,
  bad_nonce: 5641,
  bad_partial_signature: 5642,
  bad_signature: 5643,
  nonce_consumed: 5644,
  signing_conflict: 5645,
  wire_truncated: 5650,
  wire_non_minimal: 5651,
  wire_order: 5652,
  wire_unknown_even: 5653,
  wire_length: 5654,
  wire_limit: 5655,
  wire_value: 5656,
  payment_failed: 5660,
  payment_pending: 5661,
  restored: 5605,
}

export interface JsonRpcError {
  readonly code: number
  readonly message: string
  readonly data?: unknown
}

/** How an error of ours is told to whoever called the command. An unexpected one shows its message but never a stack. */
export function toJsonRpcError(error: unknown): JsonRpcError {
  if (error instanceof FactoryError)
    return {
      code: RPC_CODES[error.code],
      message: error.message,
      data: { code: error.code, ...(error.hint === undefined ? {} : { hint: error.hint }) },
    }
  return {
    code: INTERNAL_ERROR,
    message: error instanceof Error ? error.message : String(error),
    data: { code: 'internal' },
  }
}
