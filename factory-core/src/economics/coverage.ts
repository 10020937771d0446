/**
 * What a client's balance is worth if the LSP does nothing until the expiry: the least that any distribution pays it, its coverage. A
 * balance can outgrow it, because distributions are signed when the factory is made and balances move after that.
 */
import { toMsat, type Msat, type NodeId, type Sat } from '../units/index.js'

export interface Cover {
  readonly id: NodeId
  /** In all channels of the factory. */
  readonly balance: Msat
  readonly coverage: Sat
}

/** `near`: at 90 % of the coverage or more. `over`: the balance is more than the distributions pay. */
export type CoverLevel = 'covered' | 'near' | 'over'

/** Of its coverage that a balance may be before anything is said. */
export const WARN_PERCENT = 90n

export function coverLevel({ balance, coverage }: Cover): CoverLevel {
  const paid = toMsat(coverage)
  if (balance > paid) return 'over'
  return balance * 100n >= paid * WARN_PERCENT ? 'near' : 'covered'
}

const share = ({ balance, coverage }: Cover): string => (coverage === 0n ? 'all' : `${balance / 10n / coverage} %`)

/** For the client's operator; undefined when there is nothing to say. */
export function clientNotice(cover: Cover): string | undefined {
  const level = coverLevel(cover)
  if (level === 'covered') return undefined
  const { balance, coverage } = cover
  const what = `the balance of ${balance} msat is ${share(cover)} of the ${coverage} sat that the distributions pay if the LSP does nothing`
  return level === 'near'
    ? `${what} until the expiry: keep it from growing, or move before the expiry`
    : `${what} until the expiry: leave or move before the early warning time, or lose the rest`
}

/** For the LSP's operator. */
export function lspNotice(covers: readonly Cover[]): string | undefined {
  const near = covers.filter((c) => coverLevel(c) !== 'covered')
  if (near.length === 0) return undefined
  const over = near.filter((c) => coverLevel(c) === 'over').length
  return (
    `${near.length} of ${covers.length} clients hold 90 % or more of what the distributions pay them` +
    `${over === 0 ? '' : `, ${over} of them more than all`}: factory-economics names them`
  )
}
