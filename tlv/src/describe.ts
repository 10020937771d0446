/** Any message of the protocol in readable form; what `ln-factory-decode` prints. */
import { decodeFactoryMessage } from './blip56/codec.js'
import { FACTORY_MESSAGE_TYPE, SUPERSCALAR_V1_MESSAGE_TYPE, type FactoryMessage } from './blip56/messages.js'
import { findChannelInFactory } from './blip56/open-channel.js'
import { isOurProtocol, protocolName } from './blip56/protocol.js'
import { FactoryError } from './error.js'
import { hexToBytes } from './hex.js'
import { decodePayload } from './payload/codec.js'
import { readable, type Readable } from './readable.js'
import { decodeFragment, isFragment } from './split.js'

export interface Description {
  readonly format: 'message' | 'body' | 'open_channel' | 'payload'
  readonly content: Readable
}

const named = (id: Uint8Array): Readable => ({ id: readable(id), name: protocolName(id) ?? 'unknown' })

const payload = (bytes: Uint8Array): Readable =>
  isFragment(bytes) ? readable({ kind: 'fragment', ...decodeFragment(bytes) }) : readable(decodePayload(bytes))

const known = <T extends { readonly kind: string }>(decoded: T): Exclude<T, { kind: 'unknown_odd' }> => {
  if (decoded.kind === 'unknown_odd') throw new FactoryError('wire_value', 'an unknown odd number comes first')
  return decoded as Exclude<T, { kind: 'unknown_odd' }>
}

function message(m: FactoryMessage): Readable {
  switch (m.kind) {
    case 'supported_factory_protocols':
      return { kind: m.kind, protocols: m.protocols.map(named) }
    case 'factory_piggyback':
      return {
        kind: m.kind,
        protocol: named(m.protocolId),
        payload: isOurProtocol(m.protocolId) ? payload(m.payload) : readable(m.payload),
      }
    default:
      return readable(m)
  }
}

const bare: readonly (readonly [Description['format'], (bytes: Uint8Array) => Readable])[] = [
  [
    'open_channel',
    (bytes) => {
      const found = findChannelInFactory(bytes)
      if (found === undefined) throw new FactoryError('wire_value', 'no channel_in_factory record')
      return { kind: 'channel_in_factory', ...(readable(found) as object), protocol: named(found.protocolId) }
    },
  ],
  ['body', (bytes) => message(known(decodeFactoryMessage(bytes)))],
  ['payload', (bytes) => (isFragment(bytes) ? payload(bytes) : readable(known(decodePayload(bytes))))],
]

/**
 * `hex` may be a Lightning message of type 32800 (or the other plugin's 33001), its body without the type, the TLV stream of an
 * `open_channel` with TLV 65600, or a payload of ours; decoding is so strict that they can't be mixed up. White space is ignored.
 *
 * @throws a `wire_` code when it is none of them; the text says what was wrong with each reading.
 */
export function describe(hex: string): Description {
  const bytes = hexToBytes(hex.replace(/\s/g, ''))
  const type = bytes.length < 2 ? undefined : new DataView(bytes.buffer).getUint16(0)
  if (type === FACTORY_MESSAGE_TYPE || type === SUPERSCALAR_V1_MESSAGE_TYPE) {
    const m = decodeFactoryMessage(bytes.subarray(2))
    return { format: 'message', content: { type, message: m.kind === 'unknown_odd' ? readable(m) : message(m) } }
  }
  const failures: string[] = []
  for (const [format, read] of bare) {
    try {
      return { format, content: read(bytes) }
    } catch (error) {
      if (!(error instanceof FactoryError)) throw error
      failures.push(`as ${format}: ${error.message}`)
    }
  }
  throw new FactoryError('wire_value', `not a factory message (${failures.join('; ')})`)
}
