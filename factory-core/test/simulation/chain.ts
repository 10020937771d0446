/**
 * A chain for simulations: real blocks of real transactions, without proof of work. It checks what the machines rely on: inputs exist and are
 * spent once, nLockTime, nSequence (BIP-68), and that outputs don't exceed inputs. Scripts are bitcoind's to check.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { decodeTx, txidBytes, type DecodedTx } from '../../src/tree/index.js'
import { blockHeight, outPointKey, type BlockHeight, type OutPoint, type Sat } from '../../src/units/index.js'

interface Coin {
  readonly amount: Sat
  readonly script: Uint8Array
  readonly height: number | undefined
}

interface Entry {
  readonly tx: DecodedTx
  readonly raw: Uint8Array
}

const doubleSha = (bytes: Uint8Array): Uint8Array => sha256(sha256(bytes))

export class SimChain {
  readonly #minted = new Map<string, Coin>()
  #blocks: { hash: string; raw: Uint8Array; txs: readonly Entry[] }[] = []
  #coins = new Map<string, Coin>()
  #mempool: Entry[] = []
  /** Ids of what is in the mempool or in a block. */
  readonly accepted = new Set<string>()
  #forks = 0

  constructor(height: number) {
    for (let i = 0; i <= height; i++) this.mine()
  }

  get height(): BlockHeight {
    return blockHeight(this.#blocks.length - 1)
  }

  block(height: BlockHeight): { hash: string; raw: Uint8Array } | undefined {
    return this.#blocks[height]
  }

  coin(outpoint: OutPoint): Coin | undefined {
    return this.#coins.get(outPointKey(outpoint))
  }

  /** In a block, or waiting for one. */
  transaction(txid: string): Uint8Array | undefined {
    return [...this.#blocks.flatMap((b) => b.txs), ...this.#mempool].find((e) => e.tx.txid === txid)?.raw
  }

  /** A coin out of nothing, for wallets. */
  mint(outpoint: OutPoint, amount: Sat, script: Uint8Array): void {
    const coin = { amount, script, height: 0 }
    this.#minted.set(outPointKey(outpoint), coin)
    this.#coins.set(outPointKey(outpoint), coin)
  }

  broadcast(raw: Uint8Array): { accepted: boolean; error: string | undefined } {
    const tx = decodeTx(raw)
    if (this.accepted.has(tx.txid)) return { accepted: true, error: undefined }
    const error = this.#fault(tx)
    if (error !== undefined) return { accepted: false, error }
    this.#apply(tx, undefined)
    this.#mempool.push({ tx, raw })
    return { accepted: true, error: undefined }
  }

  #fault(tx: DecodedTx): string | undefined {
    const coins = tx.inputs.map((i) => this.coin(i.outpoint))
    if (coins.some((c) => c === undefined)) return 'missing inputs'
    if (tx.lockTime > this.height) return 'non-final'
    for (const [i, input] of tx.inputs.entries()) {
      const delay = (input.sequence & 0x80000000) !== 0 ? 0 : input.sequence & 0xffff
      const height = coins[i]?.height
      if (delay > 0 && (height === undefined || this.height + 1 < height + delay)) return 'non-BIP68-final'
    }
    const sum = (values: (bigint | undefined)[]): bigint => values.reduce<bigint>((s, v) => s + (v ?? 0n), 0n)
    if (sum(tx.outputs.map((o) => o.amount)) > sum(coins.map((c) => c?.amount))) return 'outputs exceed inputs'
    return undefined
  }

  #apply(tx: DecodedTx, height: number | undefined): void {
    for (const input of tx.inputs) this.#coins.delete(outPointKey(input.outpoint))
    for (const [vout, output] of tx.outputs.entries())
      this.#coins.set(outPointKey({ txid: tx.txid, vout }), { ...output, height })
    this.accepted.add(tx.txid)
  }

  /** The last `depth` blocks are gone. Their transactions wait for a block again, as far as `keep` says so. */
  reorg(depth: number, keep: (txid: string) => boolean = () => true): void {
    const gone = this.#blocks.slice(-depth).flatMap((b) => b.txs)
    const waiting = [...gone, ...this.#mempool]
    this.#blocks = this.#blocks.slice(0, -depth)
    this.#forks++
    this.#coins = new Map(this.#minted)
    this.accepted.clear()
    for (const [height, { txs }] of this.#blocks.entries()) for (const { tx } of txs) this.#apply(tx, height)
    this.#mempool = []
    for (const { tx, raw } of waiting) if (keep(tx.txid)) this.broadcast(raw)
  }

  mine(): void {
    const height = this.#blocks.length
    for (const { tx } of this.#mempool)
      for (const [vout, output] of tx.outputs.entries()) {
        const key = outPointKey({ txid: tx.txid, vout })
        if (this.#coins.has(key)) this.#coins.set(key, { ...output, height })
      }
    const previous = this.#blocks[height - 1]
    const header = new Uint8Array(80)
    header[0] = 1
    if (previous !== undefined) header.set(Buffer.from(previous.hash, 'hex').reverse(), 4)
    header[72] = this.#forks
    header[76] = height & 0xff
    const txs = [coinbase(height), ...this.#mempool.map((m) => m.raw)]
    header.set(merkleRoot(txs.map((raw) => txidBytes(decodeTx(raw).txid))), 36)
    const raw = Buffer.concat([header, Uint8Array.of(txs.length), ...txs])
    const hash = Buffer.from(doubleSha(header)).reverse().toString('hex')
    this.#blocks.push({ hash, raw: Uint8Array.from(raw), txs: this.#mempool })
    this.#mempool = []
  }
}

function merkleRoot(ids: readonly Uint8Array[]): Uint8Array {
  let level = [...ids]
  while (level.length > 1) {
    const next: Uint8Array[] = []
    for (let i = 0; i < level.length; i += 2) {
      const left = level[i] ?? new Uint8Array(32)
      next.push(doubleSha(Buffer.concat([left, level[i + 1] ?? left])))
    }
    level = next
  }
  return level[0] ?? new Uint8Array(32)
}

/** Version 2, one null input with the height in its script, one output of 0 sat. */
function coinbase(height: number): Uint8Array {
  const script = Buffer.alloc(5)
  script[0] = 4
  script.writeUInt32LE(height, 1)
  const vout = Buffer.alloc(4, 0xff)
  return Buffer.concat([
    Uint8Array.of(2, 0, 0, 0, 1),
    Buffer.alloc(32),
    vout,
    Uint8Array.of(script.length),
    script,
    Buffer.alloc(4, 0xff),
    Uint8Array.of(1),
    Buffer.alloc(8),
    Uint8Array.of(1, 0x51),
    Buffer.alloc(4),
  ])
}
