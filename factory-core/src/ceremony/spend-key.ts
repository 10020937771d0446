/** Which aggregate signs a spend, and what the store must remember of it. */
import { aggregateKeys, verifySchnorr, type TweakedAggregate } from '../signing/index.js'
import type { SignRecord } from '../store/port.js'
import type { Spend } from '../tree/types.js'

/** Factory keys by participant, LSP first. */
export function spendAggregate(spend: Spend, keys: readonly Uint8Array[]): TweakedAggregate {
  const aggregate = aggregateKeys(spend.signers.map((i) => keyOf(keys, i)))
  return spend.key.path === 'key' ? aggregate.taproot(spend.key.merkleRoot) : aggregate.untweaked()
}

/** Is this final signature (64 bytes, BIP-340) the one that the chain will ask for? */
export const isValid = (signature: Uint8Array, spend: Spend, keys: readonly Uint8Array[]): boolean =>
  verifySchnorr({ signature, message: spend.sighash, publicKey: spendAggregate(spend, keys).xonly })

export function keyOf(keys: readonly Uint8Array[], participant: number): Uint8Array {
  const key = keys[participant]
  if (key === undefined) throw new RangeError(`no participant ${participant}`)
  return key
}

/**
 * The children of a kickoff output are the states: one sighash per state index, and indices only grow. Everything else is signed
 * once, for ever (DESIGN.md section 4, last point).
 */
export function signRecord(spend: Spend): SignRecord {
  return {
    outpoint: spend.prevout.outpoint,
    class: spend.class,
    index: spend.index,
    sighash: spend.sighash,
    rule: spend.role === 'leaf' ? 'increasing' : 'once',
  }
}

/** Item key of a final signature. */
export const signatureItem = (spendId: string): string => `sig/${spendId}`
