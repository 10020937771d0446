/** Says in the log, once, when a client's balance comes near what it is worth without the LSP. */
import { clientNotice, coverLevel, lspNotice, WARN_PERCENT, type Cover } from '../economics/index.js'
import type { HostChannel } from '../host/port.js'
import type { InstanceId } from '../units/index.js'
import { coversOf } from './economics.js'
import type { Engine } from './engine.js'
import type { Machine } from './machine.js'

/** For this node's operator, undefined when all is well. */
export function coverageNotice(machine: Machine, covers: readonly Cover[]): string | undefined {
  if (machine.role === 'lsp') return lspNotice(covers)
  const [own] = covers
  return own && clientNotice(own)
}

/** To know a client's coverage its path is built anew; it is no less than the channel's capacity, so mostly that need not be. */
function isFar({ role, state }: Machine, channels: readonly HostChannel[]): boolean {
  if (role === 'lsp' || !('channelId' in state)) return false
  const channel = channels.find((c) => c.channelId === state.channelId)
  return channel === undefined || channel.ours * 100n < channel.capacity * 1000n * WARN_PERCENT
}

export class CoverageWatch {
  readonly #told = new Map<InstanceId, string>()

  constructor(private readonly engine: Engine) {}

  look(channels: readonly HostChannel[]): void {
    for (const [instance, machine] of this.engine.machines) {
      try {
        this.#lookAt(instance, machine, channels)
      } catch (error) {
        this.engine.warn(`factory ${instance}: coverage`, error)
      }
    }
  }

  #lookAt(instance: InstanceId, machine: Machine, channels: readonly HostChannel[]): void {
    if (!this.#told.has(instance) && isFar(machine, channels)) return
    const covers = coversOf(machine, this.engine.nodeId, channels, this.engine.context(instance))
    const notice = coverageNotice(machine, covers)
    // The amounts change with every payment; what matters is who has come how far.
    const levels = covers.map((c) => `${c.id} ${coverLevel(c)}`).join()
    if (this.#told.get(instance) === levels) return
    this.#told.set(instance, levels)
    if (notice === undefined) return
    const { deps } = this.engine
    deps.host.log('warn', `factory ${instance}: ${notice}`)
    deps.store.commit({
      instance,
      role: machine.role,
      records: [],
      items: [],
      log: [{ kind: 'warning', text: notice }],
    })
  }
}
