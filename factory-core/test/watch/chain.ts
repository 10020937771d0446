/**
 * A chain that mines what it is told and reorganises at will, in real block bytes. Hashing and serialisation are written
 * apart from the sources, with Node's own SHA-256.
 */
import { createHash } from 'node:crypto'
import type { ChainSource } from '../../src/watch/index.js'
import { blockHeight, outPointKey, txid, type BlockHeight, type OutPoint, type Txid } from '../../src/units/index.js'

const hash = (b: Buffer): Buffer => createHash('sha256').update(createHash('sha256').update(b).digest()).digest()
const display = (b: Buffer): string => Buffer.from(b).reverse().toString('hex')
const internal = (hex: string): Buffer => Buffer.from(hex, 'hex').reverse()
const u32 = (n: number): Buffer => {
  const b = Buffer.alloc(4)
  b.writeUInt32LE(n)
  return b
}
export const count = (n: number): Buffer =>
  n < 0xfd ? Buffer.of(n) : n < 0x10000 ? Buffer.of(0xfd, n & 0xff, n >> 8) : Buffer.concat([Buffer.of(0xfe), u32(n)])

export interface Tx {
  readonly txid: Txid
  readonly spends: readonly OutPoint[]
  readonly raw: Buffer
}

export function makeTx(spends: readonly OutPoint[], salt: number, witness: readonly Buffer[] = []): Tx {
  const inputs = spends.map((o) => Buffer.concat([internal(o.txid), u32(o.vout), count(0), u32(0xfffffffd)]))
  const script = Buffer.concat([Buffer.of(0x6a, 4), u32(salt)])
  const output = Buffer.concat([Buffer.alloc(8), count(script.length), script])
  const body = Buffer.concat([count(inputs.length), ...inputs, count(1), output])
  const stack = Buffer.concat([count(witness.length), ...witness.map((w) => Buffer.concat([count(w.length), w]))])
  const witnesses = Buffer.concat(spends.map(() => stack))
  const raw =
    witness.length === 0
      ? Buffer.concat([u32(3), body, u32(0)])
      : Buffer.concat([u32(3), Buffer.of(0, 1), body, witnesses, u32(0)])
  return { txid: txid(display(hash(Buffer.concat([u32(3), body, u32(0)])))), spends, raw }
}

const coinbase = (salt: number): Tx => makeTx([{ txid: txid('00'.repeat(32)), vout: 0xffffffff }], salt)

function merkle(ids: Buffer[]): Buffer {
  if (ids.length === 1) return ids[0] ?? Buffer.alloc(0)
  const even = ids.length % 2 === 0 ? ids : [...ids, ids.at(-1) ?? Buffer.alloc(0)]
  return merkle(
    even.filter((_, i) => i % 2 === 0).map((left, i) => hash(Buffer.concat([left, even[2 * i + 1] ?? left]))),
  )
}

export interface SimulatedBlock {
  readonly hash: string
  readonly raw: Uint8Array
  readonly txs: readonly Tx[]
}

export function makeBlock(previous: string, txs: readonly Tx[], salt = 0): SimulatedBlock {
  const root = merkle(txs.map((t) => internal(t.txid)))
  const header = Buffer.concat([u32(4), internal(previous), root, u32(salt), u32(0x207fffff), u32(0)])
  const raw = Buffer.concat([header, count(txs.length), ...txs.map((t) => t.raw)])
  return { hash: display(hash(header)), raw: new Uint8Array(raw), txs }
}

export class SimulatedChain implements ChainSource {
  #blocks: SimulatedBlock[] = []
  #salt = 0
  /** How often a block was read. */
  reads = 0

  constructor(length: number) {
    for (let i = 0; i < length; i++) this.mine()
  }

  get tip(): BlockHeight {
    return blockHeight(this.#blocks.length - 1)
  }

  hashAt(height: number): string {
    return this.#blocks[height]?.hash ?? ''
  }

  mine(...txs: Tx[]): BlockHeight {
    this.#salt++
    const block = makeBlock(this.#blocks.at(-1)?.hash ?? '00'.repeat(32), [coinbase(this.#salt), ...txs], this.#salt)
    this.#blocks.push(block)
    return this.tip
  }

  /** Take the last blocks away (`invalidateblock`). */
  drop(blocks: number): void {
    this.#blocks.length -= blocks
  }

  /** The heights at which the chain, read from its start, has these things. */
  confirmed(): Map<Txid, number> {
    return new Map(this.#blocks.flatMap((b, height) => b.txs.map((t) => [t.txid, height] as const)))
  }

  spent(): Map<string, { by: Txid; height: number }> {
    return new Map(
      this.#blocks.flatMap((b, height) =>
        b.txs.flatMap((t) => t.spends.map((o) => [outPointKey(o), { by: t.txid, height }] as const)),
      ),
    )
  }

  height(): Promise<BlockHeight> {
    return Promise.resolve(this.tip)
  }

  block(height: BlockHeight): Promise<{ hash: string; raw: Uint8Array } | undefined> {
    this.reads++
    return Promise.resolve(this.#blocks[height])
  }
}
