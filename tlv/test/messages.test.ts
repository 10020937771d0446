import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  bytesToHex,
  decodeFactoryMessage,
  decodePayload,
  encodeChannelInFactory,
  encodeFactoryMessage,
  encodePayload,
  encodeTlvStream,
  FactoryError,
  featureBits,
  findChannelInFactory,
  hasFactoryFeature,
  hexToBytes,
  MAX_BODY,
  MAX_PAYLOAD,
  PayloadKind,
  PROTOCOL_ID,
  PROTOCOL_NAME,
  PROTOCOL_VERSION,
  protocolId,
  protocolName,
  readable,
  SubmessageId,
  SUPERSCALAR_V1_ID,
  type Payload,
} from '../src/index.js'
import { codeOf, load, type VectorFile } from './vectors.js'

const blip56 = load('blip56') as VectorFile & { features: { name: string; hex: string; factories: boolean }[] }
const openChannel = load('open-channel') as VectorFile
const payload = load('payload') as VectorFile

describe('bLIP-56 vectors', () => {
  it.each(blip56.valid)('$name', ({ hex, decoded, canonical }) => {
    const m = decodeFactoryMessage(hexToBytes(hex))
    expect(readable(m)).toEqual(decoded)
    if (m.kind !== 'unknown_odd') expect(bytesToHex(encodeFactoryMessage(m)) === hex).toBe(canonical ?? true)
  })

  it.each(blip56.invalid)('refuses $name', ({ hex, error }) => {
    expect(codeOf(() => decodeFactoryMessage(hexToBytes(hex)))).toBe(error)
  })

  it('cover every submessage', () => {
    const seen = new Set(blip56.valid.map(({ hex }) => Number.parseInt(hex.slice(0, 4), 16)))
    expect([...seen]).toEqual(expect.arrayContaining(Object.values(SubmessageId)))
  })

  it('no body is longer than a Lightning message', () => {
    const message = (length: number) =>
      ({ kind: 'factory_piggyback', protocolId: protocolId(), payload: new Uint8Array(length) }) as const
    expect(encodeFactoryMessage(message(65_491))).toHaveLength(MAX_BODY)
    expect(codeOf(() => encodeFactoryMessage(message(65_492)))).toBe('wire_limit')
    expect(codeOf(() => decodeFactoryMessage(new Uint8Array(MAX_BODY + 1)))).toBe('wire_limit')
  })
})

describe('feature bit', () => {
  it.each(blip56.features)('$name: $factories', ({ hex, factories }) => {
    expect(hasFactoryFeature(hexToBytes(hex))).toBe(factories)
  })

  it('is announced as 34 bytes', () => {
    expect(bytesToHex(featureBits())).toBe('80' + '00'.repeat(33))
  })
})

describe('protocol ids', () => {
  it('ours is the SHA-256 of name and major version', () => {
    const hash = createHash('sha256').update(`${PROTOCOL_NAME}${PROTOCOL_VERSION}`).digest('hex')
    expect(PROTOCOL_ID).toBe(hash)
    expect(bytesToHex(protocolId())).toBe(hash)
    expect(protocolName(protocolId())).toBe('ln-factory 1')
  })

  it('names the other plugin by what it announces on type 33001, and guesses nothing else', () => {
    const announced = decodeFactoryMessage(
      hexToBytes('0002fd020020' + Buffer.from('SuperScalar/v1').toString('hex').padEnd(64, '0')),
    )
    expect(announced).toEqual({ kind: 'supported_factory_protocols', protocols: [hexToBytes(SUPERSCALAR_V1_ID)] })
    expect(protocolName(hexToBytes(SUPERSCALAR_V1_ID))).toBe('SuperScalar/v1')
    expect(protocolName(new Uint8Array(32))).toBeUndefined()
  })
})

