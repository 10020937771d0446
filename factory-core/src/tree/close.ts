/** The cooperative close: one ordinary transaction that spends the funding output and pays everyone's real balance. */
import { FactoryError } from '@ln-factory/tlv'
import { sat, type Sat } from '../units/index.js'
import { FactoryKeys } from './keys.js'
import { DUST } from './params.js'
import { participants } from './participants.js'
import { isPayoutScript } from './script.js'
import { KEY_PATH, NO_DELAY, sharedScript } from './spends.js'
import { feeFor, KEY_WITNESS, signatureHash, signedVsize, unsignedTx } from './tx.js'
import type { Funding, Spend, TxOutput } from './types.js'

const vsizeOf = (outputs: readonly TxOutput[]): number =>
  signedVsize(
    outputs.map((o) => o.script.length),
    KEY_WITNESS,
  )

export interface CloseTerms {
  readonly fundingAmount: Sat
  /** Clients' balances in order; what is below one satoshi is dropped before. */
  readonly balances: readonly TxOutput[]
  readonly lspScript: Uint8Array
  /** sat per 1000 vB, 1000 or more. */
  readonly feerate: number
}

export interface CloseOutputs {
  /** Clients in order, then the LSP; who would get less than 330 sat is left out. */
  readonly outputs: readonly TxOutput[]
  readonly fee: Sat
  /** Paid to the LSP; 0 when it is left out. */
  readonly lspAmount: Sat
}

/**
 * What a close pays. Each client gets exactly its balance; the LSP gets the rest and pays the fee. A balance below dust can't be
 * paid on chain and goes to the LSP; when the LSP's own rest is dust, the miners get it.
 * @throws FactoryError `insufficient_funds` when the LSP's side can't pay the fee; `bad_amount` when the balances exceed the
 *   funding; `bad_parameter`
 */
export function closeOutputs({ fundingAmount, balances, lspScript, feerate }: CloseTerms): CloseOutputs {
  if (!Number.isSafeInteger(feerate) || feerate < 1000) {
    throw new FactoryError('bad_parameter', `feerate is ${feerate} sat per 1000 vB, and must be at least 1000`)
  }
  const paid = balances.filter((b) => b.amount >= DUST)
  const balance = balances.reduce((sum, b) => sum + b.amount, 0n)
  if (balance > fundingAmount) {
    throw new FactoryError(
      'bad_amount',
      `the clients' balances are ${balance} sat, and the factory holds ${fundingAmount}`,
    )
  }
  const rest = paid.reduce<bigint>((left, b) => left - b.amount, fundingAmount)
  const withLsp = (amount: Sat): readonly TxOutput[] => [...paid, { amount, script: lspScript }]
  const fee = feeFor(vsizeOf(withLsp(DUST)), feerate)
  if (rest - fee >= DUST) return { outputs: withLsp(sat(rest - fee)), fee: sat(fee), lspAmount: sat(rest - fee) }
  const least = feeFor(vsizeOf(paid), feerate)
  if (rest < least || paid.length === 0) {
    throw new FactoryError(
      'insufficient_funds',
      `the LSP's side of the factory is ${rest} sat, and the close costs ${least}`,
      'close at a lower feerate, or let the clients pay over what they owe first',
    )
  }
  return { outputs: paid, fee: sat(rest), lspAmount: sat(0n) }
}

/**
 * The close itself: version 2, no anchor, signed by all.
 * @param close `keys`: of all participants, LSP first; `lockTime`: height
 * @throws FactoryError `bad_proposal` when an output is dust or no standard witness program, or the fee is below 1 sat/vB
 */
export function buildClose(close: {
  readonly funding: Funding
  readonly keys: FactoryKeys | readonly Uint8Array[]
  readonly outputs: readonly TxOutput[]
  readonly lockTime: number
}): Spend {
  const keys = close.keys instanceof FactoryKeys ? close.keys : new FactoryKeys(close.keys)
  const everyone = { from: 0, to: keys.keys.length - 1, children: [] }
  const { funding, outputs, lockTime } = close
  for (const [i, { amount, script }] of outputs.entries()) {
    if (amount < DUST)
      throw new FactoryError('bad_proposal', `output ${i} of the close has ${amount} sat, which is dust`)
    if (!isPayoutScript(script)) {
      throw new FactoryError('bad_proposal', `output ${i} of the close is none of P2WPKH, P2WSH, P2TR`)
    }
  }
  const vsize = vsizeOf(outputs)
  const fee = outputs.reduce<bigint>((left, o) => left - o.amount, funding.amount)
  if (outputs.length === 0 || fee < BigInt(vsize)) {
    throw new FactoryError('bad_proposal', `the close leaves ${fee} sat of fee for ${vsize} vB, which doesn't relay`)
  }
  const prevout = { ...funding, script: sharedScript(keys, everyone) }
  const tx = unsignedTx({ version: 2, lockTime, sequence: NO_DELAY, input: funding.outpoint, outputs })
  return {
    id: 'close',
    role: 'close',
    class: 'cooperative',
    index: 0,
    signers: participants(everyone),
    prevout,
    tx,
    sighash: signatureHash(tx, prevout, KEY_PATH),
    key: KEY_PATH,
    fee: sat(fee),
    vsize,
  }
}
