/** The operator's consent policy, kept in the store so that a change at run time survives a restart. */
import { decodeState, encodeState, type FactoryStore } from '../store/index.js'
import { blocks, msat, sat } from '../units/index.js'
import type { Policy } from './api.js'

export const defaultPolicy: Policy = {
  autoAccept: [],
  minCapacity: sat(10_000),
  maxCapacity: sat(100_000_000),
  minLifetime: blocks(144),
  maxLifetime: blocks(52_560),
  maxEarlyWarning: blocks(600),
  maxClients: 1000,
  maxFeerate: 20_000,
  minDepth: 3,
  sales: {
    sells: false,
    base: msat(0),
    rate: msat(0),
    min: sat(10_000),
    max: sat(100_000_000),
    deny: [],
    unaskedPrice: msat(0),
  },
}

const KEY = 'policy'

export const loadPolicy = (store: FactoryStore, initial: Policy): Policy => {
  const stored = store.setting(KEY)
  return stored === undefined ? initial : { ...initial, ...(decodeState(stored) as Partial<Policy>) }
}

export const savePolicy = (store: FactoryStore, policy: Policy): void => {
  store.setSetting(KEY, encodeState(policy))
}
