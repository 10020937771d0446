/**
 * A backup as a file: encrypted and authenticated under a key of the node, so that nobody else can read it, and no other file, no
 * part of one, and no changed one is taken for it.
 *
 * `16 magic | u16 version | 33 node id | u64 unix time | 32 salt`, then chunks of ChaCha20-Poly1305 over up to 1 MiB each, with the
 * header as associated data. Nonce: u88 number of the chunk, u8 1 for the last one. The key is HKDF-SHA256 of the node's backup
 * secret with the salt, so that a nonce never comes twice under one key.
 */
import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { nodeId, type NodeId } from '../../units/index.js'

/** Label for `Host.deriveSecret`. */
export const BACKUP_SECRET_LABEL = 'ln-factory/backup/1'

const MAGIC = utf8ToBytes('ln-factorybackup')
const VERSION = 1
const SALT = 32
const HEADER = MAGIC.length + 2 + 33 + 8 + SALT
const CHUNK = 1 << 20
const TAG = 16

const bad = (what: string, hint?: string): FactoryError =>
  new FactoryError('store_corrupt', `the backup can't be used: ${what}`, hint)

export interface BackupKey {
  /** 32 bytes, `Host.deriveSecret(BACKUP_SECRET_LABEL)`. */
  readonly secret: Uint8Array
  readonly node: NodeId
}

const keyOf = (secret: Uint8Array, salt: Uint8Array): Uint8Array =>
  hkdf(sha256, secret, salt, utf8ToBytes(BACKUP_SECRET_LABEL), 32)

function nonceOf(index: number, last: boolean): Uint8Array {
  const nonce = new Uint8Array(12)
  new DataView(nonce.buffer).setUint32(7, index)
  nonce[11] = last ? 1 : 0
  return nonce
}

/**
 * @param salt 32 fresh random bytes
 * @param time unix seconds
 */
export function sealBackup(plain: Uint8Array, { secret, node }: BackupKey, salt: Uint8Array, time: number): Uint8Array {
  if (salt.length !== SALT) throw new FactoryError('internal', `a salt of ${salt.length} bytes`)
  const header = Buffer.alloc(HEADER)
  header.set(MAGIC)
  header.writeUInt16BE(VERSION, MAGIC.length)
  header.set(hexToBytes(node), MAGIC.length + 2)
  header.writeBigUInt64BE(BigInt(time), MAGIC.length + 35)
  header.set(salt, HEADER - SALT)
  const key = keyOf(secret, salt)
  const chunks = Math.max(1, Math.ceil(plain.length / CHUNK))
  const parts: Uint8Array[] = [header]
  for (let i = 0; i < chunks; i++) {
    const cipher = createCipheriv('chacha20-poly1305', key, nonceOf(i, i === chunks - 1), { authTagLength: TAG })
    cipher.setAAD(header, { plaintextLength: 0 })
    parts.push(cipher.update(plain.subarray(i * CHUNK, (i + 1) * CHUNK)), cipher.final(), cipher.getAuthTag())
  }
  return Buffer.concat(parts)
}

/** @throws FactoryError `store_corrupt`, `store_version`; `bad_parameter` for another node's backup */
export function openBackup(file: Uint8Array, { secret, node }: BackupKey): { plain: Uint8Array; time: number } {
  const header = Buffer.from(file.subarray(0, HEADER))
  if (Buffer.compare(header.subarray(0, MAGIC.length), MAGIC) !== 0) throw bad('it is not a backup of ln-factory')
  if (header.length < HEADER) throw bad('it is cut off')
  const version = header.readUInt16BE(MAGIC.length)
  if (version !== VERSION)
    throw new FactoryError('store_version', `the backup has version ${version}, this ln-factory knows ${VERSION}`)
  const owner = bytesToHex(header.subarray(MAGIC.length + 2, MAGIC.length + 35))
  if (owner !== node)
    throw new FactoryError('bad_parameter', `the backup is of node ${nameOf(owner)}, and this is ${node}`)
  const key = keyOf(secret, header.subarray(HEADER - SALT))
  const body = file.subarray(HEADER)
  const chunks = Math.max(1, Math.ceil(body.length / (CHUNK + TAG)))
  const parts: Uint8Array[] = []
  for (let i = 0; i < chunks; i++) {
    const sealed = body.subarray(i * (CHUNK + TAG), (i + 1) * (CHUNK + TAG))
    if (sealed.length < TAG) throw bad('it is cut off')
    const last = i === chunks - 1
    const decipher = createDecipheriv('chacha20-poly1305', key, nonceOf(i, last), { authTagLength: TAG })
    decipher.setAAD(header, { plaintextLength: 0 })
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG))
    try {
      parts.push(decipher.update(sealed.subarray(0, sealed.length - TAG)), decipher.final())
    } catch (cause) {
      throw new FactoryError(
        'store_corrupt',
        "the backup can't be used: it is cut off, was changed, or was made with another seed",
        undefined,
        { cause },
      )
    }
  }
  return { plain: Buffer.concat(parts), time: Number(header.readBigUInt64BE(MAGIC.length + 35)) }
}

function nameOf(hex: string): string {
  try {
    return nodeId(hex)
  } catch {
    return 'nobody'
  }
}
