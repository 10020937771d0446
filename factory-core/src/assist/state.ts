/** What both sides remember of an assisted exit. It stands beside the factory's stage: the factory goes on meanwhile. */
import type { FundingTx } from '../host/port.js'
import type { BlockHeight, Msat, Sat } from '../units/index.js'
import type { PlacedOutput } from './output.js'
import type { Times } from './terms.js'

/** What was offered. Both sides build output and claims from it. */
export interface AssistTerms extends PlacedOutput, Times {
  readonly payoutScript: Uint8Array
  /** Lowest of the claim, sat per 1000 vB. */
  readonly feerate: number
  /** What the client's HTLC carries. */
  readonly paid: Msat
  /** Of the HTLC's onion, 32 bytes. */
  readonly paymentSecret: Uint8Array
  /** One for each of `claimFeerates`, 65 bytes each. */
  readonly preSignatures: readonly Uint8Array[]
}

export interface ClientTerms extends AssistTerms {
  /** Before the payment. */
  readonly balance: Msat
}

/** looking -> asked -> paying -> claiming; then the factory is closed for this client. Before `claiming` it may end in nothing. */
export type ClientAssist = {
  /** Fresh key and preimage come of it, 16 bytes. */
  readonly salt: Uint8Array
  readonly payoutScript: Uint8Array
  readonly feerate: number
  /** Most that all of it may cost at the lowest feerate, in sat. */
  readonly maxFee: Sat
  /** Height at which it was ordered. */
  readonly since: BlockHeight
} & (
  | { readonly step: 'looking' }
  | { readonly step: 'asked'; readonly paid: Msat; readonly balance: Msat }
  /** An HTLC may be under way. */
  | { readonly step: 'paying'; readonly terms: ClientTerms; readonly fundedAt: BlockHeight | undefined }
  /** The claim may be out: our key is the LSP's. */
  | {
      readonly step: 'claiming'
      readonly terms: ClientTerms
      readonly fundedAt: BlockHeight | undefined
      /** Which of the feerates, and since when. */
      readonly rung: number
      readonly rungSince: BlockHeight
      /** Height of the block that has it. */
      readonly claimedAt: BlockHeight | undefined
    }
)

/** The payment is the LSP's: an HTLC that is still there is no reason to leave by our path. */
export const isPaidOut = (assist: ClientAssist | undefined): boolean =>
  assist?.step === 'claiming' && assist.claimedAt !== undefined

/** A claim is out that must confirm before the LSP's time comes. */
export const isClaiming = (assist: ClientAssist | undefined): boolean =>
  assist?.step === 'claiming' && assist.claimedAt === undefined

export interface AssistRequested {
  /** Height of the request. */
  readonly since: BlockHeight
  /** Position in `clients`. */
  readonly client: number
  /** Of our fresh key, 16 bytes. */
  readonly salt: Uint8Array
  readonly clientKey: Uint8Array
  readonly hash: Uint8Array
  readonly payoutScript: Uint8Array
  readonly paid: Msat
  readonly feerate: number
}

/** An output whose transaction is being prepared. */
export interface AssistDraft extends Times {
  readonly amount: Sat
  readonly back: Uint8Array
  readonly paymentSecret: Uint8Array
}

export interface AssistOffered {
  readonly terms: AssistTerms
  readonly funding: FundingTx
  /** Where the output goes when it comes back. */
  readonly back: Uint8Array
}

/** preparing -> offered -> funding -> (claimed | returned -> unclaimed); before `funding` it may be forgotten. */
export type LspAssist = AssistRequested &
  (
    | { readonly step: 'preparing'; readonly draft: AssistDraft | undefined }
    | ({ readonly step: 'offered' } & AssistOffered)
    /** The HTLC is held; the output may be on chain. */
    | ({
        readonly step: 'funding'
        readonly htlc: string
        readonly fundedAt: BlockHeight | undefined
      } & AssistOffered)
    /** The preimage is an item, and the client's factory key too (`keyItem`), if it was `keyed`: no secret is in a state. */
    | { readonly step: 'claimed'; readonly htlc: string; readonly keyed: boolean }
    /** We took it back at this height; not deep enough to let the HTLC go. */
    | ({ readonly step: 'returned'; readonly htlc: string; readonly returnedAt: BlockHeight } & AssistOffered)
    /** The HTLC is failed. Kept: nobody gets a second output for nothing. */
    | { readonly step: 'unclaimed'; readonly htlc: string }
  )

/** Nothing moves in the channel of a client that leaves, or has left. */
export const isLeaving = (assist: LspAssist): boolean => assist.step !== 'unclaimed'

/** An HTLC of the client's is held, or its output may be on chain. */
export const isBound = (assist: LspAssist): boolean => assist.step === 'funding' || assist.step === 'returned'

/** What all steps share. */
export const requestOf = (a: LspAssist): AssistRequested => {
  const { since, client, salt, clientKey, hash, payoutScript, paid, feerate } = a
  return { since, client, salt, clientKey, hash, payoutScript, paid, feerate }
}

export const offerOf = ({ terms, funding, back }: AssistOffered): AssistOffered => ({ terms, funding, back })

/** It has left, and its key is ours. */
export const isKeyed = (assist: LspAssist): boolean => assist.step === 'claimed' && assist.keyed

/** It has left, with its key or without. */
export const isGone = (assist: LspAssist): boolean => assist.step === 'claimed'
