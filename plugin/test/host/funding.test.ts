import { sat } from '@ln-factory/core/units'
import { schnorr } from '@noble/curves/secp256k1.js'
import { base64, hex } from '@scure/base'
import { p2tr, p2wpkh, Transaction } from '@scure/btc-signer'
import { describe, expect, it } from 'vitest'
import { AddressCodec } from '../../src/host/address.js'
import { FundingWallet } from '../../src/host/funding.js'
import { txidOf } from '../../src/host/psbt.js'
import { FakeRpc, refuse, type Answer } from './fake-rpc.js'

const key = Uint8Array.from({ length: 32 }, () => 9)
const coin = p2wpkh(Uint8Array.from([2, ...schnorr.getPublicKey(key)]))
const factory = p2tr(schnorr.getPublicKey(key)).script
const AMOUNT = sat(500_000)

/** What lightningd's wallet would make. */
function wallet(amount = 500_000n): Transaction {
  const tx = new Transaction()
  tx.addInput({ txid: '55'.repeat(32), index: 0, witnessUtxo: { amount: 600_000n, script: coin.script } })
  tx.addOutput({ script: coin.script, amount: 90_000n })
  tx.addOutput({ script: factory, amount })
  return tx
}

const prepared = (tx: Transaction) => ({
  psbt: base64.encode(tx.toPSBT()),
  unsigned_tx: hex.encode(tx.unsignedTx),
  txid: txidOf(tx.unsignedTx),
})
const ok: Answer = () => ({ reservations: [] })

function fundingWallet(answers: Record<string, Answer>, known: () => boolean = () => false) {
  const rpc = new FakeRpc({
    reserveinputs: ok,
    unreserveinputs: ok,
    listtransactions: () => ({ transactions: [] }),
    ...answers,
  })
  const wallet = new FundingWallet(rpc, new AddressCodec('regtest'), () => Promise.resolve(known() ? {} : undefined))
  return { rpc, wallet }
}

describe('the funding transaction', () => {
  it('is prepared with the factory’s output where it is, and its coins stay reserved', async () => {
    const reply = prepared(wallet())
    const { rpc, wallet: funds } = fundingWallet({ txprepare: () => reply })
    expect(await funds.prepare(factory, AMOUNT)).toEqual({
      psbt: reply.psbt,
      txid: reply.txid,
      vout: 1,
      inputs: [{ txid: '55'.repeat(32), vout: 0 }],
    })
    const [output] = rpc.calls[0]?.params['outputs'] as [Record<string, string>]
    expect(Object.entries(output)).toEqual([[expect.stringMatching(/^bcrt1p/), '500000sat']])
    expect(rpc.calls[1]).toMatchObject({ method: 'reserveinputs', params: { psbt: reply.psbt, exclusive: false } })
  })

  it('says when the wallet is too poor', async () => {
    const { wallet: funds } = fundingWallet({ txprepare: refuse(301, 'Could not afford 500000sat') })
    await expect(funds.prepare(factory, AMOUNT)).rejects.toMatchObject({ code: 'insufficient_funds' })
    const other = fundingWallet({ txprepare: refuse(-1, 'still syncing') })
    await expect(other.wallet.prepare(factory, AMOUNT)).rejects.toMatchObject({ code: 'host_failed' })
  })

  it('invariant 10: is refused, its coins freed, when it is not what was asked for', async () => {
    for (const reply of [
      prepared(wallet(499_999n)),
      { ...prepared(wallet()), txid: '66'.repeat(32) },
      { ...prepared(wallet()), psbt: prepared(wallet(1n)).psbt },
    ]) {
      const { rpc, wallet: funds } = fundingWallet({ txprepare: () => reply })
      await expect(funds.prepare(factory, AMOUNT)).rejects.toMatchObject({ code: 'host_failed' })
      expect(rpc.count('unreserveinputs')).toBe(1)
    }
  })

  const signed = (tx: Transaction): Answer => {
    tx.sign(key)
    return () => ({ signed_psbt: base64.encode(tx.toPSBT()) })
  }
  const funding = () => ({ psbt: prepared(wallet()).psbt, txid: txidOf(wallet().unsignedTx), vout: 1 })

  it('is signed and sent', async () => {
    const { rpc, wallet: funds } = fundingWallet({ signpsbt: signed(wallet()), sendpsbt: () => ({}) })
    await funds.broadcast(funding())
    expect(rpc.count('sendpsbt')).toBe(1)
  })

  it('invariant 2: is not sent when signing gave another transaction', async () => {
    const { rpc, wallet: funds } = fundingWallet({ signpsbt: signed(wallet(400_000n)), sendpsbt: () => ({}) })
    await expect(funds.broadcast(funding())).rejects.toThrow('changed the funding transaction')
    expect(rpc.count('sendpsbt')).toBe(0)
  })

  it('invariant 8: is not signed again when it is known, in the mempool or spent', async () => {
    const unspent = fundingWallet({}, () => true)
    await unspent.wallet.broadcast(funding())
    expect(unspent.rpc.calls).toEqual([])
    const sent = { transactions: [{ hash: funding().txid, rawtx: '0200' }] }
    const spent = fundingWallet({
      listtransactions: () => sent,
      sendrawtransaction: () => ({ success: false, errmsg: 'spent' }),
    })
    await spent.wallet.broadcast(funding())
    expect(spent.rpc.count('signpsbt')).toBe(0)
  })

  it('is sent again as it is when a reorganisation threw it out', async () => {
    const sent = { transactions: [{ hash: funding().txid, rawtx: '0200' }] }
    const { rpc, wallet: funds } = fundingWallet({
      listtransactions: () => sent,
      sendrawtransaction: () => ({ success: true, errmsg: '' }),
    })
    await funds.broadcast(funding())
    expect(rpc.calls.find((c) => c.method === 'sendrawtransaction')?.params).toMatchObject({ tx: '0200' })
  })

  it('is success when it arrived although sending failed, and a failure when it did not', async () => {
    let sent = false
    const answers = {
      signpsbt: signed(wallet()),
      sendpsbt: (params: Record<string, unknown>) => {
        sent = true
        return refuse(-1, 'txn-already-known')(params)
      },
    }
    await fundingWallet(answers, () => sent).wallet.broadcast(funding())
    await expect(fundingWallet(answers).wallet.broadcast(funding())).rejects.toThrow('txn-already-known')
  })

  it('says when its coins were spent elsewhere', async () => {
    const { wallet: funds } = fundingWallet({ reserveinputs: refuse(-32602, 'already spent') })
    await expect(funds.broadcast(funding())).rejects.toThrow('reserved')
  })
})
