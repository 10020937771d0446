/** A factory of real transactions without nodes: everyone's keys in one hand, the funding on chain. */
import { aggregateNonces, generateNonce, openSession, SecretKey } from '@ln-factory/core/signing'
import { buildTree, FactoryKeys, fundingScript, planTree } from '@ln-factory/core/tree'
import type { FactoryTree, Spend, TreeParams, TxOutput } from '@ln-factory/core/tree'
import { blockHeight, sat, txid } from '@ln-factory/core/units'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, randomBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { Address, TEST_NETWORK } from '@scure/btc-signer'
import { expect } from 'vitest'
import type { Bitcoind } from '../../src/network/index.js'

const REGTEST = { ...TEST_NETWORK, bech32: 'bcrt' }

export const hash = (label: string): Uint8Array => sha256(utf8ToBytes(label))
/** Of the first state's poison. */
export const preimage = (leaf: number): Uint8Array => hash(`preimage ${leaf}`)
export const at = <T>(list: readonly T[], index: number): T => {
  const value = list[index]
  if (value === undefined) throw new RangeError(`nothing at ${index}`)
  return value
}

/** A tree whose funding is on chain, and everyone's keys. */
export interface FundedTree {
  readonly tree: FactoryTree
  readonly keys: FactoryKeys
  readonly secrets: readonly SecretKey[]
  /** All spends of a role, in the tree's order. */
  readonly of: (role: Spend['role']) => readonly Spend[]
  readonly spend: (id: string) => Spend
}

/** The final signature of all signers, made as they would make it. */
export function sign({ keys, secrets }: Pick<FundedTree, 'keys' | 'secrets'>, spend: Spend): Uint8Array {
  const source = keys.aggregate(spend.signers)
  const aggregate = spend.key.path === 'key' ? source.taproot(spend.key.merkleRoot) : source.untweaked()
  const message = spend.sighash
  const signers = spend.signers.map((index) => {
    const secretKey = at(secrets, index)
    return { secretKey, nonce: generateNonce({ secretKey, aggregate, message, entropy: () => randomBytes(32) }) }
  })
  const aggregatedNonce = aggregateNonces(signers.map((s) => s.nonce.public))
  const session = openSession({ aggregate, message, aggregatedNonce })
  const signature = session.combine(signers.map((s) => session.sign(s.nonce.secret, s.secretKey)))
  expect(session.verify(signature)).toBe(true)
  return signature
}

export interface TreeRequest {
  readonly name: string
  readonly clients: number
  /** Blocks. */
  readonly lifetime: number
  /** Of real channels, by client; without them nobody has the keys. */
  readonly channels?: readonly TxOutput[]
}

export async function fundTree(
  bitcoind: Bitcoind,
  params: TreeParams,
  { name, clients, lifetime, channels }: TreeRequest,
): Promise<FundedTree> {
  const secrets = Array.from({ length: clients + 1 }, (_, i) => SecretKey.fromBytes(hash(`${name} ${i}`)))
  const keys = new FactoryKeys(secrets.map((s) => s.publicKey))
  const capacities = Array.from({ length: clients }, (_, i) => channels?.[i]?.amount ?? sat(50_000 + 1000 * i))
  const { fundingAmount, leaves } = planTree({ params, capacities })
  const script = fundingScript(keys)
  const address = Address(REGTEST).encode({ type: 'tr', pubkey: script.subarray(2) })
  const funding = txid(await bitcoind.fund(address, Number(fundingAmount)))
  await bitcoind.mine(1)
  const { vout } = await bitcoind.call('getrawtransaction', [funding, true])
  const kinds = [
    [0, 20],
    [0, 32],
    [0x51, 32],
  ] as const
  const tree = buildTree(
    {
      params,
      expiry: blockHeight((await bitcoind.height()) + lifetime),
      lspKey: at(keys.keys, 0),
      clients: capacities.map((capacity, i) => {
        const [version, length] = at(kinds, i % kinds.length)
        return {
          key: at(keys.keys, i + 1),
          capacity,
          channelScript: channels?.[i]?.script ?? concatBytes(Uint8Array.of(0, 32), hash(`${name} channel ${i}`)),
          payoutScript: concatBytes(Uint8Array.of(version, length), hash(`${name} payout ${i}`).subarray(0, length)),
        }
      }),
      poisonHashes: Array.from({ length: leaves }, (_, leaf) => sha256(preimage(leaf))),
      funding: {
        outpoint: { txid: funding, vout: vout.findIndex((o) => o.scriptPubKey.hex === bytesToHex(script)) },
        amount: fundingAmount,
      },
    },
    keys,
  )
  const byId = new Map(tree.spends.map((s) => [s.id, s]))
  return {
    tree,
    keys,
    secrets,
    of: (role) => tree.spends.filter((s) => s.role === role),
    spend: (id) => {
      const spend = byId.get(id)
      if (spend === undefined) throw new Error(`no ${id}`)
      return spend
    },
  }
}
