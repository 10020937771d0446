/**
 * The form of every protocol machine: an event in; a new state, sign records, items, log lines and effects out. A machine does no I/O.
 *
 * The runner commits state, records and items in one transaction and executes the effects only after that, so that persist
 * comes before send by construction (DESIGN.md invariant 4). A step whose commit is refused has not happened: none of its
 * effects leaves.
 */
import { FactoryError, type ErrorCode, type Payload } from '@ln-factory/tlv'
import type { Bump } from '../fees/child.js'
import type { ClientState, LspState } from '../ceremony/index.js'
import type {
  Blip56Caps,
  BroadcastResult,
  DirectPayment,
  FactoryBinding,
  Feerates,
  FundingCheck,
  FundingTx,
  HeldDecision,
  HostChannel,
  ReceivedHtlc,
} from '../host/port.js'
import type { Policy } from '../runner/api.js'
import type { Item, LogEntry, SignRecord } from '../store/port.js'
import type { BlockHeight, InstanceId, Msat, NodeId, OutPoint, Sat, Txid } from '../units/index.js'

/** What a step may look at besides its state and its event. */
export interface Context {
  readonly self: NodeId
  /** 32 bytes, from `Host.deriveSecret`; never logged, never stored. */
  readonly nodeSecret: Uint8Array
  /** Fresh random bytes. */
  readonly entropy: (bytes: number) => Uint8Array
  readonly height: BlockHeight
  /** Unix seconds. */
  readonly now: number
  readonly policy: Policy
  /** `HostCaps.maxPush`. */
  readonly maxPush: Msat
  /** `HostCaps.choosesForwardingChannel`: forwards can be kept off channels that are over. */
  readonly choosesForwardingChannel: boolean
  /** `HostCaps.blip56`. */
  readonly blip56?: Blip56Caps | undefined
  /** What this node signed here before may be missing in its store: nothing new is signed, ever. */
  readonly sealed: boolean
  /** Read back what an earlier step stored as an item. */
  readonly item: (key: string) => Uint8Array | undefined
  /** Another factory of this node, to look at: a balance moves from one to the next. */
  readonly factory: (instance: InstanceId) => LspState | ClientState | undefined
  /** Can it be sent something now? */
  readonly connected: (peer: NodeId) => boolean
}

export interface OpenCompletion {
  readonly peer: NodeId
  readonly leaf: Uint8Array
  readonly prevout: { readonly amount: Sat; readonly script: Uint8Array }
  readonly vout: number
  readonly script: Uint8Array
  readonly capacity: Sat
}

/** Work for the host. Its answer comes back as a `done` or `failed` event that carries the same call. */
export type HostCall =
  | { readonly call: 'newScript' }
  | { readonly call: 'fundingPrepare'; readonly script: Uint8Array; readonly amount: Sat }
  | {
      readonly call: 'openStart'
      readonly peer: NodeId
      readonly capacity: Sat
      readonly push: Msat
      readonly binding?: FactoryBinding | undefined
    }
  | { readonly call: 'openComplete'; readonly open: OpenCompletion }
  /** Make the channels survive, then sign and broadcast the funding: in this order. */
  | {
      readonly call: 'launch'
      readonly channels: readonly string[]
      readonly funding: FundingTx
    }
  /** Undo what an aborted ceremony did to the host. Every part is idempotent. */
  | {
      readonly call: 'cleanUp'
      readonly opens: readonly NodeId[]
      readonly channels: readonly { readonly peer: NodeId; readonly channelId: string }[]
      readonly funding: FundingTx | undefined
    }
  | { readonly call: 'channels' }
  | { readonly call: 'checkFunding'; readonly channelId: string }
  | { readonly call: 'utxo'; readonly outpoint: OutPoint }
  /** With `bump`: a child pays for it when its own fee is not enough. */
  | { readonly call: 'broadcast'; readonly tx: Uint8Array; readonly txid: Txid; readonly bump?: Bump }
  | { readonly call: 'forceClose'; readonly peer: NodeId; readonly channelId: string }
  /** Make a channel survive. */
  | { readonly call: 'release'; readonly channelId: string }
  /** The peer will pay this: what must it know? */
  | { readonly call: 'expectPayment'; readonly hash: string; readonly amount: Msat }
  /** Ends when the payment does. */
  | { readonly call: 'payDirect'; readonly payment: DirectPayment }
  | { readonly call: 'drop'; readonly peer: NodeId; readonly channelId: string }
  /** What an assisted exit needs to know before an output is made: named by the hash of its HTLC. */
  | { readonly call: 'assistLook'; readonly hash: string; readonly amount: Msat }
  /** As `fundingPrepare`. */
  | { readonly call: 'assistFund'; readonly hash: string; readonly script: Uint8Array; readonly amount: Sat }

