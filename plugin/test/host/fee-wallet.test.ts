import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { schnorr } from '@noble/curves/secp256k1.js'
import { base64, hex } from '@scure/base'
import { p2tr, p2wpkh, Transaction } from '@scure/btc-signer'
import { buildChild, COIN_INPUT, finalizeChild } from '@ln-factory/core/fees'
import type { WalletCoin } from '@ln-factory/core/host'
import { sat, txid } from '@ln-factory/core/units'
import { afterEach, describe, expect, it } from 'vitest'
import { ClnFeeWallet } from '../../src/host/fee-wallet.js'
import { FakeRpc, refuse, type Answer } from './fake-rpc.js'

const key = Uint8Array.from({ length: 32 }, () => 9)
const WPKH = p2wpkh(Uint8Array.from([2, ...schnorr.getPublicKey(key)])).script
const TR = p2tr(schnorr.getPublicKey(key)).script
const LENIENT = { allowUnknownVersion: true, allowUnknownInputs: true, allowUnknownOutputs: true } as const
const coin = (script = WPKH): WalletCoin => ({
  outpoint: { txid: txid('55'.repeat(32)), vout: 2 },
  amount: sat(60_000),
  script,
})
const anchor = { txid: txid('66'.repeat(32)), vout: 1 }

const walletOf = (answers: Record<string, Answer>, settings = {}) => {
  const rpc = new FakeRpc(answers)
  return { rpc, wallet: new ClnFeeWallet(rpc, 'regtest', settings) }
}
const output = (changes: object): object => ({
  txid: '55'.repeat(32),
  output: 2,
  amount_msat: 60_000_000,
  scriptpubkey: hex.encode(WPKH),
  status: 'confirmed',
  reserved: false,
  ...changes,
})

/** Signs input `at` as lightningd's wallet does; both inputs when it misbehaves. */
function signer(at: readonly number[]): Answer {
  return ({ psbt }) => {
    const tx = Transaction.fromPSBT(base64.decode(psbt as string), LENIENT)
    for (const i of at) {
      // lightningd knows by itself that the key is its own.
      const { witnessUtxo } = tx.getInput(i)
      if (witnessUtxo?.script[0] === 0x51) tx.updateInput(i, { tapInternalKey: schnorr.getPublicKey(key) })
      tx.signIdx(key, i)
    }
    return { signed_psbt: base64.encode(tx.toPSBT()) }
  }
}

