import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { CreateResult } from '@ln-factory/core/runner'
import { blocks, msat, nodeId, sat } from '@ln-factory/core/units'
import { addWallet, fundWallet, LdkFactoryNode, SHORT } from '../src/embedded/index.js'
import { Network, PLUGIN, SHORT_DELAYS, until, type Lightningd } from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'

const CAPACITY = 1_000_000n
const HOST = '127.0.0.1'

/** An LSP on LDK, a client on Core Lightning and one on LDK, in one factory. */
class MixedNetwork {
  private constructor(
    readonly network: Network,
    readonly dir: string,
    readonly lsp: LdkFactoryNode,
    readonly cln: Lightningd,
    readonly ldk: LdkFactoryNode,
  ) {}

  static async start(): Promise<MixedNetwork> {
    const dir = mkdtempSync(join(tmpdir(), 'mixed-'))
    const network = await Network.start()
    const rpc = await addWallet(network.bitcoind, 'lsp')
    await fundWallet(network.bitcoind, rpc, 20_000_000)
    await network.mine(1)
    const lsp = await LdkFactoryNode.start('lsp', rpc, dir, new Uint8Array(32).fill(51), {})
    const options = { ...SHORT_DELAYS, 'factory-accept-from': lsp.node.nodeId }
    const [cln] = (await network.add(['cln'], { plugin: PLUGIN, options })) as [Lightningd]
    const wallet = await addWallet(network.bitcoind, 'ldk')
    const trusting = { autoAccept: [lsp.node.nodeId] }
    const ldk = await LdkFactoryNode.start('ldk', wallet, dir, new Uint8Array(32).fill(52), trusting)
    const mixed = new MixedNetwork(network, dir, lsp, cln, ldk)
    await mixed.connect()
    return mixed
  }

  async connect(): Promise<void> {
    await this.cln.call('connect', { id: this.lsp.node.nodeId, host: HOST, port: this.lsp.port })
    await this.ldk.connect(this.lsp)
    await until(async () => (await this.lsp.node.peers()).filter((p) => p.protocol === 'ours').length === 2, {
      what: 'the clients to announce the protocol',
    })
  }

  async mine(count: number, ldk: readonly LdkFactoryNode[] = [this.lsp, this.ldk]): Promise<void> {
    await this.network.mine(count)
    const height = await this.network.bitcoind.height()
    for (const node of ldk)
      await until(async () => (await node.host.height()) >= height, { what: `${node.name} to see block ${height}` })
  }

  async create(): Promise<CreateResult> {
    const clients = [nodeId(this.cln.id), this.ldk.node.nodeId]
    const made = await this.lsp.node.create({
      clients: clients.map((id) => ({ id, capacity: sat(CAPACITY), push: msat(0) })),
      lifetime: blocks(500),
      params: SHORT,
      stepTimeout: 60,
    })
    await this.mine(1)
    for (const node of [this.lsp, this.ldk])
      await until(async () => (await node.node.show(made.instance)).phase === 'active', { what: node.name })
    await until(async () => (await this.clnFactory(made))?.phase === 'active', { what: 'cln to call it active' })
    return made
  }

  async clnFactory(made: CreateResult): Promise<{ phase: string; balance: number } | undefined> {
    const { factories } = (await this.cln.call('factory-list')) as unknown as {
      factories: { instance_id: string; phase: string; channels: { to_us_msat?: number }[] }[]
    }
    const factory = factories.find((f) => f.instance_id === made.instance)
    return factory && { phase: factory.phase, balance: factory.channels[0]?.to_us_msat ?? 0 }
  }

  async clnInvoice(amount: number): Promise<string> {
    const label = `invoice-${Math.random()}`
    const made = await this.cln.call('factory-invoice', { amount_msat: amount, label, description: label })
    return (made as unknown as { bolt11: string }).bolt11
  }

  async clnPays(bolt11: string, options: { readonly retry_for?: number } = {}): Promise<void> {
    expect(await this.cln.call('factory-pay', { bolt11, ...options })).toMatchObject({ status: 'complete' })
  }

  async settled(): Promise<void> {
    await this.network.settled()
    for (const { host, name } of [this.lsp, this.ldk])
      await until(async () => (await host.channels()).every((c) => c.htlcs.length === 0), { what: `HTLCs of ${name}` })
  }

  /** Every channel of the LSP can be used, at both ends. */
  async reestablished(): Promise<void> {
    await until(() => this.lsp.host.node.manager.list_usable_channels().length === 2, { what: 'the channels' })
    await until(async () => (await this.cln.call('listpeerchannels')).channels.every((c) => c.peer_connected), {
      what: "cln's channel",
    })
    await until(() => this.ldk.host.node.manager.list_usable_channels().length === 1, { what: "ldk's channel" })
  }

  async stop(): Promise<void> {
    await this.lsp.stop()
    await this.ldk.stop()
    await this.network.stop()
    rmSync(this.dir, { recursive: true })
  }
}

