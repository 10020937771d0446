/** Protocol ids of `supported_factory_protocols`. */
import { bytesToHex, hexToBytes } from '../hex.js'

export const PROTOCOL_NAME = 'ln-factory'
export const PROTOCOL_VERSION = 1

/** SHA-256 of protocol name and major version without a separator, `ln-factory1`, as bLIP-56 recommends. 32 bytes, hex. */
export const PROTOCOL_ID = 'd1d89301e66c6775926f4b392c3bffc8d5651dc34bc63cde98fced9b2c076107'

/**
 * What another plugin in the field announces: the ASCII text `SuperScalar/v1`, padded with zeros to 32 bytes. Its payloads are
 * not ours and are never parsed; the id is known so that an operator can be told what the peer speaks.
 */
export const SUPERSCALAR_V1_ID = '53757065725363616c61722f7631000000000000000000000000000000000000'

const NAMES: ReadonlyMap<string, string> = new Map([
  [PROTOCOL_ID, `${PROTOCOL_NAME} ${PROTOCOL_VERSION}`],
  [SUPERSCALAR_V1_ID, 'SuperScalar/v1'],
])

/** Our `factory_protocol_id`, a fresh copy of 32 bytes. */
export const protocolId = (): Uint8Array => hexToBytes(PROTOCOL_ID)

export const isOurProtocol = (id: Uint8Array): boolean => bytesToHex(id) === PROTOCOL_ID

/** Name of a protocol, for people; undefined when nobody told us. */
export const protocolName = (id: Uint8Array): string | undefined => NAMES.get(bytesToHex(id))
