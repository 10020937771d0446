/**
 * How a machine's state is written. An LSP's state holds all its clients and changes with each client's answer: written whole,
 * a ceremony of N clients would cost N² client records. So each client has its own item, rewritten when it changed, and the
 * state holds the rest. A machine changes a client by replacing it, so that "changed" is "another object".
 */
import { FactoryError } from '@ln-factory/tlv'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import type { ClientState, LspState } from '../ceremony/index.js'
import { decodeState, encodeState } from '../store/index.js'
import type { FactoryStore, Item, StoredMachine } from '../store/port.js'

type State = LspState | ClientState

/** Versions of the written form. 1: the state as it is; it is still read. 2: the clients apart. */
const WHOLE = 1
const APART = 2

interface Apart {
  readonly v: typeof APART
  readonly role: 'lsp'
  readonly instance: string
  readonly clients: number
  /** The state without its clients. */
  readonly rest: Omit<LspState, 'clients'>
}

const PREFIX = 'state/client/'
/** In key order they are in the order of their positions. */
const keyAt = (position: number): string => `${PREFIX}${String(position).padStart(6, '0')}`

/**
 * @param before what is on disk in the form that this function writes, or undefined
 * @throws FactoryError `internal` for a state that can't be written
 */
export function packState(
  state: State,
  before: State | undefined,
): { readonly text: string; readonly items: readonly Item[] } {
  if (state.role === 'client') return { text: encodeState(state), items: [] }
  const known = before?.role === 'lsp' ? before.clients : []
  const items = state.clients.flatMap((client, i) =>
    client === known[i] ? [] : [{ key: keyAt(i), value: utf8ToBytes(encodeState(client)) }],
  )
  const { clients, ...rest } = state
  const apart: Apart = { v: APART, role: 'lsp', instance: state.instance, clients: clients.length, rest }
  return { text: encodeState(apart), items }
}

/**
 * @returns the state, and whether it was in the form that `packState` writes
 * @throws FactoryError `store_corrupt`, `store_version`
 */
export function unpackState(
  { instance, role, state: text }: StoredMachine,
  store: Pick<FactoryStore, 'items'>,
): { readonly state: State; readonly packed: boolean } {
  const found = decodeState(text) as Partial<State> | Partial<Apart> | undefined
  if (found?.role !== role || found.instance !== instance) throw corrupt(instance, 'is not its own')
  if (found.v === WHOLE) return { state: completed(found as State), packed: role === 'client' }
  if (found.v !== APART || role !== 'lsp')
    throw new FactoryError('store_version', `factory ${instance} was written by a newer version`)
  const { rest, clients: count } = found as Apart
  const items = store.items(instance, PREFIX)
  if (items.length !== count || items.some(({ key }, i) => key !== keyAt(i)))
    throw corrupt(instance, `has ${items.length} of its ${count} clients`)
  const clients = items.map(({ value }) => decodeState(Buffer.from(value).toString()) as LspState['clients'][number])
  return { state: completed({ ...rest, clients } as LspState), packed: true }
}

/** With what older versions did not write. */
const completed = (state: State): State =>
  state.role === 'lsp' && !Object.hasOwn(state, 'assists') ? { ...state, assists: [] } : state

const corrupt = (instance: string, what: string): FactoryError =>
  new FactoryError('store_corrupt', `the stored state of factory ${instance} ${what}`)
