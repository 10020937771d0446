import { bytesToHex } from '@noble/hashes/utils.js'
import { txidBytes } from '../tree/index.js'
import type { OutPoint } from '../units/index.js'

/** BOLT 2: the funding txid, its last two bytes xored with the output's number. */
export function channelIdAt({ txid, vout }: OutPoint): string {
  const id = txidBytes(txid)
  const view = new DataView(id.buffer, id.byteOffset)
  view.setUint16(30, view.getUint16(30) ^ vout)
  return bytesToHex(id)
}
