/** A balance on its way from one factory to the next, as both sides remember it. No preimage is in a state: they are items, or derived. */
import type { InstanceId, Msat } from '../units/index.js'

/** One HTLC over the old channel for one of the same hash over the new. `amountIn` is 0 when nothing is left that can be sent. */
export interface MovingPart {
  readonly index: number
  /** Its preimage is the client's factory key, and `amountOut` all that the old channel holds for the client. */
  readonly last: boolean
  /** 64 hex characters. */
  readonly hash: string
  readonly amountIn: Msat
  readonly amountOut: Msat
}

export interface ClientPart extends MovingPart {
  /** Channel that it is paid over: the one that the factory began with, or one that was bought. */
  readonly from: string
  /** `payment_secret` that the LSP pays with; undefined until the host gave it. */
  readonly secretOut: Uint8Array | undefined
  /** `payment_secret` that we pay with; undefined until the LSP is ready. */
  readonly secretIn: Uint8Array | undefined
  /** The HTLC over the new channel, while it is held. */
  readonly htlc: string | undefined
  /** The preimage has been given for it. */
  readonly received: boolean
  /** Our payment over the old channel has ended, or there was none. */
  readonly paid: boolean
}

export interface ClientMove {
  readonly to: InstanceId
  /** Parts that are done. */
  readonly count: number
  readonly part: ClientPart | undefined
  /** Everything is in the new factory and the key handed over: we have no claim in this one. */
  readonly moved: boolean
  /** What the LSP could pay in one HTLC when it offered last. */
  readonly most: Msat
}

/** `asked`: our channels are being looked at. `ready`: the client may pay. `paying`: its HTLC is held, and we pay onward. */
export interface LspPart extends MovingPart {
  readonly secretOut: Uint8Array
  readonly step: 'asked' | 'ready' | 'paying'
  /** `payment_secret` that the client pays with. */
  readonly secretIn: Uint8Array | undefined
  /** The client's HTLC, while it is held. */
  readonly htlc: string | undefined
}

export interface LspMove {
  /** In `clients`. */
  readonly position: number
  readonly to: InstanceId
  readonly count: number
  readonly part: LspPart | undefined
  /** Hashes whose preimage is known: HTLCs that may be told again after a restart. */
  readonly settled: readonly string[]
  /**
   * `moving`: more parts are to come. `moved`: the channel is empty, and the key is ours. `keyless`: it is empty, and what was
   * given for it was not the key: the factory can't be reaped, its path is published in time.
   */
  readonly stage: 'moving' | 'moved' | 'keyless'
}

/** Where the clients of a factory go, in the order in which it was ordered; and where its coins go when all have left. */
export interface Rotation {
  readonly targets: readonly InstanceId[]
  readonly script: Uint8Array
  /** sat per 1000 vB, of the transaction that takes the coins back. */
  readonly feerate: number
}

/** Item keys. Secrets: a client's factory key is ours from here on, and opens nothing but what it has left. */
export const keyItem = (position: number): string => `turnover/key/${position}`
export const preimageItem = (hash: string): string => `turnover/preimage/${hash}`
