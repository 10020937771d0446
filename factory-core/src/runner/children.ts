/** What is on disk about the children that pay for a factory's transactions: one record for each parent. */
import type { WalletCoin } from '../host/port.js'
import { decodeState, encodeState, type FactoryStore, type LogKind, type Role } from '../store/index.js'
import type { BlockHeight, InstanceId, Sat, Txid } from '../units/index.js'

/** Of whom the transaction is. */
export interface Owner {
  readonly instance: InstanceId
  readonly role: Role
}

/** Written before the child leaves: from then on its fee may be paid, and its coin is taken. */
export interface ChildRecord {
  readonly txid: Txid
  readonly coin: WalletCoin
  /** Script of the change, the same in every replacement. */
  readonly change: Uint8Array
  readonly fee: Sat
  readonly height: BlockHeight
}

export interface ParentRecord {
  /** Height at which it was first tried. */
  readonly since: BlockHeight
  readonly child: ChildRecord | undefined
}

const PREFIX = 'bump/'
const read = (value: Uint8Array): ParentRecord => decodeState(Buffer.from(value).toString('utf8')) as ParentRecord

export class Children {
  constructor(readonly store: FactoryStore) {}

  get({ instance }: Owner, parent: Txid): ParentRecord | undefined {
    const value = this.store.item(instance, PREFIX + parent)
    return value === undefined ? undefined : read(value)
  }

  set(owner: Owner, parent: Txid, record: ParentRecord): void {
    const value = Uint8Array.from(Buffer.from(encodeState(record), 'utf8'))
    this.store.commit({ ...owner, records: [], items: [{ key: PREFIX + parent, value }], log: [] })
  }

  /** Fees of the children of the factory's other transactions. */
  otherFees({ instance }: Owner, parent: Txid): Sat[] {
    return this.store.items(instance, PREFIX).flatMap(({ key, value }) => {
      const { child } = read(value)
      return key === PREFIX + parent || child === undefined ? [] : [child.fee]
    })
  }

  fees(instance: InstanceId): Sat[] {
    return this.store.items(instance, PREFIX).flatMap(({ value }) => read(value).child?.fee ?? [])
  }

  log(owner: Owner, kind: LogKind, text: string): void {
    this.store.commit({ ...owner, records: [], items: [], log: [{ kind, text }] })
  }
}
