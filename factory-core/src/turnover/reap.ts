/**
 * When every client has left with its key, the LSP alone is everyone: one key-path signature takes the whole factory's coins back
 * (DESIGN.md 5.5). From there on it is a cooperative close that all have signed.
 */
import { isKeyed as gaveKey } from '../assist/state.js'
import type { LspState } from '../ceremony/index.js'
import { factoryKeys, lspKey } from '../ceremony/lsp/factory.js'
import { signRecord } from '../ceremony/spend-key.js'
import { CLOSE_TX_ITEM } from '../close/state.js'
import type { Context, StepBuilder } from '../machine/index.js'
import { SecretKey, signAlone } from '../signing/index.js'
import { buildClose, closeOutputs, finalize } from '../tree/index.js'
import { keyItem } from './state.js'
import { moveOf } from './lsp.js'

/** Its key is on disk. */
const isKeyed = (state: LspState, position: number): boolean =>
  moveOf(state, position)?.stage === 'moved' || state.assists.some((a) => a.client === position && gaveKey(a))

export function reapWhenEmpty(step: StepBuilder<LspState>, context: Context): void {
  const { state } = step
  if (state.stage !== 'active' || state.rotation === undefined) return
  if (!state.clients.every((_, i) => isKeyed(state, i))) return
  // The tree is on chain in part: what is left of it is not behind the funding any more.
  if (Object.keys(state.seen).length > 0) return
  const { funding, fundingAmount, rotation } = state
  const { outputs, fee, lspAmount } = closeOutputs({
    fundingAmount,
    balances: [],
    lspScript: rotation.script,
    feerate: rotation.feerate,
  })
  const spend = buildClose({
    funding: { outpoint: { txid: funding.txid, vout: funding.vout }, amount: fundingAmount },
    keys: factoryKeys(state, context),
    outputs,
    lockTime: 0,
  })
  const keys = state.clients.map((_, i) => SecretKey.fromBytes(context.item(keyItem(i)) ?? new Uint8Array(32)))
  const signature = signAlone({
    secretKeys: [lspKey(state, context).secretKey, ...keys],
    merkleRoot: undefined,
    sighash: spend.sighash,
    aux: context.entropy(32),
  })
  for (const key of keys) key.wipe()
  const tx = finalize(spend, signature)
  const { txid } = spend.tx
  step.to({
    ...state,
    stage: 'closing',
    close: { step: 'signed', txid, fee, ours: lspAmount, vsize: spend.vsize, accepted: false, confirmedAt: undefined },
    notice: undefined,
  })
  // No signature item: this one is not sent to clients, who have nothing to gain or lose by it.
  step.record(signRecord(spend)).item(CLOSE_TX_ITEM, tx)
  step.log('signed', `every client has left: ${lspAmount} sat come back in ${txid}`)
  step.effect({ do: 'watchTx', txid, since: state.createdAt })
  step.call({ call: 'broadcast', tx, txid })
}
