/**
 * The LSP's share of signing a tree, alone: aggregate the keys, make its nonces, aggregate everyone's, sign, combine, and verify the
 * final signatures. Once with our own MuSig2 over either curve library, once with @scure/btc-signer's, over the same spends with
 * the same signers. What the clients do in between is done by the fastest of them, and not measured.
 */
import { randomBytes } from 'node:crypto'
import { schnorr } from '@noble/curves/secp256k1.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import * as scure from '@scure/btc-signer/musig2.js'
import {
  aggregateNonces,
  combineOrBlame,
  defaultBackend,
  generateNonce,
  KeyAggregator,
  openSession,
  SecretKey,
  sortKeys,
  taggedHash,
  type CurveBackend,
  type GeneratedNonce,
  type SecretNonce,
  type SignerPartial,
  type TweakedAggregate,
} from '@ln-factory/core/signing'
import { buildTree, defaultParams, planTree, type Spend } from '@ln-factory/core/tree'
import { blockHeight, LSP, txid, type ParticipantIndex } from '@ln-factory/core/units'
import { CAPACITY } from './ceremony.js'
import { Meter } from './meter.js'

export type SharePhase = 'keys' | 'own nonces' | 'aggregate nonces' | 'sign, combine, verify'
export type Share = Meter<SharePhase>

const hash = (text: string): Uint8Array => sha256(utf8ToBytes(text))
const entropy = (): Uint8Array => new Uint8Array(randomBytes(32))

function at<T>(list: readonly T[], index: number): T {
  const value = list[index]
  if (value === undefined) throw new RangeError(`nothing at ${index}`)
  return value
}

/** A tree with the default parameters, and the keys of all its participants. */
export class SigningWork {
  readonly secrets: readonly Uint8Array[]
  readonly keys: readonly Uint8Array[]
  readonly spends: readonly Spend[]
  readonly #secretKeys: readonly SecretKey[]
  readonly #aggregator = new KeyAggregator()

  constructor(readonly clients: number) {
    this.secrets = Array.from({ length: clients + 1 }, (_, i) => hash(`participant ${i}`))
    this.#secretKeys = this.secrets.map((secret) => SecretKey.fromBytes(secret))
    this.keys = this.#secretKeys.map((key) => key.publicKey)
    const plan = planTree({ params: defaultParams, capacities: this.keys.slice(1).map(() => CAPACITY) })
    this.spends = buildTree({
      params: defaultParams,
      expiry: blockHeight(900_000),
      lspKey: at(this.keys, LSP),
      clients: this.keys.slice(1).map((key, i) => ({
        key,
        capacity: CAPACITY,
        payoutScript: concatBytes(Uint8Array.of(0x51, 32), hash(`payout ${i}`)),
        channelScript: concatBytes(Uint8Array.of(0, 32), hash(`channel ${i}`)),
      })),
      poisonHashes: Array.from({ length: plan.leaves }, (_, i) => hash(`poison ${i}`)),
      funding: { outpoint: { txid: txid('00'.repeat(32)), vout: 0 }, amount: plan.fundingAmount },
    }).spends
  }

  keysOf(spend: Spend): Uint8Array[] {
    return spend.signers.map((signer) => at(this.keys, signer))
  }

