/**
 * Which back end signs: WASM when it loads and gives right answers, else noble. Decided once, when this module loads;
 * whoever wants another one passes it explicitly.
 */
import { equalBytes } from '@noble/curves/utils.js'
import { hexToBytes } from '@noble/hashes/utils.js'
import type { CurveBackend } from './backend.js'
import { nobleBackend } from './backend-noble.js'
import { tinyBackend, type TinySecp256k1 } from './backend-tiny.js'

export interface BackendChoice {
  readonly backend: CurveBackend
  /** Why WASM is not used; undefined when it is. Worth a line in the host's log: signing is slower. */
  readonly fallback: string | undefined
}

/** 2*G and 3*G, as every implementation of the curve has them. */
const TWO_G = hexToBytes('02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5')
const THREE_G = hexToBytes('02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9')

/** BIP-340's first vector: secret key 3, message and aux of zeros. */
const SIGNATURE = hexToBytes(
  'e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215' +
    '25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0',
)

function answersRight(backend: CurveBackend): boolean {
  const { generator } = backend
  const two = backend.parse(TWO_G)
  if (two === undefined) return false
  const three = backend.compress(backend.sum([two, generator]))
  const minusTwo = backend.negate(two)
  const signed = { signature: SIGNATURE, message: new Uint8Array(32), publicKey: THREE_G.subarray(1) }
  return (
    equalBytes(three, THREE_G) &&
    equalBytes(backend.compress(backend.combine([[3n, generator]])), THREE_G) &&
    backend.combine([
      [2n, generator],
      [1n, minusTwo],
    ]).isInfinity &&
    backend.verifySchnorr(signed) &&
    !backend.verifySchnorr({ ...signed, message: THREE_G.subarray(1) })
  )
}

/** `load` imports tiny-secp256k1; it may fail on a platform without WebAssembly or without the .wasm file. */
export async function selectBackend(load: () => Promise<TinySecp256k1>): Promise<BackendChoice> {
  try {
    const backend = tinyBackend(await load())
    if (answersRight(backend)) return { backend, fallback: undefined }
    return { backend: nobleBackend(), fallback: 'the WASM build of libsecp256k1 computes wrongly' }
  } catch (error) {
    return { backend: nobleBackend(), fallback: error instanceof Error ? error.message : 'WASM did not load' }
  }
}

const choice = await selectBackend(() => import('tiny-secp256k1'))

/** The back end of this process, and why it is not WASM if it isn't. */
export const backendChoice = (): BackendChoice => choice

export const defaultBackend = (): CurveBackend => choice.backend
