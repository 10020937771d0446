/** A coin of the funding went into another transaction: when that is buried, the factory is given up, as nothing of it can ever appear. */
import { isFinal, FINAL_DEPTH } from '../../finality/depth.js'
import type { StepBuilder } from '../../machine/index.js'
import { outPointKey, type BlockHeight, type OutPoint, type Txid } from '../../units/index.js'
import { base, sendAbort, undoLate } from './abort.js'
import type { LspState } from './state.js'

type Builder = StepBuilder<LspState>
type Unfunded = Extract<LspState, { stage: 'launching' | 'confirming' }>

const isUnfunded = (state: LspState): state is Unfunded =>
  state.stage === 'launching' || (state.stage === 'confirming' && state.confirmedAt === undefined)

const isInput = (state: Unfunded, outpoint: OutPoint): boolean =>
  (state.funding.inputs ?? []).some((input) => outPointKey(input) === outPointKey(outpoint))

export function onInputSpent(step: Builder, outpoint: OutPoint, by: Txid, height: BlockHeight): void {
  const { state } = step
  if (!isUnfunded(state) || by === state.funding.txid || !isInput(state, outpoint)) return
  const notice = `${by} spent a coin of the funding at height ${height}: given up when it has ${FINAL_DEPTH} confirmations`
  step.to({ ...state, doubleSpent: { by, height }, notice })
  step.log('warning', notice)
}

export function onInputUnspent(step: Builder, outpoint: OutPoint): void {
  const { state } = step
  if (!isUnfunded(state) || state.doubleSpent === undefined || !isInput(state, outpoint)) return
  step.to({ ...state, doubleSpent: undefined, notice: undefined })
  step.effect({ do: 'timer', name: 'retry', seconds: 1 })
}

export function giveUpDoubleSpent(step: Builder, tip: BlockHeight): void {
  const { state } = step
  if (!isUnfunded(state) || state.doubleSpent === undefined || !isFinal(state.doubleSpent.height, tip)) return
  const reason = `${state.doubleSpent.by} spent a coin of the funding`
  const { funding } = state
  step.to({
    ...base(state),
    stage: 'aborted',
    code: 'aborted',
    reason,
    guilty: undefined,
    funding,
    opens: [],
    cleaned: false,
  })
  step.log('state', `aborted: ${reason}`)
  for (const client of state.clients) sendAbort(step, client.id, reason)
  step.effect({ do: 'unwatch' })
  undoLate(step)
}
