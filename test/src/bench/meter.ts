/** CPU time by phase. Not wall time: other work on the machine must not count. */

const used = (before?: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

/** What measuring nothing shows: the measurement's own cost, some ten microseconds on virtual machines. */
const overhead = ((): number => {
  const rounds = 2000
  let total = 0
  for (let i = 0; i < rounds; i++) total += used(process.cpuUsage())
  return total / rounds
})()

export class Meter<Phase extends string> {
  readonly #spent = new Map<Phase, number>()

  /** Runs `work` and books the CPU time of this process (user and system) to `phase`. */
  run<T>(phase: Phase, work: () => T): T {
    const before = process.cpuUsage()
    try {
      return work()
    } finally {
      this.#spent.set(phase, this.of(phase) + used(before) - overhead)
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
