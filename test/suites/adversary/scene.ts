/** One factory on a real chain, and what its participants hold: signatures, keys, money. */
import { expect } from 'vitest'
import { clientKey, storedPath } from '../../../factory-core/src/ceremony/client/path.js'
import type { ClientState, LspState } from '../../../factory-core/src/ceremony/index.js'
import { factoryKeys, lspKey, treeOf } from '../../../factory-core/src/ceremony/lsp/factory.js'
import type { CreateRequest, Policy } from '../../../factory-core/src/runner/index.js'
import { derivePoisonPreimage, type SecretKey } from '../../../factory-core/src/signing/index.js'
import {
  decodeTx,
  defaultParams,
  finalize,
  type FactoryKeys,
  type FactoryTree,
  type Spend,
  type TreeParams,
} from '../../../factory-core/src/tree/index.js'
import {
  blocks,
  msat,
  participantIndex,
  sat,
  type InstanceId,
  type Msat,
  type NodeId,
  type ParticipantIndex,
} from '../../../factory-core/src/units/index.js'
import { Arena } from './arena.js'
import { payouts, type Channel } from './channel.js'
import type { ArenaHost } from './host.js'
import type { Regtest } from './regtest.js'

/** Three states, so that the leaf waits 4 blocks. */
export const PARAMS: TreeParams = {
  ...defaultParams,
  fanout: 2,
  states: 3,
  step: blocks(2),
  confirmationMargin: blocks(1),
  safetyMargin: blocks(0),
  stockCsv: blocks(8),
  stockPerClient: sat(5_000),
}
export const LEAF_DELAY = 4
export const CAPACITY = sat(100_000)
/** What a client has received over its channel, unless a scenario says otherwise. Not a whole number of satoshi. */
export const BALANCE = msat(40_000_999n)

export interface SceneOptions {
  readonly clients: number
  readonly policy?: Partial<Policy>
  readonly hostileLsp?: (host: ArenaHost) => void
}

export class Scene {
  private constructor(
    readonly arena: Arena,
    readonly lsp: NodeId,
    readonly clients: readonly NodeId[],
  ) {}

  /** Nodes that are connected, and no factory yet. */
  static async of(chain: Regtest, { clients, policy = {}, hostileLsp }: SceneOptions): Promise<Scene> {
    const arena = new Arena(chain)
    const lsp = await arena.add('lsp', policy, hostileLsp)
    const ids: NodeId[] = []
    for (let i = 0; i < clients; i++) {
      const id = await arena.add(`client${i}`, { autoAccept: [lsp], ...policy })
      ids.push(id)
      await arena.connect(lsp, id)
    }
    return new Scene(arena, lsp, ids)
  }

  /** An active factory, in which every client has received `BALANCE`. */
  static async active(chain: Regtest, options: SceneOptions): Promise<{ scene: Scene; factory: Factory }> {
    const scene = await Scene.of(chain, options)
    const { instance, outcome } = await scene.order()
    expect(await outcome).toBe('created')
    await scene.arena.mine(1)
    const factory = new Factory(scene, instance)
    for (const id of [scene.lsp, ...scene.clients]) expect(factory.stage(id)).toBe('active')
    for (const id of scene.clients) factory.pay(id, BALANCE)
    return { scene, factory }
  }

  client(i: number): NodeId {
    const id = this.clients[i]
    if (id === undefined) throw new Error(`no client ${i}`)
    return id
  }

  request(change: Partial<CreateRequest> = {}): CreateRequest {
    return {
      clients: this.clients.map((id) => ({ id, capacity: CAPACITY, push: msat(0) })),
      lifetime: blocks(160),
      params: PARAMS,
      stepTimeout: 60,
      ...change,
    }
  }

