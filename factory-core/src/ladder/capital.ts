/** Our own money in factories: what is locked, and what another factory would lock. */
import { planTree } from '../tree/index.js'
import { floorSat, sat, sumSat, type Sat } from '../units/index.js'
import type { LadderConfig } from './config.js'
import type { LadderFactory } from './types.js'

/** Ours in `factory`: its funding without its clients' balances. */
export function locked(factory: LadderFactory): Sat {
  const theirs = sumSat(factory.residents.map((r) => floorSat(r.balance)))
  return sat(theirs < factory.fundingAmount ? factory.fundingAmount - theirs : 0n)
}

export const lockedIn = (factories: readonly LadderFactory[]): Sat => sumSat(factories.map(locked))

/** What a factory with these channels takes from our wallet, before fees. */
export const fundingFor = (config: LadderConfig, clients: readonly { readonly capacity: Sat }[]): Sat =>
  clients.length === 0
    ? sat(0)
    : planTree({ params: config.params, capacities: clients.map((c) => c.capacity) }).fundingAmount

/** As many of `clients`, from the first on, as `available` can fund. */
export function affordable<T extends { readonly capacity: Sat }>(
  config: LadderConfig,
  clients: readonly T[],
  available: bigint,
): readonly T[] {
  let count = clients.length
  while (count > 0 && fundingFor(config, clients.slice(0, count)) > available) count -= 1
  return clients.slice(0, count)
}
