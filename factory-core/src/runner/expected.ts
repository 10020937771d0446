/** Which HTLCs that pay us a machine waits for: they are held for it, and never reach the rules for ordinary ones. */
import { expectsAssistHtlc } from '../assist/index.js'
import type { ReceivedHtlc } from '../host/port.js'
import { paysForSale } from '../liquidity/gate.js'
import { clientExpects, lspExpects } from '../turnover/index.js'
import type { InstanceId } from '../units/index.js'
import type { Machine } from './machine.js'

/** `machines`: all of this node, for what moves from one factory to another. */
export function expectsHtlc(
  machine: Machine,
  htlc: ReceivedHtlc,
  machines: { get(instance: InstanceId): Machine | undefined },
): boolean {
  if (machine.role === 'lsp')
    return [lspExpects, paysForSale, expectsAssistHtlc].some((rule) => rule(machine.state, htlc))
  return clientExpects(machine.state, htlc, (to) => {
    const other = machines.get(to)
    return other?.role === 'client' && 'channelId' in other.state ? other.state.channelId : undefined
  })
}
