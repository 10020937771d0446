/** What the schedule looks at, and what it decides. */
import type { BlockHeight, InstanceId, Msat, NodeId, Sat } from '../units/index.js'
import type { LadderConfig } from './config.js'
import type { Memory } from './memory.js'
import type { Presences } from './presence.js'
import type { FactoryTimes } from './timing.js'

/** A client of a factory whose balance is still in it. */
export interface Resident {
  readonly id: NodeId
  /** Of its next channel. */
  readonly capacity: Sat
  readonly balance: Msat
  /** It has a place in the next factory already, and moves there as soon as both are ready. */
  readonly underway: boolean
}

export interface LadderFactory extends FactoryTimes {
  readonly instance: InstanceId
  /**
   * `building`: forming or not deep enough yet; `open`: takes payments; `leaving`: it ends on chain, by a close or an exit. A factory
   * that is over is not in the list.
   */
  readonly phase: 'building' | 'open' | 'leaving'
  readonly createdAt: BlockHeight
  readonly fundingAmount: Sat
  /** Clients that it was made for. */
  readonly places: number
  /** Clients that have neither moved nor been left. */
  readonly residents: readonly Resident[]
  /** The next factory for some of its clients is being made: until then nothing else is begun with this one. */
  readonly rotating: boolean
  /** When nobody is left in it, its coins can be taken back in one transaction; not when its tree is on chain, or a key is missing. */
  readonly reapable: boolean
}

/** A client in the waiting room. */
export interface Waiting {
  readonly id: NodeId
  readonly capacity: Sat
  readonly since: BlockHeight
}

export interface LadderView {
  readonly config: LadderConfig
  readonly height: BlockHeight
  /** Unix seconds. */
  readonly now: number
  /** sat per 1000 vB, for a transaction that may take some hours; undefined where the node has no estimate. */
  readonly feerate: number | undefined
  readonly factories: readonly LadderFactory[]
  readonly waiting: readonly Waiting[]
  /** A factory for those who wait is being made. */
  readonly creating: boolean
  readonly online: ReadonlySet<NodeId>
  /** In a ceremony that is under way: a node takes part in one at a time. */
  readonly busy: ReadonlySet<NodeId>
  readonly presences: Presences
  readonly memory: Memory
}

export interface NewClient {
  readonly id: NodeId
  readonly capacity: Sat
}

/** Each tells why. Nothing is done with a factory or a client that no decision names. */
export type Decision =
  | { readonly do: 'create'; readonly clients: readonly NewClient[]; readonly reason: string }
  | {
      readonly do: 'rotate'
      readonly instance: InstanceId
      /** Residents that move now; the others get the next slot. */
      readonly clients: readonly NodeId[]
      /** From the waiting room. */
      readonly join: readonly NewClient[]
      readonly reason: string
    }
  /** Nothing for these now; looked at again with every block, and something is expected at `until`. */
  | {
      readonly do: 'wait'
      /** undefined: the waiting room. */
      readonly instance: InstanceId | undefined
      readonly clients: readonly NodeId[]
      readonly until: BlockHeight
      readonly reason: string
    }
  /** They missed every slot. Their paths are published at `by`, unless they come and leave by themselves before. */
  | {
      readonly do: 'exit'
      readonly instance: InstanceId
      readonly clients: readonly NodeId[]
      readonly by: BlockHeight
      readonly reason: string
    }
  /** Nobody is left in it: its funding comes back in one transaction. */
  | { readonly do: 'reap'; readonly instance: InstanceId; readonly reason: string }
