/** What an operator can ask of the ladder and its waiting room, beside `FactoryApi`. */
import type { Admission, Decision, LadderConfig, LadderView, Room, Wish } from '../ladder/index.js'
import type { NodeId, Sat } from '../units/index.js'
import type { CreateRequest, CreateResult, RotateRequest, RotateResult } from './api.js'

export interface LadderStatus {
  /** Decisions are acted upon. */
  readonly running: boolean
  readonly config: LadderConfig
  readonly admission: Admission
}

export interface LadderPlan extends LadderStatus {
  readonly view: LadderView
  readonly decisions: readonly Decision[]
}

export interface LadderApi {
  status(): LadderStatus
  /** Stored; used from the next block on. @throws FactoryError `bad_parameter`, `early_warning_unpayable` */
  configure(config: LadderConfig): void
  setAdmission(admission: Admission): void
  setRunning(running: boolean): void
  /** What would be done now, whether it runs or not. */
  plan(): Promise<LadderPlan>

  /** LSP: who waits, first come first. */
  waiting(): Room
  /** LSP: the client is told why. @throws FactoryError `bad_parameter` when it does not wait */
  dismiss(id: NodeId, reason: string): void

  /**
   * Client: ask `lsp` for a channel of this capacity in one of its factories. It is asked again on every connection, and its next
   * invitation to such a channel is accepted, within the policy. @throws FactoryError `bad_amount`
   */
  join(lsp: NodeId, capacity: Sat): void
  /** Client: not any more. @throws FactoryError `bad_parameter` when nothing was asked */
  withdraw(lsp: NodeId): void
  /** Client: what it asked for. */
  wishes(): readonly Wish[]
}

/** What the ladder does with a node: the node's own orders. It reaps and exits by itself, whether a ladder runs or not. */
export interface LadderActions {
  create(request: CreateRequest): Promise<CreateResult>
  rotate(request: RotateRequest): Promise<RotateResult>
}
