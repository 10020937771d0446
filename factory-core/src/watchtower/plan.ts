/** What is to be done about one response, given what the chain shows. */
import { outPointKey, type BlockHeight, type OutPoint, type Txid } from '../units/index.js'
import type { ReadyResponse, Trigger } from './format.js'

/** What was found of what is watched; `ChainFollower` offers it. */
export interface ChainView {
  readonly height: BlockHeight
  confirmedAt(txid: Txid): BlockHeight | undefined
  spentBy(outpoint: OutPoint): { readonly by: Txid } | undefined
}

export type Plan =
  | { readonly do: 'wait' }
  | { readonly do: 'send'; readonly txid: Txid; readonly raw: Uint8Array }
  /** Another transaction, in a block, spends what one of ours spends. */
  | { readonly do: 'give up'; readonly txid: Txid; readonly by: Txid }
  /** All are in blocks. */
  | { readonly do: 'nothing more' }

const WAIT: Plan = { do: 'wait' }
const BIP68_DISABLED = 0x80000000
const BIP68_SECONDS = 0x400000
const LOCKTIME_SECONDS = 500_000_000

export function planResponse(response: ReadyResponse, chain: ChainView): Plan {
  if (!isTriggered(response.trigger, chain)) return WAIT
  for (const { raw, tx } of response.transactions) {
    if (chain.confirmedAt(tx.txid) !== undefined) continue
    for (const { outpoint } of tx.inputs) {
      const spend = chain.spentBy(outpoint)
      if (spend !== undefined && spend.by !== tx.txid) return { do: 'give up', txid: tx.txid, by: spend.by }
    }
    // A lock in seconds is the mempool's to check: it refuses what is early, and it is sent again.
    if (tx.lockTime < LOCKTIME_SECONDS && tx.lockTime > chain.height) return WAIT
    const early = tx.inputs.some(({ outpoint, sequence }) => {
      const parent = chain.confirmedAt(outpoint.txid)
      return parent !== undefined && chain.height < parent + delayOf(sequence) - 1
    })
    return early ? WAIT : { do: 'send', txid: tx.txid, raw }
  }
  return { do: 'nothing more' }
}

function isTriggered(trigger: Trigger, chain: ChainView): boolean {
  switch (trigger.when) {
    case 'height':
      return chain.height >= trigger.height
    case 'confirmed':
      return chain.confirmedAt(trigger.txid) !== undefined
    case 'spent': {
      const spend = chain.spentBy(trigger.outpoint)
      return spend !== undefined && (trigger.by === undefined || trigger.by === spend.by)
    }
  }
}

/** Blocks of a BIP-68 relative lock. */
const delayOf = (sequence: number): number =>
  (sequence & BIP68_DISABLED) !== 0 || (sequence & BIP68_SECONDS) !== 0 ? 0 : sequence & 0xffff

/** What must be watched to plan a response, each once. */
export function watchedBy(response: ReadyResponse): (Txid | OutPoint)[] {
  const found = new Map<string, Txid | OutPoint>()
  const watch = (what: Txid | OutPoint): void =>
    void found.set(typeof what === 'string' ? what : outPointKey(what), what)
  if (response.trigger.when === 'confirmed') watch(response.trigger.txid)
  if (response.trigger.when === 'spent') watch(response.trigger.outpoint)
  for (const { tx } of response.transactions) {
    watch(tx.txid)
    for (const { outpoint } of tx.inputs) {
      watch(outpoint)
      watch(outpoint.txid)
    }
  }
  return [...found.values()]
}
