/**
 * The store port. An implementer owes: `commit` is atomic and durable when it returns (fsync), and it is refused as a
 * whole when one of its sign records conflicts with what is on disk. Losing or rolling back a committed record loses funds:
 * it is what keeps a restored node from signing two children of one output (DESIGN.md invariants 2, 4 and 8).
 */
import type { InstanceId, OutPoint } from '../units/index.js'
import type { SpendClass } from '../tree/types.js'

/** "This sighash, and no other, is signed by us for this outpoint in this class at this index." */
export interface SignRecord {
  readonly outpoint: OutPoint
  readonly class: SpendClass
  readonly index: number
  /** 32 bytes. */
  readonly sighash: Uint8Array
  /**
   * `increasing`: one sighash per index, and a new index is greater than every one on record (children of a kickoff
   * output). `once`: exactly one sighash for the outpoint and class, whatever the index. Recording the same sighash again
   * is fine. The first record of an outpoint and class fixes its rule, and the outpoint is global: which instance
   * recorded it makes no difference.
   */
  readonly rule: 'once' | 'increasing'
}

/** Set (`yes`) in a store that was put in place from a backup, until it has been compared with what the host keeps. */
export const RESTORED_SETTING = 'store/restored'

export type Role = 'lsp' | 'client'

/** A value kept beside the state: too large, or too seldom changed, to be rewritten with it. */
export interface Item {
  /** e.g. `sig/leaf:3`; 1 to 200 printable ASCII characters. Unique in its instance; a later value replaces it. */
  readonly key: string
  readonly value: Uint8Array
}

export type LogKind = 'state' | 'signed' | 'sent' | 'received' | 'broadcast' | 'confirmed' | 'host' | 'warning'

/** One line of the append-only log. Never holds a secret. */
export interface LogEntry {
  readonly kind: LogKind
  readonly text: string
}

export interface Batch {
  readonly instance: InstanceId
  readonly role: Role
  /** New state of the machine, or undefined to leave it as it is. Made by `encodeState`. */
  readonly state?: string | undefined
  readonly records: readonly SignRecord[]
  readonly items: readonly Item[]
  readonly log: readonly LogEntry[]
}

export interface StoredMachine {
  readonly instance: InstanceId
  readonly role: Role
  readonly state: string
}

export interface StoredLog extends LogEntry {
  readonly seq: number
  /** Unix seconds, by the node's clock: may go back. `seq` does not. */
  readonly time: number
  readonly instance: InstanceId | undefined
}

export interface FactoryStore {
  /**
   * Records are admitted in order, also against those before them in the batch. On any error nothing of it is written.
   * @throws FactoryError `signing_conflict` when a record conflicts, or is new and the instance is sealed
   * @throws FactoryError `duplicate_instance` when the instance is on record with the other role
   * @throws FactoryError `bad_parameter` when a key, index or sighash has the wrong form
   * @throws FactoryError `store_corrupt`, `internal` when the disk fails: the process must stop signing
   */
  commit(batch: Batch): void
  /** Every instance that has a state, in the order in which they were first committed. */
  machines(): StoredMachine[]
  /** One of them. */
  machine(instance: InstanceId): StoredMachine | undefined
  /** The sign records that an instance brought, oldest first. */
  signed(instance: InstanceId): SignRecord[]
  /**
   * Records of this instance may be missing here: it signs nothing new, ever. Durable when it returns; idempotent.
   * @throws FactoryError `unknown_instance` when nothing was committed for it
   */
  seal(instance: InstanceId): void
  isSealed(instance: InstanceId): boolean
  item(instance: InstanceId, key: string): Uint8Array | undefined
  /** Items whose key starts with `prefix`, in key order. */
  items(instance: InstanceId, prefix: string): Item[]
  /** Lines with `seq` greater than `after`, oldest first, at most `limit`. */
  log(filter: {
    instance?: InstanceId | undefined
    after?: number | undefined
    limit?: number | undefined
  }): StoredLog[]
  /** Node-wide values (policy, chain position), not bound to a factory. */
  setting(key: string): string | undefined
  /** Durable when it returns, as a commit is. */
  setSetting(key: string, value: string): void
  /** Idempotent. Any other call after it throws `internal`. */
  close(): void
}