describe('the wallet that pays for children', () => {
  it('offers confirmed, free, native coins only', async () => {
    const { wallet } = walletOf({
      listfunds: () => ({
        outputs: [
          output({}),
          output({ scriptpubkey: hex.encode(TR), output: 3 }),
          output({ status: 'unconfirmed' }),
          output({ status: 'spent' }),
          output({ reserved: true }),
          output({ scriptpubkey: `a914${'00'.repeat(20)}87` }),
          output({ scriptpubkey: `0020${'00'.repeat(32)}` }),
          output({ csv_lock: 6 }),
        ],
      }),
    })
    expect((await wallet.coins()).map((c) => [c.outpoint.vout, c.amount])).toEqual([
      [2, 60_000n],
      [3, 60_000n],
    ])
  })

  it('reserves for itself alone, and knows when somebody was faster or the coin is gone', async () => {
    const free = walletOf({ reserveinputs: () => ({ reservations: [{ reserved: true }] }) })
    expect(await free.wallet.reserve(coin())).toBe(true)
    expect(free.rpc.calls[0]?.params).toMatchObject({ exclusive: true })
    const { inputsLength } = Transaction.fromPSBT(base64.decode(free.rpc.calls[0]?.params['psbt'] as string), LENIENT)
    expect(inputsLength).toBe(1)
    const taken = walletOf({ reserveinputs: refuse(-32602, 'already reserved') })
    expect(await taken.wallet.reserve(coin())).toBe(false)
    const unknown = walletOf({ reserveinputs: () => ({ reservations: [] }) })
    expect(await unknown.wallet.renew(coin())).toBe(false)
  })

  it.each([
    ['P2WPKH', WPKH, 2],
    ['P2TR', TR, 1],
  ] as const)('has a %s coin signed, that input only', async (_, script, items) => {
    const child = buildChild(anchor, coin(script), TR, sat(1000))
    const { rpc, wallet } = walletOf({ signpsbt: signer([COIN_INPUT]) })
    const witness = await wallet.sign(child.bytes, child.prevouts, COIN_INPUT)
    expect(rpc.calls[0]?.params['signonly']).toEqual([COIN_INPUT])
    expect(witness.length).toBe(items)
    const final = Transaction.fromRaw(finalizeChild(child, witness), LENIENT)
    expect(final.id).toBe(child.txid)
  })

  it('refuses a signature for another transaction, and none', async () => {
    const child = buildChild(anchor, coin(), TR, sat(1000))
    const other = buildChild(anchor, coin(), TR, sat(1001))
    const swapped: Answer = (params) => {
      const tx = Transaction.fromRaw(other.bytes, LENIENT)
      for (const [i, { amount, script }] of other.prevouts.entries())
        tx.updateInput(i, { witnessUtxo: { amount, script } })
      return signer([COIN_INPUT])({ ...params, psbt: base64.encode(tx.toPSBT(0)) })
    }
    const sign = (answer: Answer): Promise<unknown> =>
      walletOf({ signpsbt: answer }).wallet.sign(child.bytes, child.prevouts, COIN_INPUT)
    await expect(sign(swapped)).rejects.toThrow('signing changed')
    await expect(sign(({ psbt }) => ({ signed_psbt: psbt }))).rejects.toThrow('did not sign')
  })
})

describe('packages', () => {
  let server: Server | undefined
  afterEach(() => server?.close())

  const bitcoind = async (status: number, body: string): Promise<{ port: number; seen: string[] }> => {
    const seen: string[] = []
    server = createServer((request, response) => {
      let text = ''
      request.on('data', (chunk: Buffer) => (text += chunk.toString()))
      request.on('end', () => {
        seen.push(`${request.headers.authorization ?? ''} ${text}`)
        response.writeHead(status).end(body)
      })
    })
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
    return { port: (server.address() as AddressInfo).port, seen }
  }
  const submit = (port: number) =>
    walletOf(
      { listconfigs: () => ({ configs: {} }) },
      { host: '127.0.0.1', port, user: 'u', password: 'secret' },
    ).wallet.submitPackage(Uint8Array.of(1), Uint8Array.of(2))

  it('are sent parent first, with the credentials', async () => {
    const { port, seen } = await bitcoind(200, '{"result":{"package_msg":"success","tx-results":{}},"error":null}')
    expect(await submit(port)).toEqual({ accepted: true, error: undefined })
    expect(seen[0]).toContain(`Basic ${Buffer.from('u:secret').toString('base64')}`)
    expect(seen[0]).toContain('"submitpackage","params":[["01","02"]]')
  })

  it.each([
    [
      200,
      `{"result":{"package_msg":"transaction failed","tx-results":{"aa":{"txid":"${'00'.repeat(32)}","error":"min relay fee not met"}}},"error":null}`,
      'min relay fee not met',
    ],
    [500, '{"result":null,"error":{"code":-32601,"message":"Method not found"}}', 'Method not found'],
    [401, '', 'refuses our credentials'],
    [200, 'not json', 'no JSON'],
    [200, '{"result":{},"error":null}', 'unexpected form'],
  ])('that fail (%i, %s) say why, and never the password', async (status, body, words) => {
    const { accepted, error } = await submit((await bitcoind(status, body)).port)
    expect(accepted).toBe(false)
    expect(error).toContain(words)
    expect(error).not.toContain('secret')
  })

  it('can not be sent where nobody listens', async () => {
    const { port } = await bitcoind(200, '')
    server?.close()
    expect((await submit(port)).error).toMatch(/no package can be sent: .* can't be reached/)
  })
})
