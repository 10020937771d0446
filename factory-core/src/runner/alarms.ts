/** What keeps transactions from confirming in time: shown with the factory, and logged once each time that it changes. */
import type { Host } from '../host/port.js'
import type { InstanceId, Txid } from '../units/index.js'
import type { Children, Owner } from './children.js'

export class Alarms {
  readonly #open = new Map<InstanceId, Map<Txid, string>>()

  constructor(
    readonly host: Pick<Host, 'log'>,
    readonly children: Children,
  ) {}

  raise(owner: Owner, txid: Txid, text: string): void {
    const alarms = this.#open.get(owner.instance) ?? new Map<Txid, string>()
    if (alarms.get(txid) === text) return
    this.#open.set(owner.instance, alarms.set(txid, text))
    this.host.log('error', `factory ${owner.instance}: transaction ${txid}: ${text}`)
    this.children.log(owner, 'warning', `${txid}: ${text}`)
  }

  clear({ instance }: Owner, txid: Txid): void {
    const alarms = this.#open.get(instance)
    if (alarms?.delete(txid) === true && alarms.size === 0) this.#open.delete(instance)
  }

  /** The first, and how many more there are. */
  of(instance: InstanceId): string | undefined {
    const alarms = [...(this.#open.get(instance) ?? [])]
    const [first] = alarms
    if (first === undefined) return undefined
    const more = alarms.length > 1 ? ` (${alarms.length - 1} more transactions wait too)` : ''
    return `Transaction ${first[0]}: ${first[1]}${more}`
  }
}
