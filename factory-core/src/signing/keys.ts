/**
 * Keys and preimages of a factory, all from one secret of the node, so that nothing secret has to be stored: the seed and
 * what is on disk (instance, salt) give them back.
 */
import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import type { InstanceId, NodeId } from '../units/index.js'
import type { CurveBackend } from './backend.js'
import { defaultBackend } from './backend-select.js'
import { parseScalar } from './scalar.js'
import { SecretKey } from './secret-key.js'

/** Label for `Host.deriveSecret`: where `nodeSecret` comes from. */
export const FACTORY_SECRET_LABEL = 'ln-factory/factory-key/1'

const ASSIST_KEY_INFO = utf8ToBytes('ln-factory/assist-key/1')
const ASSIST_PREIMAGE_INFO = utf8ToBytes('ln-factory/assist-preimage/1')
const KEY_INFO = utf8ToBytes('ln-factory/factory-key/1')
const PURCHASE_INFO = utf8ToBytes('ln-factory/purchase-preimage/1')
const POISON_INFO = utf8ToBytes('ln-factory/poison-preimage/1')

function requireLength(what: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length)
    throw new FactoryError('bad_parameter', `${what} has ${length} bytes, not ${bytes.length}`)
}

function u32(what: string, value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new FactoryError('bad_parameter', `${what} is not a number from 0 to 2^32-1: ${value}`)
  }
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

export interface FactoryKeyRequest {
  /** 32 bytes, `Host.deriveSecret(FACTORY_SECRET_LABEL)`. */
  readonly nodeSecret: Uint8Array
  readonly instanceId: InstanceId
  /** 16 random bytes, not secret: keeps keys fresh when an instance_id comes twice. */
  readonly salt: Uint8Array
  /** The node at the other end: the LSP for a client; the LSP names itself. */
  readonly peerNodeId: NodeId
}

export interface FactoryKey {
  readonly secretKey: SecretKey
  /** Compressed, 33 bytes. */
  readonly publicKey: Uint8Array
}

/**
 * Our key in one factory: HKDF-SHA256 of the node's secret with salt, instance and peer. A candidate that is no secret
 * key (0 or >= n, about once in 2^128) is skipped.
 * @throws FactoryError `bad_parameter` on wrong lengths
 */
export const deriveFactoryKey = (request: FactoryKeyRequest, backend: CurveBackend = defaultBackend()): FactoryKey =>
  deriveKey(KEY_INFO, request, backend)

/** Our key in one output of an assisted exit, by a salt of its own; else as `deriveFactoryKey`. */
export const deriveAssistKey = (request: FactoryKeyRequest, backend: CurveBackend = defaultBackend()): FactoryKey =>
  deriveKey(ASSIST_KEY_INFO, request, backend)

/** What a client reveals when it takes the output of an assisted exit, 32 bytes. @throws as `deriveFactoryKey` */
export const deriveAssistPreimage = (request: FactoryKeyRequest): Uint8Array =>
  hkdf(sha256, request.nodeSecret, request.salt, contextOf(ASSIST_PREIMAGE_INFO, request), 32)

function contextOf(info: Uint8Array, { nodeSecret, instanceId, salt, peerNodeId }: FactoryKeyRequest): Uint8Array {
  requireLength('the node secret', nodeSecret, 32)
  requireLength('the key salt', salt, 16)
  return concatBytes(info, hexToBytes(instanceId), hexToBytes(peerNodeId))
}

function deriveKey(info: Uint8Array, request: FactoryKeyRequest, backend: CurveBackend): FactoryKey {
  const context = contextOf(info, request)
  for (let attempt = 0; ; attempt++) {
    const input = concatBytes(context, u32('attempt', attempt))
    const candidate = hkdf(sha256, request.nodeSecret, request.salt, input, 32)
    const scalar = parseScalar(candidate)
    if (scalar === undefined || scalar === 0n) continue
    const secretKey = SecretKey.fromBytes(candidate, backend)
    candidate.fill(0)
    return { secretKey, publicKey: secretKey.publicKey }
  }
}

export interface PoisonRequest {
  /** 32 bytes, `Host.deriveSecret(FACTORY_SECRET_LABEL)`. */
  readonly nodeSecret: Uint8Array
  readonly instanceId: InstanceId
  /** Leaf number. */
  readonly leaf: number
  /** State index of the leaf. */
  readonly state: number
}

/** The LSP's preimage of one state of one leaf, 32 bytes; secret until that state is superseded. */
export function derivePoisonPreimage({ nodeSecret, instanceId, leaf, state }: PoisonRequest): Uint8Array {
  requireLength('the node secret', nodeSecret, 32)
  const info = concatBytes(POISON_INFO, hexToBytes(instanceId), u32('leaf', leaf), u32('state', state))
  return hkdf(sha256, nodeSecret, undefined, info, 32)
}

/** H_state: SHA-256 of a preimage. */
export const poisonHash = (preimage: Uint8Array): Uint8Array => sha256(preimage)

/** A buyer's preimage of one sale of liquidity, 32 bytes; secret until every signature of the sale is stored. */
export function derivePurchasePreimage({
  nodeSecret,
  instanceId,
  salt,
}: Pick<FactoryKeyRequest, 'nodeSecret' | 'instanceId' | 'salt'>): Uint8Array {
  requireLength('the node secret', nodeSecret, 32)
  requireLength('the salt', salt, 16)
  return hkdf(sha256, nodeSecret, salt, concatBytes(PURCHASE_INFO, hexToBytes(instanceId)), 32)
}
