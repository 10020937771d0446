import { schnorr } from '@noble/curves/secp256k1.js'
import { sat, txid } from '@ln-factory/core/units'
import { base64, hex } from '@scure/base'
import { p2sh, p2tr, p2wpkh, RawTx, Transaction } from '@scure/btc-signer'
import { describe, expect, it } from 'vitest'
import { findOutput, inputsOf, signedTxid, txidOf, unsignedPsbt, withInvalidWitness } from '../../src/host/psbt.js'

const key = Uint8Array.from({ length: 32 }, (_, i) => i + 1)
const taproot = p2tr(schnorr.getPublicKey(key))
const pub = Uint8Array.from([2, ...schnorr.getPublicKey(key)])
const ANCHOR = hex.decode('51024e73')
const amount = sat(100_000)

/** A leaf as factories have them: version 3, one input, channel outputs, anchor. */
function leaf(): Transaction {
  const tx = new Transaction({ version: 3, allowUnknownOutputs: true })
  const witnessUtxo = { amount, script: taproot.script }
  tx.addInput({
    txid: '11'.repeat(32),
    index: 2,
    sequence: 432,
    witnessUtxo,
    tapInternalKey: schnorr.getPublicKey(key),
  })
  tx.addOutput({ script: hex.decode(`0020${'22'.repeat(32)}`), amount: 98_000n })
  tx.addOutput({ script: ANCHOR, amount: 240n })
  return tx
}

describe('PSBTs for lightningd', () => {
  it('keeps every byte of the leaf and adds what its input spends', () => {
    const tx = leaf()
    const psbt = Transaction.fromPSBT(base64.decode(unsignedPsbt(tx.unsignedTx, { amount, script: taproot.script })), {
      allowUnknownOutputs: true,
    })
    expect(hex.encode(psbt.unsignedTx)).toBe(hex.encode(tx.unsignedTx))
    expect(psbt.getInput(0).witnessUtxo).toEqual({ amount, script: taproot.script })
    expect(RawTx.decode(psbt.unsignedTx).version).toBe(3)
  })

  it('is BIP 174 version 0, byte for byte', () => {
    const tx = leaf()
    const bytes = base64.decode(unsignedPsbt(tx.unsignedTx, { amount, script: taproot.script }))
    const unsigned = hex.encode(tx.unsignedTx)
    const utxo = `a086010000000000225120${hex.encode(taproot.script.subarray(2))}`
    const expected = [
      '70736274ff',
      '0100',
      (unsigned.length / 2).toString(16),
      unsigned,
      '00',
      '0101',
      '2b',
      utxo,
      '00',
      '00',
      '00',
    ]
    expect(hex.encode(bytes)).toBe(expected.join(''))
  })

  it('refuses a leaf with more than one input', () => {
    const tx = leaf()
    tx.addInput({ txid: '33'.repeat(32), index: 0 })
    expect(() => unsignedPsbt(tx.unsignedTx, { amount, script: taproot.script })).toThrow('one input')
  })

  it('finalises with a witness that signs nothing, and changes nothing else', () => {
    const tx = leaf()
    const unsigned = unsignedPsbt(tx.unsignedTx, { amount, script: taproot.script })
    const final = Transaction.fromPSBT(base64.decode(withInvalidWitness(unsigned)), { allowUnknownOutputs: true })
    expect(final.getInput(0).finalScriptWitness).toEqual([new Uint8Array(64)])
    expect(hex.encode(final.unsignedTx)).toBe(hex.encode(tx.unsignedTx))
    // No key can have made it: x = 0 is not on the curve, so the nonce point of this signature does not exist.
    expect(() => schnorr.Point.fromHex(`02${'00'.repeat(32)}`)).toThrow()
    expect(schnorr.verify(new Uint8Array(64), new Uint8Array(32), schnorr.getPublicKey(key))).toBe(false)
  })

  it('knows the txid whether or not the witnesses are there', () => {
    const tx = leaf()
    const before = txidOf(tx.unsignedTx)
    tx.sign(key)
    tx.finalize()
    expect(txidOf(tx.extract())).toBe(before)
    expect(before).toBe(tx.id)
  })

  it('foresees the script that a nested input gets by signing, which changes the txid', () => {
    const nested = p2sh(p2wpkh(pub))
    const build = (): Transaction => {
      const tx = new Transaction({ disableScriptCheck: true })
      tx.addInput({
        txid: '44'.repeat(32),
        index: 0,
        witnessUtxo: { amount, script: nested.script },
        redeemScript: nested.redeemScript,
      })
      tx.addOutput({ script: taproot.script, amount: 90_000n })
      return tx
    }
    const unsigned = build()
    const signed = build()
    signed.sign(key)
    const predicted = signedTxid(base64.encode(signed.toPSBT()))
    signed.finalize()
    expect(predicted).toBe(signed.id)
    expect(signedTxid(base64.encode(unsigned.toPSBT()))).toBe(signed.id)
    expect(txidOf(unsigned.unsignedTx)).not.toBe(signed.id)
  })

  it('finds the one output of the factory, and refuses none or two', () => {
    const raw = leaf().unsignedTx
    const script = hex.decode(`0020${'22'.repeat(32)}`)
    expect(findOutput(raw, script, sat(98_000))).toBe(0)
    expect(findOutput(raw, ANCHOR, sat(240))).toBe(1)
    expect(() => findOutput(raw, script, sat(97_999))).toThrow('exactly one')
    const twice = leaf()
    twice.addOutput({ script, amount: 98_000n })
    expect(() => findOutput(twice.unsignedTx, script, sat(98_000))).toThrow('exactly one')
  })
})

describe('the inputs of a transaction', () => {
  it('are named as bitcoind names them', () => {
    const outpoint = { txid: txid(`${'00'.repeat(31)}01`), vout: 3 }
    const tx = new Transaction({ disableScriptCheck: true })
    tx.addInput({ txid: outpoint.txid, index: outpoint.vout })
    tx.addOutput({ amount: 1000n, script: Uint8Array.from([0x51, 0x20, ...new Uint8Array(32).fill(2)]) })
    expect(inputsOf(tx.unsignedTx)).toEqual([outpoint])
  })
})
