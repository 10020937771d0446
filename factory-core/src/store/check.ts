/** What every store refuses before it looks at what it holds, so that all of them accept the same. */
import { FactoryError } from '@ln-factory/tlv'
import type { Batch, SignRecord } from './port.js'

const ITEM_KEY = /^[\x20-\x7e]{1,200}$/
const SIGHASH_BYTES = 32
const MAX_VOUT = 0xffffffff

/** @throws FactoryError `bad_parameter` */
export function checkBatch(batch: Batch): void {
  for (const record of batch.records) checkRecord(record)
  for (const { key } of batch.items) {
    if (!ITEM_KEY.test(key)) throw bad(`item key must be 1 to 200 printable ASCII characters: ${key}`)
  }
}

function checkRecord({ sighash, index, outpoint }: SignRecord): void {
  if (sighash.length !== SIGHASH_BYTES) throw bad(`sighash of ${sighash.length} bytes`)
  if (!Number.isSafeInteger(index) || index < 0) throw bad(`state index ${index}`)
  if (!Number.isInteger(outpoint.vout) || outpoint.vout < 0 || outpoint.vout > MAX_VOUT) {
    throw bad(`output number ${outpoint.vout}`)
  }
}

/** @throws FactoryError `bad_parameter` */
export function checkLogFilter(filter: { after?: number | undefined; limit?: number | undefined }): void {
  for (const n of [filter.after, filter.limit]) {
    if (n !== undefined && (!Number.isSafeInteger(n) || n < 0)) throw bad(`log filter ${n}`)
  }
}

const bad = (message: string): FactoryError => new FactoryError('bad_parameter', message)