  /** The LSP's operator orders a factory; everything happens that can. */
  async order(request = this.request()): Promise<{ instance: InstanceId; outcome: Promise<string> }> {
    const disk = this.arena.disk(this.lsp)
    const before = new Set(disk.machines.keys())
    const outcome = this.arena
      .node(this.lsp)
      .create(request)
      .then(
        () => 'created',
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      )
    await this.arena.run()
    const instance = [...disk.machines.keys()].find((i) => !before.has(i))
    if (instance === undefined) throw new Error(`no factory: ${await outcome}`)
    return { instance, outcome }
  }

  /** Satoshi on chain that are `id`'s alone. */
  wealth(id: NodeId): Promise<bigint> {
    return this.arena.chain.wealth(this.arena.host(id).scripts)
  }
}

export class Factory {
  constructor(
    readonly scene: Scene,
    readonly instance: InstanceId,
  ) {}

  get arena(): Arena {
    return this.scene.arena
  }

  get chain(): Regtest {
    return this.arena.chain
  }

  /** Ended on chain, final or not. */
  isOver(id: NodeId): boolean {
    return ['settled', 'closed', 'exited'].includes(this.stage(id))
  }

  stage(id: NodeId): string {
    return this.arena.state(id, this.instance)?.stage ?? 'none'
  }

  lspState(): Extract<LspState, { stage: 'active' | 'closing' | 'exiting' }> {
    const state = this.arena.state(this.scene.lsp, this.instance)
    if (state?.role !== 'lsp' || !('funding' in state) || state.funding === undefined) throw new Error('no tree yet')
    return state as Extract<LspState, { stage: 'active' }>
  }

  clientState(id: NodeId): Extract<ClientState, { stage: 'active' }> {
    const state = this.arena.state(id, this.instance)
    if (state?.role !== 'client' || !('salt' in state)) throw new Error(`${id} has not joined`)
    return state as Extract<ClientState, { stage: 'active' }>
  }

  get expiry(): number {
    return this.lspState().expiry
  }

  participant(id: NodeId): ParticipantIndex {
    return participantIndex(id === this.scene.lsp ? 0 : this.scene.clients.indexOf(id) + 1)
  }

  async keys(): Promise<FactoryKeys> {
    return factoryKeys(this.lspState(), await this.arena.context(this.scene.lsp, this.instance))
  }

  async tree(): Promise<FactoryTree> {
    return treeOf(this.lspState(), await this.arena.context(this.scene.lsp, this.instance))
  }

  async spend(id: string): Promise<Spend> {
    const spend = (await this.tree()).spends.find((s) => s.id === id)
    if (spend === undefined) throw new Error(`no ${id}`)
    return spend
  }

  /** The factory key of a participant who is in on the theft. */
  async secret(id: NodeId): Promise<SecretKey> {
    const context = await this.arena.context(id, this.instance)
    if (id === this.scene.lsp) return lspKey(this.lspState(), context).secretKey
    return clientKey(this.clientState(id), context).secretKey
  }

  async poisonPreimage(leaf: number): Promise<Uint8Array> {
    const { nodeSecret } = await this.arena.context(this.scene.lsp, this.instance)
    return derivePoisonPreimage({ nodeSecret, instanceId: this.instance, leaf, state: 0 })
  }

  /** Every transaction that `id` can complete with what is on its disk, by the spend's id. */
  async held(id: NodeId): Promise<Map<string, Uint8Array>> {
    const context = await this.arena.context(id, this.instance)
    const isLsp = id === this.scene.lsp
    const spends = isLsp ? (await this.tree()).spends : storedPath(this.clientState(id), context).spends
    const held = new Map<string, Uint8Array>()
    for (const spend of spends) {
      const signature = context.item(`sig/${spend.id}`)
      if (signature === undefined) continue
      const leaf = /^poison:(\d+)/.exec(spend.id)?.[1]
      if (leaf !== undefined && !isLsp) continue
      const preimage = leaf === undefined ? undefined : await this.poisonPreimage(Number(leaf))
      held.set(spend.id, finalize(spend, signature, preimage))
    }
    return held
  }

