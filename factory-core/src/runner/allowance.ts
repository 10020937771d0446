/**
 * What one peer may make this node do. A hook is answered at once, so nothing can be made to wait: what is over the limit is dropped,
 * as a lost connection would have dropped it. Numbers are far above what any ceremony needs, and are stated in docs/security.md.
 */
import type { NodeId } from '../units/index.js'

export const LIMITS = {
  /** Messages of type 32800 at once, and per second after that. */
  messages: { burst: 1000, perSecond: 50 },
  /** Their bytes. */
  bytes: { burst: 8 << 20, perSecond: 512 << 10 },
  /** Log lines about what a peer sent. */
  lines: { burst: 20, perSecond: 0.1 },
  /** Log lines about steps that changed nothing, of all peers together. */
  remarks: { burst: 200, perSecond: 1 },
  /** Invitations to factories that we don't know. */
  invitations: { burst: 64, perSecond: 0.1 },
} as const

/** Invitations of one LSP that wait for the operator. */
export const MAX_PENDING_INVITES = 8
/** Factories of one LSP, as its client, that have not ended. */
export const MAX_LIVE_FACTORIES = 128
/** Messages to one peer that the host has not taken yet. */
export const MAX_QUEUED = 1000
/** Protocols of one peer that are remembered. */
export const MAX_PROTOCOLS = 64
/** Peers whose spending is remembered; the one that was not heard of for longest is forgotten first. */
const MAX_PEERS = 4096

interface Rate {
  readonly burst: number
  readonly perSecond: number
}

/** Tokens that come back with time. */
export class Bucket {
  #tokens: number
  #at: number

  /** @param now seconds, of a clock that may go back */
  constructor(
    private readonly rate: Rate,
    now: number,
  ) {
    this.#tokens = rate.burst
    this.#at = now
  }

  /** False, and nothing is taken, when so many are not there. */
  take(count: number, now: number): boolean {
    const { burst, perSecond } = this.rate
    this.#tokens = Math.min(burst, this.#tokens + Math.max(0, now - this.#at) * perSecond)
    this.#at = now
    if (count > this.#tokens) return false
    this.#tokens -= count
    return true
  }
}

type Buckets = Record<'messages' | 'bytes' | 'lines' | 'invitations', Bucket>

export class Allowances {
  readonly #peers = new Map<NodeId, { readonly buckets: Buckets; unsaid: number }>()

  readonly #remarks: Bucket

  constructor(private readonly clock: () => number) {
    this.#remarks = new Bucket(LIMITS.remarks, clock())
  }

  remark(): boolean {
    return this.#remarks.take(1, this.clock())
  }

  /** May this message be looked at? */
  message(peer: NodeId, bytes: number): boolean {
    const { buckets } = this.#of(peer)
    const now = this.clock()
    return buckets.messages.take(1, now) && buckets.bytes.take(bytes, now)
  }

  invitation(peer: NodeId): boolean {
    return this.#of(peer).buckets.invitations.take(1, this.clock())
  }

  /** What to log for `text`: nothing when it is too much; how many were left out, when there is room again. */
  line(peer: NodeId, text: string): string | undefined {
    const known = this.#of(peer)
    if (!known.buckets.lines.take(1, this.clock())) {
      known.unsaid++
      return undefined
    }
    const more = known.unsaid === 0 ? '' : ` (and ${known.unsaid} more like this)`
    known.unsaid = 0
    return text + more
  }

  #of(peer: NodeId): { readonly buckets: Buckets; unsaid: number } {
    const known = this.#peers.get(peer)
    // Put at the end: the first of a map is the one that was set longest ago.
    this.#peers.delete(peer)
    const entry = known ?? { buckets: this.#full(), unsaid: 0 }
    this.#peers.set(peer, entry)
    if (this.#peers.size > MAX_PEERS) {
      const [oldest] = this.#peers.keys()
      if (oldest !== undefined) this.#peers.delete(oldest)
    }
    return entry
  }

  #full(): Buckets {
    const now = this.clock()
    return {
      messages: new Bucket(LIMITS.messages, now),
      bytes: new Bucket(LIMITS.bytes, now),
      lines: new Bucket(LIMITS.lines, now),
      invitations: new Bucket(LIMITS.invitations, now),
    }
  }
}
