/** Timers of the machines, by instance and name. They end with the process; `resume` sets them again. */
import type { TimerName } from '../machine/index.js'
import type { InstanceId } from '../units/index.js'

export class Timers {
  readonly #timers = new Map<string, NodeJS.Timeout>()

  constructor(readonly fire: (instance: InstanceId, name: TimerName) => void) {}

  set(instance: InstanceId, name: TimerName, seconds: number): void {
    this.cancel(instance, name)
    const key = `${instance}/${name}`
    const timer = setTimeout(() => {
      this.#timers.delete(key)
      this.fire(instance, name)
    }, seconds * 1000)
    this.#timers.set(key, timer)
  }

  cancel(instance: InstanceId, name: TimerName): void {
    const key = `${instance}/${name}`
    clearTimeout(this.#timers.get(key))
    this.#timers.delete(key)
  }

  stop(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
  }
}
