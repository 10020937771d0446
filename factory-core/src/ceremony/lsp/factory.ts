/** What follows from the LSP's state: keys, tree, channels. All of it is rebuilt, none of it is stored. */
import { FactoryError } from '@ln-factory/tlv'
import type { Context, OpenCompletion } from '../../machine/index.js'
import {
  deriveFactoryKey,
  derivePoisonPreimage,
  poisonHash as hashPoison,
  type SecretKey,
} from '../../signing/index.js'
import { buildTree, FactoryKeys, planTree } from '../../tree/index.js'
import type { FactoryTree, TreeSpec } from '../../tree/types.js'
import { LSP, participantIndex, type NodeId, type ParticipantIndex } from '../../units/index.js'
import type { Accepted, Funded, LspBase, LspClient } from './state.js'

const NO_SALT = new Uint8Array(16)

/** The LSP's factory key: fresh per factory because it draws the instance_id itself. */
export function lspKey(state: LspBase, context: Context): { secretKey: SecretKey; publicKey: Uint8Array } {
  return deriveFactoryKey({
    nodeSecret: context.nodeSecret,
    instanceId: state.instance,
    salt: NO_SALT,
    peerNodeId: context.self,
  })
}

export function poisonHash(state: LspBase, context: Context, leaf: number): Uint8Array {
  return hashPoison(
    derivePoisonPreimage({ nodeSecret: context.nodeSecret, instanceId: state.instance, leaf, state: 0 }),
  )
}

export function accepted(client: LspClient): Accepted {
  if (client.accepted === undefined) throw new FactoryError('internal', `client ${client.id} has not accepted`)
  return client.accepted
}

export const factoryKeys = (state: LspBase, context: Context): FactoryKeys =>
  new FactoryKeys([lspKey(state, context).publicKey, ...state.clients.map((c) => accepted(c).key)])

/** The whole tree; every client must have accepted and have its channel script. */
export function treeOf(
  state: LspBase & Funded,
  context: Context,
  keys: FactoryKeys = factoryKeys(state, context),
): FactoryTree {
  const { leaves } = planTree({ params: state.params, capacities: state.clients.map((c) => c.capacity) })
  const spec: TreeSpec = {
    params: state.params,
    expiry: state.expiry,
    lspKey: keys.key(LSP),
    clients: state.clients.map((c) => {
      if (c.channelScript === undefined) throw new FactoryError('internal', `no channel script for client ${c.id}`)
      const { key, payoutScript } = accepted(c)
      return { key, payoutScript, capacity: c.capacity, channelScript: c.channelScript }
    }),
    poisonHashes: Array.from({ length: leaves }, (_, leaf) => poisonHash(state, context, leaf)),
    funding: {
      outpoint: { txid: state.funding.txid, vout: state.funding.vout },
      amount: state.fundingAmount,
    },
  }
  return buildTree(spec, keys)
}

/** Participant index of the client at `position`, and back. */
export const participantAt = (position: number): ParticipantIndex => participantIndex(position + 1)

export const clientPosition = (state: LspBase, peer: NodeId): number => state.clients.findIndex((c) => c.id === peer)

export function openCompletion(tree: FactoryTree, client: LspClient, position: number): OpenCompletion {
  const channel = tree.channel(participantAt(position))
  const leaf = tree.spends.find((s) => s.tx.txid === channel.outpoint.txid)
  if (leaf === undefined) throw new FactoryError('internal', `no leaf for client ${client.id}`)
  return {
    peer: client.id,
    leaf: leaf.tx.bytes,
    prevout: { amount: leaf.prevout.amount, script: leaf.prevout.script },
    vout: channel.outpoint.vout,
    script: channel.script,
    capacity: client.capacity,
  }
}
