/** What a client remembers of a factory, as it stands in the store. */
import type { Invite } from '@ln-factory/tlv'
import type { ClientAssist } from '../../assist/state.js'
import type { ClientClose, SignedClose } from '../../close/state.js'
import type { ClientUpdate, Gift, LeafChoice } from '../../update/state.js'
import type { ClientMove } from '../../turnover/state.js'
import type { ClientSales } from '../../liquidity/state.js'
import type { AlarmTexts } from '../../sightings/record.js'
import type { BlockHeight, InstanceId, NodeId } from '../../units/index.js'

export interface Joined {
  /** Random part of our factory key; with the node's seed it gives the key back. */
  readonly salt: Uint8Array
  readonly payoutScript: Uint8Array
}

export interface Exit {
  /** Height at which the operator (or a deadline) asked for it. */
  readonly since: BlockHeight
  /** The unilateral close of the channel has been ordered. */
  readonly channelClosing: boolean
  /** A cooperative close that we have signed: it may still confirm instead of our path. */
  readonly close: SignedClose | undefined
}

/** What ended it, and what is needed to go on when a reorganisation takes that away. */
export type ClientEnd =
  | { readonly how: 'cooperative'; readonly confirmedAt: BlockHeight | undefined; readonly close: SignedClose }
  | { readonly how: 'exit'; readonly exit: Exit }
  | { readonly how: 'distribution'; readonly from: Distributable }
  /** The LSP took the funding back after we had left. `confirmedAt`: of the funding. */
  | { readonly how: 'moved'; readonly confirmedAt: BlockHeight }
  /** Our claim of the LSP's output (`assist`). */
  | { readonly how: 'assisted'; readonly confirmedAt: BlockHeight }

/** The stages in which a distribution may confirm, without what all stages share. */
export type Distributable =
  | { readonly stage: 'active'; readonly confirmedAt: BlockHeight }
  | { readonly stage: 'closing'; readonly confirmedAt: BlockHeight | undefined; readonly close: ClientClose }
  | { readonly stage: 'exiting'; readonly exit: Exit }

/**
 * invited -> joining -> accepted -> signing -> signed -> stored -> ready -> active -> (closing | exiting) -> settled -> closed.
 * From `stored` on we hold everything that an exit needs; from `ready` on the funding may appear. `settled` goes back where it came
 * from when a reorganisation takes the end away; `closed` is buried too deep for that.
 */
export type ClientStage =
  | { readonly stage: 'invited'; /** Unix seconds. */ readonly answerBefore: number }
  | { readonly stage: 'joining' }
  | ({ readonly stage: 'accepted'; /** Zero-conf was granted to one open. */ readonly opened: boolean } & Joined)
  | ({ readonly stage: 'signing' } & Joined)
  | ({ readonly stage: 'signed' } & Joined)
  | ({ readonly stage: 'stored' } & Joined)
  | ({ readonly stage: 'ready'; readonly channelId: string; readonly confirmedAt: BlockHeight | undefined } & Joined)
  | ({ readonly stage: 'active'; readonly channelId: string; readonly confirmedAt: BlockHeight } & Joined)
  | ({
      readonly stage: 'closing'
      readonly channelId: string
      /** Of the funding; undefined while a reorganisation keeps it out of the chain. */
      readonly confirmedAt: BlockHeight | undefined
      readonly close: ClientClose
    } & Joined)
  | ({ readonly stage: 'exiting'; readonly channelId: string; readonly exit: Exit } & Joined)
  /** Over on chain since the block at `height`. */
  | ({ readonly stage: 'settled'; readonly channelId: string; readonly height: BlockHeight } & ClientEnd & Joined)
  | ({ readonly stage: 'closed'; readonly how: ClientEnd['how']; readonly channelId: string } & Joined)
  | { readonly stage: 'refused'; readonly reason: string }
  | { readonly stage: 'aborted'; readonly reason: string; readonly channelId: string | undefined }

export interface ClientBase {
  readonly v: 1
  readonly role: 'client'
  readonly instance: InstanceId
  readonly lsp: NodeId
  readonly invite: Invite
  /** Height at the invitation: nothing of this factory can be in an older block. */
  readonly createdAt: BlockHeight
  /** Heights at which transactions of our path were seen confirmed, by txid. */
  readonly seen: Readonly<Record<string, BlockHeight>>
  /** States of our leaf, once it was updated: the first, then each that followed. */
  readonly leaf: readonly LeafChoice[]
  readonly update: ClientUpdate | undefined
  readonly gift: Gift | undefined
  /** Liquidity sold out of our stock. */
  readonly sales?: ClientSales | undefined
  /** What should be impossible, and was seen on chain. */
  readonly alarms: AlarmTexts | undefined
  /** An exit with the LSP's help, beside whatever the stage is. */
  readonly assist: ClientAssist | undefined
  readonly notice: string | undefined
  /** To another factory; none in factories that older versions stored. */
  readonly move?: ClientMove | undefined
}

export type ClientState = ClientBase & ClientStage
export type ClientStageName = ClientStage['stage']

/** Item keys. */
export const PROPOSAL_ITEM = 'proposal'

export function clientBase(state: ClientState): ClientBase {
  const { v, role, instance, lsp, invite, createdAt, seen, leaf, update, gift, sales, alarms, assist, notice, move } =
    state
  return { v, role, instance, lsp, invite, createdAt, seen, leaf, update, gift, sales, alarms, assist, notice, move }
}

export const joined = (state: Joined): Joined => ({ salt: state.salt, payoutScript: state.payoutScript })
