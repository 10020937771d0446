/**
 * One signing round over a set of spends, as the coordinator sees it: nonces in, aggregates out, partial signatures in, final
 * signatures out. Lives in memory only: secret nonces are never written down (DESIGN.md invariant 3), so a restart ends it.
 */
import { FactoryError } from '@ln-factory/tlv'
import {
  aggregateNonces,
  combineOrBlame,
  generateNonce,
  openSession,
  parsePublicNonce,
  type PublicNonce,
  type SecretKey,
  type SecretNonce,
  type Session,
  type TweakedAggregate,
} from '../../signing/index.js'
import type { FactoryKeys } from '../../tree/index.js'
import type { Spend } from '../../tree/types.js'
import { LSP } from '../../units/index.js'
import { spendAggregate } from '../spend-key.js'

interface Item {
  readonly spend: Spend
  readonly aggregate: TweakedAggregate
  readonly secretNonce: SecretNonce | undefined
  readonly nonces: Map<number, Uint8Array | PublicNonce>
  readonly partials: Map<number, Uint8Array>
  aggregatedNonce: Uint8Array | undefined
  session: Session | undefined
}

export type RoundResult =
  | { readonly ok: true; readonly signatures: ReadonlyMap<string, Uint8Array> }
  | { readonly ok: false; readonly spendId: string; readonly culprits: readonly number[] }

export class SigningRound {
  readonly #items = new Map<string, Item>()
  readonly #nonced = new Set<number>()
  readonly #signed = new Set<number>()
  #aggregated = false

  constructor(
    spends: readonly Spend[],
    readonly keys: FactoryKeys,
    readonly secretKey: SecretKey,
    entropy: () => Uint8Array,
  ) {
    for (const spend of spends) {
      const aggregate = spendAggregate(spend, keys)
      const item: Item = {
        spend,
        aggregate,
        secretNonce: undefined,
        nonces: new Map(),
        partials: new Map(),
        aggregatedNonce: undefined,
        session: undefined,
      }
      if (spend.signers.includes(LSP)) {
        const nonce = generateNonce({ secretKey, aggregate, message: spend.sighash, entropy })
        item.nonces.set(LSP, nonce.public)
        this.#items.set(spend.id, { ...item, secretNonce: nonce.secret })
      } else this.#items.set(spend.id, item)
    }
  }

  get isAggregated(): boolean {
    return this.#aggregated
  }

  hasNonces(participant: number): boolean {
    return this.#nonced.has(participant)
  }

  hasPartials(participant: number): boolean {
    return this.#signed.has(participant)
  }

  /** Whose answer is missing: nonces until all are in, then partial signatures. */
  awaits(participant: number): boolean {
    return this.#aggregated ? !this.hasPartials(participant) : !this.hasNonces(participant)
  }

  /** @throws FactoryError `bad_message` when the count is wrong, `bad_nonce` when one is no pair of points */
  addNonces(participant: number, ids: readonly string[], nonces: readonly Uint8Array[]): void {
    // Here and not when they are aggregated: now it is known who sent them.
    const parsed = nonces.map((nonce, i) => {
      const points = parsePublicNonce(nonce)
      if (points === undefined) throw new FactoryError('bad_nonce', `nonce ${i} is not two points of the curve`)
      return points
    })
    this.#add(participant, ids, parsed, 'nonces', (item) => item.nonces)
    this.#nonced.add(participant)
  }

  aggregate(): void {
    for (const item of this.#items.values()) {
      const { spend, nonces } = item
      item.aggregatedNonce = aggregateNonces(
        spend.signers.map((i) => valueOf(nonces, i, spend.id)),
        spend.signers.map((i) => `participant ${i}`),
      )
      item.session = openSession({
        aggregate: item.aggregate,
        message: spend.sighash,
        aggregatedNonce: item.aggregatedNonce,
      })
    }
    this.#aggregated = true
  }

  aggregatedNonces(ids: readonly string[]): Uint8Array[] {
    return ids.map((id) => {
      const nonce = this.#item(id).aggregatedNonce
      if (nonce === undefined) throw new FactoryError('internal', `nonces of ${id} are not aggregated`)
      return nonce
    })
  }

  /** @throws FactoryError `bad_message` when the count is wrong */
  addPartials(participant: number, ids: readonly string[], partials: readonly Uint8Array[]): void {
    this.#add(participant, ids, partials, 'partial signatures', (item) => item.partials)
    this.#signed.add(participant)
  }

  /**
   * Sign for the LSP and combine. Only final signatures are verified; the culprits are looked for when one fails. Uses up the
   * secret nonces: call it once, and let the signatures leave only after the records of `spends` are on disk.
   */
  finish(): RoundResult {
    const signatures = new Map<string, Uint8Array>()
    for (const { spend, session, secretNonce, partials, nonces } of this.#items.values()) {
      if (session === undefined) throw new FactoryError('internal', `no session for ${spend.id}`)
      if (secretNonce !== undefined) partials.set(LSP, session.sign(secretNonce, this.secretKey))
      const result = combineOrBlame({
        session,
        partials: spend.signers.map((signer) => ({
          signer,
          signature: valueOf(partials, signer, spend.id),
          publicNonce: valueOf(nonces, signer, spend.id),
          publicKey: this.keys.key(signer),
        })),
      })
      if (!result.ok) return { ok: false, spendId: spend.id, culprits: result.culprits }
      signatures.set(spend.id, result.signature)
    }
    return { ok: true, signatures }
  }

  #item(id: string): Item {
    const item = this.#items.get(id)
    if (item === undefined) throw new FactoryError('internal', `no spend ${id} in this round`)
    return item
  }

  #add<T>(
    participant: number,
    ids: readonly string[],
    values: readonly T[],
    what: string,
    of: (item: Item) => Map<number, T | Uint8Array>,
  ): void {
    if (values.length !== ids.length)
      throw new FactoryError(
        'bad_message',
        `participant ${participant} sent ${values.length} ${what} instead of ${ids.length}`,
      )
    ids.forEach((id, i) => {
      const value = values[i]
      if (value !== undefined) of(this.#item(id)).set(participant, value)
    })
  }
}

function valueOf<T>(map: ReadonlyMap<number, T>, participant: number, spendId: string): T {
  const value = map.get(participant)
  if (value === undefined) throw new FactoryError('internal', `participant ${participant} is missing in ${spendId}`)
  return value
}
