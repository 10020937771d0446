/** Timers of the machines, by instance and name. They end with the process; `resume` sets them again. */
import type { TimerName } from '../machine/index.js'
import type { InstanceId } from '../units/index.js'

/** Calls `run` once, in so many seconds, unless the function that it returns is called before. */
export type Schedule = (seconds: number, run: () => void) => () => void

export const systemSchedule: Schedule = (seconds, run) => {
  const timer = setTimeout(run, seconds * 1000)
  return () => {
    clearTimeout(timer)
  }
}

export class Timers {
  readonly #cancels = new Map<string, () => void>()

  constructor(
    readonly fire: (instance: InstanceId, name: TimerName) => void,
    readonly schedule: Schedule = systemSchedule,
  ) {}

  set(instance: InstanceId, name: TimerName, seconds: number): void {
    this.cancel(instance, name)
    const key = `${instance}/${name}`
    const cancel = this.schedule(seconds, () => {
      this.#cancels.delete(key)
      this.fire(instance, name)
    })
    this.#cancels.set(key, cancel)
  }

  cancel(instance: InstanceId, name: TimerName): void {
    const key = `${instance}/${name}`
    this.#cancels.get(key)?.()
    this.#cancels.delete(key)
  }

  stop(): void {
    for (const cancel of this.#cancels.values()) cancel()
    this.#cancels.clear()
  }
}
