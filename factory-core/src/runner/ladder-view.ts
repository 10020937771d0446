/** The node's factories as the ladder's schedule sees them. */
import type { HostChannel } from '../host/port.js'
import type { LadderFactory, Resident } from '../ladder/index.js'
import { hasLeft, roomFor } from '../turnover/index.js'
import { msat, toMsat, type InstanceId } from '../units/index.js'
import type { Machine } from './machine.js'
import { phaseOf } from './views.js'

type LspMachine = Extract<Machine, { role: 'lsp' }>

/** Factories of which we are the LSP and that are not over. */
export function ladderFactories(
  machines: ReadonlyMap<InstanceId, Machine>,
  channels: readonly HostChannel[],
  rotating: ReadonlySet<InstanceId>,
): LadderFactory[] {
  const byId = new Map(channels.map((c) => [c.channelId, c]))
  return [...machines.values()].flatMap((machine) => {
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
        residents: residents(machine, machines, byId),
        reapable: isReapable(machine),
        rotating: rotating.has(instance) || targets(machine, machines).some((t) => ladderPhase(t) === 'building'),
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

/** The factories that its clients were ordered to, as far as they are there. */
function targets({ state }: LspMachine, machines: ReadonlyMap<InstanceId, Machine>): LspMachine[] {
  return (state.rotation?.targets ?? []).flatMap((target) => {
    const machine = machines.get(target)
    return machine?.role === 'lsp' ? [machine] : []
  })
}

/** One signature takes it back when all keys are ours and nothing of its tree is on chain. */
const isReapable = ({ state }: LspMachine): boolean =>
  state.exit === undefined &&
  Object.keys(state.seen).length === 0 &&
  !(state.moves ?? []).some((m) => m.stage === 'keyless')

function residents(
  machine: LspMachine,
  machines: ReadonlyMap<InstanceId, Machine>,
  channels: ReadonlyMap<string, HostChannel>,
): Resident[] {
  const { state } = machine
  const next = targets(machine, machines).filter((t) => t.state.stage === 'active' && t.state.exit === undefined)
  return state.clients.flatMap((client, i) => {
    if (state.exit?.clients.includes(i) === true || hasLeft(state, i)) return []
    const channel = client.channelId === undefined ? undefined : channels.get(client.channelId)
    const all = toMsat(client.capacity)
    const balance = channel === undefined || channel.ours > all ? msat(0) : msat(all - channel.ours)
    const underway = next.some((t) => t.state.clients.some((c) => c.id === client.id))
    return [{ id: client.id, capacity: roomFor(client.capacity, balance / 1000n), balance, underway }]
  })
}
