/**
 * Loaded into an LSP's plugin by NODE_OPTIONS, for the suite of hostile proposals: the plugin itself has no such switch. What it sends
 * is changed on its way to lightningd, as the mutation in `mutation.json` of the working directory says; the LSP's own
 * machine knows nothing of it.
 */
import { Buffer } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import {
  decodeFactoryMessage,
  decodePayload,
  encodeFactoryMessage,
  encodePayload,
  FACTORY_MESSAGE_TYPE,
} from '@ln-factory/tlv'

const TYPE = FACTORY_MESSAGE_TYPE.toString(16)
const GENERATOR = Buffer.from('0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798', 'hex')

/** By name: the kind of payload, and what becomes of it. */
const MUTATIONS = {
  'early warning that the tree does not need': ['invite', (p) => ({ ...p, earlyWarning: p.earlyWarning + 1 })],
  'W that nobody can pay': ['invite', (p) => ({ ...p, params: { ...p.params, step: 1000 } })],
  'too short a lifetime': ['invite', (p) => ({ ...p, expiry: p.expiry - 400 })],
  'another expiry than the LSP signs for': ['invite', (p) => ({ ...p, expiry: p.expiry + 1 })],
  'one satoshi less in the funding': ['propose', (p) => ({ ...p, fundingAmount: p.fundingAmount - 1n })],
  'our key replaced': ['propose', (p) => ({ ...p, keys: p.keys.with(p.clientIndex, GENERATOR) })],
  'another place': ['propose', (p) => ({ ...p, clientIndex: (p.clientIndex % (p.keys.length - 1)) + 1 })],
  'a client too many': ['propose', (p) => ({ ...p, keys: [...p.keys, GENERATOR] })],
  'one satoshi more for a sibling': ['propose', (p) => ({ ...p, siblings: p.siblings.map((tx) => tx.map(dearer)) })],
  'a sibling missing': ['propose', (p) => ({ ...p, siblings: p.siblings.map((tx) => tx.slice(1)) })],
  'a channel script that is none': ['propose', (p) => ({ ...p, channelScript: Buffer.alloc(34, 0x51) })],
  'another channel script': [
    'propose',
    (p) => ({ ...p, channelScript: Buffer.concat([p.channelScript.subarray(0, 33), Buffer.of(7)]) }),
  ],
  'another poison hash': ['propose', (p) => ({ ...p, poisonHash: Buffer.alloc(32, 7) })],
  'a final signature of nothing': [
    'signatures',
    (p) => ({ ...p, signatures: p.signatures.map(() => Buffer.alloc(64, 1)) }),
  ],
  'swapped final signatures': ['signatures', (p) => ({ ...p, signatures: p.signatures.toReversed() })],
}

const dearer = (output) => ({ ...output, amount: output.amount + 1n })

function mutation() {
  try {
    return MUTATIONS[JSON.parse(readFileSync('mutation.json', 'utf8'))]
  } catch {
    return undefined
  }
}

function mutated(hex) {
  const due = mutation()
  if (due === undefined || !hex.startsWith(TYPE)) return hex
  const message = decodeFactoryMessage(Buffer.from(hex.slice(4), 'hex'))
  if (message.kind !== 'factory_piggyback') return hex
  const payload = decodePayload(message.payload)
  const [kind, change] = due
  if (payload.kind !== kind) return hex
  const body = encodeFactoryMessage({ ...message, payload: encodePayload(change(payload)) })
  return TYPE + Buffer.from(body).toString('hex')
}

const { write } = Socket.prototype

Socket.prototype.write = function (chunk, ...rest) {
  if (typeof chunk !== 'string' || !chunk.includes('"sendcustommsg"')) return write.call(this, chunk, ...rest)
  const request = JSON.parse(chunk)
  request.params.msg = mutated(request.params.msg)
  return write.call(this, JSON.stringify(request), ...rest)
}
