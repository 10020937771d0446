/** The ceremony from invitation to signatures, LSP side. Each function is one rule: what this event means in this stage. */
import { FactoryError, type Accept, type Nonces, type PartialSignatures } from '@ln-factory/tlv'
import { idBytes, type Context, type StepBuilder } from '../../machine/index.js'
import { isPublicKey } from '../../signing/index.js'
import { fundingScript, isPayoutScript, type FactoryKeys } from '../../tree/index.js'
import type { FactoryTree, Spend } from '../../tree/types.js'
import type { FundingTx, ReceivedHtlc } from '../../host/port.js'
import type { SaleRound } from '../../liquidity/lsp/sign.js'
import type { NodeId } from '../../units/index.js'
import { signatureItem, signRecord } from '../spend-key.js'
import { toWire } from '../terms.js'
import { abort, base, undoLate } from './abort.js'
import { clientPosition, factoryKeys, lspKey, openCompletion, participantAt, poisonHash, treeOf } from './factory.js'
import { SigningRound } from './round.js'
import { isForming, type Funded, type LspBase, type LspClient, type LspState } from './state.js'

/** What is kept in memory between two events; a restart starts with nothing. */
export interface LspLive {
  /** Of all participants, with what was aggregated so far; until everything is signed. */
  keys: FactoryKeys | undefined
  tree: FactoryTree | undefined
  round: SigningRound | undefined
  /** The close that `round` signs, while one is under way. */
  close: Spend | undefined
  /** Sales that are being signed, by name of the stock. */
  readonly rounds: Map<string, SaleRound>
  /** HTLCs that pay for sales, by hash: held until the buyer reveals the preimage. */
  readonly payments: Map<string, ReceivedHtlc>
  /** Peers with whom an open began for a sale that was given up meanwhile. */
  readonly lateOpens: Set<NodeId>
}

type Builder = StepBuilder<LspState>

export function invite(step: Builder, client: LspClient): void {
  const { state } = step
  step.send(client.id, {
    kind: 'invite',
    instanceId: idBytes(state.instance),
    capacity: client.capacity,
    push: client.push,
    expiry: state.expiry,
    earlyWarning: state.earlyWarning,
    clients: state.clients.length,
    respondWithin: state.stepTimeout,
    params: toWire(state.params),
  })
}

export function restartTimer(step: Builder): void {
  step.effect({ do: 'timer', name: 'step', seconds: step.state.stepTimeout })
}

export function setClient(step: Builder, position: number, change: Partial<LspClient>): void {
  const clients = step.state.clients.map((c, i) => (i === position ? { ...c, ...change } : c))
  step.to({ ...step.state, clients })
}

/** A hint for the open; too late for it, it changes nothing. */
export function onReadsBinding(step: Builder, peer: NodeId): void {
  if (step.state.stage === 'inviting') setClient(step, clientPosition(step.state, peer), { readsBinding: true })
}

export function onAccept(step: Builder, context: Context, live: LspLive, peer: NodeId, message: Accept): void {
  const position = clientPosition(step.state, peer)
  const before = step.state.clients[position]?.accepted
  if (!isForming(step.state.stage)) return outOfTurn(step, peer, message.kind)
  if (before !== undefined) {
    if (same(before.key, message.factoryKey) && same(before.payoutScript, message.payoutScript)) return
    // A client that was restarted comes with a new key. Once the funding pays to the old one, it is too late for that.
    if (step.state.stage !== 'inviting') return abort(step, `client ${peer} accepted twice with different keys`, peer)
  }
  if (!isPublicKey(message.factoryKey)) return abort(step, `client ${peer} sent a factory key that is no point`, peer)
  if (!isPayoutScript(message.payoutScript))
    return abort(step, `client ${peer} sent a payout script that is not P2WPKH, P2WSH or P2TR`, peer)
  setClient(step, position, {
    accepted: { key: message.factoryKey, salt: message.keySalt, payoutScript: message.payoutScript },
  })
  step.log('received', `accept from ${peer}`)
  if (!step.state.clients.every((c) => c.accepted !== undefined)) return
  step.to({ ...base(step.state), stage: 'preparing' })
  live.keys = factoryKeys(step.state, context)
  step.call({ call: 'fundingPrepare', script: fundingScript(live.keys), amount: step.state.fundingAmount })
  restartTimer(step)
}

export function onFundingPrepared(step: Builder, funding: FundingTx): void {
  step.to({ ...base(step.state), stage: 'opening', funding })
  step.log('host', `funding transaction ${funding.txid}:${funding.vout} prepared, inputs reserved`)
  const { instance, earlyWarning } = step.state
  for (const { id: peer, capacity, push, readsBinding } of step.state.clients) {
    const binding = readsBinding === true ? { instance, earlyWarning } : undefined
    step.call({ call: 'openStart', peer, capacity, push, binding })
  }
  restartTimer(step)
}

export function onOpenStarted(step: Builder, context: Context, live: LspLive, peer: NodeId, script: Uint8Array): void {
  const { state } = step
  if (state.stage === 'aborted') {
    // The abort was faster than the host: this open is pending now.
    step.to({ ...state, opens: [...state.opens.filter((id) => id !== peer), peer] })
    return undoLate(step)
  }
  if (state.stage !== 'opening') return
  setClient(step, clientPosition(state, peer), { channelScript: script })
  if (!step.state.clients.every((c) => c.channelScript !== undefined)) return
  const signing: LspState = { ...base(step.state), stage: 'signing', funding: state.funding }
  step.to(signing)
  propose(step, signing, context, live)
  restartTimer(step)
}

