import { schnorr, secp256k1 } from '@noble/curves/secp256k1.js'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { Transaction, p2tr, TaprootControlBlock } from '@scure/btc-signer'
import { keyAggExport, keyAggregate, sortKeys } from '@scure/btc-signer/musig2.js'
import { RawOldTx, RawTx } from '@scure/btc-signer/script.js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FactoryError } from '@ln-factory/tlv'
import { decodeTx, finalize, fundingScript } from '../../src/tree/index.js'
import type { Spend } from '../../src/tree/index.js'
import { stockCsvBranch } from '../../src/tree/stock.js'
import { anyTree, keyOf, preimageOf, treeOf } from './fixtures.js'

const trees = anyTree(12)
const UNKNOWN = { allowUnknownOutputs: true, allowUnknownInputs: true, disableScriptCheck: true, allowUnknown: true }

const isWrong = (code: string) => (error: unknown) => error instanceof FactoryError && error.code === code
function expectCode(code: string, run: () => unknown): void {
  let thrown: unknown
  try {
    run()
  } catch (error) {
    thrown = error
  }
  expect(thrown).toSatisfy(isWrong(code))
}

/** The same transaction, made by @scure/btc-signer. */
function oracle({ tx, prevout }: Spend): Transaction {
  const made = new Transaction({ version: tx.version, lockTime: tx.lockTime, ...UNKNOWN })
  const { txid, vout: index } = tx.input
  const witnessUtxo = { amount: prevout.amount, script: prevout.script }
  made.addInput({ txid, index, sequence: tx.sequence, witnessUtxo })
  for (const { amount, script } of tx.outputs) made.addOutput({ amount, script })
  return made
}

test('bytes, txid and signature hash are what @scure/btc-signer makes of them', () => {
  fc.assert(
    fc.property(trees, (tree) => {
      for (const spend of tree.spends) {
        const made = oracle(spend)
        expect(bytesToHex(spend.tx.bytes)).toBe(bytesToHex(made.unsignedTx))
        expect(spend.tx.txid).toBe(made.id)
        const leaf = spend.key.path === 'script' ? spend.key.leafScript : undefined
        const { script, amount } = spend.prevout
        expect(bytesToHex(spend.sighash)).toBe(
          bytesToHex(made.preimageWitnessV1(0, [script], 0, [amount], undefined, leaf)),
        )
      }
    }),
    { numRuns: 15 },
  )
})

test('vsize is that of the signed bytes', () => {
  fc.assert(
    fc.property(trees, (tree) => {
      for (const spend of tree.spends) {
        const leaf = /^poison:(\d+)/.exec(spend.id)?.[1]
        const signed = finalize(
          spend,
          new Uint8Array(64).fill(1),
          leaf === undefined ? undefined : preimageOf(Number(leaf)),
        )
        const stripped = spend.tx.bytes.length
        expect(spend.vsize).toBe(Math.ceil((3 * stripped + signed.length) / 4))
        expect(decodeTx(signed).txid).toBe(spend.tx.txid)
      }
    }),
    { numRuns: 15 },
  )
})

test('scripts: the aggregate of @scure/btc-signer, tweaked with and without a script tree', () => {
  const tree = treeOf(7)
  const aggregate = (indexes: readonly number[]): Uint8Array =>
    keyAggExport(keyAggregate(sortKeys(indexes.map((i) => keyOf(i)))))
  const everyone = [0, 1, 2, 3, 4, 5, 6, 7]
  expect(fundingScript(everyone.map(keyOf))).toEqual(tree.fundingScript)
  for (const spend of tree.spends) {
    const internal = aggregate(spend.signers)
    const { key, prevout } = spend
    if (key.path === 'script') {
      const csv = stockCsvBranch(tree.spec.params, keyOf(0), spend)
      const leaves = [{ script: csv.leafScript }, { script: key.leafScript }]
      const made = p2tr(internal, leaves, undefined, true)
      expect(prevout.script).toEqual(made.script)
      const blocks = made.tapLeafScript?.map(([control]) => bytesToHex(TaprootControlBlock.encode(control)))
      expect([csv.controlBlock, key.controlBlock].map((b) => bytesToHex(b)).sort()).toEqual(blocks?.sort())
    } else if (key.merkleRoot === undefined) {
      expect(prevout.script).toEqual(p2tr(internal).script)
    } else {
      expect(prevout.script[0]).toBe(0x51)
    }
  }
})