  /** Secret and public nonces of all but the LSP. */
  clientNonces(spend: Spend): ClientNonces {
    const aggregate = tweaked(this.#aggregator, this.keysOf(spend), spend)
    const made = spend.signers
      .filter((signer) => signer !== LSP)
      .map((signer) => {
        const secretKey = at(this.#secretKeys, signer)
        const nonce = generateNonce({ secretKey, aggregate, message: spend.sighash, entropy })
        return { signer, secret: nonce.secret, public: nonce.public }
      })
    return { aggregate, made }
  }

  /** Partial signatures of all but the LSP. */
  clientPartials(spend: Spend, nonces: ClientNonces, aggregatedNonce: Uint8Array): SignerPartial[] {
    const session = openSession({ aggregate: nonces.aggregate, message: spend.sighash, aggregatedNonce })
    return nonces.made.map(({ signer, secret, public: publicNonce }) => {
      const secretKey = at(this.#secretKeys, signer)
      const signature = session.sign(secret, secretKey)
      return { signer, signature, publicNonce, publicKey: secretKey.publicKey }
    })
  }
}

interface ClientNonces {
  readonly aggregate: TweakedAggregate
  readonly made: readonly {
    readonly signer: ParticipantIndex
    readonly secret: SecretNonce
    readonly public: Uint8Array
  }[]
}

function tweaked(aggregator: KeyAggregator, keys: readonly Uint8Array[], spend: Spend): TweakedAggregate {
  const aggregate = aggregator.aggregate(keys)
  return spend.key.path === 'key' ? aggregate.taproot(spend.key.merkleRoot) : aggregate.untweaked()
}

/** What one library does of the LSP's share for one spend; `Key` is its form of an aggregate key. */
interface Library<Key, Nonce extends { readonly public: Uint8Array }> {
  keys(spend: Spend): Key
  nonce(spend: Spend, key: Key): Nonce
  aggregate(nonces: readonly Uint8Array[]): Uint8Array
  /** Signs with `nonce` if the LSP is a signer, combines, and says whether the final signature is valid. */
  finish(
    spend: Spend,
    key: Key,
    nonce: Nonce | undefined,
    aggregatedNonce: Uint8Array,
    partials: readonly SignerPartial[],
  ): boolean
}

/** Phase by phase over all spends, as the ceremony goes. */
function measure<Key, Nonce extends { readonly public: Uint8Array }>(
  work: SigningWork,
  library: Library<Key, Nonce>,
): Share {
  const meter: Share = new Meter()
  const keyed = meter.run('keys', () => work.spends.map((spend) => ({ spend, key: library.keys(spend) })))
  const nonced = meter.run('own nonces', () =>
    keyed.map(({ spend, key }) => {
      const nonce = spend.signers.includes(LSP) ? library.nonce(spend, key) : undefined
      return { spend, key, nonce }
    }),
  )
  const collected = nonced.map((item) => {
    const clients = work.clientNonces(item.spend)
    const own = item.nonce === undefined ? [] : [item.nonce.public]
    return { ...item, clients, publics: [...own, ...clients.made.map((n) => n.public)] }
  })
  const aggregated = meter.run('aggregate nonces', () =>
    collected.map((item) => ({ ...item, aggregatedNonce: library.aggregate(item.publics) })),
  )
  const answered = aggregated.map((item) => ({
    ...item,
    partials: work.clientPartials(item.spend, item.clients, item.aggregatedNonce),
  }))
  const valid = meter.run('sign, combine, verify', () =>
    answered.every(({ spend, key, nonce, aggregatedNonce, partials }) =>
      library.finish(spend, key, nonce, aggregatedNonce, partials),
    ),
  )
  if (!valid) throw new Error('a final signature is not valid')
  return meter
}

export function ownShare(work: SigningWork, backend: CurveBackend = defaultBackend()): Share {
  const aggregator = new KeyAggregator(backend)
  const secretKey = SecretKey.fromBytes(at(work.secrets, LSP), backend)
  return measure<TweakedAggregate, GeneratedNonce>(work, {
    keys: (spend) => tweaked(aggregator, work.keysOf(spend), spend),
    nonce: (spend, aggregate) => generateNonce({ secretKey, aggregate, message: spend.sighash, entropy }),
    aggregate: (nonces) => aggregateNonces(nonces, [], backend),
    finish(spend, aggregate, nonce, aggregatedNonce, partials) {
      const session = openSession({ aggregate, message: spend.sighash, aggregatedNonce })
      if (nonce === undefined) return combineOrBlame({ session, partials }).ok
      const signature = session.sign(nonce.secret, secretKey)
      const mine = { signer: LSP, signature, publicNonce: nonce.public, publicKey: secretKey.publicKey }
      return combineOrBlame({ session, partials: [mine, ...partials] }).ok
    },
  })
}

/** BIP-341's tweak of an untweaked aggregate, x-only; none for a key inside a tapleaf. */
function tweaksOf(spend: Spend, keys: Uint8Array[]): Uint8Array[] {
  if (spend.key.path === 'script') return []
  const internal = scure.keyAggExport(scure.keyAggregate(keys))
  return [taggedHash('TapTweak', internal, spend.key.merkleRoot ?? new Uint8Array(0))]
}

interface ScureKey {
  readonly keys: Uint8Array[]
  readonly tweaks: Uint8Array[]
  readonly xonly: Uint8Array
}

/** Keys and tweaks are kept by signer set. The library's sessions aggregate the keys again, each time: its interface has no other way. */
export function scureShare(work: SigningWork): Share {
  const secret = at(work.secrets, LSP)
  const lspKey = at(work.keys, LSP)
  const known = new Map<string, ScureKey>()
  return measure<ScureKey, scure.Nonces>(work, {
    keys(spend) {
      const root = spend.key.path === 'key' ? Buffer.from(spend.key.merkleRoot ?? []).toString('hex') : 'untweaked'
      const id = `${spend.signers.join()}/${root}`
      const found = known.get(id)
      if (found !== undefined) return found
      const keys = sortKeys(work.keysOf(spend))
      const tweaks = tweaksOf(spend, keys)
      const aggregate = scure.keyAggregate(
        keys,
        tweaks,
        tweaks.map(() => true),
      )
      const made = { keys, tweaks, xonly: scure.keyAggExport(aggregate) }
      known.set(id, made)
      return made
    },
    nonce: (spend, key) => scure.nonceGen(lspKey, secret, key.xonly, spend.sighash),
    aggregate: (nonces) => scure.nonceAggregate([...nonces]),
    finish(spend, key, nonce, aggregatedNonce, partials) {
      const xonly = key.tweaks.map(() => true)
      const session = new scure.Session(aggregatedNonce, key.keys, spend.sighash, key.tweaks, xonly)
      const own = nonce === undefined ? [] : [session.sign(nonce.secret, secret, true)]
      const signature = session.partialSigAgg([...own, ...partials.map((partial) => partial.signature)])
      return schnorr.verify(signature, spend.sighash, key.xonly)
    },
  })
}
