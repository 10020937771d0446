/**
 * A Lightning channel as far as the factory sees it: a 2-of-2 and a commitment that both have signed. One commitment serves both sides,
 * because revocation is the node's business; it pays at once, because delays and sweeps are too.
 */
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { p2ms, p2wsh, TEST_NETWORK, Transaction } from '@scure/btc-signer'
import type { PendingHtlc } from '../../../factory-core/src/host/port.js'
import type { Msat, NodeId, OutPoint, Sat } from '../../../factory-core/src/units/index.js'

/** Paid by the opener. */
export const COMMITMENT_FEE = 500n
const DUST = 330n

export interface ChannelKeys {
  readonly opener: Uint8Array
  readonly acceptor: Uint8Array
}

export const newKeys = (seed: string): ChannelKeys => ({
  opener: sha256(utf8ToBytes(`${seed}/opener`)),
  acceptor: sha256(utf8ToBytes(`${seed}/acceptor`)),
})

function payment({ opener, acceptor }: ChannelKeys) {
  const keys = [opener, acceptor].map((k) => secp256k1.getPublicKey(k)).sort((a, b) => Buffer.compare(a, b))
  return p2wsh(p2ms(2, keys), TEST_NETWORK)
}

export const fundingScriptOf = (keys: ChannelKeys): Uint8Array => payment(keys).script

export interface Channel {
  readonly channelId: string
  readonly opener: NodeId
  readonly acceptor: NodeId
  readonly funding: OutPoint
  readonly keys: ChannelKeys
  readonly capacity: Sat
  /** The acceptor's. */
  balance: Msat
  htlcs: PendingHtlc[]
  released: boolean
  /** Where the latest commitment pays each side. */
  readonly openerScript: Uint8Array
  readonly acceptorScript: Uint8Array
}

/** What the acceptor and the opener get when the latest commitment confirms. */
export function payouts(channel: Channel): { acceptor: bigint; opener: bigint } {
  const acceptor = channel.balance / 1000n
  return { acceptor, opener: channel.capacity - acceptor - COMMITMENT_FEE }
}

export function commitment(channel: Channel): Uint8Array {
  const { witnessScript, script } = payment(channel.keys)
  const tx = new Transaction({ version: 2 })
  tx.addInput({
    txid: channel.funding.txid,
    index: channel.funding.vout,
    witnessUtxo: { amount: channel.capacity, script },
    witnessScript,
    sequence: 0xfffffffd,
  })
  const { acceptor, opener } = payouts(channel)
  if (acceptor >= DUST) tx.addOutput({ amount: acceptor, script: channel.acceptorScript })
  if (opener >= DUST) tx.addOutput({ amount: opener, script: channel.openerScript })
  tx.sign(channel.keys.opener)
  tx.sign(channel.keys.acceptor)
  tx.finalize()
  return hexToBytes(bytesToHex(tx.extract()))
}
