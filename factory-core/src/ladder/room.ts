/**
 * The LSP's waiting room: who asked for a place in a factory, and may. A request costs the LSP a line on disk, so there are few of each
 * peer and not more than it allows in all.
 */
import { sat, type BlockHeight, type InstanceId, type NodeId, type Sat } from '../units/index.js'
import type { Waiting } from './types.js'

/** Who may wait. */
export interface Admission {
  /** False: nobody; those who wait already stay. */
  readonly open: boolean
  /** Only these, unless it is empty. */
  readonly only: readonly NodeId[]
  readonly minCapacity: Sat
  readonly maxCapacity: Sat
  readonly maxWaiting: number
}

/** Until the operator says otherwise. */
export const closedDoor: Admission = {
  open: false,
  only: [],
  minCapacity: sat(50_000),
  maxCapacity: sat(10_000_000),
  maxWaiting: 500,
}

export interface Request extends Waiting {
  /** The client's name of it. */
  readonly request: InstanceId
}

/** In the order of arrival. */
export type Room = readonly Request[]

export type Answer =
  | { readonly kind: 'accepted'; readonly place: number; readonly waiting: number }
  | { readonly kind: 'refused'; readonly reason: string }

const refused = (room: Room, reason: string): { room: Room; answer: Answer } => ({
  room,
  answer: { kind: 'refused', reason },
})

/** A request, new or repeated. The room is the same object when nothing changed. */
export function ask(room: Room, admission: Admission, asked: Request): { room: Room; answer: Answer } {
  const known = room.findIndex((r) => r.id === asked.id)
  const before = room[known]
  const same = before?.request === asked.request && before.capacity === asked.capacity
  const why = same ? undefined : objection(room, admission, asked, before === undefined)
  if (why !== undefined) return refused(leave(room, asked.id), why)
  const next = same
    ? room
    : before === undefined
      ? [...room, asked]
      : room.map((r) => (r === before ? { ...asked, since: before.since } : r))
  const place = next.findIndex((r) => r.id === asked.id) + 1
  return { room: next, answer: { kind: 'accepted', place, waiting: next.length } }
}

function objection(room: Room, admission: Admission, asked: Request, isNew: boolean): string | undefined {
  const { open, only, minCapacity, maxCapacity, maxWaiting } = admission
  if (!open && isNew) return 'this node takes no new clients now'
  if (only.length > 0 && !only.includes(asked.id)) return 'this node takes only clients that it knows'
  if (asked.capacity < minCapacity)
    return `a capacity of ${asked.capacity} sat is under the least of ${minCapacity} sat`
  if (asked.capacity > maxCapacity) return `a capacity of ${asked.capacity} sat is over the most of ${maxCapacity} sat`
  if (isNew && room.length >= maxWaiting) return `${room.length} clients are waiting already`
  return undefined
}

/** @param request only this one, so that an old withdrawal does not end a newer request */
export function leave(room: Room, id: NodeId, request?: InstanceId): Room {
  const next = room.filter((r) => r.id !== id || (request !== undefined && r.request !== request))
  return next.length === room.length ? room : next
}

/** Whoever got its place since it asked does not wait any more. @param places clients and when their factories were created */
export function seated(room: Room, places: readonly { readonly id: NodeId; readonly createdAt: BlockHeight }[]): Room {
  const next = room.filter((r) => !places.some((p) => p.id === r.id && p.createdAt >= r.since))
  return next.length === room.length ? room : next
}
