/** When clients are online: counted by hour of the day (UTC), so that factories are built when most of their clients are there. */
import type { NodeId } from '../units/index.js'

/** Of one client. */
export interface Presence {
  /** By hour of the day: how often it was looked for, and how often it was there. 24 entries each. */
  readonly looked: readonly number[]
  readonly seen: readonly number[]
  /** Unix seconds; undefined when it was never seen. */
  readonly lastSeen: number | undefined
}

export type Presences = Readonly<Record<NodeId, Presence>>

const HOURS = 24
/** Counts are halved when an hour has so many: habits change. */
const MOST = 96

export const nobody: Presence = { looked: zeros(), seen: zeros(), lastSeen: undefined }

function zeros(): readonly number[] {
  return Array.from({ length: HOURS }, () => 0)
}

/** @param time unix seconds */
export const hourOf = (time: number): number => Math.floor(time / 3600) % HOURS

export function look(before: Presence, time: number, online: boolean): Presence {
  const hour = hourOf(time)
  const at = (counts: readonly number[], add: number, full: boolean): readonly number[] =>
    counts.map((n, i) => (i === hour ? Math.floor(full ? n / 2 : n) + add : n))
  const full = (before.looked[hour] ?? 0) >= MOST
  return {
    looked: at(before.looked, 1, full),
    seen: at(before.seen, online ? 1 : 0, full),
    lastSeen: online ? time : before.lastSeen,
  }
}

/** How likely the client is there in that hour, 0 to 1; a half when nothing is known. */
export function likelihood(presence: Presence | undefined, hour: number): number {
  const { looked, seen } = presence ?? nobody
  return ((seen[hour] ?? 0) + 1) / ((looked[hour] ?? 0) + 2)
}

/** How well two clients' hours go together; more is better. */
export function affinity(a: Presence | undefined, b: Presence | undefined): number {
  let sum = 0
  for (let hour = 0; hour < HOURS; hour += 1) sum += likelihood(a, hour) * likelihood(b, hour)
  return sum
}

/** How many of `clients` to expect in that hour. */
export const expected = (presences: Presences, clients: readonly NodeId[], hour: number): number =>
  clients.reduce((sum, id) => sum + likelihood(presences[id], hour), 0)

/** The first of `clients` and those whose hours go best with its own, at most `most`, in the order they came in. */
export function together<T extends { readonly id: NodeId }>(
  clients: readonly T[],
  most: number,
  presences: Presences,
): readonly T[] {
  const [first, ...others] = clients
  if (first === undefined || most < 1) return []
  const ranked = others
    .map((client, order) => ({ client, order, score: affinity(presences[first.id], presences[client.id]) }))
    .sort((a, b) => b.score - a.score || a.order - b.order)
    .slice(0, most - 1)
    .sort((a, b) => a.order - b.order)
  return [first, ...ranked.map((r) => r.client)]
}
