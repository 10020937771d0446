/** What the operator can ask of a factory node: `FactoryApi`, answered from the engine's machines. */
import { FactoryError } from '@ln-factory/tlv'
import { createLsp, type LspState } from '../ceremony/index.js'
import { fromWire, MIN_USE } from '../ceremony/terms.js'
import type { HostChannel } from '../host/port.js'
import type { StoredLog } from '../store/index.js'
import { hasLeft, roomFor } from '../turnover/index.js'
import { planTree } from '../tree/index.js'
import { bundleOf, numbered, type Bundle } from '../watchtower/index.js'
import {
  blocks,
  instanceId,
  msat,
  type BlockHeight,
  type Blocks,
  type InstanceId,
  type Msat,
  type NodeId,
  type Sat,
} from '../units/index.js'
import { agreedAssist, assistFeerate, defaultMaxFee } from '../assist/index.js'
import type {
  AssistResult,
  CreateRequest,
  CreateResult,
  FactoryApi,
  FactoryDetails,
  FactorySummary,
  GatedChannel,
  PathTxSummary,
  PeerSummary,
  PendingInvite,
  Policy,
  RestoredSummary,
  RotateRequest,
  RotateResult,
  SaleResult,
} from './api.js'
import { coverageNotice } from './coverage-watch.js'
import { coversOf, economicsOf, type FactoryEconomics } from './economics.js'
import type { Engine } from './engine.js'
import { usualFeerate } from './feerate.js'
import type { LadderApi } from './ladder-api.js'
import { lspMachine, type Machine } from './machine.js'
import { purchaseOf, saleTo } from './sales.js'
import { chainOf, describe, exitPlan, phaseOf, summarize } from './views.js'

/** sat per 1000 vB: below it nothing is relayed. */
const LEAST_FEERATE = 1000

export abstract class Operator implements FactoryApi {
  protected constructor(protected readonly engine: Engine) {}

  abstract readonly ladder: LadderApi

  abstract gated(channelId: string): GatedChannel | undefined

  get nodeId(): NodeId {
    return this.engine.nodeId
  }

  async create(request: CreateRequest): Promise<CreateResult> {
    const plan = planTree({ params: request.params, capacities: request.clients.map((c) => c.capacity) })
    checkRequest(request, plan.earlyWarning)
    await this.#checkPeers(request)
    const instance = instanceId(Buffer.from(this.engine.deps.entropy(32)).toString('hex'))
    const step = createLsp(instance, request, this.engine.height)
    this.engine.found(instance, lspMachine(step.state), step)
    return this.engine.waiters.wait(instance, (m) => {
      if (m.role !== 'lsp') return undefined
      if (m.state.stage === 'aborted')
        throw new FactoryError(m.state.code, m.state.reason, `factory-show ${instance} tells more.`)
      if (m.state.stage === 'launching' && m.state.doubleSpent !== undefined)
        throw new FactoryError('aborted', m.state.notice ?? 'a coin of the funding is spent')
      if (m.state.stage !== 'confirming' && m.state.stage !== 'active') return undefined
      const { txid, vout } = m.state.funding
      return { instance, funding: { txid, vout }, fundingAmount: m.state.fundingAmount }
    })
  }

  async list(): Promise<FactorySummary[]> {
    const channels = await this.engine.deps.host.channels()
    return [...this.engine.machines, ...this.engine.copies.suspended].map(([instance, m]) =>
      this.#noticed(m, channels, summarize(m, this.nodeId, channels, this.engine.context(instance))),
    )
  }

  async show(instance: InstanceId): Promise<FactoryDetails> {
    const machine = this.engine.copies.suspended.get(instance) ?? this.engine.machine(instance)
    const channels = await this.engine.deps.host.channels()
    return this.#noticed(machine, channels, describe(machine, this.nodeId, channels, this.engine.context(instance)))
  }

