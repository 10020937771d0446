/**
 * How each kind of spend is made from its prevout and its outputs. LSP and client differ only in how they know the outputs;
 * everything else about a transaction is decided here, once, for both.
 */
import type { BlockHeight, OutPoint, ParticipantIndex } from '../units/index.js'
import { sat } from '../units/index.js'
import { chainId, distributionId, kickoffId, leafId, payoutId, poisonId, restId, staticId } from './names.js'
import type { FactoryKeys } from './keys.js'
import { clientsOf, participants } from './participants.js'
import { ANCHOR, p2tr } from './script.js'
import type { Group, LeafGroup, StaticGroup, StockGroup } from './shape.js'
import type { StockScripts } from './stock.js'
import { KEY_WITNESS, POISON_WITNESS, signatureHash, signedVsize, unsignedTx } from './tx.js'
import type { Spend, SpendKey, TreeParams, TxOutput } from './types.js'

export type Prevout = Spend['prevout']

/** Not final, so that nLockTime counts; no BIP-68 lock; replaceable. */
export const NO_DELAY = 0xfffffffd
/** All sign together, and there is no script. */
export const KEY_PATH: SpendKey = { path: 'key', merkleRoot: undefined }

/** Output script of the LSP and all clients of `group`, without scripts. */
export const sharedScript = (keys: FactoryKeys, group: Group): Uint8Array =>
  p2tr(keys.aggregate(participants(group)).taproot(undefined).xonly)

/** Output script of the clients of `group` alone: what a distribution pays them jointly. */
export const jointScript = (keys: FactoryKeys, group: Group): Uint8Array =>
  p2tr(keys.aggregate(clientsOf(group)).taproot(undefined).xonly)

export const output = (spend: Spend, vout: number): Prevout => {
  const out = spend.tx.outputs[vout]
  if (out === undefined) throw new RangeError(`${spend.id} has no output ${vout}`)
  return { outpoint: { txid: spend.tx.txid, vout }, ...out }
}

interface Blueprint extends Pick<Spend, 'id' | 'role' | 'class' | 'prevout' | 'key'> {
  readonly signers: readonly ParticipantIndex[]
  readonly index?: number
  readonly sequence?: number
  readonly lockTime?: number
  /** Without the anchor. */
  readonly outputs: readonly TxOutput[]
}

function spend(b: Blueprint): Spend {
  const outputs = [...b.outputs, ANCHOR]
  const input: OutPoint = b.prevout.outpoint
  const tx = unsignedTx({ version: 3, lockTime: b.lockTime ?? 0, sequence: b.sequence ?? NO_DELAY, input, outputs })
  const paid = outputs.reduce((sum, o) => sum + o.amount, 0n)
  return {
    id: b.id,
    role: b.role,
    class: b.class,
    index: b.index ?? 0,
    signers: b.signers,
    prevout: b.prevout,
    tx,
    sighash: signatureHash(tx, b.prevout, b.key),
    key: b.key,
    fee: sat(b.prevout.amount - paid),
    vsize: signedVsize(
      outputs.map((o) => o.script.length),
      b.key.path === 'key' ? KEY_WITNESS : POISON_WITNESS,
    ),
  }
}

export const staticSpend = (group: StaticGroup, prevout: Prevout, outputs: readonly TxOutput[]): Spend =>
  spend({
    id: staticId(group),
    role: 'static',
    class: 'child',
    prevout,
    key: KEY_PATH,
    signers: participants(group),
    outputs,
  })

export const kickoffSpend = (leaf: LeafGroup, prevout: Prevout, outputs: readonly TxOutput[]): Spend =>
  spend({
    id: kickoffId(leaf),
    role: 'kickoff',
    class: 'child',
    prevout,
    key: KEY_PATH,
    signers: participants(leaf),
    outputs,
  })

/** State `state` of n of a leaf: a later state waits less, so it confirms first. */
export const leafSpend = (
  { step, states }: TreeParams,
  leaf: LeafGroup,
  state: number,
  prevout: Prevout,
  outputs: readonly TxOutput[],
): Spend =>
  spend({
    id: leafId(leaf, state),
    role: 'leaf',
    class: 'child',
    index: state,
    sequence: step * (states - 1 - state),
    prevout,
    key: KEY_PATH,
    signers: participants(leaf),
    outputs,
  })

/** Of the stock of a leaf's state `state`. */
export const poisonSpend = (
  stock: StockGroup,
  state: number,
  scripts: StockScripts,
  prevout: Prevout,
  outputs: readonly TxOutput[],
): Spend =>
  spend({
    id: poisonId(stock, state),
    role: 'poison',
    class: 'poison',
    prevout,
    key: scripts.poison,
    signers: participants(stock),
    outputs,
  })

/** Of the output named `name` above `group`; `key` is how that output is spent by all. */
export const distributionSpend = (
  expiry: BlockHeight,
  name: string,
  group: Group,
  key: SpendKey,
  prevout: Prevout,
  outputs: readonly TxOutput[],
): Spend =>
  spend({
    id: distributionId(name),
    role: 'distribution',
    class: 'distribution',
    lockTime: expiry,
    prevout,
    key,
    signers: participants(group),
    outputs,
  })

export const payoutSpend = (name: string, group: Group, prevout: Prevout, outputs: readonly TxOutput[]): Spend =>
  spend({
    id: payoutId(name),
    role: 'payout',
    class: 'child',
    prevout,
    key: KEY_PATH,
    signers: clientsOf(group),
    outputs,
  })

/** Sale `number`: spends what `distribution`, the stock's, would pay out. */
export const chainSpend = (distribution: Spend, number: number, outputs: readonly TxOutput[]): Spend =>
  spend({
    id: chainId(distribution.id, number),
    role: 'chain',
    class: 'child',
    prevout: distribution.prevout,
    key: distribution.key,
    signers: distribution.signers,
    outputs,
  })

/** As `before`, the poison or the distribution of a stock, for what sale `number` left of it. */
export const restSpend = (before: Spend, number: number, prevout: Prevout, outputs: readonly TxOutput[]): Spend =>
  spend({
    id: restId(before.id, number),
    role: before.role,
    class: before.class,
    lockTime: before.tx.lockTime,
    prevout,
    key: before.key,
    signers: before.signers,
    outputs,
  })
