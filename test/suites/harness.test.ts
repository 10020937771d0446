import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Bitcoind, Network, RpcError, channelOf, satOfBtc, until, type Lightningd } from '../src/network/index.js'
import { describeWithBitcoind, describeWithLightningd } from './gate.js'

const ANYONE = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080'

describeWithBitcoind('harness: bitcoind', () => {
  let bitcoind: Bitcoind
  beforeAll(async () => {
    bitcoind = await Bitcoind.start()
  })
  afterAll(() => bitcoind.stop())

  it('confirms a payment, unconfirms it by a reorganisation, and confirms it again', async () => {
    const txid = await bitcoind.fund(ANYONE, 123_456_789)
    await bitcoind.waitForMempool([txid])
    await bitcoind.mine(3)
    expect(await bitcoind.confirmations(txid)).toBe(3)
    const { vout } = await bitcoind.call('getrawtransaction', [txid, true])
    expect(vout.map((output) => satOfBtc(output.value))).toContain(123_456_789)

    const before = await bitcoind.height()
    await bitcoind.reorg(3)
    expect(await bitcoind.height()).toBe(before + 1)
    expect(await bitcoind.confirmations(txid)).toBe(0)
    await bitcoind.mine(1)
    expect(await bitcoind.confirmations(txid)).toBe(1)
  })

  it('keeps its chain over a restart', async () => {
    const best = await bitcoind.call('getbestblockhash')
    await bitcoind.restart()
    expect(await bitcoind.call('getbestblockhash')).toBe(best)
    await bitcoind.mine(1)
  })

  it('passes on a refusal in bitcoind’s own words', async () => {
    await expect(bitcoind.call('getblockhash', [1_000_000])).rejects.toThrow(RpcError)
    await expect(bitcoind.call('getblockhash', [1_000_000])).rejects.toMatchObject({ code: -8 })
  })
})

/** False for a zombie too: whoever inherits it may take its time to bury it. */
function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

describeWithBitcoind('harness: a process that is killed', () => {
  it('takes its nodes and their files along', async () => {
    const built = new URL('../dist/network/index.js', import.meta.url).href
    const owner = spawn(process.execPath, [
      '--input-type=module',
      '--eval',
      `import { Bitcoind } from ${JSON.stringify(built)}
       const { pid, access } = await Bitcoind.start()
       console.log(JSON.stringify({ pid, datadir: access.datadir }))
       setInterval(() => undefined, 1000)`,
    ])
    const line = await new Promise<string>((resolve, reject) => {
      owner.stdout.once('data', (chunk: Buffer) => {
        resolve(chunk.toString())
      })
      owner.once('exit', () => {
        reject(new Error('it ended by itself; was the test workspace built?'))
      })
    })
    const { pid, datadir } = JSON.parse(line) as { pid: number; datadir: string }
    expect(isAlive(pid)).toBe(true)
    owner.kill('SIGKILL')
    await until(() => !isAlive(pid) && !existsSync(datadir), { what: 'bitcoind and its folder to go' })
  })
})

describeWithLightningd('harness: two lightningds', () => {
  let network: Network
  let alice: Lightningd
  let bob: Lightningd
  beforeAll(async () => {
    network = await Network.start()
    ;[alice, bob] = (await network.add(['alice', 'bob'])) as [Lightningd, Lightningd]
  })
  afterAll(() => network.stop())

  const pay = async (msat: number, label: string): Promise<string | undefined> => {
    const { bolt11 } = await bob.call('invoice', { amount_msat: msat, label, description: label })
    const { status, amount_msat } = await alice.call('pay', { bolt11 })
    expect({ status, amount_msat }).toEqual({ status: 'complete', amount_msat: msat })
    return (await bob.call('listinvoices', { label })).invoices[0]?.status
  }

  it('opens an ordinary channel, pays over it, restarts both ends and pays again', async () => {
    await network.fund(alice, 2_000_000)
    const { channelId } = await network.openChannel(alice, bob, 1_000_000)
    expect(await pay(100_000_000, 'first')).toBe('paid')

    await Promise.all([alice.restart(), bob.restart()])
    await alice.connect(bob)
    await network.mine(1)
    expect(await pay(50_000_000, 'second')).toBe('paid')
    await network.settled()
    expect((await channelOf(bob, channelId))?.to_us_msat).toBe(150_000_000)
  })

  it('comes back from a kill -9 with its identity and balances', async () => {
    const { id } = alice
    const before = (await alice.call('listpeerchannels')).channels.map((channel) => channel.to_us_msat)
    await alice.kill9()
    expect(alice.running).toBe(false)
    await expect(alice.call('getinfo')).rejects.toThrow('getinfo')
    await alice.start()
    expect(alice.id).toBe(id)
    expect((await alice.call('listpeerchannels')).channels.map((channel) => channel.to_us_msat)).toEqual(before)
  })

  it('keeps calls apart that run at the same time', async () => {
    const labels = Array.from({ length: 40 }, (_, index) => `label ${index} é€😀`)
    const paid = await Promise.all(
      labels.map(async (label) => {
        await bob.call('invoice', { amount_msat: 1000, label, description: label })
        return (await bob.call('listinvoices', { label })).invoices[0]?.label
      }),
    )
    expect(paid).toEqual(labels)
  })

  it('passes on a refusal with its code', async () => {
    await expect(bob.call('no-such-method')).rejects.toMatchObject({ name: 'RpcError', code: -32601 })
  })

  it('runs without --developer, as an operator does', async () => {
    const [plain] = await network.add(['plain'], { developer: false })
    await expect(plain?.call('dev-listaddrs')).rejects.toMatchObject({ code: -32601 })
  })

  it('leaves no process and no file behind', async () => {
    const { pid, dir } = bob
    await network.stop()
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
    expect(existsSync(dir)).toBe(false)
  })
})
