/** The terms of an invitation: between wire and tree, and whether a client may take them at all. */
import { FactoryError, type Invite, type WireTreeParams } from '@ln-factory/tlv'
import type { Context } from '../machine/index.js'
import type { Policy } from '../runner/api.js'
import { checkParams, earlyWarning } from '../tree/index.js'
import type { TreeParams } from '../tree/types.js'
import { blocks, sat, type BlockHeight } from '../units/index.js'

/** Blocks that a factory must live beyond its early warning time, so that it is of any use. */
export const MIN_USE = 144

export const toWire = (p: TreeParams): WireTreeParams => ({ ...p })

export function fromWire(p: WireTreeParams): TreeParams {
  return {
    arity: p.arity,
    fanout: p.fanout,
    states: p.states,
    step: blocks(p.step),
    confirmationMargin: blocks(p.confirmationMargin),
    safetyMargin: blocks(p.safetyMargin),
    stockCsv: blocks(p.stockCsv),
    stockPerClient: sat(p.stockPerClient),
    feerate: p.feerate,
  }
}

/**
 * What no policy can allow: terms that contradict themselves or can't work.
 * @throws FactoryError `bad_proposal`, or what `checkParams` throws
 */
export function checkTerms(invite: Invite, { height, maxPush }: Pick<Context, 'height' | 'maxPush'>): void {
  const params = fromWire(invite.params)
  checkParams(params)
  if (invite.clients < 1) throw new FactoryError('bad_proposal', 'the LSP invites to a factory without clients')
  const w = earlyWarning(params, invite.clients)
  if (invite.earlyWarning !== w)
    throw new FactoryError('bad_proposal', `early warning of ${invite.earlyWarning} blocks, but the tree needs ${w}`)
  if (invite.expiry < height + w + MIN_USE)
    throw new FactoryError(
      'bad_proposal',
      `expiry ${invite.expiry} leaves less than W + ${MIN_USE} blocks from height ${height}`,
    )
  if (invite.push > invite.capacity * 1000n)
    throw new FactoryError('bad_proposal', `push of ${invite.push} msat exceeds the capacity of ${invite.capacity} sat`)
  if (invite.push > maxPush)
    throw new FactoryError(
      'policy_refused',
      `a push of ${invite.push} msat is more than the ${maxPush} msat that this node survives; pay it after the start`,
    )
}

/**
 * What this client's operator allows.
 * @throws FactoryError `policy_refused`; the text goes to the LSP
 */
export function checkPolicy(invite: Invite, policy: Policy, height: BlockHeight): void {
  const refuse = (text: string): never => {
    throw new FactoryError(
      'policy_refused',
      text,
      'Ask the LSP for other terms, or change the limits with factory-policy.',
    )
  }
  if (invite.capacity < policy.minCapacity)
    refuse(`capacity ${invite.capacity} sat is under my minimum of ${policy.minCapacity} sat`)
  if (invite.capacity > policy.maxCapacity)
    refuse(`capacity ${invite.capacity} sat is over my maximum of ${policy.maxCapacity} sat`)
  const lifetime = invite.expiry - height
  if (lifetime < policy.minLifetime)
    refuse(`a lifetime of ${lifetime} blocks is under my minimum of ${policy.minLifetime}`)
  if (lifetime > policy.maxLifetime)
    refuse(`a lifetime of ${lifetime} blocks is over my maximum of ${policy.maxLifetime}`)
  if (invite.earlyWarning > policy.maxEarlyWarning)
    refuse(`early warning of ${invite.earlyWarning} blocks is over my maximum of ${policy.maxEarlyWarning}`)
  if (invite.clients > policy.maxClients)
    refuse(`${invite.clients} clients are over my maximum of ${policy.maxClients}`)
  if (invite.params.feerate > policy.maxFeerate)
    refuse(`a built-in feerate of ${invite.params.feerate} sat/kvB is over my maximum of ${policy.maxFeerate}`)
}