export type HostDone =
  | { readonly call: 'newScript'; readonly script: Uint8Array }
  | { readonly call: 'fundingPrepare'; readonly funding: FundingTx }
  | { readonly call: 'openStart'; readonly peer: NodeId; readonly script: Uint8Array }
  | { readonly call: 'openComplete'; readonly peer: NodeId; readonly channelId: string }
  | { readonly call: 'launch' }
  | { readonly call: 'cleanUp' }
  | { readonly call: 'channels'; readonly channels: readonly HostChannel[] }
  | { readonly call: 'checkFunding'; readonly channelId: string; readonly check: FundingCheck }
  | {
      readonly call: 'utxo'
      readonly outpoint: OutPoint
      readonly output: { amount: Sat; script: Uint8Array } | undefined
    }
  | { readonly call: 'broadcast'; readonly txid: Txid; readonly result: BroadcastResult }
  | { readonly call: 'forceClose' }
  | { readonly call: 'release'; readonly channelId: string }
  | { readonly call: 'expectPayment'; readonly hash: string; readonly secret: Uint8Array }
  | { readonly call: 'payDirect'; readonly payment: DirectPayment; readonly preimage: Uint8Array }
  | { readonly call: 'drop' }
  | {
      readonly call: 'assistLook'
      readonly hash: string
      readonly channels: readonly HostChannel[]
      /** Undefined on a host without estimates. */
      readonly feerates: Feerates | undefined
      /** `payment_secret` that the client's HTLC must have. */
      readonly secret: Uint8Array
      /** A new script of our wallet. */
      readonly script: Uint8Array
    }
  | { readonly call: 'assistFund'; readonly hash: string; readonly funding: FundingTx }

export type Event =
  | { readonly type: 'message'; readonly peer: NodeId; readonly payload: Payload }
  | { readonly type: 'connected'; readonly peer: NodeId }
  | { readonly type: 'disconnected'; readonly peer: NodeId }
  | { readonly type: 'timer'; readonly name: TimerName }
  | { readonly type: 'done'; readonly done: HostDone }
  | { readonly type: 'failed'; readonly call: HostCall; readonly code: ErrorCode; readonly error: string }
  | { readonly type: 'confirmed'; readonly txid: Txid; readonly height: BlockHeight }
  | { readonly type: 'unconfirmed'; readonly txid: Txid }
  | {
      readonly type: 'spent'
      readonly outpoint: OutPoint
      readonly by: Txid
      /** With witness. */
      readonly tx: Uint8Array
      readonly height: BlockHeight
    }
  /** A reorganisation took the spend by `by` away. */
  | { readonly type: 'unspent'; readonly outpoint: OutPoint; readonly by: Txid }
  | { readonly type: 'tip'; readonly height: BlockHeight }
  | { readonly type: 'channelsChanged' }
  /** An HTLC that a rule of this machine waits for (runner/expected.ts) is there, and is held until `answerHtlc`. */
  | { readonly type: 'htlcReceived'; readonly htlc: ReceivedHtlc }
  /** Once per block, what the host's channels hold: is an HTLC near its end? */
  | { readonly type: 'channels'; readonly channels: readonly HostChannel[]; readonly height: BlockHeight }
  /** After a start, once per stored machine: answer what happened meanwhile. */
  | { readonly type: 'resume' }
  /** The store refused the last step's sign records: another signature exists for one of its outpoints. */
  | { readonly type: 'conflict'; readonly error: string }
  | { readonly type: 'operator'; readonly order: OperatorOrder }

