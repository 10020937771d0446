/** What the schedule remembers of its attempts: when to try again, and whom not to ask for a while. */
import { blockHeight, type BlockHeight, type InstanceId, type NodeId } from '../units/index.js'
import type { LadderConfig } from './config.js'

/** Attempts to rotate one factory, or to create factories for new clients. */
export interface Attempts {
  /** Failures in a row. */
  readonly failures: number
  /** Nothing before it. */
  readonly retryAt: BlockHeight
  /** The last attempt that led to a factory. */
  readonly doneAt: BlockHeight | undefined
}

export interface Memory {
  readonly creating: Attempts
  readonly rotating: Readonly<Record<InstanceId, Attempts>>
  /** Clients by whose fault an attempt failed: taken for offline below this height. */
  readonly shunned: Readonly<Record<NodeId, BlockHeight>>
}

const fresh: Attempts = { failures: 0, retryAt: blockHeight(0), doneAt: undefined }
export const noMemory: Memory = { creating: fresh, rotating: {}, shunned: {} }

export const attemptsOf = (memory: Memory, instance: InstanceId | undefined): Attempts =>
  instance === undefined ? memory.creating : (memory.rotating[instance] ?? fresh)

/** Blocks to wait after so many failures in a row. */
export const pause = (config: LadderConfig, failures: number): number =>
  Math.min(config.retryMost, config.retryFirst * 2 ** Math.min(20, Math.max(0, failures - 1)))

function withAttempts(memory: Memory, instance: InstanceId | undefined, attempts: Attempts): Memory {
  if (instance === undefined) return { ...memory, creating: attempts }
  return { ...memory, rotating: { ...memory.rotating, [instance]: attempts } }
}

/** @param instance the rotated factory; undefined for a creation */
export const succeeded = (memory: Memory, instance: InstanceId | undefined, height: BlockHeight): Memory =>
  withAttempts(memory, instance, { failures: 0, retryAt: height, doneAt: height })

/** @param guilty by whose fault; left out of the next attempts until the pause has grown to its most */
export function failed(
  memory: Memory,
  instance: InstanceId | undefined,
  height: BlockHeight,
  config: LadderConfig,
  guilty: NodeId | undefined,
): Memory {
  const before = attemptsOf(memory, instance)
  const failures = before.failures + 1
  // Whoever spoilt it is left out, so the others need not wait for it any longer than the first pause.
  const retryAt = blockHeight(height + (guilty === undefined ? pause(config, failures) : config.retryFirst))
  const next = withAttempts(memory, instance, { ...before, failures, retryAt })
  if (guilty === undefined) return next
  return { ...next, shunned: { ...next.shunned, [guilty]: blockHeight(height + config.retryMost) } }
}

/** What nothing asks for any more is forgotten. */
export function tidy(memory: Memory, alive: ReadonlySet<InstanceId>, height: BlockHeight): Memory {
  const rotating = Object.entries(memory.rotating) as [InstanceId, Attempts][]
  const shunned = Object.entries(memory.shunned) as [NodeId, BlockHeight][]
  const kept = rotating.filter(([instance]) => alive.has(instance))
  const still = shunned.filter(([, until]) => until > height)
  if (kept.length === rotating.length && still.length === shunned.length) return memory
  return { ...memory, rotating: Object.fromEntries(kept), shunned: Object.fromEntries(still) }
}
