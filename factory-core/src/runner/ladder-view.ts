/** The node's factories as the ladder's schedule sees them. */
import type { HostChannel } from '../host/port.js'
import type { LadderFactory, Resident } from '../ladder/index.js'
import { msat, toMsat, type InstanceId } from '../units/index.js'
import type { Machine } from './machine.js'
import { phaseOf } from './views.js'

type LspMachine = Extract<Machine, { role: 'lsp' }>

/** Factories of which we are the LSP and that are not over. */
export function ladderFactories(
  machines: Iterable<Machine>,
  channels: readonly HostChannel[],
  rotating: ReadonlySet<InstanceId>,
): LadderFactory[] {
  const byId = new Map(channels.map((c) => [c.channelId, c]))
  return [...machines].flatMap((machine) => {
    if (machine.role !== 'lsp') return []
    const phase = ladderPhase(machine)
    if (phase === undefined) return []
    const { instance, expiry, earlyWarning, params, createdAt, fundingAmount } = machine.state
    return [
      {
        instance,
        phase,
        expiry,
        earlyWarning,
        confirmationMargin: params.confirmationMargin,
        createdAt,
        fundingAmount,
        places: machine.state.clients.length,
        residents: residents(machine, byId),
        reapable: true,
        rotating: rotating.has(instance),
      },
    ]
  })
}

function ladderPhase(machine: LspMachine): LadderFactory['phase'] | undefined {
  switch (phaseOf(machine)) {
    case 'forming':
    case 'confirming':
      return 'building'
    case 'active':
      return 'open'
    case 'closing':
    case 'exiting':
      return 'leaving'
    default:
      return undefined
  }
}

function residents({ state }: LspMachine, channels: ReadonlyMap<string, HostChannel>): Resident[] {
  return state.clients.flatMap((client, i) => {
    if (state.exit?.clients.includes(i) === true) return []
    const channel = client.channelId === undefined ? undefined : channels.get(client.channelId)
    const all = toMsat(client.capacity)
    const balance = channel === undefined || channel.ours > all ? msat(0) : msat(all - channel.ours)
    return [{ id: client.id, capacity: client.capacity, balance, underway: false }]
  })
}
