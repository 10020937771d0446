/**
 * What the LSP and every sockpuppet it has can sign together when one participant does not: each way there is to get a signature for an
 * output that needs that one too. None may be valid, neither in a mempool nor in the block of a miner who is in on it.
 */
import { randomBytes } from '@noble/hashes/utils.js'
import { expect } from 'vitest'
import { spendAggregate } from '../../../factory-core/src/ceremony/spend-key.js'
import {
  aggregateNonces,
  generateNonce,
  openSession,
  SecretKey,
  signSchnorr,
  type TweakedAggregate,
} from '../../../factory-core/src/signing/index.js'
import { FactoryKeys, type Spend } from '../../../factory-core/src/tree/index.js'
import { signatureHash, unsignedTx, withWitness } from '../../../factory-core/src/tree/tx.js'
import { sat, type NodeId } from '../../../factory-core/src/units/index.js'
import type { Factory } from './scene.js'

const FEE = 1_000n

/** All of the output that `spend` spends goes to `script` instead; same lock times unless changed. */
export function redirected(
  spend: Spend,
  script: Uint8Array,
  change: Partial<{ sequence: number; lockTime: number }> = {},
): Pick<Spend, 'id' | 'tx' | 'key' | 'sighash'> {
  const { prevout, key } = spend
  const tx = unsignedTx({
    version: 2,
    lockTime: 0,
    sequence: 0xfffffffd,
    input: prevout.outpoint,
    outputs: [{ amount: sat(prevout.amount - FEE), script }],
    ...change,
  })
  return { id: `theft of ${spend.id}`, tx, key, sighash: signatureHash(tx, prevout, key) }
}

interface Signer {
  readonly secretKey: SecretKey
  readonly honest: boolean
}

/** MuSig2 over `aggregate` by all of `signers`, where somebody stands in for who is honest and does not sign. */
function together(aggregate: TweakedAggregate, message: Uint8Array, signers: readonly Signer[]): Uint8Array {
  const entropy = (): Uint8Array => randomBytes(32)
  const nonces = signers.map(({ secretKey, honest }) =>
    honest ? undefined : generateNonce({ secretKey, aggregate, message, entropy }),
  )
  const aggregatedNonce = aggregateNonces(nonces.flatMap((n) => (n === undefined ? [] : [n.public])))
  const session = openSession({ aggregate, message, aggregatedNonce })
  return session.combine(
    signers.map(({ secretKey }, i) => {
      const nonce = nonces[i]
      return nonce === undefined ? new Uint8Array(32) : session.sign(nonce.secret, secretKey)
    }),
  )
}

/** A signature for `theft` with the victim, and one for each way to do without it. */
async function forgeries(
  factory: Factory,
  victim: NodeId,
  spend: Spend,
  theft: Pick<Spend, 'sighash'>,
): Promise<{ consent: Uint8Array; without: Map<string, Uint8Array> }> {
  const keys = await factory.keys()
  const message = theft.sighash
  const everyone = [factory.scene.lsp, ...factory.scene.clients]
  const victimIndex = factory.participant(victim)
  expect(spend.signers).toContain(victimIndex)
  const rogues = spend.signers.filter((i) => i !== victimIndex)
  const signers: Signer[] = []
  for (const i of spend.signers) {
    const id = everyone[i]
    if (id === undefined) throw new Error(`no participant ${i}`)
    // The victim's own key is not known to them: one of theirs stands in its place.
    signers.push({
      secretKey: i === victimIndex ? SecretKey.fromBytes(randomBytes(32)) : await factory.secret(id),
      honest: i === victimIndex,
    })
  }
  const others = signers.filter((s) => !s.honest)
  const lsp = others[0]
  if (lsp === undefined) throw new Error('nobody is left to steal')
  const merkleRoot = spend.key.path === 'key' ? spend.key.merkleRoot : undefined
  const withoutVictim = keys.aggregate(rogues)
  const replaced = new FactoryKeys(
    keys.keys.map((k, i) => (i === victimIndex ? (signers.find((s) => s.honest)?.secretKey.publicKey ?? k) : k)),
  )
  const stored = factory.arena.disk(factory.scene.lsp).items.get(factory.instance)?.get(`sig/${spend.id}`)
  const forged = new Map<string, Uint8Array>([
    ['a session in which the victim is left out', together(spendAggregate(spend, keys), message, signers)],
    ['the aggregate of the others', together(withoutVictim.taproot(merkleRoot), message, others)],
    [
      'the aggregate with a key of theirs in the victim’s place',
      together(
        spendAggregate(spend, replaced),
        message,
        signers.map((s) => ({ ...s, honest: false })),
      ),
    ],
    ["the LSP's own key", signSchnorr({ secretKey: lsp.secretKey, message, aux: randomBytes(32) })],
    ['the signature that the victim did give, for another transaction', stored ?? new Uint8Array(64)],
  ])
  const agreed = await Promise.all(
    spend.signers.map(async (i) => ({ secretKey: await factory.secret(everyone[i] ?? victim), honest: false })),
  )
  return { consent: together(spendAggregate(spend, keys), message, agreed), without: forged }
}

/** Invariant 5: no way leads past the victim, to this output. */
export async function expectNoTheft(factory: Factory, victim: NodeId, id: string): Promise<void> {
  const spend = await factory.spend(id)
  expect(await factory.chain.utxo(spend.prevout.outpoint), `the output of ${id} is there to be stolen`).toBeDefined()
  const theft = redirected(spend, factory.arena.host(factory.scene.lsp).freshScript())
  const { consent, without } = await forgeries(factory, victim, spend, theft)
  // With the victim's consent it would be valid: what is missing below is its signature, and nothing else.
  expect(await factory.chain.verdict(withWitness(theft.tx, [consent]))).toBe('accepted')
  for (const [how, signature] of without) {
    const raw = withWitness(theft.tx, [signature])
    expect([id, how, await factory.chain.verdict(raw)]).toEqual([id, how, expect.stringMatching(/Schnorr/)])
    expect([id, how, await factory.chain.minerSays(raw)]).toEqual([id, how, expect.stringMatching(/Schnorr/)])
  }
}

/** A transaction that the chain must not take now, by its mempool's rules or a miner's. */
export async function expectRefused(factory: Factory, raw: Uint8Array, why: RegExp): Promise<void> {
  expect(await factory.chain.verdict(raw)).toMatch(why)
  expect(await factory.chain.minerSays(raw)).not.toBe('accepted')
}
