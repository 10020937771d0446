/** What the demo plays on: a network of one LSP and its clients, whatever their Lightning nodes are. */
import type { Bitcoind } from '../network/index.js'

/** In satoshi; channel balances have millisatoshi behind the point. */
export interface Holdings {
  readonly wallet: number
  readonly channels: number
}

/** A channel whose balance can be spent over it. */
export interface StageChannel {
  readonly peer: string
  readonly state: string
  readonly txid: string
  readonly vout: number
  /** Satoshi. */
  readonly capacity: number
  readonly ours: number
}

/** A transaction of the tree. */
export interface StageTx {
  readonly id: string
  readonly class: string
  readonly role: string
  readonly txid: string
  readonly vsize: number
  /** Satoshi. */
  readonly fee: number
  readonly sequence: number
}

export interface StageFactory {
  readonly transactions: readonly StageTx[]
  readonly exit: {
    readonly transactions: number
    readonly vsize: number
    readonly fee: number
    readonly blocks: number
  }
  readonly earlyWarning: number
  readonly expiry: number
}

/** A node. What it is told to do it shows first, as its operator would write it. */
export interface Party {
  readonly name: string
  readonly id: string
  /** Unspent outputs of its own wallet, confirmed or not: amounts in satoshi by `txid:vout`. */
  coins(): Promise<ReadonlyMap<string, number>>
  channels(): Promise<readonly StageChannel[]>
  invoice(msat: number): Promise<string>
  /** Resolves when it is paid, with what there is to say about it. */
  pay(bolt11: string): Promise<string>
}

/** A node that has a part in factories. */
export interface Member extends Party {
  show(instance: string): Promise<StageFactory>
  /** Its path, level by level. */
  exit(instance: string): Promise<readonly StageTx[]>
}

export interface Created {
  readonly instance: string
  readonly txid: string
  readonly vout: number
  /** Satoshi in the funding output. */
  readonly amount: number
}

export interface Closed {
  readonly txid: string
  readonly fee: number
  readonly vsize: number
  /** Satoshi to the LSP. */
  readonly ours: number
}

export interface Stage {
  readonly bitcoind: Bitcoind
  readonly lsp: Member
  readonly clients: readonly Member[]
  /** A node without factories, with an ordinary channel with the LSP; where there is none, the LSP pays and is paid itself. */
  readonly outside: Party | undefined
  /** Blocks that a node's own commitment keeps its balance. */
  readonly commitmentDelay: number
  /** One factory for all clients. Resolves when it is active everywhere. Capacity in satoshi, lifetime in blocks. */
  create(capacity: number, lifetime: number): Promise<Created>
  close(instance: string): Promise<Closed>
  inPhase(instance: string, phase: string, members: readonly Member[]): Promise<void>
  /** Every node that runs has seen the blocks. */
  mine(blocks: number): Promise<void>
  /** No HTLC is left on any channel. */
  settled(): Promise<void>
  stopLsp(): Promise<void>
  /** Resolves when all channels that are left can be used. */
  startLsp(): Promise<void>
  stop(): Promise<void>
}

export async function holdings(party: Party): Promise<Holdings> {
  const [coins, channels] = await Promise.all([party.coins(), party.channels()])
  return {
    wallet: [...coins.values()].reduce((sum, sats) => sum + sats, 0),
    channels: channels.reduce((sum, c) => sum + c.ours, 0),
  }
}
