import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { deriveFactoryKey, derivePoisonPreimage, isPublicKey, poisonHash } from '../../src/signing/index.js'
import { instanceId, nodeId } from '../../src/units/index.js'
import { backends, bytesOf, keyOf, refused } from './support.js'

const request = {
  nodeSecret: bytesOf('node'),
  instanceId: instanceId(bytesToHex(bytesOf('instance'))),
  salt: bytesOf('salt').subarray(0, 16),
  peerNodeId: nodeId(bytesToHex(keyOf('peer').publicKey)),
}

describe('factory keys', () => {
  it('are the same for the same input, on both back ends, for ever', () => {
    for (const backend of backends) {
      const { secretKey, publicKey } = deriveFactoryKey(request, backend)
      expect(bytesToHex(publicKey)).toBe('02ffe3818a3f3e7b459086536c42377ff4060ce98e8d974b2f7162da8cf0631995')
      expect(secretKey.publicKey).toEqual(publicKey)
      expect(isPublicKey(publicKey, backend)).toBe(true)
    }
  })

  it('differ when anything of the input does', () => {
    const keys = [
      request,
      { ...request, nodeSecret: bytesOf('other') },
      { ...request, instanceId: instanceId(bytesToHex(bytesOf('other'))) },
      { ...request, salt: bytesOf('other').subarray(0, 16) },
      { ...request, peerNodeId: nodeId(bytesToHex(keyOf('other').publicKey)) },
    ].map((each) => bytesToHex(deriveFactoryKey(each).publicKey))
    expect(new Set(keys).size).toBe(keys.length)
  })

  it('need inputs of the right size', () => {
    refused('bad_parameter', () => deriveFactoryKey({ ...request, nodeSecret: new Uint8Array(31) }))
    refused('bad_parameter', () => deriveFactoryKey({ ...request, salt: new Uint8Array(32) }))
  })
})

describe('poison preimages', () => {
  const { nodeSecret } = request
  const at = (leaf: number, state: number): string =>
    bytesToHex(derivePoisonPreimage({ nodeSecret, instanceId: request.instanceId, leaf, state }))

  it('are the same for ever, one for each leaf and state', () => {
    expect(at(3, 1)).toBe('10885c6c5e98975e99ebe5561a38ceffd1ddff71e5710f90050ff9018befd431')
    const all = [0, 1, 2].flatMap((leaf) => [0, 1, 2].map((state) => at(leaf, state)))
    expect(new Set(all).size).toBe(9)
    expect(all).not.toContain(bytesToHex(nodeSecret))
  })

  it('hash with SHA-256', () => {
    const preimage = derivePoisonPreimage({ nodeSecret, instanceId: request.instanceId, leaf: 0, state: 0 })
    expect(preimage).toHaveLength(32)
    expect(poisonHash(preimage)).toEqual(sha256(preimage))
  })

  it('need sane numbers', () => {
    for (const bad of [-1, 1.5, 2 ** 32, NaN]) {
      refused('bad_parameter', () => at(bad, 0))
      refused('bad_parameter', () => at(0, bad))
    }
    refused('bad_parameter', () =>
      derivePoisonPreimage({ nodeSecret: new Uint8Array(0), instanceId: request.instanceId, leaf: 0, state: 0 }),
    )
  })
})
