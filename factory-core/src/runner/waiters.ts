/** Operators who wait until a factory has come to some point. */
import type { InstanceId } from '../units/index.js'
import type { Machine } from './machine.js'

interface Waiter {
  /** True when it is done waiting. */
  readonly look: (machine: Machine) => boolean
}

export class Waiters {
  readonly #waiters = new Map<InstanceId, Set<Waiter>>()

  /** Resolves with what `result` returns once that is not undefined; rejects with what it throws. */
  wait<T>(instance: InstanceId, result: (machine: Machine) => T | undefined, now?: Machine): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        look: (machine) => {
          try {
            const value = result(machine)
            if (value === undefined) return false
            resolve(value)
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)))
          }
          return true
        },
      }
      if (now !== undefined && waiter.look(now)) return
      const set = this.#waiters.get(instance) ?? new Set()
      this.#waiters.set(instance, set.add(waiter))
    })
  }

  look(instance: InstanceId, machine: Machine): void {
    const set = this.#waiters.get(instance)
    if (set === undefined) return
    for (const waiter of set) if (waiter.look(machine)) set.delete(waiter)
    if (set.size === 0) this.#waiters.delete(instance)
  }
}