describeWithLightningd('an LDK LSP with clients on Core Lightning and on LDK', () => {
  let net: MixedNetwork
  let factory: CreateResult
  beforeAll(async () => {
    net = await MixedNetwork.start()
  })
  afterAll(() => (net as MixedNetwork | undefined)?.stop())

  it('is created', async () => {
    factory = await net.create()
    for (const c of (await net.cln.call('listpeerchannels')).channels) expect(c.state).toBe('CHANNELD_NORMAL')
  })

  it('pays between all of them', async () => {
    const { lsp, ldk } = net
    await lsp.pay(await net.clnInvoice(200_000_000))
    await lsp.pay(ldk.invoice(100_000_000n))
    await net.clnPays(ldk.invoice(30_000_000n))
    await ldk.pay(await net.clnInvoice(7_000_001))
    await net.clnPays(lsp.invoice(5_000_000n))
    await net.settled()
    expect(await ldk.balance()).toBe(100_000_000n + 30_000_000n - 7_000_001n - 1000n)
  })

  it('invariant 6: a forward that the rules refuse is told to the payer by the code that they give', async () => {
    const { lsp, ldk, cln } = net
    vi.spyOn(lsp.node, 'htlc').mockReturnValue({ kind: 'fail', failure: '10070000', reason: 'the test says so' })
    const bolt11 = ldk.invoice(1_000_000n)
    await expect(net.clnPays(bolt11, { retry_for: 3 })).rejects.toThrow()
    vi.restoreAllMocks()
    await net.settled()
    expect(cln.log()).toMatch(/WIRE_TEMPORARY_CHANNEL_FAILURE/)
    expect(cln.log()).not.toMatch(/WIRE_INVALID_ONION_HMAC/)
    await net.clnPays(ldk.invoice(1_000_000n))
  })

  it('goes on after a restart of either side', async () => {
    const { lsp, cln, ldk } = net
    await lsp.restart()
    await net.connect()
    await net.reestablished()
    await ldk.pay(await net.clnInvoice(1_000_000))
    await cln.restart()
    await net.connect()
    await net.reestablished()
    await net.clnPays(ldk.invoice(1_000_001n))
    await cln.kill9()
    await cln.start()
    await net.connect()
    await net.reestablished()
    await lsp.pay(await net.clnInvoice(1_000_003))
    await net.settled()
  })

  it.each(['before', 'after'])('the LSP dies %s each commit of a payment, and nobody loses anything', async (when) => {
    const { lsp } = net
    const total = async (): Promise<bigint> =>
      (await lsp.balance()) + (await net.ldk.balance()) + BigInt((await net.clnFactory(factory))?.balance ?? 0)
    await net.settled()
    const before = await total()
    let deaths = 0
    for (let commits = 0; ; commits++) {
      lsp.fuse.set(commits, when === 'after')
      const bolt11 = net.ldk.invoice(100_000n)
      let answered = false
      void net
        .clnPays(bolt11)
        .catch(() => undefined)
        .then(() => (answered = true))
      await until(() => lsp.fuse.blown || answered, { what: 'the payment, or the death' })
      if (!lsp.fuse.blown) break
      deaths++
      await lsp.restart()
      await net.connect()
      await net.reestablished()
      await net.settled()
      expect(await total()).toBe(before)
    }
    lsp.fuse.set(Infinity, false)
    await net.settled()
    expect(deaths).toBeGreaterThan(2)
    expect(await total()).toBe(before)
  })

  it('invariant 10: closes in one transaction that pays each balance to the satoshi', async () => {
    const { lsp, ldk, network } = net
    const [ours, theirs] = [await ldk.balance(), (await net.clnFactory(factory))?.balance ?? 0]
    const closed = await lsp.node.close(factory.instance, 2000)
    await network.bitcoind.waitForMempool([closed.txid])
    await net.mine(1)
    await until(async () => (await net.clnFactory(factory))?.phase === 'closed', { what: 'cln to call it closed' })
    await until(async () => (await ldk.walletSats()) === ours / 1000n, { what: "ldk's balance" })
    const { outputs } = await net.cln.call('listfunds')
    expect(outputs.map((o) => o.amount_msat)).toEqual([Math.floor(theirs / 1000) * 1000])
    expect(ours / 1000n + BigInt(Math.floor(theirs / 1000)) + closed.ours + closed.fee).toBe(factory.fundingAmount)
  })
})

describeWithLightningd('a Core Lightning client of an LDK LSP that leaves alone', () => {
  let net: MixedNetwork
  beforeAll(async () => {
    net = await MixedNetwork.start()
  })
  afterAll(() => (net as MixedNetwork | undefined)?.stop())

  it('brings its path, then its commitment, then its coins to its wallet', async () => {
    const { lsp, cln, ldk } = net
    const { instance } = await net.create()
    await lsp.pay(await net.clnInvoice(300_000_000))
    await net.settled()
    await lsp.stop()
    await cln.call('factory-exit', [instance])
    const arrived = async (): Promise<boolean> => {
      await net.mine(16, [ldk])
      const { outputs } = await cln.call('listfunds')
      return outputs.some((o) => o.status === 'confirmed' && o.amount_msat > 298_000_000)
    }
    // LDK has its peers wait 144 blocks for their own commitment.
    await until(arrived, { what: 'the balance to arrive', seconds: 240 })
  })
})
