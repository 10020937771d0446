/** Which channels are a factory's, and whether HTLCs may enter them. */
import type { HostChannel } from '../host/port.js'
import { isLeaving } from '../assist/index.js'
import { fromWire } from '../ceremony/terms.js'
import { boughtAs, soldAs } from '../liquidity/gate.js'
import { warningAt } from '../liquidity/chain.js'
import { blockHeight, type NodeId } from '../units/index.js'
import { clientChannels, clientIsMoving, lspIsMoving } from '../turnover/index.js'
import type { GatedChannel } from './api.js'
import type { Machine } from './machine.js'

/** The gate of the factory channel `channelId`, if one of `machines` has it. */
export function gateOf(machines: Iterable<Machine>, channelId: string): GatedChannel | undefined {
  for (const machine of machines) if (holds(machine, channelId)) return gate(machine, channelId)
  return undefined
}

const holds = (machine: Machine, channelId: string): boolean =>
  machine.role === 'lsp'
    ? machine.state.clients.some((c) => c.channelId === channelId) || soldAs(machine.state, channelId) !== undefined
    : ('channelId' in machine.state && machine.state.channelId === channelId) ||
      boughtAs(machine.state, channelId) !== undefined

/** Of an LSP: the other factory channels with the client whose channel this is, those of the youngest factory first. */
export function channelsBeside(machines: Iterable<Machine>, channelId: string): string[] {
  const ours = [...machines].flatMap((m) => (m.role === 'lsp' ? [m.state] : []))
  const owner = ours.flatMap((s) => s.clients.filter((_, i) => clientChannels(s, i).includes(channelId)))[0]?.id
  if (owner === undefined) return []
  return ours
    .filter((s) => s.stage === 'active')
    .sort((a, b) => b.expiry - a.expiry)
    .flatMap((s) => s.clients.flatMap((c, i) => (c.id === owner ? clientChannels(s, i) : [])))
    .filter((id) => id !== channelId)
}

/** For a channel that may be one of this machine's, and is not known to be. */
export const shutGate = (machine: Machine): GatedChannel => ({ ...gate(machine, ''), gate: 'shut' })

function gate(machine: Machine, channelId: string): GatedChannel {
  const sold = machine.role === 'lsp' ? soldAs(machine.state, channelId) : boughtAs(machine.state, channelId)
  const open = machine.state.stage === 'active' && sold?.open !== false ? 'open' : 'shut'
  if (machine.role === 'lsp') {
    const { instance, earlyWarning, expiry, params, clients, exit, assists } = machine.state
    const moving = clients.some(
      (c, i) => (c.channelId === channelId || sold?.buyer === i + 1) && lspIsMoving(machine.state, i),
    )
    const gone = [...(exit?.clients ?? []), ...assists.filter(isLeaving).map((a) => a.client)]
    const leaving = gone.some((i) => clients[i]?.channelId === channelId || sold?.buyer === i + 1)
    return {
      instance,
      role: 'lsp',
      gate: leaving || moving ? 'shut' : open,
      earlyWarning: warningAt(earlyWarning, params.confirmationMargin, sold?.depth ?? 0),
      expiry,
      confirmationMargin: params.confirmationMargin,
    }
  }
  const { instance, invite, assist } = machine.state
  return {
    instance,
    role: 'client',
    gate: clientIsMoving(machine.state) || assist !== undefined ? 'shut' : open,
    earlyWarning: warningAt(invite.earlyWarning, invite.params.confirmationMargin, sold?.depth ?? 0),
    expiry: blockHeight(invite.expiry),
    confirmationMargin: fromWire(invite.params).confirmationMargin,
  }
}

/**
 * A channel with a peer of a ceremony whose funding is not on chain may be one that no factory backs: zero-conf was granted to its
 * LSP, or it was opened and the ceremony given up. It takes no HTLC unless an active factory holds it (invariant 6).
 */
export class Unbacked {
  #ordinary = new Set<string>()

  /** Look at the host's channels again. */
  update(channels: readonly HostChannel[], grantedTo: ReadonlySet<NodeId>): void {
    this.#ordinary = new Set(channels.filter((c) => c.onChain || !grantedTo.has(c.peer)).map((c) => c.channelId))
  }

  /** Known not to depend on a factory. */
  isOrdinary(channelId: string): boolean {
    return this.#ordinary.has(channelId)
  }
}

/** By peer, the machines through which a channel without confirmations may have come to be, ever. */
export const granted = (machines: Iterable<Machine>): Map<NodeId, Machine> => {
  const result = new Map<NodeId, Machine>()
  for (const machine of machines) {
    if (machine.role === 'lsp') {
      // Between the host's work and its answer the channel is there, and this machine does not know which it is.
      const { clients } = machine.state
      if (clients.every((c) => c.stored))
        for (const c of clients) if (c.channelId === undefined) result.set(c.id, machine)
      continue
    }
    const { state } = machine
    const before = state.stage === 'invited' || state.stage === 'joining' || state.stage === 'refused'
    if (before || (state.stage === 'accepted' && !state.opened)) continue
    result.set(state.lsp, machine)
  }
  return result
}
