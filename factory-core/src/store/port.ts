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
   * `increasing`: one sighash per index and indices only grow (children of a kickoff output). `once`: exactly one
   * sighash for the outpoint and class, whatever the index.
   */
  readonly rule: 'once' | 'increasing'
}

export type Role = 'lsp' | 'client'

/** A value kept beside the state: too large, or too seldom changed, to be rewritten with it. */
export interface Item {
  /** e.g. `sig/leaf:3`; at most 200 characters. */
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
  /** New state of the machine, or undefined to leave it as it is. Serialised by `store/codec`. */
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
  /** Unix seconds. */
  readonly time: number
  readonly instance: InstanceId | undefined
}

export interface FactoryStore {
  /**
   * @throws FactoryError `signing_conflict` when a record conflicts (nothing is written)
   * @throws FactoryError `store_corrupt`, `store_version`, `internal`
   */
  commit(batch: Batch): void
  machines(): StoredMachine[]
  item(instance: InstanceId, key: string): Uint8Array | undefined
  /** Items whose key starts with `prefix`, in key order. */
  items(instance: InstanceId, prefix: string): Item[]
  log(filter: { instance?: InstanceId | undefined; after?: number | undefined; limit?: number | undefined }): StoredLog[]
  /** Node-wide values (policy, chain position), not bound to a factory. */
  setting(key: string): string | undefined
  setSetting(key: string, value: string): void
  close(): void
}
