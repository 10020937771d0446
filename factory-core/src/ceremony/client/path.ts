/** The client's path, rebuilt from what it agreed to and what it was told; never taken from the wire as it is. */
import { decodePayload, FactoryError, type Propose } from '@ln-factory/tlv'
import type { Context } from '../../machine/index.js'
import { deriveFactoryKey, type SecretKey } from '../../signing/index.js'
import { buildPath, FactoryKeys } from '../../tree/index.js'
import type { ClientPath, PathSpec } from '../../tree/types.js'
import { blockHeight, participantIndex, sat, txid } from '../../units/index.js'
import { fromWire } from '../terms.js'
import { PROPOSAL_ITEM, type ClientBase, type Joined } from './state.js'

export function clientKey(
  state: ClientBase & Joined,
  context: Context,
): { secretKey: SecretKey; publicKey: Uint8Array } {
  return deriveFactoryKey({
    nodeSecret: context.nodeSecret,
    instanceId: state.instance,
    salt: state.salt,
    peerNodeId: state.lsp,
  })
}

/**
 * Invariant 1: every transaction is built here, from the terms of the invitation, our own key and scripts, and the siblings'
 * outputs; the amounts must meet the funding exactly. The keys keep what was aggregated for it: signing needs the same.
 * @throws FactoryError `bad_proposal` saying what does not fit
 */
export function pathOf(
  state: ClientBase & Joined,
  propose: Propose,
  context: Context,
): { readonly path: ClientPath; readonly keys: FactoryKeys } {
  const { invite } = state
  const ours = clientKey(state, context).publicKey
  const bad = (text: string): FactoryError => new FactoryError('bad_proposal', text)
  if (propose.keys.length !== invite.clients + 1)
    throw bad(`${propose.keys.length - 1} clients proposed, but ${invite.clients} were invited`)
  if (propose.clientIndex < 1 || propose.clientIndex > invite.clients)
    throw bad(`no client ${propose.clientIndex} in this factory`)
  const places = propose.keys.flatMap((key, i) => (Buffer.compare(key, ours) === 0 ? [i] : []))
  if (places.length !== 1 || places[0] !== propose.clientIndex)
    throw bad('our key is not at our place, or stands there twice')
  const spec: PathSpec = {
    params: fromWire(invite.params),
    expiry: blockHeight(invite.expiry),
    keys: propose.keys,
    client: participantIndex(propose.clientIndex),
    self: {
      key: ours,
      capacity: sat(invite.capacity),
      payoutScript: state.payoutScript,
      channelScript: propose.channelScript,
    },
    poisonHash: propose.poisonHash,
    funding: {
      outpoint: {
        txid: txid(Buffer.from(propose.fundingTxid).reverse().toString('hex')),
        vout: propose.fundingVout,
      },
      amount: sat(propose.fundingAmount),
    },
    siblings: propose.siblings.map((outputs) => outputs.map((o) => ({ amount: sat(o.amount), script: o.script }))),
  }
  const keys = new FactoryKeys(propose.keys)
  return { path: buildPath(spec, keys), keys }
}

/** The proposal that was checked and stored. */
export function storedProposal(context: Context): Propose {
  const bytes = context.item(PROPOSAL_ITEM)
  const payload = bytes === undefined ? undefined : decodePayload(bytes)
  if (payload?.kind !== 'propose') throw new FactoryError('store_corrupt', 'the stored proposal is missing')
  return payload
}

export const storedKeys = (context: Context): FactoryKeys => new FactoryKeys(storedProposal(context).keys)

export const storedPath = (state: ClientBase & Joined, context: Context): ClientPath =>
  pathOf(state, storedProposal(context), context).path
