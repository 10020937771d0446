/**
 * Honest nodes and hostile ones in one process on a real chain. Who is hostile has an honest node's code too, and whatever the
 * test does beside it: messages altered on the wire or put there, host calls that lie, transactions published at will.
 */
import { randomBytes } from '@noble/hashes/utils.js'
import { createHash } from 'node:crypto'
import { decodeFactoryMessage, decodePayload, piggyback, type Payload } from '@ln-factory/tlv'
import type { ClientState, LspState } from '../../../factory-core/src/ceremony/index.js'
import type { Context } from '../../../factory-core/src/machine/index.js'
import { defaultPolicy, FactoryNode, unpackState, type Policy } from '../../../factory-core/src/runner/index.js'
import { FACTORY_SECRET_LABEL } from '../../../factory-core/src/signing/index.js'
import { MemoryDisk, openMemoryStore } from '../../../factory-core/src/store/memory/index.js'
import { blocks, nodeId, type InstanceId, type NodeId } from '../../../factory-core/src/units/index.js'
import { ArenaHost } from './host.js'
import type { Regtest } from './regtest.js'

/** Arenas of this process, so that no two share a key. */
let arenas = 0

export class Arena {
  readonly hosts = new Map<NodeId, ArenaHost>()
  readonly nodes = new Map<NodeId, FactoryNode>()
  readonly disks = new Map<NodeId, MemoryDisk>()
  readonly #policies = new Map<NodeId, Policy>()
  /** What becomes of a message on its way. */
  wire: (from: NodeId, to: NodeId, body: Uint8Array) => readonly Uint8Array[] = (_from, _to, body) => [body]
  /** Messages that were delivered. */
  delivered = 0
  readonly #links = new Set<string>()
  #queue: { from: NodeId; to: NodeId; body: Uint8Array }[] = []
  readonly #alarms = new Set<{ due: number; run: () => void }>()
  readonly #name = `arena${arenas++}/${Date.now()}`
  #time = 1_800_000_000
  #busy = 0
  #count = 0

  constructor(readonly chain: Regtest) {}

  counter(): number {
    return this.#count++
  }

