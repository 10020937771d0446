/**
 * When a channel must go on chain because of its HTLCs: W blocks earlier than an ordinary one, because the path has to
 * confirm first.
 */
import type { HostChannel, PendingHtlc } from '../host/port.js'
import type { BlockHeight, Blocks } from '../units/index.js'
import { CLAIM_BLOCKS } from './margins.js'

/**
 * An HTLC that we offered must be timed out on chain at its expiry; one that we have fulfilled must be claimed `CLAIM_BLOCKS`
 * before it. An incoming one that nobody has answered is not ours to claim.
 */
export function isDue(htlc: PendingHtlc, height: BlockHeight, earlyWarning: Blocks): boolean {
  if (htlc.direction === 'out') return height + earlyWarning >= htlc.expiry
  return htlc.answered && height + earlyWarning + CLAIM_BLOCKS >= htlc.expiry
}

export const mustExit = (channel: HostChannel, height: BlockHeight, earlyWarning: Blocks): boolean =>
  channel.htlcs.some((htlc) => isDue(htlc, height, earlyWarning))
