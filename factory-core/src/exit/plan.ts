/**
 * Exit plan as data: which transaction of a path goes out next. Each level confirms before the next is sent (version 3 allows one
 * unconfirmed parent), and a state waits out its nSequence after its kickoff (BIP-68).
 */
import type { ClientPath, Spend } from '../tree/types.js'
import { blockHeight, blocks, type BlockHeight, type Blocks } from '../units/index.js'

/** The transactions from the funding to the channel output, in order. */
export const exitSpends = (path: ClientPath): readonly Spend[] =>
  path.spends.filter((s) => s.role === 'static' || s.role === 'kickoff' || s.role === 'leaf')

export type ExitStep =
  | { readonly do: 'broadcast'; readonly spend: Spend }
  | { readonly do: 'wait'; readonly spend: Spend; readonly until: BlockHeight }
  /** The leaf is confirmed: the channel can be closed. */
  | { readonly do: 'close' }

/**
 * @param seen heights at which transactions were confirmed, by txid
 * @param height tip of the chain
 */
export function nextExitStep(
  path: ClientPath,
  seen: Readonly<Record<string, BlockHeight>>,
  height: BlockHeight,
): ExitStep {
  for (const spend of exitSpends(path)) {
    if (seen[spend.tx.txid] !== undefined) continue
    const until = readyAt(spend, seen[spend.prevout.outpoint.txid])
    return height >= until ? { do: 'broadcast', spend } : { do: 'wait', spend, until }
  }
  return { do: 'close' }
}

/**
 * Height of the tip from which mempools take it: valid in the block at parent + delay, accepted one block before. 0 when it
 * has no relative lock, or a parent that was not seen.
 */
export function readyAt(spend: Spend, parent: BlockHeight | undefined): BlockHeight {
  const delay = relativeDelay(spend)
  return blockHeight(delay === 0 || parent === undefined ? 0 : parent + delay - 1)
}

/** Blocks from now to the channel output on chain, when each transaction takes `margin` blocks to confirm. */
export function exitBlocks(path: ClientPath, margin: Blocks): Blocks {
  return blocks(exitSpends(path).reduce((sum, s) => sum + relativeDelay(s) + margin, 0))
}

/** Blocks of a BIP-68 relative lock; 0 when the sequence has none. */
function relativeDelay(spend: Spend): number {
  const { sequence } = spend.tx
  const disabled = (sequence & 0x80000000) !== 0
  return disabled ? 0 : sequence & 0xffff
}
