/** Giving up a ceremony: everyone is told, the host undoes what it did, and the funding coins are free again. */
import { clipText, FactoryError } from '@ln-factory/tlv'
import { idBytes, type HostCall, type StepBuilder } from '../../machine/index.js'
import type { NodeId } from '../../units/index.js'
import { isForming, type LspBase, type LspState } from './state.js'

/**
 * @param why what the operator is told; an error's code too, and `aborted` where there is none
 * @param opens peers with whom an open may be pending: only those are cancelled, another ceremony may open with the others
 */
export function abort(
  step: StepBuilder<LspState>,
  why: string | FactoryError,
  guilty?: NodeId,
  opens: readonly NodeId[] = step.state.clients.filter((c) => c.channelScript !== undefined).map((c) => c.id),
): void {
  const { state } = step
  if (!isForming(state.stage))
    throw new FactoryError('wrong_state', `the factory is ${state.stage} and can't be aborted`)
  const funding = 'funding' in state ? state.funding : undefined
  const { code, message: reason } = typeof why === 'string' ? new FactoryError('aborted', why) : why
  step.to({ ...base(state), stage: 'aborted', code, reason, guilty, funding, opens, cleaned: false })
  step.log('state', `aborted: ${reason}`)
  for (const client of state.clients) sendAbort(step, client.id, reason)
  step.effect({ do: 'cancelTimer', name: 'step' })
  undoLate(step)
}

/**
 * Have the host undo everything, again when something came to be after the abort. Coins that were freed once are not freed again:
 * another ceremony may have them by now.
 */
export function undoLate(step: StepBuilder<LspState>): void {
  const { state } = step
  if (state.stage !== 'aborted') return
  const { funding, ...rest } = cleanUp(state)
  step.to({ ...state, cleaned: false }).call({ ...rest, funding: state.cleaned ? undefined : funding })
}

export function sendAbort(step: StepBuilder<LspState>, peer: NodeId, reason: string): void {
  step.send(peer, { kind: 'abort', instanceId: idBytes(step.state.instance), reason: clipText(reason, 500) })
}

/** Told again after every start until the host has done it: every part is idempotent. */
export function cleanUp(state: Extract<LspState, { stage: 'aborted' }>): Extract<HostCall, { call: 'cleanUp' }> {
  return {
    call: 'cleanUp',
    opens: state.opens,
    channels: state.clients.flatMap((c) => (c.channelId === undefined ? [] : [{ peer: c.id, channelId: c.channelId }])),
    funding: state.funding,
  }
}

/** The state without its stage. */
export function base(state: LspState): LspBase {
  const {
    v,
    role,
    instance,
    clients,
    params,
    expiry,
    createdAt,
    earlyWarning,
    fundingAmount,
    stepTimeout,
    seen,
    spent,
    exit,
    leaves,
    update,
    giving,
    sales,
    alarms,
    assists,
    notice,
    rotation,
    moves,
  } = state
  return {
    v,
    role,
    instance,
    clients,
    params,
    expiry,
    createdAt,
    earlyWarning,
    fundingAmount,
    stepTimeout,
    seen,
    spent,
    exit,
    leaves,
    update,
    giving,
    sales,
    alarms,
    assists,
    notice,
    rotation,
    moves,
  }
}
