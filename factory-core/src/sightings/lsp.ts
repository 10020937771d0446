/** What the LSP can say of what it sees: it knows the whole tree. */
import { participantAt } from '../ceremony/lsp/factory.js'
import type { LspState } from '../ceremony/lsp/state.js'
import type { Context, Event, StepBuilder } from '../machine/index.js'
import type { Spend } from '../tree/types.js'
import type { LiveTree } from '../tree/index.js'
import { LSP, type OutPoint } from '../units/index.js'
import type { Knowledge } from '../watch/classify.js'
import { forget, record, sharedOutputs } from './record.js'

type Builder = StepBuilder<LspState>

const channelsOf = (state: LspState, tree: LiveTree): readonly OutPoint[] =>
  state.clients.map((_, i) => tree.channel(participantAt(i)).outpoint)

export const sharedByLsp = (state: LspState, tree: LiveTree): readonly OutPoint[] =>
  sharedOutputs(tree.spends, channelsOf(state, tree))

function knowledge(state: LspState, tree: LiveTree): Knowledge {
  const close =
    state.stage === 'exiting'
      ? state.exit?.close
      : 'close' in state && state.close.step === 'signed'
        ? state.close
        : undefined
  return {
    self: LSP,
    spends: tree.spends,
    superseded: new Set(Object.values(state.leaves).flatMap((choices) => choices.slice(0, -1).map((c) => c.txid))),
    close: close?.txid,
    channels: channelsOf(state, tree),
    leaving: new Set((state.exit?.clients ?? []).map(participantAt)),
    handedOver: false,
  }
}

export function seenByLsp(
  step: Builder,
  context: Context,
  tree: LiveTree,
  sold: readonly Spend[],
  event: Extract<Event, { type: 'spent' }>,
): void {
  const known = knowledge(step.state, tree)
  record(step, context, { ...known, spends: [...known.spends, ...sold] }, event)
}

export const unseenByLsp = (step: Builder, context: Context, outpoint: OutPoint): void => {
  forget(step, context, outpoint)
}