function propose(step: Builder, state: LspBase & Funded, context: Context, live: LspLive): void {
  const keys = (live.keys ??= factoryKeys(state, context))
  const tree = treeOf(state, context, keys)
  const { secretKey } = lspKey(state, context)
  live.tree = tree
  live.round = new SigningRound(tree.spends, keys, secretKey, () => context.entropy(32))
  state.clients.forEach((client, position) => {
    const participant = participantAt(position)
    step.send(client.id, {
      kind: 'propose',
      instanceId: idBytes(state.instance),
      clientIndex: participant,
      fundingTxid: Uint8Array.from(Buffer.from(state.funding.txid, 'hex')).reverse(),
      fundingVout: state.funding.vout,
      fundingAmount: state.fundingAmount,
      channelScript: client.channelScript ?? new Uint8Array(),
      poisonHash: poisonHash(state, context, tree.leafOf(participant)),
      keys: keys.keys,
      siblings: tree.siblings(participant),
    })
  })
  step.log('sent', `proposal of ${tree.spends.length} transactions to ${state.clients.length} clients`)
}

export function onNonces(step: Builder, live: LspLive, peer: NodeId, message: Nonces): void {
  const { tree, round } = live
  const participant = participantAt(clientPosition(step.state, peer))
  if (step.state.stage !== 'signing' || tree === undefined || round === undefined)
    return outOfTurn(step, peer, message.kind)
  if (round.hasNonces(participant)) return // the first ones count
  if (
    !guarded(step, peer, () => {
      round.addNonces(participant, tree.pathIds(participant), message.nonces)
    })
  )
    return
  const participants = step.state.clients.map((_, i) => participantAt(i))
  if (!participants.every((p) => round.hasNonces(p))) return
  round.aggregate()
  step.state.clients.forEach((client, i) => {
    const nonces = round.aggregatedNonces(tree.pathIds(participantAt(i)))
    step.send(client.id, { kind: 'aggregated_nonces', instanceId: idBytes(step.state.instance), nonces })
  })
  restartTimer(step)
}

export function onPartials(step: Builder, live: LspLive, peer: NodeId, message: PartialSignatures): void {
  const { tree, round } = live
  const { state } = step
  const participant = participantAt(clientPosition(state, peer))
  if (state.stage !== 'signing' || tree === undefined || round?.isAggregated !== true)
    return outOfTurn(step, peer, message.kind)
  if (round.hasPartials(participant)) return // the first ones count
  const { funding } = state
  if (
    !guarded(step, peer, () => {
      round.addPartials(participant, tree.pathIds(participant), message.signatures)
    })
  )
    return
  if (!state.clients.every((_, i) => round.hasPartials(participantAt(i)))) return
  const result = round.finish()
  live.round = undefined
  live.keys = undefined
  if (!result.ok) {
    const guilty = result.culprits.map((i) => state.clients[i - 1]?.id ?? 'the LSP itself')
    return abort(
      step,
      `bad partial signature for ${result.spendId} by ${guilty.join(', ')}`,
      state.clients[(result.culprits[0] ?? 0) - 1]?.id,
    )
  }
  step.to({ ...base(state), stage: 'delivering', funding })
  // Records and signatures are committed with this step, before any signature leaves.
  for (const spend of tree.spends) {
    step.record(signRecord(spend))
    const signature = result.signatures.get(spend.id)
    if (signature !== undefined) step.item(signatureItem(spend.id), signature)
  }
  step.log('signed', `${tree.spends.length} transactions signed by all`)
  state.clients.forEach((client, i) => {
    const signatures = tree.pathIds(participantAt(i)).map((id) => result.signatures.get(id) ?? new Uint8Array())
    step.send(client.id, { kind: 'signatures', instanceId: idBytes(state.instance), signatures })
  })
  restartTimer(step)
}

export function onStored(step: Builder, context: Context, live: LspLive, peer: NodeId): void {
  const { state } = step
  if (state.stage !== 'delivering') return
  setClient(step, clientPosition(state, peer), { stored: true })
  if (!step.state.clients.every((c) => c.stored)) return
  const completing: LspState = { ...base(step.state), stage: 'completing', funding: state.funding }
  step.to(completing)
  const tree = (live.tree ??= treeOf(completing, context))
  completing.clients.forEach((client, i) => {
    step.call({ call: 'openComplete', open: openCompletion(tree, client, i) })
  })
  restartTimer(step)
}

export const waitingFor = (state: LspState, live: LspLive): NodeId[] =>
  state.clients
    .filter((c, i) => {
      const participant = participantAt(i)
      switch (state.stage) {
        case 'inviting':
          return c.accepted === undefined
        case 'opening':
          return c.channelScript === undefined
        case 'signing':
          return live.round?.awaits(participant) ?? true
        case 'delivering':
          return !c.stored
        case 'completing':
          return c.channelId === undefined || c.readyChannelId === undefined
        default:
          return false
      }
    })
    .map((c) => c.id)

/** A message that this stage does not expect changes nothing; the step's time-out ends a ceremony that makes no progress. */
export function outOfTurn(step: Builder, peer: NodeId, kind: string): void {
  step.remark(`${kind} from ${peer} ignored: the factory is ${step.state.stage}`)
}

/** Run a check on a peer's data; what it throws ends the ceremony with the peer named. */
function guarded(step: Builder, peer: NodeId, check: () => void): boolean {
  try {
    check()
    return true
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error
    abort(step, new FactoryError(error.code, `client ${peer}: ${error.message}`), peer)
    return false
  }
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
