/** What an operator who ordered a sale waits for. */
import { FactoryError } from '@ln-factory/tlv'
import type { NodeId } from '../units/index.js'
import type { SaleResult } from './api.js'
import type { Machine } from './machine.js'

const over = (stage: string): FactoryError => new FactoryError('aborted', `the factory is ${stage}`)

/** The client's last purchase, when it is open; undefined while it is under way. @throws why there is none */
export function purchaseOf(machine: Machine): SaleResult | undefined {
  const { state } = machine
  if (state.role !== 'client') return undefined
  const { wish, pending, chain, failure } = state.sales ?? {}
  if (state.stage !== 'active') throw over(state.stage)
  if (wish !== undefined || pending?.bought !== undefined) return undefined
  if (failure !== undefined) throw new FactoryError(failure.code, failure.reason)
  const last = chain?.findLast((l) => l.bought !== undefined)
  if (last?.bought?.live !== true) return undefined
  return { channelId: last.channelId, capacity: last.capacity, price: last.bought.price }
}

/** The LSP's last sale to `client`. @throws why there is none */
export function saleTo(machine: Machine, client: NodeId): SaleResult | undefined {
  const { state } = machine
  if (state.role !== 'lsp') return undefined
  const buyer = state.clients.findIndex((c) => c.id === client) + 1
  const { pending, signed, failures } = state.sales ?? {}
  if (state.stage !== 'active') throw over(state.stage)
  const waiting = pending?.find((p) => p.buyer === buyer)
  if (waiting !== undefined) {
    if (waiting.step === 'binding' && state.notice !== undefined) throw new FactoryError('aborted', state.notice)
    return undefined
  }
  const failure = failures?.find((f) => f.buyer === buyer)
  if (failure !== undefined) throw new FactoryError(failure.code, failure.reason)
  const last = signed?.findLast((s) => s.buyer === buyer)
  return last?.live === true ? { channelId: last.channelId, capacity: last.capacity, price: last.price } : undefined
}