export type OperatorOrder =
  | { readonly order: 'answer'; readonly accept: boolean; readonly reason: string }
  | { readonly order: 'abort'; readonly reason: string }
  /** `feerate` in sat per 1000 vB. */
  | { readonly order: 'close'; readonly feerate: number; readonly script: Uint8Array }
  | { readonly order: 'exit' }
  /** LSP: clients that are in the factory `to` move there. `feerate`: sat per 1000 vB, to take the coins back to `script`. */
  | {
      readonly order: 'rotate'
      readonly to: InstanceId
      readonly script: Uint8Array
      readonly feerate: number
    }
  /** Client: another channel out of our stock. */
  | { readonly order: 'buy'; readonly capacity: Sat; readonly maxPrice: Msat }
  /** LSP: the same, without being asked; `price` undefined: what the policy says. */
  | { readonly order: 'sell'; readonly client: NodeId; readonly capacity: Sat; readonly price: Msat | undefined }
  /** `feerate` in sat per 1000 vB; `script`: where the balance goes. */
  | { readonly order: 'assist'; readonly script: Uint8Array; readonly feerate: number; readonly maxFee: Sat }

/** `step`: the peer's answer is due. `retry`: try the same host call again. `move`: look after the moves to the next factory.
 * `sale`: answers to a sale are due. */
export type TimerName = 'step' | 'retry' | 'move' | 'sale'

export type Effect =
  | { readonly do: 'send'; readonly peer: NodeId; readonly payload: Payload }
  | { readonly do: 'call'; readonly call: HostCall }
  /** Replaces a running timer of the same name. */
  | { readonly do: 'timer'; readonly name: TimerName; readonly seconds: number }
  | { readonly do: 'cancelTimer'; readonly name: TimerName }
  /** For the process's log only: what a peer can cause as often as it likes is not worth a place on disk. */
  | { readonly do: 'remark'; readonly text: string }
  /** Nothing below `since` can hold it. */
  | { readonly do: 'watchTx'; readonly txid: Txid; readonly since: BlockHeight }
  /** Settle or fail an HTLC that is held; nothing when the host does not ask. */
  | { readonly do: 'answerHtlc'; readonly htlc: string; readonly decision: HeldDecision }
  | { readonly do: 'watchOutpoint'; readonly outpoint: OutPoint; readonly since: BlockHeight }
  /** Of everything that this machine watches: it is over for good. */
  | { readonly do: 'unwatch' }

/** What one event led to. `state` is the same object when nothing durable changed. */
export interface Step<S> {
  readonly state: S
  readonly effects: readonly Effect[]
  readonly records: readonly SignRecord[]
  readonly items: readonly Item[]
  readonly log: readonly LogEntry[]
}

/** Collects a step while rules run one after the other. */
export class StepBuilder<S> {
  readonly #effects: Effect[] = []
  readonly #records: SignRecord[] = []
  readonly #items: Item[] = []
  readonly #log: LogEntry[] = []

  constructor(public state: S) {}

  to(state: S): this {
    this.state = state
    return this
  }

  send(peer: NodeId, payload: Payload): this {
    this.#effects.push({ do: 'send', peer, payload })
    return this
  }

  call(call: HostCall): this {
    this.#effects.push({ do: 'call', call })
    return this
  }

  effect(effect: Effect): this {
    this.#effects.push(effect)
    return this
  }

  record(...records: readonly SignRecord[]): this {
    this.#records.push(...records)
    return this
  }

  item(key: string, value: Uint8Array): this {
    this.#items.push({ key, value })
    return this
  }

  remark(text: string): this {
    return this.effect({ do: 'remark', text })
  }

  log(kind: LogEntry['kind'], text: string): this {
    this.#log.push({ kind, text })
    return this
  }

  done(): Step<S> {
    return { state: this.state, effects: this.#effects, records: this.#records, items: this.#items, log: this.#log }
  }
}

/**
 * Rules that must not stop each other: a block is told to all of them, whatever one finds wrong. What a failed rule did before it
 * failed stands, so a rule checks before it acts.
 */
export function eachRule<S>(step: StepBuilder<S>, ...rules: readonly (() => void)[]): void {
  for (const rule of rules) {
    try {
      rule()
    } catch (error) {
      if (!(error instanceof FactoryError)) throw error
      step.remark(error.message)
    }
  }
}

export const idBytes = (id: InstanceId): Uint8Array => Uint8Array.from(Buffer.from(id, 'hex'))
