/**
 * What leaves the node waits until the host keeps what must be known of it: then a store that has forgotten it is found out. In
 * order per factory; only what comes after something worth keeping waits, and several things are kept in one go.
 */
import type { Anchor } from '../host/port.js'
import type { InstanceId } from '../units/index.js'
import type { Schedule } from './timers.js'

interface Waiting {
  readonly value: string
  readonly acts: (() => void)[]
}

/** Seconds until the host is asked again after it failed. */
const RETRY = 5

export class Anchorage {
  readonly #kept = new Map<InstanceId, string>()
  readonly #queues = new Map<InstanceId, Waiting[]>()
  #stopped = false

  /** @param anchor absent: nothing is kept, and nothing waits */
  constructor(
    readonly anchor: Anchor | undefined,
    readonly schedule: Schedule,
    readonly warn: (text: string) => void,
  ) {}

  /** What the host keeps, by instance; undefined without an anchor. @throws FactoryError `host_failed` */
  async read(): Promise<ReadonlyMap<InstanceId, string> | undefined> {
    const kept = await this.anchor?.read()
    for (const [instance, value] of kept ?? []) this.#kept.set(instance, value)
    return kept
  }

  /** From now on nothing of this instance leaves before the host keeps `value`. */
  keep(instance: InstanceId, value: string): void {
    if (this.anchor === undefined) return
    const queue = this.#queues.get(instance)
    if ((queue?.at(-1)?.value ?? this.#kept.get(instance)) === value) return
    if (queue === undefined) {
      this.#queues.set(instance, [{ value, acts: [] }])
      void this.#drain(this.anchor, instance)
    } else queue.push({ value, acts: [] })
  }

  /** Now, or when everything that was to be kept before is. */
  leave(instance: InstanceId, act: () => void): void {
    const last = this.#queues.get(instance)?.at(-1)
    if (last === undefined) act()
    else last.acts.push(act)
  }

  stop(): void {
    this.#stopped = true
  }

  async #drain(anchor: Anchor, instance: InstanceId): Promise<void> {
    const queue = this.#queues.get(instance) ?? []
    while (queue.length > 0) {
      const due = queue.length
      const value = queue[due - 1]?.value ?? ''
      while (!(await this.#keep(anchor, instance, value))) {
        await new Promise<void>((resolve) => {
          this.schedule(RETRY, resolve)
        })
        if (this.#stopped) return
      }
      this.#kept.set(instance, value)
      for (const { acts } of queue.slice(0, due)) for (const act of acts) act()
      queue.splice(0, due)
    }
    this.#queues.delete(instance)
  }

  async #keep(anchor: Anchor, instance: InstanceId, value: string): Promise<boolean> {
    try {
      await anchor.keep(instance, value)
      return true
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      this.warn(`factory ${instance} waits: the host does not keep how far it is: ${why}`)
      return false
    }
  }
}
