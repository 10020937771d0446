import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from 'vitest'
import { blocks, msat, sat } from '@ln-factory/core/units'
import { until } from '../src/network/index.js'
import { startWallet } from './embedding/wallet.js'
import { describeWithBitcoind } from './gate.js'
import { addWallet, LdkNetwork, SHORT } from '../src/embedded/index.js'

const read = (path: string): string => readFileSync(fileURLToPath(new URL(path, import.meta.url)), 'utf8')

it('the embedding guide shows the file that is run here', () => {
  expect(read('../../docs/embedding.md')).toContain('```ts\n' + read('./embedding/wallet.ts') + '```')
})

describeWithBitcoind('the wallet of the embedding guide', () => {
  const directory = mkdtempSync(join(tmpdir(), 'embedding-'))
  let net: LdkNetwork | undefined
  let wallet: Awaited<ReturnType<typeof startWallet>> | undefined
  afterAll(async () => {
    await wallet?.stop()
    await net?.stop()
    rmSync(directory, { recursive: true })
  })

  it('joins a factory, is paid, and pays', async () => {
    net = await LdkNetwork.start(1)
    const { lsp, clients, bitcoind } = net
    const started = await startWallet({
      directory,
      seed: new Uint8Array(32).fill(77),
      bitcoind: await addWallet(bitcoind, 'embedded'),
      lsp: { id: lsp.node.nodeId, host: '127.0.0.1', port: lsp.port },
    })
    wallet = started
    await until(async () => (await lsp.node.peers()).some((p) => p.id === started.id && p.protocol === 'ours'), {
      what: 'the wallet to announce itself',
    })
    const ids = [started.id, ...clients.map((c) => c.node.nodeId)]
    const { instance } = await lsp.node.create({
      clients: ids.map((id) => ({ id, capacity: sat(500_000), push: msat(0) })),
      lifetime: blocks(500),
      params: SHORT,
      stepTimeout: 60,
    })
    await net.mine(1)
    await net.inPhase(instance, 'active', [lsp, ...clients])
    await until(async () => (await started.factories.show(instance)).phase === 'active', { what: 'the wallet too' })
    await lsp.pay(started.receive(40_000_000n, 'hello'))
    await until(async () => (await started.balance()) === 40_000_000n, { what: 'the payment' })
    const [client] = clients
    if (client === undefined) throw new Error('no client')
    expect(await started.pay(client.invoice(1_000_000n))).toHaveLength(32)
  })
})
