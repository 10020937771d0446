/** What the LSP remembers of a factory, as it stands in the store. */
import type { ErrorCode } from '@ln-factory/tlv'
import type { FundingTx } from '../../host/port.js'
import type { LspAssist } from '../../assist/state.js'
import type { LspClose, SignedLspClose } from '../../close/state.js'
import type { Giving, LeafChoice, LspUpdate } from '../../update/state.js'
import type { LspMove, Rotation } from '../../turnover/state.js'
import type { LspSales } from '../../liquidity/state.js'
import type { AlarmTexts } from '../../sightings/record.js'
import type { TreeParams } from '../../tree/types.js'
import type { BlockHeight, Blocks, InstanceId, Msat, NodeId, Sat, Txid } from '../../units/index.js'

export interface Accepted {
  readonly key: Uint8Array
  readonly salt: Uint8Array
  readonly payoutScript: Uint8Array
}

export interface LspClient {
  readonly id: NodeId
  readonly capacity: Sat
  readonly push: Msat
  readonly accepted: Accepted | undefined
  /** Its node reads `channel_in_factory`: the open carries it, if ours can. */
  readonly readsBinding?: boolean
  readonly channelScript: Uint8Array | undefined
  /** The client has every signature on disk. */
  readonly stored: boolean
  /** Known once the channel is completed on our side. */
  readonly channelId: string | undefined
  /** What the client says it checked. */
  readonly readyChannelId: string | undefined
}

/** Another transaction spent a coin of the funding: nothing of this tree can appear, unless that is reorganised away. */
export interface DoubleSpent {
  readonly by: Txid
  readonly height: BlockHeight
}

export interface Funded {
  readonly funding: FundingTx
}

/** What ended it, and what is needed to go on when a reorganisation takes that away. */
export type LspEnd = { readonly how: 'cooperative'; readonly close: SignedLspClose } | { readonly how: 'exit' }

/**
 * inviting -> preparing -> opening -> signing -> delivering -> completing -> launching -> confirming -> active -> (closing | exiting)
 * -> settled -> (closed | exited).
 * Up to `completing` any failure leads to `aborted` and costs nobody anything; from `launching` on there is no way back.
 */
export type LspStage =
  | { readonly stage: 'inviting' }
  | { readonly stage: 'preparing' }
  | ({ readonly stage: 'opening' } & Funded)
  | ({ readonly stage: 'signing' } & Funded)
  | ({ readonly stage: 'delivering' } & Funded)
  | ({ readonly stage: 'completing' } & Funded)
  | ({ readonly stage: 'launching'; readonly doubleSpent?: DoubleSpent | undefined } & Funded)
  | ({
      readonly stage: 'confirming'
      readonly confirmedAt: BlockHeight | undefined
      readonly doubleSpent?: DoubleSpent | undefined
    } & Funded)
  | ({ readonly stage: 'active'; readonly confirmedAt: BlockHeight } & Funded)
  | ({
      readonly stage: 'closing'
      /** Of the funding; undefined while a reorganisation keeps it out of the chain. */
      readonly confirmedAt: BlockHeight | undefined
      readonly close: LspClose
    } & Funded)
  /** Every client is being left. */
  | ({
      readonly stage: 'exiting'
      /** Of the funding, as in `closing`. */
      readonly confirmedAt: BlockHeight | undefined
    } & Funded)
  /** Over on chain since the block at `height`, and not buried yet: a reorganisation may take it back. */
  | ({
      readonly stage: 'settled'
      readonly height: BlockHeight
      /** Of the funding, as in `closing`. */
      readonly confirmedAt: BlockHeight | undefined
    } & LspEnd &
      Funded)
  | ({ readonly stage: 'exited' } & Funded)
  | ({ readonly stage: 'closed'; readonly closeTxid: string } & Funded)
  | {
      readonly stage: 'aborted'
      /** What kind of reason it is, for programs. */
      readonly code: ErrorCode
      readonly reason: string
      readonly guilty: NodeId | undefined
      readonly funding: FundingTx | undefined
      /** With whom an open may be pending. */
      readonly opens: readonly NodeId[]
      /** The host has been told to undo everything, and did. */
      readonly cleaned: boolean
    }

/** Clients that the LSP leaves on chain; the others' channels go on. */
export interface LspExit {
  /** Positions in `clients`, ascending. */
  readonly clients: readonly number[]
  /** Where the stocks go; asked of the host when the exit starts. */
  readonly script: Uint8Array | undefined
  /** Channels whose unilateral close was ordered. */
  readonly closing: readonly string[]
  /** A cooperative close that all have signed: it may still confirm instead of the tree. */
  readonly close: SignedLspClose | undefined
}

export interface LspBase {
  readonly v: 1
  readonly role: 'lsp'
  readonly instance: InstanceId
  readonly clients: readonly LspClient[]
  readonly params: TreeParams
  readonly expiry: BlockHeight
  /** Height at the creation: nothing of this factory can be in an older block. */
  readonly createdAt: BlockHeight
  readonly earlyWarning: Blocks
  readonly fundingAmount: Sat
  /** Seconds a client may take for one step. */
  readonly stepTimeout: number
  /** Heights at which transactions of the tree were seen confirmed, by txid. */
  readonly seen: Readonly<Record<string, BlockHeight>>
  /** Channel and stock outputs that were spent in a block, `txid:vout`. */
  readonly spent: readonly string[]
  readonly exit: LspExit | undefined
  /** States of leaves that were updated, by number of the leaf: the first, then each that followed. */
  readonly leaves: Readonly<Record<string, readonly LeafChoice[]>>
  readonly update: LspUpdate | undefined
  readonly giving: readonly Giving[]
  /** Liquidity sold out of the stocks. */
  readonly sales?: LspSales | undefined
  /** What should be impossible, and was seen on chain. */
  readonly alarms: AlarmTexts | undefined
  /** Exits with our help, at most one of each client. */
  readonly assists: readonly LspAssist[]
  readonly notice: string | undefined
  /** Ordered, and how far it is with each client; none in factories that older versions stored. */
  readonly rotation?: Rotation | undefined
  readonly moves?: readonly LspMove[] | undefined
}

export type LspState = LspBase & LspStage
export type LspStageName = LspStage['stage']

/** Nothing has reached the chain yet, and nothing may: the ceremony can still be given up for free. */
export const isForming = (stage: LspStageName): boolean =>
  ['inviting', 'preparing', 'opening', 'signing', 'delivering', 'completing'].includes(stage)
