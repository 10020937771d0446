/**
 * Which state each Decker-Wattenhofer layer is in, from the top down. The lowest layer advances first; when its states are used up, the
 * layer above advances and everything below starts again, with new outputs. A tree of version 1 has one such layer, the leaf's own.
 */
import { FactoryError } from '@ln-factory/tlv'

function check(states: readonly number[], at: readonly number[]): void {
  const fits = at.length === states.length && at.every((s, i) => Number.isInteger(s) && s >= 0 && s < (states[i] ?? 0))
  if (!fits) throw new FactoryError('bad_parameter', `states ${at.join()} are out of ${states.join()}`)
}

/**
 * @param states how many each layer has, top first
 * @param at the state of each layer, 0 to states - 1
 * @returns undefined when all are used up
 * @throws FactoryError `bad_parameter`
 */
export function advance(states: readonly number[], at: readonly number[]): readonly number[] | undefined {
  check(states, at)
  for (let layer = at.length - 1; layer >= 0; layer--) {
    const next = (at[layer] ?? 0) + 1
    if (next < (states[layer] ?? 0)) return [...at.slice(0, layer), next, ...at.slice(layer + 1).map(() => 0)]
  }
  return undefined
}

/** How often `advance` still works. @throws FactoryError `bad_parameter` */
export function updatesLeft(states: readonly number[], at: readonly number[]): number {
  check(states, at)
  let all = 1
  let used = 0
  for (const [layer, count] of states.entries()) {
    all *= count
    used = used * count + (at[layer] ?? 0)
  }
  return all - 1 - used
}