  async add(name: string, policy: Partial<Policy> = {}, hostile?: (host: ArenaHost) => void): Promise<NodeId> {
    const id = nodeId(`02${createHash('sha256').update(`${this.#name}/${name}`).digest('hex')}`)
    const host = new ArenaHost(id, this, `${this.#name}/${name}`)
    hostile?.(host)
    this.hosts.set(id, host)
    this.disks.set(id, new MemoryDisk())
    this.#policies.set(id, { ...defaultPolicy, minDepth: 1, minLifetime: blocks(10), ...policy })
    await this.start(id)
    return id
  }

  host(id: NodeId): ArenaHost {
    const host = this.hosts.get(id)
    if (host === undefined) throw new Error(`no host ${id}`)
    return host
  }

  node(id: NodeId): FactoryNode {
    const node = this.nodes.get(id)
    if (node === undefined) throw new Error(`${id} is down`)
    return node
  }

  disk(id: NodeId): MemoryDisk {
    const disk = this.disks.get(id)
    if (disk === undefined) throw new Error(`no disk of ${id}`)
    return disk
  }

  state(id: NodeId, instance: InstanceId): LspState | ClientState | undefined {
    const store = openMemoryStore({ disk: this.disk(id).copy() })
    const stored = store.machine(instance)
    return stored === undefined ? undefined : unpackState(stored, store).state
  }

  /** What the machines of this node compute with, for those who compute the same on its behalf. */
  async context(id: NodeId, instance: InstanceId): Promise<Context> {
    const host = this.host(id)
    return {
      self: id,
      nodeSecret: await host.deriveSecret(FACTORY_SECRET_LABEL),
      entropy: randomBytes,
      height: await host.height(),
      now: this.#time,
      policy: this.#policies.get(id) ?? defaultPolicy,
      maxPush: host.caps.maxPush,
      choosesForwardingChannel: true,
      sealed: false,
      item: (key) => this.disk(id).items.get(instance)?.get(key),
      factory: (other) => this.state(id, other),
      connected: () => true,
    }
  }

  async start(id: NodeId): Promise<void> {
    const node = await FactoryNode.start({
      host: this.#counted(this.host(id)),
      store: openMemoryStore({ disk: this.disk(id) }),
      policy: this.#policies.get(id) ?? defaultPolicy,
      entropy: randomBytes,
      clock: () => this.#time,
      schedule: (seconds, run) => {
        const alarm = { due: this.#time + seconds, run }
        this.#alarms.add(alarm)
        return () => void this.#alarms.delete(alarm)
      },
    })
    this.nodes.set(id, node)
    await this.run()
  }

  /** The process ends and starts again, from `disk` if another one is put in. */
  async restart(id: NodeId, disk = this.disk(id)): Promise<void> {
    this.node(id).stop()
    this.nodes.delete(id)
    const peers = [...this.hosts.keys()].filter((other) => this.areConnected(id, other))
    for (const other of peers) this.disconnect(id, other)
    this.disks.set(id, disk)
    await this.start(id)
    for (const other of peers) await this.connect(id, other)
  }

  /** For good, or until `start`. */
  kill(id: NodeId): void {
    this.nodes.get(id)?.stop()
    this.nodes.delete(id)
    for (const other of this.hosts.keys()) if (this.areConnected(id, other)) this.disconnect(id, other)
  }

  async connect(a: NodeId, b: NodeId): Promise<void> {
    this.#links.add(link(a, b))
    await this.nodes.get(a)?.peerConnected(b)
    await this.nodes.get(b)?.peerConnected(a)
    await this.run()
  }

  disconnect(a: NodeId, b: NodeId): void {
    this.#links.delete(link(a, b))
    this.#queue = this.#queue.filter((m) => link(m.from, m.to) !== link(a, b))
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      this.hosts.get(from)?.opens.delete(to)
      void this.nodes.get(from)?.peerDisconnected(to)
    }
  }

  areConnected(a: NodeId, b: NodeId): boolean {
    return this.#links.has(link(a, b))
  }

  post(from: NodeId, to: NodeId, body: Uint8Array): void {
    for (const b of this.wire(from, to, body)) this.#queue.push({ from, to, body: b })
  }

  /** `from` says it, whatever its machine thinks. */
  async say(from: NodeId, to: NodeId, ...payloads: readonly Payload[]): Promise<void> {
    for (const body of payloads.flatMap((p) => piggyback(p))) this.#queue.push({ from, to, body })
    await this.run()
  }

  async sayBytes(from: NodeId, to: NodeId, ...bodies: readonly Uint8Array[]): Promise<void> {
    for (const body of bodies) this.#queue.push({ from, to, body })
    await this.run()
  }

  soon(act: () => Promise<void> | undefined): void {
    this.#track(new Promise((resolve) => setImmediate(resolve)).then(act))
  }

  #track(work: Promise<unknown>): void {
    this.#busy++
    const done = (): void => {
      this.#busy--
    }
    work.then(done, done)
  }

  #counted(host: ArenaHost): ArenaHost {
    return new Proxy(host, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key)
        if (typeof value !== 'function') return value
        return (...args: unknown[]): unknown => {
          const result: unknown = Reflect.apply(value, target, args)
          if (result instanceof Promise) this.#track(result)
          return result
        }
      },
    })
  }

  /** Until nothing is under way: no message, no answer of a host. */
  async run(): Promise<void> {
    for (let quiet = 0; quiet < 4; quiet++) {
      await new Promise((resolve) => setImmediate(resolve))
      const message = this.#queue.shift()
      if (message !== undefined) {
        this.delivered++
        await this.nodes.get(message.to)?.message(message.from, message.body)
        quiet = -1
      } else if (this.#busy > 0) {
        await new Promise((resolve) => setTimeout(resolve, 1))
        quiet = -1
      }
    }
  }

  /** Every timer that runs now is over. */
  async timeout(): Promise<void> {
    const now = [...this.#alarms].sort((a, b) => a.due - b.due)
    for (const alarm of now) {
      if (!this.#alarms.delete(alarm)) continue
      this.#time = Math.max(this.#time, alarm.due)
      alarm.run()
      await this.run()
    }
  }

  async mine(count = 1): Promise<void> {
    for (let i = 0; i < count; i++) await this.mined(() => this.chain.mine(1))
  }

  /** Through many blocks of which nobody has to hear one by one. */
  async mineTo(height: number): Promise<void> {
    const missing = height - (await this.chain.height())
    if (missing > 0) await this.mined(() => this.chain.mine(missing))
  }

  /** The chain changes, and everyone hears of it. */
  async mined(change: () => Promise<unknown>): Promise<void> {
    await change()
    this.chain.changed()
    const height = await this.chain.height()
    for (const node of this.nodes.values()) this.#track(node.block(height))
    await this.run()
    for (const [id, host] of this.hosts) if (this.nodes.has(id)) await host.rebroadcast()
  }
}

const link = (a: NodeId, b: NodeId): string => [a, b].sort().join()

/** The payload of a message, when it carries a whole one. */
export function payloadOf(body: Uint8Array): Payload | undefined {
  const message = decodeFactoryMessage(body)
  if (message.kind !== 'factory_piggyback' || (message.payload[0] === 0 && message.payload[1] === 0)) return undefined
  const payload = decodePayload(message.payload)
  return payload.kind === 'unknown_odd' ? undefined : payload
}

/** What `from` says of this kind to `to` becomes something else, every time. */
export function tamper<K extends Payload['kind']>(
  arena: Arena,
  from: NodeId,
  to: NodeId | 'anyone',
  kind: K,
  change: (payload: Extract<Payload, { kind: K }>, to: NodeId) => readonly Payload[],
): void {
  const before = arena.wire
  arena.wire = (a, b, body) => {
    const payload = a === from && (to === 'anyone' || b === to) ? payloadOf(body) : undefined
    if (payload?.kind !== kind) return before(a, b, body)
    return change(payload as Extract<Payload, { kind: K }>, b).flatMap((p) => piggyback(p))
  }
}

/** A copy of a disk as it is now: a backup. */
export const backup = (disk: MemoryDisk): MemoryDisk => disk.copy()
