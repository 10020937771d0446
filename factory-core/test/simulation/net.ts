/** A factory's network: one LSP and its clients, connected, with what tests ask of it again and again. */
import { decodeFactoryMessage, decodePayload, piggyback, type Payload } from '@ln-factory/tlv'
import type { CreateRequest, FactoryDetails, FactoryNode, Policy } from '../../src/runner/index.js'
import { defaultParams } from '../../src/tree/index.js'
import { blocks, msat, sat, type InstanceId, type NodeId } from '../../src/units/index.js'
import type { ClientState, LspState } from '../../src/ceremony/index.js'
import { revive } from '../../src/runner/machine.js'
import type { MemoryDisk } from '../../src/store/memory/index.js'
import type { SimHost } from './host.js'
import { World } from './world.js'

export const params = { ...defaultParams, step: blocks(4), stockPerClient: sat(5000) }

/** The payload of a message, when it carries a whole one. */
export function payloadOf(body: Uint8Array): Payload | undefined {
  const message = decodeFactoryMessage(body)
  if (message.kind !== 'factory_piggyback' || (message.payload[0] === 0 && message.payload[1] === 0)) return undefined
  const payload = decodePayload(message.payload)
  return payload.kind === 'unknown_odd' ? undefined : payload
}

export class Net {
  private constructor(
    readonly world: World,
    readonly lsp: NodeId,
    readonly clients: readonly NodeId[],
  ) {}

  static async of(seed: number, clients: number, policy: Partial<Policy> = {}): Promise<Net> {
    const world = new World(seed)
    const lsp = await world.addNode('lsp', 50_000_000n)
    const ids: NodeId[] = []
    for (let i = 0; i < clients; i++) {
      const id = await world.addNode(`client${i}`, 0n, { autoAccept: [lsp], ...policy })
      ids.push(id)
      await world.connect(lsp, id)
    }
    await world.run()
    return new Net(world, lsp, ids)
  }

  get all(): readonly NodeId[] {
    return [this.lsp, ...this.clients]
  }

  client(i: number): NodeId {
    const id = this.clients[i]
    if (id === undefined) throw new Error(`no client ${i}`)
    return id
  }

  node(id: NodeId): FactoryNode {
    const node = this.world.nodes.get(id)
    if (node === undefined) throw new Error(`${id} is down`)
    return node
  }

  host(id: NodeId): SimHost {
    const host = this.world.hosts.get(id)
    if (host === undefined) throw new Error(`no host ${id}`)
    return host
  }

  disk(id: NodeId): MemoryDisk {
    const disk = this.world.disks.get(id)
    if (disk === undefined) throw new Error(`no disk of ${id}`)
    return disk
  }

  request(change: Partial<CreateRequest> = {}, push = msat(0)): CreateRequest {
    return {
      clients: this.clients.map((id) => ({ id, capacity: sat(1_000_000), push })),
      lifetime: blocks(1000),
      params,
      stepTimeout: 60,
      ...change,
    }
  }

  /** Orders a factory and lets everything happen that can without time going on. */
  async order(request: CreateRequest = this.request()): Promise<{ instance: InstanceId; outcome: Promise<string> }> {
    const before = new Set(this.disk(this.lsp).machines.keys())
    const creating = this.node(this.lsp).create(request)
    const outcome = creating.then(
      () => 'created',
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    )
    await this.world.run()
    const instance = [...this.disk(this.lsp).machines.keys()].find((i) => !before.has(i))
    if (instance === undefined) throw new Error(`no factory: ${await outcome}`)
    return { instance, outcome }
  }

  /** A factory that is active everywhere. */
  async active(request: CreateRequest = this.request()): Promise<InstanceId> {
    const { instance, outcome } = await this.order(request)
    if ((await outcome) !== 'created') throw new Error(await outcome)
    await this.world.mine(2)
    return instance
  }

  /** Every process that is down starts, and everyone is connected to the LSP. */
  async heal(): Promise<void> {
    for (const id of this.all) if (!this.world.nodes.has(id)) await this.world.start(id)
    for (const id of this.clients) if (!this.world.areConnected(this.lsp, id)) await this.world.connect(this.lsp, id)
    await this.world.run()
  }

  /** All failures are over: processes run, time and blocks go on. */
  async converge(): Promise<void> {
    for (let i = 0; i < 3; i++) {
      await this.heal()
      await this.world.calm()
    }
    await this.world.mine(3)
  }

  async show(id: NodeId, instance: InstanceId): Promise<FactoryDetails | undefined> {
    const showing = this.world.nodes.get(id)?.show(instance)
    showing?.catch(() => undefined)
    await this.world.run()
    return showing?.catch(() => undefined)
  }

  /** The machine's state, as it is on disk. */
  stateOf(id: NodeId, instance: InstanceId): LspState | ClientState | undefined {
    const { machines, items } = this.disk(id)
    const stored = machines.get(instance)
    if (stored?.state === undefined) return undefined
    return revive(
      { instance, role: stored.role, state: stored.state },
      {
        items: (of, prefix) =>
          [...(items.get(of) ?? [])].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => ({ key, value })),
      },
    ).state
  }

  /** Phase of the factory at each node, LSP first; `none` where it is unknown, `down` where nothing runs. */
  async phases(instance: InstanceId): Promise<string[]> {
    const result: string[] = []
    for (const id of this.all)
      result.push(this.world.nodes.has(id) ? ((await this.show(id, instance))?.phase ?? 'none') : 'down')
    return result
  }

  signatures(id: NodeId, instance: InstanceId): number {
    return [...(this.disk(id).items.get(instance)?.keys() ?? [])].filter((k) => k.startsWith('sig/')).length
  }

  /** What `id` says on the wire to `to`, in the name of its machine or not. */
  async say(from: NodeId, to: NodeId, payload: Payload): Promise<void> {
    this.world.inject(from, to, ...piggyback(payload))
    await this.world.run()
  }
}

/** What `from` says of this kind to `to` becomes something else, once: nothing, several messages, another one. */
export function tamper<K extends Payload['kind']>(
  world: World,
  [from, to]: readonly [NodeId, NodeId],
  kind: K,
  change: (payload: Extract<Payload, { kind: K }>) => readonly Payload[],
): void {
  const before = world.wire
  let done = false
  world.wire = (a, b, body) => {
    const payload = a === from && b === to && !done ? payloadOf(body) : undefined
    if (payload?.kind !== kind) return before(a, b, body)
    done = true
    return change(payload as Extract<Payload, { kind: K }>).flatMap((p) => piggyback(p))
  }
}
