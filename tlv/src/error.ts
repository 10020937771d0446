/**
 * Every error that ln-factory raises on purpose. The code is stable: programs may match on it, texts may change.
 * One table for all workspaces, so that a code means one thing wherever it surfaces (wire, core, RPC).
 */
export type ErrorCode =
  // the wire
  | 'wire_truncated'
  | 'wire_non_minimal'
  | 'wire_order'
  | 'wire_unknown_even'
  | 'wire_length'
  | 'wire_limit'
  | 'wire_value'
  // parameters and amounts
  | 'bad_parameter'
  | 'bad_amount'
  | 'early_warning_unpayable'
  // signing
  | 'bad_key'
  | 'bad_nonce'
  | 'bad_partial_signature'
  | 'bad_signature'
  | 'nonce_consumed'
  | 'signing_conflict'
  // the life of a factory
  | 'policy_refused'
  | 'bad_proposal'
  | 'bad_message'
  | 'peer_silent'
  | 'peer_offline'
  | 'peer_unsupported'
  | 'peer_other_protocol'
  | 'duplicate_instance'
  | 'unknown_instance'
  | 'wrong_state'
  | 'aborted'
  | 'insufficient_funds'
  | 'channel_mismatch'
  | 'channel_busy'
  // payments over a factory's channels
  | 'payment_failed' // for good: nothing of it is under way
  | 'payment_pending' // parts may still arrive: paying again could pay twice
  // store and host
  | 'store_corrupt'
  | 'store_version'
  | 'store_locked'
  | 'host_failed'
  | 'host_unsupported' // this node software can't do it
  | 'restored' // the store is an old copy: what it may have forgotten is not done
  | 'internal'

/** What was wrong, and what the reader can do about it. Never holds a secret. */
export class FactoryError extends Error {
  override readonly name = 'FactoryError'

  constructor(
    readonly code: ErrorCode,
    message: string,
    /** What to do, for a person; shown by RPC beside the message. */
    readonly hint?: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}
