/**
 * What it means that a shared output was spent. Pure: what we know of the factory in, a name for what the chain shows out. Who published a
 * transaction that several hold can't be seen; it is told as far as it can be ruled out.
 */
import { outPointKey, LSP, type OutPoint, type ParticipantIndex, type Txid } from '../units/index.js'
import { csvKeyOf } from '../tree/script.js'
import type { DecodedTx } from '../tree/decode.js'
import type { Spend } from '../tree/types.js'

export type Sight =
  | 'our exit'
  | "the LSP's exit"
  | "another client's exit"
  /** By the LSP or a client: more than one that is not us holds the transaction. */
  | "another's exit"
  | 'stale state'
  | 'sale'
  | 'poison'
  | 'distribution'
  | 'cooperative close'
  /** By the LSP, with the key that we handed over when we left. */
  | 'after we left'
  /** The LSP takes a stock back after its CSV. */
  | 'stock sweep'
  /** A channel is closed on chain: commitment or mutual close, the host's business. */
  | 'channel close'
  | 'unknown'

export interface Classified {
  readonly sight: Sight
  /** Of the transaction, where it is one of the factory's. */
  readonly id: string | undefined
  /** It should be impossible: everybody has to look. */
  readonly alarm: boolean
}

export interface Knowledge {
  readonly self: ParticipantIndex
  /** All that may rightly be on chain: the whole tree or our own path, with what was made since. */
  readonly spends: readonly Spend[]
  /** States that newer ones have replaced. */
  readonly superseded: ReadonlySet<Txid>
  readonly close: Txid | undefined
  readonly channels: readonly OutPoint[]
  /** Whose leaving this node has a hand in: its own, or for the LSP those of clients it publishes for. */
  readonly leaving: ReadonlySet<ParticipantIndex>
  /** Our key is the LSP's: what we have not signed may be signed all the same, and takes nothing of ours. */
  readonly handedOver: boolean
}

/** @param by the transaction that spends `outpoint` in a block */
export function classify(known: Knowledge, outpoint: OutPoint, by: DecodedTx): Classified {
  const key = outPointKey(outpoint)
  if (known.channels.some((c) => outPointKey(c) === key)) return plain('channel close')
  if (by.txid === known.close) return plain('cooperative close', 'close')
  const spend = known.spends.find((s) => s.tx.txid === by.txid)
  if (known.superseded.has(by.txid)) return { sight: 'stale state', id: spend?.id, alarm: true }
  if (spend !== undefined) return plain(sightOf(spend, known), spend.id)
  const siblings = known.spends.filter((s) => outPointKey(s.prevout.outpoint) === key)
  const isStock = siblings.some((s) => s.role === 'poison')
  const leafScript = by.inputs.find((i) => outPointKey(i.outpoint) === key)?.witness[1]
  if (isStock && leafScript !== undefined && csvKeyOf(leafScript) !== undefined) return plain('stock sweep')
  if (known.handedOver) return plain('after we left')
  // A stock holds nobody's balance; anything else that we have not signed takes the channels below along.
  return { sight: 'unknown', id: undefined, alarm: !isStock }
}

const plain = (sight: Sight, id?: string): Classified => ({ sight, id, alarm: false })

function sightOf(spend: Spend, known: Knowledge): Sight {
  switch (spend.role) {
    case 'chain':
      return 'sale'
    case 'poison':
      return 'poison'
    case 'distribution':
    case 'payout':
      return 'distribution'
    case 'close':
      return 'cooperative close'
    case 'static':
    case 'kickoff':
    case 'leaf':
      return whoseExit(spend, known)
  }
}

function whoseExit({ signers }: Spend, { self, leaving }: Knowledge): Sight {
  if (signers.some((s) => leaving.has(s))) return 'our exit'
  const others = signers.filter((s) => s !== self)
  if (others.every((s) => s === LSP)) return "the LSP's exit"
  return others.includes(LSP) ? "another's exit" : "another client's exit"
}
