/**
 * What a watchtower is given: finished transactions, and when they are to be sent. No key, no preimage, no signature of anything
 * else is in it. One text form, JSON, of which every bundle has exactly one: what decodes is what was encoded, to the character.
 */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import { decodeTx, type DecodedTx } from '../tree/decode.js'
import {
  blockHeight,
  instanceId,
  txid,
  type BlockHeight,
  type InstanceId,
  type OutPoint,
  type Txid,
} from '../units/index.js'
import { towerLimits, type TowerLimits } from './limits.js'

export type Trigger =
  /** The transaction is in a block. */
  | { readonly when: 'confirmed'; readonly txid: Txid }
  /** A transaction in a block spends it; with `by`, that one. */
  | { readonly when: 'spent'; readonly outpoint: OutPoint; readonly by?: Txid }
  /** The tip is at this height. */
  | { readonly when: 'height'; readonly height: BlockHeight }

export interface Response {
  /** For people: which transaction of which factory this is about; 1 to 100 printable ASCII characters. */
  readonly id: string
  readonly trigger: Trigger
  /**
   * With witness, in this order: each is sent when the one before it is in a block and its own locks allow it, and again with every
   * block until it is in one itself.
   */
  readonly transactions: readonly Uint8Array[]
}

/** Everything to be done for one factory. A later one (greater `sequence`) takes the place of the one before. */
export interface Bundle {
  readonly instance: InstanceId
  /** Grows with every change, 0 to 2^53 - 1: an old copy of it can't take the place of a newer one. */
  readonly sequence: number
  /** Nothing that it waits for is in an older block. */
  readonly since: BlockHeight
  /** From this height on it can be forgotten. */
  readonly until: BlockHeight
  /** None: this factory needs no watching any more. */
  readonly responses: readonly Response[]
}

/** A response as it is worked with. */
export interface ReadyResponse extends Omit<Response, 'transactions'> {
  readonly transactions: readonly { readonly raw: Uint8Array; readonly tx: DecodedTx }[]
}

export interface ReadyBundle extends Omit<Bundle, 'responses'> {
  readonly responses: readonly ReadyResponse[]
}

const VERSION = 1
const ID = /^[\x21-\x7e]{1,100}$/
const HEX = /^([0-9a-f]{2})+$/

const bad = (why: string): FactoryError => new FactoryError('bad_parameter', `not a bundle of responses: ${why}`)

export function encodeBundle(bundle: Bundle): string {
  const { instance, sequence, since, until, responses } = bundle
  return JSON.stringify({ version: VERSION, instance, sequence, since, until, responses: responses.map(plainResponse) })
}

export const encodeResponses = (responses: readonly Response[]): string => JSON.stringify(responses.map(plainResponse))

const plainResponse = ({ id, trigger, transactions }: Response): object => ({
  id,
  trigger: encodeTrigger(trigger),
  transactions: transactions.map(bytesToHex),
})

function encodeTrigger(trigger: Trigger): object {
  switch (trigger.when) {
    case 'confirmed':
      return { confirmed: trigger.txid }
    case 'height':
      return { height: trigger.height }
    case 'spent': {
      const { txid: id, vout } = trigger.outpoint
      return { spent: [id, vout], ...(trigger.by === undefined ? {} : { by: trigger.by }) }
    }
  }
}

/** @throws FactoryError `bad_parameter` for anything that `encodeBundle` would not have written, or that exceeds the limits */
export function decodeBundle(text: string, limits: TowerLimits = towerLimits): ReadyBundle {
  if (text.length > limits.bundleBytes) throw bad(`more than ${limits.bundleBytes} bytes`)
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw bad('not JSON')
  }
  const o = asObject(json)
  if (o['version'] !== VERSION) throw bad('another version than 1')
  const bundle: ReadyBundle = {
    instance: instanceId(asText(o['instance'])),
    sequence: asCount(o['sequence'], Number.MAX_SAFE_INTEGER),
    since: blockHeight(asCount(o['since'])),
    until: blockHeight(asCount(o['until'])),
    responses: asList(o['responses'], limits.responses).map((r) => readResponse(r, limits)),
  }
  // Catches members that are doubled, unknown or out of order, stray spaces and odd numbers.
  if (encodeBundle(plainBundle(bundle)) !== text) throw bad('not in canonical form')
  return bundle
}

/** As it was encoded. */
export const plainBundle = (bundle: ReadyBundle): Bundle => ({
  ...bundle,
  responses: bundle.responses.map((r) => ({ ...r, transactions: r.transactions.map((t) => t.raw) })),
})

function readResponse(value: unknown, limits: TowerLimits): ReadyResponse {
  const o = asObject(value)
  const id = asText(o['id'])
  if (!ID.test(id)) throw bad('a response without a proper id')
  const transactions = asList(o['transactions'], limits.transactions).map((t) => readTransaction(asText(t), limits))
  if (transactions.length === 0) throw bad(`${id} has no transactions`)
  return { id, trigger: readTrigger(asObject(o['trigger'])), transactions }
}

function readTransaction(hex: string, limits: TowerLimits): { raw: Uint8Array; tx: DecodedTx } {
  if (hex.length > 2 * limits.transactionBytes || !HEX.test(hex))
    throw bad('a transaction that is too long, or not hex')
  const raw = hexToBytes(hex)
  const tx = decodeTx(raw)
  if (tx.inputs.length === 0 || tx.inputs.length > limits.inputs)
    throw bad('a transaction with too many inputs, or none')
  return { raw, tx }
}

function readTrigger(o: Readonly<Record<string, unknown>>): Trigger {
  if (o['confirmed'] !== undefined) return { when: 'confirmed', txid: txid(asText(o['confirmed'])) }
  if (o['height'] !== undefined) return { when: 'height', height: blockHeight(asCount(o['height'])) }
  const [id, vout, ...rest] = asList(o['spent'], 2)
  if (rest.length > 0) throw bad('an outpoint of more than two parts')
  const outpoint = { txid: txid(asText(id)), vout: asCount(vout, 0xffffffff) }
  const by = o['by']
  return { when: 'spent', outpoint, ...(by === undefined ? {} : { by: txid(asText(by)) }) }
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('an object is missing')
  return value as Readonly<Record<string, unknown>>
}

function asList(value: unknown, most: number): readonly unknown[] {
  if (!Array.isArray(value)) throw bad('a list is missing')
  if (value.length > most) throw bad(`a list of more than ${most}`)
  return value
}

function asText(value: unknown): string {
  if (typeof value !== 'string') throw bad('a text is missing')
  return value
}

function asCount(value: unknown, most = 499_999_999): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > most)
    throw bad('a number is missing')
  return value
}
