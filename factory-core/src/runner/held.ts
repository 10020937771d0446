/**
 * HTLCs that pay us and wait for a machine's word: neither settled nor failed until it is known what becomes of them. A host tells
 * them again after a restart, so nothing of this is stored.
 */
import type { HeldDecision, ReceivedHtlc } from '../host/port.js'

export class HeldHtlcs {
  readonly #waiting = new Map<string, (decision: HeldDecision) => void>()

  /** The host's question about `htlc`, answered by `answer`. Asked twice (a replay), the older question is dropped. */
  hold(htlc: ReceivedHtlc): Promise<HeldDecision> {
    return new Promise((resolve) => {
      this.#waiting.set(htlc.id, resolve)
    })
  }

  /** Nothing when nobody asks: the host has it settled already, or will ask again. */
  answer(id: string, decision: HeldDecision): void {
    this.#waiting.get(id)?.(decision)
    this.#waiting.delete(id)
  }
}
