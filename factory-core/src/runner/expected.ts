/** Which HTLCs that pay us a machine waits for: they are held for it, and never reach the rules for ordinary ones. */
import type { ReceivedHtlc } from '../host/port.js'
import type { Machine } from './machine.js'

/** One per protocol that moves money by hash. */
const RULES: readonly ((machine: Machine, htlc: ReceivedHtlc) => boolean)[] = []

export const expectsHtlc = (machine: Machine, htlc: ReceivedHtlc): boolean => RULES.some((rule) => rule(machine, htlc))
