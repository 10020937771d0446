import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { CreateResult } from '@ln-factory/core/runner'
import { REORG_DEPTH } from '@ln-factory/core/watch'
import { until } from '../src/network/index.js'
import { describeWithBitcoind } from './gate.js'
import { fundWallet, LdkNetwork, type LdkFactoryNode } from '../src/embedded/index.js'

const CAPACITY = 1_000_000n

describeWithBitcoind('a factory on LDK, without any Lightning daemon', () => {
  let net: LdkNetwork
  let factory: CreateResult
  let a: LdkFactoryNode
  let b: LdkFactoryNode

  beforeAll(async () => {
    net = await LdkNetwork.start(4)
    ;[a, b] = net.clients as [LdkFactoryNode, LdkFactoryNode]
  })
  afterAll(() => (net as LdkNetwork | undefined)?.stop())

  it('is created behind one confirmed output', async () => {
    factory = await net.create(net.clients, CAPACITY)
    const tx = await net.bitcoind.call('getrawtransaction', [factory.funding.txid, true])
    expect(tx.vout[factory.funding.vout]?.value).toBe(Number(factory.fundingAmount) / 1e8)
    const channels = await net.lsp.host.channels()
    expect(channels.map((c) => [c.state, c.onChain, c.ours])).toEqual(
      net.clients.map(() => ['normal', false, CAPACITY * 1000n]),
    )
    for (const c of channels) await expect(net.bitcoind.call('getrawtransaction', [c.funding.txid])).rejects.toThrow()
  })

  it('pays from the LSP to each client, and from client to client through the LSP', async () => {
    for (const client of net.clients) await net.lsp.pay(client.invoice(100_000_000n))
    await a.pay(b.invoice(12_345_678n))
    await b.pay(a.invoice(2_345_679n))
    await net.settled()
    expect(await b.balance()).toBe(100_000_000n + 12_345_678n - 2_345_679n - 1000n)
  })

  it('invariant 6: a forward that the rules refuse leaves by no channel, and the next one goes through', async () => {
    const before = await b.balance()
    vi.spyOn(net.lsp.node, 'htlc').mockReturnValueOnce({ kind: 'fail', failure: '1007', reason: 'the test says so' })
    await expect(a.pay(b.invoice(5_000_000n))).rejects.toMatchObject({ code: 'payment_failed' })
    vi.restoreAllMocks()
    await net.settled()
    expect(await b.balance()).toBe(before)
    await a.pay(b.invoice(5_000_000n))
    await net.settled()
    expect(await b.balance()).toBe(before + 5_000_000n)
  })

  it('pays the LSP', async () => {
    await a.pay(net.lsp.invoice(1_000_001n))
    await net.settled()
  })

  it('goes on after a restart of the LSP and of a client', async () => {
    await net.lsp.restart()
    await a.restart()
    for (const client of net.clients)
      await until(() => client.connect(net.lsp).then(() => true), { what: `${client.name} to connect` })
    await until(() => net.lsp.host.node.manager.list_usable_channels().length === 4, {
      what: 'the channels to be reestablished',
    })
    await b.pay(a.invoice(1_000_003n))
    await net.settled()
  })

  it.each(['before', 'after'])('survives a death %s each commit of a payment, with no balance lost', async (when) => {
    const all = [net.lsp, ...net.clients]
    const total = async (): Promise<bigint> =>
      (await Promise.all(all.map((n) => n.balance()))).reduce((sum, balance) => sum + balance, 0n)
    const before = await total()
    let deaths = 0
    for (let commits = 0; ; commits++) {
      a.fuse.set(commits, when === 'after')
      const invoice = b.invoice(100_000n)
      let answered = false
      void a
        .pay(invoice)
        .catch(() => undefined)
        .then(() => (answered = true))
      await until(() => a.fuse.blown || answered, { what: 'the payment, or the death' })
      if (!a.fuse.blown) break
      deaths++
      await a.restart()
      await until(() => a.connect(net.lsp).then(() => true), { what: 'the connection' })
      await until(() => a.host.node.manager.list_usable_channels().length === 1, { what: 'the channel' })
      await net.settled()
      expect(await total()).toBe(before)
    }
    a.fuse.set(Infinity, false)
    await net.settled()
    expect(deaths).toBeGreaterThan(2)
    expect(await total()).toBe(before)
  })

  it('invariant 10: closes in one transaction that pays each balance to the satoshi', async () => {
    const balances = await Promise.all(net.clients.map((c) => c.balance()))
    const before = await Promise.all(net.clients.map((c) => c.walletSats()))
    const closed = await net.lsp.node.close(factory.instance, 2000)
    await net.bitcoind.waitForMempool([closed.txid])
    await net.mine(1)
    await net.inPhase(factory.instance, 'closed', [net.lsp, ...net.clients])
    for (const [i, client] of net.clients.entries())
      expect(await client.walletSats()).toBe((before[i] ?? 0n) + (balances[i] ?? 0n) / 1000n)
    const paid = balances.reduce((sum, m) => sum + m / 1000n, 0n)
    expect(paid + closed.ours + closed.fee).toBe(factory.fundingAmount)
    // Kept until no reorganisation that is followed can take the close back.
    await net.mine(REORG_DEPTH)
    await until(async () => (await net.lsp.host.channels()).length === 0, { what: 'the channels to be gone' })
  })
})

