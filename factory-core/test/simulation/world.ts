/**
 * A network of factory nodes in one process, where everything that can happen in another order does: messages and host answers wait
 * until the world picks one, by a seeded generator. A node can be killed at any commit and started again from its disk.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { createHash, createHmac } from 'node:crypto'
import { FactoryNode, defaultPolicy, type Policy } from '../../src/runner/index.js'
import type { FactoryStore } from '../../src/store/index.js'
import { MemoryDisk, openMemoryStore } from '../../src/store/memory/index.js'
import { blocks, nodeId, sat, txid, type NodeId } from '../../src/units/index.js'
import { SimChain } from './chain.js'
import { SimHost } from './host.js'

/** Thrown by a store at the commit where its process is to die. */
export class Killed extends Error {}

interface Task {
  readonly owner: NodeId | undefined
  readonly run: () => unknown
}

interface Alarm {
  readonly due: number
  readonly run: () => void
}

/** One run of a node's process. */
interface Life {
  dead: boolean
}

export class World {
  readonly chain = new SimChain(200)
  readonly hosts = new Map<NodeId, SimHost>()
  readonly nodes = new Map<NodeId, FactoryNode>()
  readonly disks = new Map<NodeId, MemoryDisk>()
  readonly lines: string[] = []
  /** Commits of each node since it was made: where a kill can be placed. */
  readonly commits = new Map<NodeId, number>()
  /** Kill `node` at its commit `at`, `before` it is on disk or `after`. */
  kill: { node: NodeId; at: number; when: 'before' | 'after' } | undefined
  /** What becomes of a message on its way: nothing, itself, twice itself, something else. */
  wire: (from: NodeId, to: NodeId, body: Uint8Array) => readonly Uint8Array[] = (_from, _to, body) => [body]
  readonly #links = new Set<string>()
  readonly #queues = new Map<string, Uint8Array[]>()
  #tasks: Task[] = []
  #seed: Uint8Array
  #counter = 0
  #time = 1_800_000_000
  readonly #alarms = new Set<Alarm>()
  readonly #lives = new Map<NodeId, Life>()

  constructor(seed: number) {
    this.#seed = sha256(Uint8Array.of(seed & 0xff, (seed >> 8) & 0xff, (seed >> 16) & 0xff))
  }

  entropy(bytes: number): Uint8Array {
    const out = createHmac('sha512', this.#seed).update(String(this.#counter++)).digest()
    return Uint8Array.from(out.subarray(0, bytes))
  }

  #random(below: number): number {
    return Buffer.from(this.entropy(6)).readUIntBE(0, 6) % below
  }

  /** A node with a coin of `funds` sat, 0 for none. */
  async addNode(name: string, funds: bigint, policy: Partial<Policy> = {}): Promise<NodeId> {
    const id = nodeId(`02${createHash('sha256').update(name).digest('hex')}`)
    const host = new SimHost(id, this, name)
    if (funds > 0n) {
      const outpoint = { txid: txid(createHash('sha256').update(`coin/${name}`).digest('hex')), vout: 0 }
      this.chain.mint(outpoint, sat(funds), Uint8Array.of(0x51))
      host.coins.push(outpoint)
    }
    this.hosts.set(id, host)
    this.disks.set(id, new MemoryDisk())
    this.commits.set(id, 0)
    this.#policies.set(id, { ...defaultPolicy, minDepth: 1, minLifetime: blocks(10), ...policy })
    await this.start(id)
    return id
  }

  readonly #policies = new Map<NodeId, Policy>()

  /** A process starts from its disk. It may die before it is up, when `kill` says so. */
  async start(id: NodeId): Promise<void> {
    const life = { dead: false }
    this.#lives.set(id, life)
    const starting = FactoryNode.start({
      host: this.#while(life, this.#host(id)),
      store: this.#mortal(id, life, openMemoryStore({ disk: this.disks.get(id) ?? new MemoryDisk() })),
      policy: this.#policies.get(id) ?? defaultPolicy,
      entropy: (n) => this.entropy(n),
      clock: () => this.#time,
      schedule: (seconds, run) => {
        const alarm = { due: this.#time + seconds, run }
        if (!life.dead) this.#alarms.add(alarm)
        return () => void this.#alarms.delete(alarm)
      },
    })
    const outcome: { node?: FactoryNode; error?: unknown } = {}
    starting.then(
      (n) => (outcome.node = n),
      (error: unknown) => (outcome.error = error),
    )
    for (let i = 0; i < 1000 && outcome.node === undefined && outcome.error === undefined && !life.dead; i++) {
      await settle()
      this.#runTask(this.#tasks.find((t) => t.owner === id))
    }
    if (life.dead) return
    if (outcome.node === undefined) throw new Error(`${id} does not start`, { cause: outcome.error })
    this.nodes.set(id, outcome.node)
    this.#host(id).direct.tellAgain()
  }

  /** The process is gone: memory, timers, answers on the way, connections. */
  crash(id: NodeId): void {
    const life = this.#lives.get(id)
    if (life !== undefined) life.dead = true
    this.nodes.get(id)?.stop()
    this.nodes.delete(id)
    this.#tasks = this.#tasks.filter((t) => t.owner !== id)
    for (const other of this.hosts.keys()) if (this.areConnected(id, other)) this.disconnect(id, other)
  }

  async connect(a: NodeId, b: NodeId): Promise<void> {
    this.#links.add(link(a, b))
    await this.nodes.get(a)?.peerConnected(b)
    await this.nodes.get(b)?.peerConnected(a)
  }

  disconnect(a: NodeId, b: NodeId): void {
    this.#links.delete(link(a, b))
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      this.#queues.delete(`${from}>${to}`)
      this.hosts.get(from)?.opens.delete(to)
      void this.nodes.get(from)?.peerDisconnected(to)
    }
  }

