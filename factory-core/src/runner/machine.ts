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
import { decodeState } from '../store/index.js'
import type { StoredMachine } from '../store/port.js'
import { FactoryError } from '@ln-factory/tlv'

export type Machine =
  | { readonly role: 'lsp'; state: LspState; live: LspLive; /** `state` is on disk. */ stored: boolean }
  | { readonly role: 'client'; state: ClientState; live: ClientLive; stored: boolean }

export const lspMachine = (state: LspState, stored = false): Machine => ({
  role: 'lsp',
  state,
  live: newLspLive(),
  stored,
})
export const clientMachine = (state: ClientState, stored = false): Machine => ({
  role: 'client',
  state,
  live: newClientLive(),
  stored,
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
export function revive({ instance, role, state: text }: StoredMachine): Machine {
  const state = decodeState(text) as Partial<LspState | ClientState> | undefined
  if (state?.role !== role || state.instance !== instance)
    throw new FactoryError('store_corrupt', `the stored state of factory ${instance} is not its own`)
  if (state.v !== 1) throw new FactoryError('store_version', `factory ${instance} was written by a newer version`)
  return state.role === 'lsp' ? lspMachine(state as LspState, true) : clientMachine(state as ClientState, true)
}