  async holds(id: NodeId, spend: string): Promise<Uint8Array> {
    const raw = (await this.held(id)).get(spend)
    if (raw === undefined) throw new Error(`${id} holds no ${spend}`)
    return raw
  }

  /** Publishes what the chain takes now, out of everything `id` holds; returns the ids of what was taken. */
  async publishAll(id: NodeId, except: RegExp = /^$/): Promise<string[]> {
    const taken: string[] = []
    for (const [spend, raw] of await this.held(id)) {
      if (except.test(spend) || (await this.chain.verdict(raw)) !== 'accepted') continue
      if ((await this.chain.broadcast(raw)).accepted) taken.push(spend)
    }
    return taken
  }

  /** `id` publishes this transaction that it holds, and a block takes it. */
  async publish(id: NodeId, ...spends: readonly string[]): Promise<void> {
    for (const spend of spends) {
      const raw = await this.holds(id, spend)
      expect([spend, (await this.chain.broadcast(raw)).error]).toEqual([spend, undefined])
      await this.arena.mine(1)
      expect(await this.chain.bitcoind.confirmations(decodeTx(raw).txid)).toBe(1)
    }
  }

  /** Spends from the root down to this client's channel. */
  async pathOf(id: NodeId): Promise<readonly string[]> {
    const tree = await this.tree()
    const child = /^(static|kickoff|leaf):/
    return tree.pathIds(this.participant(id)).filter((spend) => child.test(spend))
  }

  channel(id: NodeId): Channel {
    const { clients } = this.lspState()
    const channelId = clients.find((c) => c.id === id)?.channelId
    for (const side of [id, this.scene.lsp]) {
      const channel = channelId === undefined ? undefined : this.arena.host(side).channelsById.get(channelId)
      if (channel !== undefined) return channel
    }
    throw new Error(`no channel of ${id}`)
  }

  /** The client's balance becomes this. */
  pay(id: NodeId, balance: Msat): void {
    this.channel(id).balance = balance
  }

  /** Would its host let a payment to `id` into the channel? */
  async takesHtlc(id: NodeId): Promise<boolean> {
    const height = await this.chain.height()
    const state = this.clientState(id)
    const channelId = [...this.arena.host(id).channelsById.keys()][0] ?? '00'.repeat(32)
    const decision = this.arena.node(id).htlc({
      inChannelId: channelId,
      outChannelId: undefined,
      amountIn: msat(1000),
      amountOut: undefined,
      cltvIn: height + state.invite.earlyWarning + 40,
      cltvOut: undefined,
      height,
    })
    return decision.kind === 'continue'
  }

  /** The victim leaves alone, whoever is against it, and is paid its balance to the satoshi. */
  async leaves(id: NodeId): Promise<void> {
    await this.arena.node(id).exit(this.instance)
    await this.arena.run()
    await this.arrives(id)
  }

  /** An exit that is under way ends, and pays the balance to the satoshi. */
  async arrives(id: NodeId): Promise<void> {
    const due = payouts(this.channel(id)).acceptor
    for (let i = 0; i < 4 * LEAF_DELAY && !this.isOver(id); i++) await this.arena.mine(1)
    expect(this.isOver(id)).toBe(true)
    const paid = await this.scene.wealth(id)
    // From the expiry on its share of the stock may have come on top.
    if ((await this.chain.height()) < this.expiry) expect(paid).toBe(due)
    else expect(paid).toBeGreaterThanOrEqual(due)
  }

  async unspent(spend: string): Promise<boolean> {
    const { prevout } = await this.spend(spend)
    return (await this.chain.utxo(prevout.outpoint)) !== undefined
  }

  /** Funding output on chain, as far as anybody knows. */
  async fundingIsUnspent(): Promise<boolean> {
    const { txid, vout } = this.lspState().funding
    return (await this.chain.utxo({ txid, vout })) !== undefined
  }
}
