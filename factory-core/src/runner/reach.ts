/** What the host keeps of each factory, so that an older copy of the store is found out: how far it has come, and what was signed. */
import { FactoryError } from '@ln-factory/tlv'
import { markOf, type SignMark } from '../store/index.js'
import type { Role, SignRecord } from '../store/port.js'
import { nodeId, type NodeId } from '../units/index.js'
import type { Machine } from './machine.js'
import { phaseOf } from './views.js'

/**
 * `forming`: nothing on chain, giving up costs nothing. `live`: the funding may appear. `over`: ended. A factory only ever goes on
 * in this order.
 */
export type Reach = 'forming' | 'live' | 'over'

const ORDER: readonly Reach[] = ['forming', 'live', 'over']

export interface Kept extends SignMark {
  readonly role: Role
  /** Whom a client can ask for its path. */
  readonly lsp: NodeId | undefined
  readonly reach: Reach
}

export const isBehind = (ours: Reach, kept: Reach): boolean => ORDER.indexOf(ours) < ORDER.indexOf(kept)

export function reachOf(machine: Machine): Reach {
  // A reorganisation may still take the end back.
  if (machine.state.stage === 'settled') return 'live'
  switch (phaseOf(machine)) {
    case 'forming':
      return 'forming'
    case 'closed':
    case 'exited':
    case 'aborted':
      return 'over'
    default:
      return 'live'
  }
}

export const keptOf = (machine: Machine, records: readonly SignRecord[]): Kept => ({
  ...markOf(records),
  role: machine.role,
  lsp: machine.role === 'client' ? machine.state.lsp : undefined,
  reach: reachOf(machine),
})

const VERSION = '1'
const KINDS = ['child', 'state', 'distribution', 'poison', 'cooperative'] as const

/** `1 client live 02…|- child,state,distribution,poison,cooperative head`. */
export function encodeKept(kept: Kept): string {
  const counts = KINDS.map((k) => kept.counts[k] ?? 0).join(',')
  return [VERSION, kept.role, kept.reach, kept.lsp ?? '-', counts, kept.head].join(' ')
}

const FORM = /^1 (lsp|client) (forming|live|over) (-|[0-9a-f]{66}) ((?:\d{1,9},){4}\d{1,9}) ([0-9a-f]{64})$/

/** @throws FactoryError `store_version` for what this version can't read: it is not guessed at */
export function decodeKept(text: string): Kept {
  const [, role, reach, lsp, counts, head] = FORM.exec(text) ?? []
  if (counts === undefined || head === undefined)
    throw new FactoryError(
      'store_version',
      `what the host keeps of a factory can't be read: ${JSON.stringify(text.slice(0, 100))}`,
      'A newer ln-factory wrote it, or somebody changed it.',
    )
  const numbers = counts.split(',').map(Number)
  return {
    role: role as Role,
    reach: reach as Reach,
    lsp: lsp === undefined || lsp === '-' ? undefined : nodeId(lsp),
    counts: Object.fromEntries(KINDS.flatMap((k, i) => (numbers[i] === 0 ? [] : [[k, numbers[i] ?? 0] as const]))),
    head,
  }
}