  /** An old copy of the database comes first, then a fee that is missing, then what the machine says, then coverage: the most urgent is the one that is shown. */
  #noticed<T extends FactorySummary>(machine: Machine, channels: readonly HostChannel[], summary: T): T {
    const { copies, bumper } = this.engine
    const urgent = copies.notice(summary.instance) ?? bumper.notice(summary.instance) ?? summary.notice
    if (urgent !== undefined) return { ...summary, notice: urgent }
    const covers = coversOf(machine, this.nodeId, channels, this.engine.context(summary.instance))
    return { ...summary, notice: coverageNotice(machine, covers) }
  }

  async peers(): Promise<PeerSummary[]> {
    return (await this.engine.deps.host.peers()).map((info) => this.engine.peers.summary(info))
  }

  invites(): PendingInvite[] {
    return [...this.engine.machines.values()].flatMap((m) => {
      if (m.role !== 'client' || m.state.stage !== 'invited') return []
      const { instance, lsp, invite, answerBefore } = m.state
      const { capacity, push, clients, expiry, earlyWarning } = invite
      return [
        {
          instance,
          lsp,
          capacity: capacity as Sat,
          push: msat(push),
          clients,
          expiry: expiry as BlockHeight,
          earlyWarning: blocks(earlyWarning),
          params: fromWire(invite.params),
          answerBefore,
        },
      ]
    })
  }

  answer(instance: InstanceId, accept: boolean, reason = 'the operator said no'): Promise<void> {
    return this.engine.order(instance, { order: 'answer', accept, reason })
  }

  policy(): Policy {
    return this.engine.policy
  }

  setPolicy(policy: Policy): void {
    this.engine.policy = policy
  }

  abort(instance: InstanceId, reason: string): Promise<void> {
    return this.engine.order(instance, { order: 'abort', reason })
  }

  async close(instance: InstanceId, feerate: number): Promise<{ txid: string; fee: Sat; vsize: number; ours: Sat }> {
    this.engine.machine(instance)
    const script = await this.engine.deps.host.newScript()
    await this.engine.order(instance, { order: 'close', feerate, script })
    return this.engine.waiters.wait(
      instance,
      (m) => {
        if (m.role !== 'lsp') return undefined
        if (m.state.stage === 'active' || m.state.stage === 'confirming')
          throw new FactoryError('aborted', m.state.notice ?? 'the close was given up')
        if (m.state.stage !== 'closing') return undefined
        if (m.state.notice !== undefined) throw new FactoryError('aborted', m.state.notice)
        const { close } = m.state
        if (close.step !== 'signed' || !close.accepted) return undefined
        return { txid: close.txid, fee: close.fee, vsize: close.vsize, ours: close.ours }
      },
      this.engine.machine(instance),
    )
  }

  async rotate(request: RotateRequest): Promise<RotateResult> {
    const { instance, to, feerate } = request
    const { state: old } = this.engine.machine(instance)
    if (old.role !== 'lsp' || old.stage !== 'active')
      throw new FactoryError('wrong_state', `factory ${instance} is ${old.stage} here; its LSP rotates an active one`)
    const next = to.kind === 'existing' ? to.instance : (await this.#createNext(old, to)).instance
    const { state } = this.engine.machine(next)
    if (state.role !== 'lsp') throw new FactoryError('wrong_state', `factory ${next} is not ours to fill`)
    const script = await this.engine.deps.host.newScript()
    await this.engine.order(instance, { order: 'rotate', to: next, script, feerate })
    const inNext = new Set(state.clients.map((c) => c.id))
    return { instance: next, moving: old.clients.map((c) => c.id).filter((id) => inNext.has(id)) }
  }

  async #createNext(
    old: LspState,
    { clients, lifetime, params, stepTimeout }: Extract<RotateRequest['to'], { kind: 'create' }>,
  ): Promise<CreateResult> {
    const online = new Set((await this.peers()).filter((p) => p.connected && p.protocol === 'ours').map((p) => p.id))
    const channels = await this.engine.deps.host.channels()
    const staying = old.clients
      .filter((c, i) => online.has(c.id) && !hasLeft(old, i))
      .map((c) => {
        const channel = channels.find((h) => h.channelId === c.channelId)
        const balance = channel === undefined ? 0n : c.capacity - channel.ours / 1000n
        return { id: c.id, capacity: roomFor(c.capacity, balance), push: msat(0) }
      })
    const chosen = clients ?? staying
    if (chosen.length === 0) throw new FactoryError('peer_offline', 'no client that could move is connected')
    return this.create({ clients: chosen, lifetime, params: params ?? old.params, stepTimeout })
  }

  async exit(instance: InstanceId): Promise<{ transactions: readonly PathTxSummary[]; blocks: Blocks }> {
    await this.engine.order(instance, { order: 'exit' })
    return exitPlan(this.engine.machine(instance), this.engine.context(instance))
  }

  bundle(instance: InstanceId): Bundle {
    const machine = this.engine.machine(instance)
    const context = this.engine.context(instance)
    return numbered(this.engine.deps.store, bundleOf(machine.state, context, 0, chainOf(machine, context)))
  }

  async economics(instance?: InstanceId): Promise<FactoryEconomics[]> {
    const { engine } = this
    const machines = instance === undefined ? [...engine.machines.values()] : [engine.machine(instance)]
    const [channels, forwards, feerate] = await Promise.all([
      engine.deps.host.channels(),
      engine.deps.host.forwards?.(),
      usualFeerate(engine),
    ])
    return machines
      .filter((m) => instance !== undefined || !['forming', 'aborted'].includes(phaseOf(m)))
      .map((m) =>
        economicsOf(m, engine.context(m.state.instance), {
          self: this.nodeId,
          channels,
          forwards,
          feerate: feerate ?? LEAST_FEERATE,
          children: engine.bumper.fees(m.state.instance),
        }),
      )
  }

  restored(): RestoredSummary[] {
    return this.engine.copies.summaries()
  }

  reconcile(instance: InstanceId, word: 'exit' | 'use'): Promise<void> {
    return Promise.resolve().then(() => {
      this.engine.copies.reconcile(instance, word)
    })
  }

  async buy(instance: InstanceId, capacity: Sat, maxPrice: Msat): Promise<SaleResult> {
    await this.engine.order(instance, { order: 'buy', capacity, maxPrice })
    return this.engine.waiters.wait(instance, purchaseOf, this.engine.machine(instance))
  }

  async sell(instance: InstanceId, client: NodeId, capacity: Sat, price?: Msat): Promise<SaleResult> {
    await this.engine.order(instance, { order: 'sell', client, capacity, price })
    return this.engine.waiters.wait(instance, (m) => saleTo(m, client), this.engine.machine(instance))
  }

  async assist(
    instance: InstanceId,
    request: { readonly feerate?: number | undefined; readonly maxFee?: Sat | undefined },
  ): Promise<AssistResult> {
    const machine = this.engine.machine(instance)
    if (machine.role !== 'client')
      throw new FactoryError('wrong_state', 'we are the LSP of this factory', 'factory-close')
    const { host } = this.engine.deps
    const feerate = request.feerate ?? assistFeerate(await host.feeWallet?.feerates())
    const script = await host.newScript()
    const maxFee = request.maxFee ?? defaultMaxFee(script, feerate)
    await this.engine.order(instance, { order: 'assist', script, feerate, maxFee })
    return this.engine.waiters.wait(
      instance,
      (m) => {
        if (m.role !== 'client') return undefined
        const { assist, notice } = m.state
        if (assist === undefined) throw new FactoryError('aborted', notice ?? 'the assisted exit was given up')
        return agreedAssist(assist)
      },
      this.engine.machine(instance),
    )
  }

  log(filter: Parameters<FactoryApi['log']>[0]): StoredLog[] {
    return this.engine.deps.store.log(filter)
  }

  async #checkPeers(request: CreateRequest): Promise<void> {
    const peers = new Map((await this.peers()).map((p) => [p.id, p]))
    for (const { id } of request.clients) {
      const peer = peers.get(id)
      if (peer?.connected !== true)
        throw new FactoryError('peer_offline', `${id} is not connected`, 'Connect to it first; it must stay connected.')
      if (peer.protocol === 'other')
        throw new FactoryError('peer_other_protocol', `${id} speaks ${peer.names.join(', ')}, not ln-factory`)
      if (peer.protocol === 'unknown')
        throw new FactoryError(
          'peer_unsupported',
          `${id} has not announced its factory protocols yet`,
          'Try again in a moment.',
        )
      if (peer.protocol === 'none')
        throw new FactoryError('peer_unsupported', `${id} does not offer pluggable channel factories (feature bit 271)`)
    }
  }
}

/** @throws FactoryError `bad_parameter` */
function checkRequest(request: CreateRequest, earlyWarning: Blocks): void {
  if (!Number.isInteger(request.stepTimeout) || request.stepTimeout < 1 || request.stepTimeout > 0xffff)
    throw new FactoryError('bad_parameter', `a step may take 1 to 65535 seconds, not ${request.stepTimeout}`)
  if (new Set(request.clients.map((c) => c.id)).size !== request.clients.length)
    throw new FactoryError('bad_parameter', 'a client is named twice')
  if (request.lifetime < earlyWarning + MIN_USE)
    throw new FactoryError(
      'bad_parameter',
      `a lifetime of ${request.lifetime} blocks is too short: W is ${earlyWarning}, and ${MIN_USE} blocks of use are the least`,
    )
  for (const c of request.clients)
    if (c.push > c.capacity * 1000n) throw new FactoryError('bad_amount', `the push to ${c.id} exceeds its capacity`)
}
