/** Which aggregate signs a spend, and what the store must remember of it. */
import { verifySchnorr, type TweakedAggregate } from '../signing/index.js'
import type { SignRecord } from '../store/port.js'
import type { FactoryKeys } from '../tree/index.js'
import type { Spend } from '../tree/types.js'

/** Aggregating is the dearest part of signing, so whoever signs several spends keeps one `FactoryKeys` for all of them. */
export function spendAggregate(spend: Spend, keys: FactoryKeys): TweakedAggregate {
  const aggregate = keys.aggregate(spend.signers)
  return spend.key.path === 'key' ? aggregate.taproot(spend.key.merkleRoot) : aggregate.untweaked()
}

/** Is this final signature (64 bytes, BIP-340) the one that the chain will ask for? */
export const isValid = (signature: Uint8Array, spend: Spend, keys: FactoryKeys): boolean =>
  verifySchnorr({ signature, message: spend.sighash, publicKey: spendAggregate(spend, keys).xonly })

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