  areConnected(a: NodeId, b: NodeId): boolean {
    return this.#links.has(link(a, b))
  }

  post(from: NodeId, to: NodeId, body: Uint8Array): void {
    this.inject(from, to, ...this.wire(from, to, body))
  }

  /** Messages that `from` puts on the wire, whatever its machine thinks. */
  inject(from: NodeId, to: NodeId, ...bodies: readonly Uint8Array[]): void {
    if (!this.areConnected(from, to)) return
    const key = `${from}>${to}`
    this.#queues.set(key, [...(this.#queues.get(key) ?? []), ...bodies])
  }

  /** `act` is done at a time that the world picks, and its result is told then; never, if the asking process died. */
  answer<T>(owner: NodeId, act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#tasks.push({
        owner,
        run: () => {
          try {
            resolve(act())
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)))
          }
        },
      })
    })
  }

  later(run: () => unknown): void {
    this.#tasks.push({ owner: undefined, run })
  }

  /** One thing happens. False when there is nothing left that could. */
  async step(): Promise<boolean> {
    await settle()
    const queues = [...this.#queues].filter(([, q]) => q.length > 0)
    const choices = queues.length + this.#tasks.length
    if (choices === 0) return false
    const pick = this.#random(choices)
    const queue = queues[pick]
    if (queue === undefined) this.#runTask(this.#tasks[pick - queues.length])
    else {
      const [from, to] = queue[0].split('>') as [NodeId, NodeId]
      const body = queue[1].shift()
      if (body !== undefined) await this.nodes.get(to)?.message(from, body)
    }
    await settle()
    return true
  }

  async run(limit = 20_000): Promise<void> {
    for (let i = 0; i < limit; i++) if (!(await this.step())) return
    throw new Error('the network does not come to rest')
  }

  /** The clock alone goes on: no timer runs. */
  elapse(seconds: number): void {
    this.#time += seconds
  }

  /** Time goes on to the next timer. False when none runs. */
  async tick(): Promise<boolean> {
    const [next] = [...this.#alarms].sort((a, b) => a.due - b.due)
    if (next === undefined) return false
    this.#alarms.delete(next)
    this.#time = Math.max(this.#time, next.due)
    next.run()
    await this.run()
    return true
  }

  /** Until nothing is under way and no timer runs. */
  async calm(limit = 100): Promise<void> {
    await this.run()
    for (let i = 0; i < limit; i++) if (!(await this.tick())) return
    throw new Error('timers are set again and again')
  }

  async mine(count = 1): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.chain.mine()
      // A host may be slow to answer what a node asks because of the block: nobody waits for it here.
      for (const node of this.nodes.values()) node.block(this.chain.height).catch(() => undefined)
      await this.run()
    }
  }

  #runTask(task: Task | undefined): void {
    if (task === undefined) return
    this.#tasks = this.#tasks.filter((t) => t !== task)
    task.run()
  }

  #host(id: NodeId): SimHost {
    const host = this.hosts.get(id)
    if (host === undefined) throw new Error(`no host ${id}`)
    return host
  }

  /** Calls of a dead process come to nothing. */
  #while<T extends object>(life: Life, target: T): T {
    return new Proxy(target, {
      get: (t, key) => {
        const value: unknown = Reflect.get(t, key)
        if (typeof value !== 'function') return value
        return (...args: unknown[]): unknown =>
          life.dead ? new Promise(() => undefined) : Reflect.apply(value, t, args)
      },
    })
  }

  /** Dies where `kill` says. */
  #mortal(id: NodeId, life: Life, store: FactoryStore): FactoryStore {
    const die = (): never => {
      if (!life.dead) this.crash(id)
      throw new Killed(`${id} was killed`)
    }
    const commit: FactoryStore['commit'] = (batch) => {
      const at = (this.commits.get(id) ?? 0) + 1
      this.commits.set(id, at)
      const due = this.kill?.node === id && this.kill.at === at ? this.kill.when : undefined
      if (due === 'before') die()
      store.commit(batch)
      if (due === 'after') die()
    }
    return new Proxy(store, {
      get: (target, key) => {
        if (life.dead) return die
        if (key === 'commit') return commit
        const value: unknown = Reflect.get(target, key)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
  }
}

const link = (a: NodeId, b: NodeId): string => [a, b].sort().join()

/** Let every promise that can resolve do so. */
async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}
