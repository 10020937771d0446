/** CPU time by phase. Not wall time: other work on the machine must not count. */

export class Meter<Phase extends string> {
  readonly #spent = new Map<Phase, number>()

  /** Runs `work` and books the CPU time of this process (user and system) to `phase`. */
  run<T>(phase: Phase, work: () => T): T {
    const before = process.cpuUsage()
    try {
      return work()
    } finally {
      const { user, system } = process.cpuUsage(before)
      this.#spent.set(phase, this.of(phase) + (user + system) / 1000)
    }
  }

  /** Milliseconds. */
  of(phase: Phase): number {
    return this.#spent.get(phase) ?? 0
  }

  /** Milliseconds. */
  get total(): number {
    return [...this.#spent.values()].reduce((sum, ms) => sum + ms, 0)
  }
}

export const max = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), 0)

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? 0
}