test('the scripts of a stock, opcode by opcode', () => {
  const tree = treeOf(1)
  const poison = tree.spends.find((s) => s.role === 'poison')
  if (poison?.key.path !== 'script') throw new Error('no poison')
  const lsp = bytesToHex(keyOf(0).subarray(1))
  const hash = bytesToHex(tree.spec.poisonHashes[0] ?? new Uint8Array())
  const aggregate = bytesToHex(keyAggExport(keyAggregate(sortKeys([keyOf(0), keyOf(1)]))))
  expect(bytesToHex(poison.key.leafScript)).toBe(`82012088a820${hash}8820${aggregate}ac`)
  const csv = (blocks: number): string =>
    bytesToHex(stockCsvBranch({ ...tree.spec.params, stockCsv: blocks as never }, keyOf(0), poison).leafScript)
  expect(csv(432)).toBe(`02b001b27520${lsp}ac`)
  expect(csv(1)).toBe(`51b27520${lsp}ac`)
  expect(csv(16)).toBe(`60b27520${lsp}ac`)
  expect(csv(17)).toBe(`0111b27520${lsp}ac`)
  expect(csv(127)).toBe(`017fb27520${lsp}ac`)
  expect(csv(128)).toBe(`028000b27520${lsp}ac`)
  expect(csv(0x8000)).toBe(`03008000b27520${lsp}ac`)
  expect(csv(0xffff)).toBe(`03ffff00b27520${lsp}ac`)
  const notPoison = tree.spends[0]
  expectCode('bad_parameter', () => notPoison && stockCsvBranch(tree.spec.params, keyOf(0), notPoison))
})

test('a signature goes into the witness as it should, and a poison wants its preimage', () => {
  const tree = treeOf(2)
  const signature = schnorr.sign(new Uint8Array(32), secp256k1.utils.randomSecretKey())
  for (const spend of tree.spends) {
    if (spend.role === 'poison') {
      for (const wrong of [undefined, new Uint8Array(32), preimageOf(0).subarray(1), preimageOf(1)]) {
        expectCode('bad_parameter', () => finalize(spend, signature, wrong))
      }
      if (spend.key.path !== 'script') throw new Error('a poison by key path')
      const { witness } = decodeTx(finalize(spend, signature, preimageOf(0))).inputs[0] ?? {}
      expect(witness).toEqual([signature, preimageOf(0), spend.key.leafScript, spend.key.controlBlock])
    } else {
      expect(decodeTx(finalize(spend, signature)).inputs[0]?.witness).toEqual([signature])
      expectCode('bad_parameter', () => finalize(spend, signature, preimageOf(0)))
    }
    expectCode('bad_signature', () => finalize(spend, signature.subarray(1), preimageOf(0)))
  }
})

const rawTx = fc.record({
  version: fc.integer({ min: 1, max: 3 }),
  inputs: fc.array(
    fc.record({
      txid: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      index: fc.nat(0xffff),
      finalScriptSig: fc.uint8Array({ maxLength: 300 }),
      sequence: fc.nat(0xffffffff),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  outputs: fc.array(
    fc.record({ amount: fc.bigInt({ min: 0n, max: 21n * 10n ** 14n }), script: fc.uint8Array({ maxLength: 60 }) }),
    { minLength: 1, maxLength: 300 },
  ),
  lockTime: fc.nat(0xffffffff),
})

test('any transaction decodes to what @scure/btc-signer encoded', () => {
  fc.assert(
    fc.property(rawTx, fc.boolean(), fc.uint8Array({ minLength: 1, maxLength: 70 }), (raw, segwitFlag, item) => {
      const witnesses = segwitFlag ? raw.inputs.map((_, i) => Array.from({ length: i + 1 }, () => item)) : undefined
      const decoded = decodeTx(RawTx.encode({ ...raw, segwitFlag, ...(witnesses === undefined ? {} : { witnesses }) }))
      expect(decoded.txid).toBe(Transaction.fromRaw(RawOldTx.encode(raw), UNKNOWN).id)
      expect([decoded.version, decoded.lockTime]).toEqual([raw.version, raw.lockTime])
      expect(decoded.outputs).toEqual(raw.outputs)
      expect(decoded.inputs).toEqual(
        raw.inputs.map((input, i) => ({
          outpoint: { txid: bytesToHex(input.txid), vout: input.index },
          sequence: input.sequence,
          witness: witnesses?.[i] ?? [],
        })),
      )
    }),
    { numRuns: 60 },
  )
})

test('invariant 11: cut, prolonged or garbled transactions are refused, and never anything but our error', () => {
  const bytes = finalize(treeOf(3).spends[0] as Spend, new Uint8Array(64))
  for (let length = 0; length < bytes.length; length++)
    expectCode('bad_parameter', () => decodeTx(bytes.subarray(0, length)))
  expectCode('bad_parameter', () => decodeTx(Uint8Array.from([...bytes, 0])))
  // Counts: not minimal, absurd, 64 bits wide.
  for (const hex of ['02000000fd0100', '02000000feffffffff', '02000000ff0000000001000000', '020000000002']) {
    expectCode('bad_parameter', () => decodeTx(hexToBytes(hex)))
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
      try {
        decodeTx(garbage)
      } catch (error) {
        expect(error).toBeInstanceOf(FactoryError)
      }
    }),
  )
})
