/** A leaf as a factory has one, with one key of the test's own in place of the aggregate of all participants. */
import { schnorr } from '@noble/curves/secp256k1.js'
import type { FundingTx, Host } from '@ln-factory/core/host'
import { sat, type OutPoint, type Sat } from '@ln-factory/core/units'
import { p2tr, Transaction } from '@scure/btc-signer'

const ANCHOR_SCRIPT = Uint8Array.from([0x51, 0x02, 0x4e, 0x73])
const ANCHOR = sat(240)
const FEE = sat(1000)

const key = Uint8Array.from({ length: 32 }, () => 7)
const factoryKey = p2tr(schnorr.getPublicKey(key))
export const factoryScript = factoryKey.script

/** What the funding output must hold for channels of these capacities. */
export const fundingFor = (capacities: readonly Sat[]): Sat =>
  sat(capacities.reduce((sum, c) => sum + c, 0n) + ANCHOR + FEE)

export interface Leaf {
  readonly unsigned: Uint8Array
  readonly signed: Uint8Array
  readonly prevout: { readonly amount: Sat; readonly script: Uint8Array }
  readonly outpoints: readonly OutPoint[]
}

/** Version 3, one channel output for each script, the anchor last. */
export function buildLeaf(
  funding: Pick<FundingTx, 'txid' | 'vout'>,
  channels: readonly { readonly script: Uint8Array; readonly capacity: Sat }[],
): Leaf {
  const prevout = { amount: fundingFor(channels.map((c) => c.capacity)), script: factoryScript }
  const tx = new Transaction({ version: 3, allowUnknownOutputs: true })
  tx.addInput({
    txid: funding.txid,
    index: funding.vout,
    sequence: 0xfffffffd,
    witnessUtxo: prevout,
    tapInternalKey: factoryKey.tapInternalKey,
  })
  for (const { script, capacity } of channels) tx.addOutput({ script, amount: capacity })
  tx.addOutput({ script: ANCHOR_SCRIPT, amount: ANCHOR })
  const unsigned = tx.unsignedTx
  tx.sign(key)
  tx.finalize()
  const id = tx.id as OutPoint['txid']
  return { unsigned, signed: tx.extract(), prevout, outpoints: channels.map((_, vout) => ({ txid: id, vout })) }
}

/** Fund, open and complete one channel: everything before the release. */
export async function openVirtual(lsp: Host, peer: Host['nodeId'], capacity: Sat, push: bigint) {
  const funding = await lsp.fundingPrepare(factoryScript, fundingFor([capacity]))
  const { script } = await lsp.openStart({ peer, capacity, push: push as Parameters<Host['openStart']>[0]['push'] })
  const leaf = buildLeaf(funding, [{ script, capacity }])
  const { channelId } = await lsp.openComplete({
    peer,
    leaf: leaf.unsigned,
    prevout: leaf.prevout,
    vout: 0,
    script,
    capacity,
  })
  return { funding, leaf, channelId, script }
}
