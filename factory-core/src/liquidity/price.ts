/** What an LSP asks for liquidity: a base, and a rent for the time that its coins are bound. */
import { FactoryError } from '@ln-factory/tlv'
import type { SalePolicy } from '../runner/api.js'
import { msat, type Msat, type NodeId, type Sat } from '../units/index.js'

const SAT_UNIT = 1_000_000n
const BLOCK_UNIT = 1000n

/** Rounded up. @param remaining blocks to the expiry */
export function priceOf({ base, rate }: SalePolicy, capacity: Sat, remaining: number): Msat {
  const unit = SAT_UNIT * BLOCK_UNIT
  return msat(base + (capacity * rate * BigInt(Math.max(0, remaining)) + unit - 1n) / unit)
}

/** @throws FactoryError `policy_refused`; the text goes to the client */
export function checkSale(policy: SalePolicy, buyer: NodeId, capacity: Sat): void {
  const refuse = (text: string): never => {
    throw new FactoryError('policy_refused', text, 'ask the LSP for other terms')
  }
  if (!policy.sells) refuse('this LSP sells no liquidity')
  if (policy.deny.includes(buyer)) refuse('this LSP sells no liquidity to this client')
  if (capacity < policy.min) refuse(`${capacity} sat is under the LSP's minimum of ${policy.min} sat`)
  if (capacity > policy.max) refuse(`${capacity} sat is over the LSP's maximum of ${policy.max} sat`)
}
