/** What this node's factories cost and earn: read from the machines, the store, and what the host knows of its channels. */
import { coverLevel, exitFloor, fundingFee, type Cover, type CoverLevel, type FixedFee } from '../economics/index.js'
import { storedPath } from '../ceremony/client/path.js'
import { treeOf } from '../ceremony/lsp/factory.js'
import { exitSpends, exitTransactions } from '../exit/index.js'
import type { ForwardedFee, HostChannel } from '../host/port.js'
import type { Context } from '../machine/index.js'
import { exitSteps } from '../tree/index.js'
import type { Spend } from '../tree/types.js'
import {
  msat,
  participantIndex,
  sat,
  sumSat,
  toMsat,
  type InstanceId,
  type Msat,
  type NodeId,
  type Sat,
} from '../units/index.js'
import type { Phase } from './api.js'
import type { Machine } from './machine.js'
import { phaseOf } from './views.js'

export interface ClientEconomics extends Cover {
  readonly capacity: Sat
  readonly level: CoverLevel
  /** What leaving alone costs it at today's feerate: a balance below can't leave at a profit. */
  readonly exitFloor: Sat
  /** Routing fees that we earned over its channels; undefined where the host can't tell. */
  readonly routed: Msat | undefined
}

export interface FactoryEconomics {
  readonly instance: InstanceId
  readonly role: 'lsp' | 'client'
  readonly phase: Phase
  /** Paid on chain until now, by whoever funded the factory. */
  readonly paid: {
    /** The funding transaction; undefined where it can't be told. */
    readonly funding: Sat | undefined
    /** Built into transactions of the tree that are in blocks. */
    readonly tree: Sat
    /** By children that we added to them. */
    readonly children: Sat
  }
  readonly routed: Msat | undefined
  /** All clients (LSP), or this one. */
  readonly clients: readonly ClientEconomics[]
}

export interface EconomicsInput {
  readonly self: NodeId
  readonly channels: readonly HostChannel[]
  readonly forwards: readonly ForwardedFee[] | undefined
  /** sat per 1000 vB. */
  readonly feerate: number
  /** Fees of the children that were made for this factory's transactions. */
  readonly children: readonly Sat[]
}

/** Balances and what they are worth without the LSP; nothing for a factory whose channels do not exist yet, or not any more. */
export function coversOf(
  machine: Machine,
  self: NodeId,
  channels: readonly HostChannel[],
  context: Context,
): readonly Cover[] {
  const phase = phaseOf(machine)
  if (phase !== 'active' && phase !== 'confirming') return []
  if (machine.role === 'lsp') {
    const { clients, params } = machine.state
    return clients.flatMap((client) => {
      const channel = channels.find((c) => c.channelId === client.channelId)
      if (channel === undefined) return []
      const all = toMsat(client.capacity)
      const balance = msat(channel.ours < all ? all - channel.ours : 0n)
      // Distributions pay no client less than this; what the tree saves in fees comes on top.
      return [{ id: client.id, balance, coverage: sat(client.capacity + params.stockPerClient) }]
    })
  }
  const { state } = machine
  if (!('channelId' in state) || !('salt' in state)) return []
  const channel = channels.find((c) => c.channelId === state.channelId)
  if (channel === undefined) return []
  return [{ id: self, balance: channel.ours, coverage: storedPath(state, context).coverage }]
}

export function economicsOf(machine: Machine, context: Context, input: EconomicsInput): FactoryEconomics {
  const { channels, forwards, feerate, self } = input
  const ids = channelIds(machine, self)
  const covers = coversOf(machine, self, channels, context)
  return {
    instance: machine.state.instance,
    role: machine.role,
    phase: phaseOf(machine),
    paid: {
      funding: machine.role === 'lsp' && 'funding' in machine.state ? feeOf(machine.state.funding?.psbt) : undefined,
      tree: treeFees(machine, context),
      children: sumSat(input.children),
    },
    routed: forwards && routedOver(forwards, new Set(ids.values())),
    clients: covers.map((cover) => {
      const channelId = ids.get(cover.id)
      return {
        ...cover,
        capacity: channels.find((c) => c.channelId === channelId)?.capacity ?? sat(0),
        level: coverLevel(cover),
        exitFloor: exitFloor(pathFees(machine, context, cover.id), feerate),
        routed: forwards && channelId !== undefined ? routedOver(forwards, new Set([channelId])) : undefined,
      }
    }),
  }
}

const feeOf = (psbt: string | undefined): Sat | undefined => (psbt === undefined ? undefined : fundingFee(psbt))

function channelIds(machine: Machine, self: NodeId): Map<NodeId, string> {
  if (machine.role === 'lsp')
    return new Map(
      machine.state.clients.flatMap((c) => (c.channelId === undefined ? [] : [[c.id, c.channelId] as const])),
    )
  const { state } = machine
  return new Map('channelId' in state && state.channelId !== undefined ? [[self, state.channelId]] : [])
}

/** A forward between two of these channels counts once. */
function routedOver(forwards: readonly ForwardedFee[], channels: ReadonlySet<string>): Msat {
  const ours = forwards.filter((f) => channels.has(f.outChannelId) || channels.has(f.inChannelId))
  return msat(ours.reduce((sum, f) => sum + f.fee, 0n))
}

/** The tree's transactions that this node holds, or one client's way to the chain. */
function spendsOf({ state }: Machine, context: Context): readonly Spend[] {
  if (state.role === 'client')
    return 'channelId' in state && 'salt' in state ? exitSpends(storedPath(state, context)) : []
  if (!('funding' in state) || state.funding === undefined) return []
  return exitTransactions(treeOf({ ...state, funding: state.funding }, context))
}

function treeFees(machine: Machine, context: Context): Sat {
  const { seen } = machine.state
  if (Object.keys(seen).length === 0) return sat(0)
  return sumSat(spendsOf(machine, context).flatMap((s) => (seen[s.tx.txid] === undefined ? [] : [s.fee])))
}

function pathFees(machine: Machine, context: Context, id: NodeId): readonly FixedFee[] {
  if (machine.role === 'client') return spendsOf(machine, context)
  const { clients, params } = machine.state
  return exitSteps(params, clients.length, participantIndex(clients.findIndex((c) => c.id === id) + 1))
}
