/** A factory in memory: its durable state, what is only in memory, and the machine that drives it. */
import {
  newClientLive,
  newLspLive,
  stepClient,
  stepLsp,
  type ClientLive,
  type ClientState,
  type LspLive,
  type LspState,
} from '../ceremony/index.js'
import type { Context, Event, Step } from '../machine/index.js'
import type { FactoryStore, StoredMachine } from '../store/port.js'
import { FactoryError } from '@ln-factory/tlv'
import { unpackState } from './persist.js'

interface OnDisk {
  /** `state` is on disk. */
  stored: boolean
  /** In the form that `packState` writes: what did not change need not be written again. */
  packed: boolean
}

export type Machine =
  | ({ readonly role: 'lsp'; state: LspState; live: LspLive } & OnDisk)
  | ({ readonly role: 'client'; state: ClientState; live: ClientLive } & OnDisk)

export const lspMachine = (state: LspState, stored = false): Machine => ({
  role: 'lsp',
  state,
  live: newLspLive(),
  stored,
  packed: false,
})
export const clientMachine = (state: ClientState, stored = false): Machine => ({
  role: 'client',
  state,
  live: newClientLive(),
  stored,
  packed: false,
})

export function stepMachine(machine: Machine, event: Event, context: Context): Step<LspState | ClientState> {
  return machine.role === 'lsp'
    ? stepLsp(machine.state, machine.live, event, context)
    : stepClient(machine.state, machine.live, event, context)
}

/** The step has been committed: its state is the machine's. */
export function advance(machine: Machine, state: LspState | ClientState): void {
  if (machine.role !== state.role) throw new FactoryError('internal', 'a machine changed its role')
  machine.state = state
  machine.stored = true
}

/** @throws FactoryError `store_corrupt`, `store_version` */
export function revive(stored: StoredMachine, store: Pick<FactoryStore, 'items'>): Machine {
  const { state, packed } = unpackState(stored, store)
  const machine = state.role === 'lsp' ? lspMachine(state, true) : clientMachine(state, true)
  machine.packed = packed
  return machine
}