describeWithBitcoind('a client on LDK that leaves alone', () => {
  let net: LdkNetwork
  beforeAll(async () => {
    net = await LdkNetwork.start(4)
  })
  afterAll(() => (net as LdkNetwork | undefined)?.stop())

  it('brings its path, then its commitment, then its coins to its wallet', async () => {
    const [a] = net.clients as [LdkFactoryNode]
    const { instance } = await net.create(net.clients, CAPACITY)
    await net.lsp.pay(a.invoice(300_000_000n))
    await net.settled()
    await net.lsp.stop()
    const before = await a.walletSats()
    const [channel] = await a.host.channels()
    if (channel === undefined) throw new Error('no channel')
    const onChain = async (): Promise<boolean> => (await a.host.channels()).some((c) => c.onChain)
    await a.node.exit(instance)
    await until(
      async () => {
        await net.mine(1, [a])
        return (await onChain()) && (await a.host.utxo(channel.funding)) === undefined
      },
      { what: 'the commitment to be in a block', seconds: 120 },
    )
    // The delay of its own commitment.
    await net.mine(144, [a])
    await until(
      async () => {
        await net.mine(1, [a])
        return (await a.walletSats()) > before
      },
      { what: 'the balance to arrive', seconds: 240 },
    )
    const got = (await a.walletSats()) - before
    expect(got).toBeLessThanOrEqual(300_000n)
    expect(got).toBeGreaterThan(299_000n)
    await net.inPhase(instance, 'exited', [a])
  })

  it('takes an HTLC that nobody answers back after its expiry, with a fee from the wallet', async () => {
    const [, b] = net.clients as [LdkFactoryNode, LdkFactoryNode]
    await net.lsp.start()
    for (const client of net.clients) await client.connect(net.lsp)
    await fundWallet(net.bitcoind, b.rpc, 100_000)
    await net.mine(1)
    const { instance } = await net.create([b], CAPACITY)
    await net.lsp.pay(b.invoice(300_000_000n))
    await net.settled()
    vi.spyOn(net.lsp.node, 'htlc').mockImplementation(() => {
      throw new Error('the test answers nothing')
    })
    const paid = b.pay(net.lsp.invoice(50_000_000n))
    paid.catch(() => undefined)
    await until(async () => (await b.host.channels()).some((c) => c.htlcs.length > 0), { what: 'the HTLC' })
    await until(async () => (await net.lsp.host.channels()).some((c) => c.htlcs.length > 0), { what: 'it at the LSP' })
    await net.lsp.stop()
    vi.restoreAllMocks()
    const before = await b.walletSats()
    await b.node.exit(instance)
    await until(
      async () => {
        await net.mine(5, [b])
        return (await b.walletSats()) > before + 290_000n
      },
      { what: 'the balance and the HTLC to arrive', seconds: 240 },
    )
    expect((await b.walletSats()) - before).toBeGreaterThan(297_000n)
    await expect(paid).rejects.toMatchObject({ code: 'payment_failed' })
  })
})
