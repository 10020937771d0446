/**
 * The rule of `SignRecord`, for every store: what may still be signed, given what has been (DESIGN.md invariant 4).
 */
import { FactoryError } from '@ln-factory/tlv'
import { outPointKey, type InstanceId } from '../units/index.js'
import type { SignRecord } from './port.js'

/** What a store holds about one outpoint and class. */
export type Signed = Pick<SignRecord, 'index' | 'sighash' | 'rule'>

/**
 * True when `record` is new and must be written, false when it is on record already. `signed` is everything recorded for
 * its outpoint and class, by any instance.
 * @throws FactoryError `signing_conflict`
 */
export function admit(record: SignRecord, signed: readonly Signed[]): boolean {
  let last = -1
  for (const s of signed) {
    // A rule that changes would turn "exactly one, ever" into "one per index" after the fact.
    if (s.rule !== record.rule) throw conflict(record, `is recorded under the rule '${s.rule}', not '${record.rule}'`)
    if (record.rule === 'once' || s.index === record.index) {
      if (!sameBytes(s.sighash, record.sighash)) throw conflict(record, 'is already signed to another transaction')
      return false
    }
    last = Math.max(last, s.index)
  }
  if (record.index <= last) throw conflict(record, `has a later state on record (index ${last})`)
  return true
}

/** A new record of an instance whose older ones may be missing. */
export const sealedConflict = (instance: InstanceId): FactoryError =>
  new FactoryError(
    'signing_conflict',
    `refused to sign: what factory ${instance} signed before may be missing in this database, which is an old copy`,
  )

export const unknownInstance = (instance: InstanceId): FactoryError =>
  new FactoryError('unknown_instance', `no factory ${instance} in the store`)

function conflict(record: SignRecord, why: string): FactoryError {
  const what = `${outPointKey(record.outpoint)} (${record.class} ${record.index})`
  return new FactoryError('signing_conflict', `refused to sign: ${what} ${why}`)
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((v, i) => v === b[i])