describe('channel_in_factory vectors', () => {
  it.each(openChannel.valid)('$name', ({ hex, decoded, canonical }) => {
    const found = findChannelInFactory(hexToBytes(hex))
    expect(found === undefined ? null : readable(found)).toEqual(decoded)
    if (found !== undefined && canonical !== false) {
      expect(bytesToHex(encodeTlvStream([encodeChannelInFactory(found)]))).toBe(hex)
    }
  })

  it.each(openChannel.invalid)('refuses $name', ({ hex, error }) => {
    expect(codeOf(() => findChannelInFactory(hexToBytes(hex)))).toBe(error)
  })
})

describe('payload vectors', () => {
  it.each(payload.valid)('$name', ({ hex, decoded, canonical }) => {
    const p = decodePayload(hexToBytes(hex))
    expect(readable(p)).toEqual(decoded)
    if (p.kind !== 'unknown_odd') expect(bytesToHex(encodePayload(p)) === hex).toBe(canonical ?? true)
  })

  it.each(payload.invalid)('refuses $name', ({ hex, error }) => {
    expect(codeOf(() => decodePayload(hexToBytes(hex)))).toBe(error)
  })

  it('cover every kind', () => {
    const seen = new Set(payload.valid.map(({ hex }) => Number.parseInt(hex.slice(0, 4), 16)))
    expect([...seen]).toEqual(expect.arrayContaining(Object.values(PayloadKind)))
  })
})

describe('payloads that must not be sent', () => {
  const instanceId = new Uint8Array(32)
  const point = hexToBytes('02' + '01'.repeat(32))
  const propose: Payload = {
    kind: 'propose',
    instanceId,
    clientIndex: 1,
    fundingTxid: new Uint8Array(32),
    fundingVout: 0,
    fundingAmount: 1n,
    channelScript: new Uint8Array(34),
    poisonHash: new Uint8Array(32),
    keys: [point, point],
    siblings: [[]],
  }
  const cases: [string, Payload, string][] = [
    ['short instance_id', { kind: 'stored', instanceId: new Uint8Array(31) }, 'wire_length'],
    ['long instance_id', { kind: 'stored', instanceId: new Uint8Array(33) }, 'wire_length'],
    ['control character', { kind: 'sync', instanceId, stage: 'a\nb' }, 'wire_value'],
    ['lone surrogate', { kind: 'sync', instanceId, stage: '\ud800' }, 'wire_value'],
    ['empty stage', { kind: 'sync', instanceId, stage: '' }, 'wire_limit'],
    ['256 bytes of reason', { kind: 'refuse', instanceId, reason: 'é'.repeat(128) }, 'wire_limit'],
    ['no nonces', { kind: 'nonces', instanceId, nonces: [] }, 'wire_limit'],
    ['negative amount', { ...propose, fundingAmount: -1n }, 'wire_value'],
    ['too much money', { ...propose, fundingAmount: 2_100_000_000_000_001n }, 'wire_value'],
    ['client 0', { ...propose, clientIndex: 0 }, 'wire_value'],
    ['client without key', { ...propose, clientIndex: 2 }, 'wire_value'],
    ['2002 keys', { ...propose, keys: Array<Uint8Array>(2002).fill(point) }, 'wire_limit'],
    ['key that is no point', { ...propose, keys: [point, new Uint8Array(33)] }, 'wire_value'],
    [
      'sibling script of 43 bytes',
      { ...propose, siblings: [[{ amount: 1n, script: new Uint8Array(43) }]] },
      'wire_limit',
    ],
  ]

  it.each(cases)('%s', (_, p, error) => {
    expect(codeOf(() => encodePayload(p))).toBe(error)
  })

  it('the error says where', () => {
    const bad: Payload = { ...propose, siblings: [[{ amount: -1n, script: new Uint8Array(1) }]] }
    expect(() => encodePayload(bad)).toThrow(/^siblings: amount: -1/)
    expect(() => encodePayload(bad)).toThrow(FactoryError)
  })

  it('no payload is longer than 1 MiB', () => {
    expect(codeOf(() => decodePayload(new Uint8Array(MAX_PAYLOAD + 1)))).toBe('wire_limit')
  })
})
