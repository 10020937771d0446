/** What the rules of the change have in common: forms of messages, amounts, and how to say no. */
import { FactoryError } from '@ln-factory/tlv'
import { msat, outPointKey, sat, type Msat, type OutPoint, type Sat, type Txid } from '../units/index.js'
import type { Balances, ChangeBase, ChangeEffect, ChangeMessage, ChangeState, ChangeStep, Share } from './types.js'

export const stay = (state: ChangeState, ...effects: ChangeEffect[]): ChangeStep => ({ state, effects })

export const idle = (state: ChangeState, change: Partial<ChangeBase> = {}): ChangeState => ({
  ...baseOf(state),
  ...change,
  stage: 'idle',
})

export function baseOf(state: ChangeState): ChangeBase {
  const { v, channelId, funding, fundingPubkey, capacity, ready, shutdown, locked } = state
  return { v, channelId, funding, fundingPubkey, capacity, ready, shutdown, locked }
}

/**
 * Where the draft leaves a choice we close the connection: a failed channel costs its owners the chain. What was
 * negotiated is forgotten by the disconnection that follows.
 */
export const warn = (state: ChangeState, reason: string): ChangeStep => stay(state, { do: 'warn', reason })

/** The factory asked for what the draft forbids: its fault, so it is told, and nothing happens. */
export const misuse = (reason: string): FactoryError => new FactoryError('wrong_state', reason)

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))
const idOf = (txid: Txid): Uint8Array => bytes(txid).reverse()
export const txidOf = (wire: Uint8Array): Txid => Buffer.from(wire).reverse().toString('hex') as Txid
export const sameOutPoint = (a: OutPoint, b: OutPoint): boolean => outPointKey(a) === outPointKey(b)

export const changeMessage = (
  kind: 'factory_change_init' | 'factory_change_ack',
  state: ChangeState,
  share: Share,
  payload: Uint8Array | undefined,
): ChangeMessage => ({ kind, payload, channelId: bytes(state.channelId), ...share })

export const fundingMessage = (
  kind: 'factory_change_funding' | 'factory_change_continue',
  state: ChangeState,
  { txid, vout }: OutPoint,
): ChangeMessage => ({ kind, channelId: bytes(state.channelId), fundingTxid: idOf(txid), fundingVout: vout })

export const channelIdOf = (message: ChangeMessage): string => Buffer.from(message.channelId).toString('hex')

export const lockedMessage = (state: ChangeState, txid: Txid): ChangeMessage => ({
  kind: 'factory_change_locked',
  channelId: bytes(state.channelId),
  fundingTxid: idOf(txid),
})

/** A contribution below 0 may take what its side has, and no more. */
export const isCovered = (contribution: bigint, balance: Msat): boolean =>
  contribution >= 0n || -contribution * 1000n <= balance

/** @throws FactoryError `bad_amount` when a sum is no amount of bitcoin */
export const balancesAfter = (before: Balances, ours: Share, theirs: Share): Balances => ({
  ours: msat(before.ours + ours.contribution * 1000n),
  theirs: msat(before.theirs + theirs.contribution * 1000n),
})

/** @throws FactoryError `bad_amount` */
export const capacityAfter = (before: Sat, ours: Share, theirs: Share): Sat =>
  sat(before + ours.contribution + theirs.contribution)
