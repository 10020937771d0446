/**
 * A state that is known to be older than the factory: the funding was launched, and the disk is from before. With every signature
 * there, it becomes what it must be by now; giving it up, as a restart would, would drop channels that hold money.
 */
import { signatureItem } from '../ceremony/spend-key.js'
import { storedPath } from '../ceremony/client/path.js'
import { clientBase, joined, type ClientState, type Joined } from '../ceremony/client/state.js'
import { base } from '../ceremony/lsp/abort.js'
import { participantAt, treeOf } from '../ceremony/lsp/factory.js'
import type { LspState } from '../ceremony/lsp/state.js'
import { StepBuilder, type Context, type Step } from '../machine/index.js'
import type { ClientPath } from '../tree/types.js'
import { channelIdAt } from './channel-id.js'

const TOLD = 'this state is older than the factory, which was launched since'

/** Undefined when what an exit needs is not here. */
export function adoptClient(state: ClientState, context: Context): Step<ClientState> | undefined {
  if (state.stage !== 'stored') return undefined
  const path = storedPath(state, context)
  if (path.spends.some((s) => context.item(signatureItem(s.id)) === undefined)) return undefined
  return new StepBuilder<ClientState>(readyOn(state, path)).log('warning', TOLD).done()
}

/** Everything to exit is here; whether the funding is on chain is yet to be seen. */
export const readyOn = (state: ClientState & Joined, path: ClientPath): ClientState => ({
  ...clientBase(state),
  ...joined(state),
  stage: 'ready',
  channelId: channelIdAt(path.channel.outpoint),
  confirmedAt: undefined,
})

/** Undefined when what an exit needs is not here. */
export function adoptLsp(state: LspState, context: Context): Step<LspState> | undefined {
  if (state.stage !== 'delivering' && state.stage !== 'completing') return undefined
  const tree = treeOf(state, context)
  const clients = state.clients.map((c, i) => {
    const channelId = channelIdAt(tree.channel(participantAt(i)).outpoint)
    return { ...c, stored: true, channelId, readyChannelId: channelId }
  })
  const { funding } = state
  const step = new StepBuilder<LspState>({
    ...base(state),
    clients,
    stage: 'confirming',
    funding,
    confirmedAt: undefined,
  })
  return step.log('warning', TOLD).done()
}
