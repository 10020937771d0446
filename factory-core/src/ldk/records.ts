/**
 * What we must know of a channel besides what LDK knows: LDK forgets a channel at its close, and never asks whether the funding
 * is on chain.
 */
import { outPointKey, txid, type NodeId, type OutPoint } from '../units/index.js'

export interface ChannelRecord {
  readonly channelId: string
  readonly peer: NodeId
  readonly funding: OutPoint
  /** Satoshi. */
  readonly capacity: bigint
  /** Hex of the funding output's script, as LDK's monitor watches it: made of our key and the peer's. */
  readonly script: string
  /** Opened for a factory, by us or to us. */
  readonly factory: boolean
  /** Its factory is funded: it must survive from now on. */
  readonly released: boolean
  /** `dropped` is kept, so that nothing which the peer still says about it does harm. */
  readonly state: 'live' | 'closing' | 'dropped'
  /** Our balance in msat at the close; 0 before. */
  readonly last: bigint
  /** Height of the block that holds the funding transaction. */
  readonly confirmed: number | undefined
}

const PREFIX = 'channel:'

interface Stored {
  readonly peer: string
  readonly txid: string
  readonly vout: number
  readonly capacity: string
  readonly script: string
  readonly factory: boolean
  readonly released: boolean
  readonly state: ChannelRecord['state']
  readonly last: string
  readonly confirmed?: number
}

const encode = (r: ChannelRecord): Uint8Array => {
  const stored: Stored = {
    peer: r.peer,
    txid: r.funding.txid,
    vout: r.funding.vout,
    capacity: String(r.capacity),
    script: r.script,
    factory: r.factory,
    released: r.released,
    state: r.state,
    last: String(r.last),
    ...(r.confirmed === undefined ? {} : { confirmed: r.confirmed }),
  }
  return new TextEncoder().encode(JSON.stringify(stored))
}

const decode = (channelId: string, bytes: Uint8Array): ChannelRecord => {
  const s = JSON.parse(new TextDecoder().decode(bytes)) as Stored
  return {
    channelId,
    peer: s.peer as NodeId,
    funding: { txid: txid(s.txid), vout: s.vout },
    capacity: BigInt(s.capacity),
    script: s.script,
    factory: s.factory,
    released: s.released,
    state: s.state,
    last: BigInt(s.last),
    confirmed: s.confirmed,
  }
}

export class Records {
  private readonly byId = new Map<string, ChannelRecord>()

  constructor(
    stored: ReadonlyMap<string, Uint8Array>,
    private readonly writes: { set(key: string, value: Uint8Array | undefined): void },
  ) {
    for (const [id, bytes] of stored) this.byId.set(id, decode(id, bytes))
  }

  static stored(storage: { list(prefix: string): Map<string, Uint8Array> }): Map<string, Uint8Array> {
    return storage.list(PREFIX)
  }

  get(channelId: string): ChannelRecord | undefined {
    return this.byId.get(channelId)
  }

  all(): Iterable<ChannelRecord> {
    return this.byId.values()
  }

  put(record: ChannelRecord): void {
    this.byId.set(record.channelId, record)
    this.writes.set(PREFIX + record.channelId, encode(record))
  }

  change(channelId: string, change: Partial<ChannelRecord>): void {
    const record = this.byId.get(channelId)
    if (record !== undefined) this.put({ ...record, ...change })
  }

  remove(channelId: string): void {
    this.byId.delete(channelId)
    this.writes.set(PREFIX + channelId, undefined)
  }

  atFunding(outpoint: string): ChannelRecord | undefined {
    return [...this.byId.values()].find((r) => outPointKey(r.funding) === outpoint)
  }

  blockConnected(txids: ReadonlySet<string>, height: number): void {
    for (const r of this.byId.values()) if (txids.has(r.funding.txid)) this.put({ ...r, confirmed: height })
  }

  blockDisconnected(height: number): void {
    for (const r of this.byId.values())
      if (r.confirmed !== undefined && r.confirmed >= height) this.put({ ...r, confirmed: undefined })
  }
}
