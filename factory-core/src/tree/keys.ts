/** The keys of all participants, and the aggregates of those who sign together. */
import { bytesToHex } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import { KeyAggregator, type KeyAggregate } from '../signing/index.js'
import type { ParticipantIndex } from '../units/index.js'

export class FactoryKeys {
  readonly #aggregator = new KeyAggregator()
  readonly #made = new Map<string, KeyAggregate>()

  /**
   * @param keys compressed, of all participants, LSP first
   * @throws FactoryError `bad_key` when two participants have the same: handing one over would hand over the other
   */
  constructor(readonly keys: readonly Uint8Array[]) {
    const seen = new Map<string, number>()
    for (const [index, key] of keys.entries()) {
      const hex = bytesToHex(key)
      const other = seen.get(hex)
      if (other !== undefined) throw new FactoryError('bad_key', `participants ${other} and ${index} have the same key`)
      if (key.length !== 33)
        throw new FactoryError('bad_key', `the key of participant ${index} has ${key.length} bytes, not 33`)
      seen.set(hex, index)
    }
  }

  /** x-only key of the LSP, 32 bytes. */
  get lsp(): Uint8Array {
    return this.key(0).subarray(1)
  }

  /** Of one participant, 33 bytes. @throws FactoryError `bad_parameter` when there is none */
  key(index: number): Uint8Array {
    const key = this.keys[index]
    if (key === undefined) throw new FactoryError('bad_parameter', `there is no participant ${index}`)
    return key
  }

  /**
   * Of all of `signers`; made once per signer set.
   * @throws FactoryError `bad_key` when a key is no point of the curve
   */
  aggregate(signers: readonly ParticipantIndex[]): KeyAggregate {
    const id = signers.join()
    let made = this.#made.get(id)
    if (made === undefined) {
      made = this.#aggregator.aggregate(signers.map((index) => this.key(index)))
      this.#made.set(id, made)
    }
    return made
  }
}
