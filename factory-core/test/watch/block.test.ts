import { FactoryError } from '@ln-factory/tlv'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { txid, outPointKey, type OutPoint } from '../../src/units/index.js'
import { parseBlock } from '../../src/watch/block.js'
import { codeOf } from '../store/conformance.js'
import { count, makeBlock, makeTx, type Tx } from './chain.js'

/** Bitcoin's first block: public data, and the one that everybody can check. */
const GENESIS =
  '0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51' +
  '323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c010100000001000000000000000000000000000000000000000000000000000000000000' +
  '0000ffffffff4d04ffff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b20' +
  '6f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130' +
  'b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000'

const ZERO = '00'.repeat(32)
const point = (n: number, vout = 0): OutPoint => ({ txid: txid(n.toString(16).padStart(64, '0')), vout })
const parseCode = (raw: Uint8Array): string | undefined => codeOf(() => parseBlock(raw))

const tx = fc
  .tuple(
    fc.array(fc.tuple(fc.nat(1000), fc.nat(0xffffffff)), { minLength: 1, maxLength: 4 }),
    fc.integer({ min: 0, max: 0xffffffff }),
    fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }),
  )
  .map(([spends, salt, witness]) =>
    makeTx(
      spends.map(([n, vout]) => point(n, vout)),
      salt,
      witness.map((w) => Buffer.from(w)),
    ),
  )
const txs = fc.uniqueArray(tx, { minLength: 1, maxLength: 9, selector: (t: Tx) => t.txid })

describe('block parser', () => {
  it("reads Bitcoin's first block", () => {
    const block = parseBlock(Buffer.from(GENESIS, 'hex'))
    expect(block.hash).toBe('000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f')
    expect(block.previous).toBe(ZERO)
    expect(block.txs.map((t) => t.txid)).toEqual(['4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b'])
  })

  it('gives txids, spends and raw transactions of any block', () => {
    fc.assert(
      fc.property(txs, (list) => {
        const made = makeBlock('ab'.repeat(32), list)
        const block = parseBlock(made.raw)
        expect(block.hash).toBe(made.hash)
        expect(block.previous).toBe('ab'.repeat(32))
        expect(block.txs.map((t) => t.txid)).toEqual(list.map((t) => t.txid))
        expect(block.txs.map((t) => t.spends)).toEqual(list.map((t) => t.spends.map(outPointKey)))
        expect(block.txs.map((t) => Buffer.from(t.raw))).toEqual(list.map((t) => t.raw))
      }),
    )
  })

  it('reads counts of more than one byte', () => {
    const wide = makeTx(
      Array.from({ length: 300 }, (_, i) => point(i)),
      1,
      [Buffer.alloc(70_000)],
    )
    // 300 witnesses of 70,000 bytes each would be no block; the counts are what matters.
    expect(parseCode(makeBlock(ZERO, [wide]).raw)).toBe('host_failed')
    const many = Array.from({ length: 300 }, (_, i) => makeTx([point(i)], i, [Buffer.alloc(i === 7 ? 70_000 : 10)]))
    expect(parseBlock(makeBlock(ZERO, many).raw).txs).toHaveLength(300)
  })

  it('invariant 11: refuses a block that was cut, lengthened or changed anywhere', () => {
    const raw = makeBlock(ZERO, [makeTx([point(1)], 1), makeTx([point(2), point(3)], 2, [Buffer.alloc(3)])]).raw
    for (let end = 0; end < raw.length; end++)
      expect(parseCode(raw.subarray(0, end)), `cut at ${end}`).toBe('host_failed')
    expect(parseCode(Buffer.concat([raw, Buffer.of(0)]))).toBe('host_failed')
    const whole = parseBlock(raw)
    for (let at = 0; at < raw.length; at++) {
      const bad = raw.slice()
      bad[at] = (bad[at] ?? 0) ^ 1
      try {
        // A header says what it likes (its hash then differs), and a witness is not in the txid; nothing else passes.
        const block = parseBlock(bad)
        if (at < 80) expect(block.hash).not.toBe(whole.hash)
        expect(block.txs.map(({ txid, spends }) => [txid, spends])).toEqual(
          whole.txs.map(({ txid, spends }) => [txid, spends]),
        )
      } catch (error) {
        expect(error).toBeInstanceOf(FactoryError)
      }
    }
  })

  it('invariant 11: refuses forms that no node writes', () => {
    const a = makeTx([point(1)], 1)
    const header = makeBlock(ZERO, [a]).raw.subarray(0, 80)
    const block = (...parts: Uint8Array[]): Uint8Array => Buffer.concat([header, ...parts])
    expect(parseCode(block(count(1), a.raw))).toBeUndefined()
    expect(parseCode(block(Buffer.of(0xfd, 1, 0), a.raw)), 'count not minimal').toBe('host_failed')
    expect(parseCode(block(Buffer.of(0xff, 1, 0, 0, 0, 0, 0, 0, 0), a.raw)), 'count of 8 bytes').toBe('host_failed')
    expect(parseCode(block(Buffer.of(0xfe, 0xff, 0xff, 0xff, 0xff), a.raw)), 'huge count').toBe('host_failed')
    expect(parseCode(block(count(0))), 'no transactions').toBe('host_failed')
    const marked = (flag: number, witness: Buffer): Buffer =>
      Buffer.concat([a.raw.subarray(0, 4), Buffer.of(0, flag), a.raw.subarray(4, -4), witness, a.raw.subarray(-4)])
    expect(parseCode(block(count(1), marked(1, Buffer.of(1, 0))))).toBeUndefined()
    expect(parseCode(block(count(1), marked(2, Buffer.of(1, 0)))), 'flag').toBe('host_failed')
    expect(parseCode(block(count(1), marked(1, Buffer.of(0)))), 'no witness').toBe('host_failed')
    const b = makeTx([point(2)], 2)
    const c = makeTx([point(3)], 3)
    const odd = makeBlock(ZERO, [a, b, c]).raw.subarray(0, 80)
    expect(parseCode(Buffer.concat([odd, count(3), a.raw, b.raw, c.raw]))).toBeUndefined()
    expect(parseCode(Buffer.concat([odd, count(4), a.raw, b.raw, c.raw, c.raw])), 'doubled').toBe('host_failed')
    expect(parseCode(new Uint8Array(4_000_001))).toBe('host_failed')
  })

  it('invariant 11: answers any bytes with a block or a FactoryError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400, size: 'max' }), (raw) => {
        expect(['host_failed', undefined]).toContain(parseCode(raw))
      }),
      { numRuns: 500 },
    )
  })
})
