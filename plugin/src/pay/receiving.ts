/** Which channels an invoice can be paid over, and until when. Pure. */
import { finalCltvDelta, latestExpiry } from '@ln-factory/core/htlc'
import type { GatedChannel } from '@ln-factory/core/runner'
import { blocks, type BlockHeight, type Blocks, type Msat } from '@ln-factory/core/units'
import { FactoryError } from '@ln-factory/tlv'
import type { OwnChannel } from './channels.js'

export interface ReceivePlan {
  /** `min_final_cltv_expiry_delta`: fits every channel of the plan. */
  readonly cltv: Blocks
  /** Aliases that the route hints must name. */
  readonly hints: readonly string[]
  /** Last block at which the payment may arrive over every channel of the plan. */
  readonly lastHeight: number
}

type FactoryChannel = OwnChannel & { readonly gate: GatedChannel; readonly remoteAlias: string }

const inFactory = (c: OwnChannel): c is OwnChannel & { readonly gate: GatedChannel } => c.gate !== undefined

/** Blocks that must be left for the payer: an invoice that runs out in the next blocks would only fail. */
const TIME_TO_PAY = 6

const planOver = (channels: readonly FactoryChannel[]): ReceivePlan => {
  // One delta for all channels, so the largest W sets it; the earliest expiry sets the end.
  const cltv = finalCltvDelta(blocks(Math.max(...channels.map(({ gate }) => gate.earlyWarning))))
  const ends = channels.map(({ gate }) => latestExpiry(gate.expiry, gate.earlyWarning, gate.confirmationMargin))
  return { cltv, hints: channels.map((c) => c.remoteAlias), lastHeight: Math.min(...ends) - cltv }
}

const none = (what: string, hint: string): FactoryError =>
  new FactoryError('wrong_state', `can't receive: ${what}`, hint)

/**
 * One channel is enough whenever one can take the amount: payers rarely split well over hints (a hint tells no capacity). Else all
 * of them.
 * @param wanted undefined for an invoice of any amount
 * @throws FactoryError `wrong_state` when no factory channel can receive, with the reason
 */
export function planReceive(
  channels: readonly OwnChannel[],
  wanted: Msat | undefined,
  height: BlockHeight,
): ReceivePlan {
  const ours = channels.filter(inFactory)
  if (ours.length === 0)
    throw none('this node has no channel in a factory', 'lightning-cli invoice is for other channels')
  const open = ours.filter(({ gate }) => gate.gate === 'open')
  if (open.length === 0) throw none("the factory's funding is not confirmed yet, or it is being closed", 'factory-list')
  const named = open.filter((c): c is FactoryChannel => c.usable && c.remoteAlias !== undefined)
  if (named.length === 0) throw none('the LSP is not connected', 'lightning-cli connect')
  const lasting = named.filter((c) => planOver([c]).lastHeight >= height + TIME_TO_PAY)
  if (lasting.length === 0) {
    throw none('the factory expires too soon for any payment to be enforced', 'the LSP must move you to a new factory')
  }
  const able = lasting.filter((c) => c.receivable > 0n)
  const largest = able.reduce<FactoryChannel | undefined>(
    (a, b) => (a !== undefined && a.receivable >= b.receivable ? a : b),
    undefined,
  )
  if (largest === undefined)
    throw none('the LSP has nothing on its side of the channels', 'spend first, or buy liquidity')
  if (wanted === undefined) return planOver([largest])
  const single = able.filter((c) => c.receivable >= wanted)
  if (single.length > 0) {
    // Any of them will do: all, unless their one delta does not fit the one that expires first; then the one that lasts longest.
    const plans = [planOver(single), ...single.map((c) => planOver([c])).sort((a, b) => b.lastHeight - a.lastHeight)]
    const plan = plans.find((p) => p.lastHeight >= height + TIME_TO_PAY)
    if (plan !== undefined) return plan
  }
  const total = able.reduce((sum, c) => sum + c.receivable, 0n)
  if (total < wanted) throw none(`${wanted} msat are wanted, and ${total} msat are the most that fit`, 'ask for less')
  const plan = planOver(able)
  // Together they have one delta: the largest may not fit the one that expires first.
  if (plan.lastHeight >= height + TIME_TO_PAY) return plan
  throw none('the channels that are needed expire at different times, one of them too soon', 'ask for less')
}
