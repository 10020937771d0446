import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { findBitcoind, parseBitcoinConf, type BitcoindSettings } from '../../src/host/bitcoind-access.js'
import { FakeRpc } from './fake-rpc.js'

describe('where bitcoind is', () => {
  let datadir = ''
  beforeEach(() => {
    datadir = mkdtempSync(join(tmpdir(), 'bitcoind-access-'))
    mkdirSync(join(datadir, 'regtest'))
  })
  afterEach(() => {
    rmSync(datadir, { recursive: true })
  })

  const find = (lightningd: Record<string, string | number>, settings: BitcoindSettings = {}, network = 'regtest') => {
    const configs = Object.fromEntries(
      Object.entries({ datadir, ...lightningd }).map(([name, value]) => [
        `bitcoin-${name}`,
        typeof value === 'number' ? { value_int: value, source: 'cmdline' } : { value_str: value, source: 'cmdline' },
      ]),
    )
    return findBitcoind(new FakeRpc({ listconfigs: () => ({ configs }) }), network, settings)
  }
  const cookie = (text: string): void => {
    writeFileSync(join(datadir, 'regtest', '.cookie'), text)
  }
  const conf = (text: string): void => {
    writeFileSync(join(datadir, 'bitcoin.conf'), text)
  }

  it("takes lightningd's settings", async () => {
    cookie('__cookie__:no')
    expect(await find({ rpcconnect: '10.0.0.1', rpcport: 4321, rpcuser: 'u', rpcpassword: 'p:q' })).toEqual({
      url: 'http://10.0.0.1:4321/',
      credentials: 'u:p:q',
    })
    expect((await find({ rpcport: '4322', rpcuser: 'u', rpcpassword: 'p' })).url).toBe('http://127.0.0.1:4322/')
  })

  it('takes our options first', async () => {
    cookie('__cookie__:theirs')
    const given = { rpcconnect: '10.0.0.1', rpcport: 4321, rpcuser: 'u', rpcpassword: 'p' }
    expect(await find(given, { host: 'h', port: 1, user: 'v', password: 'w' })).toEqual({
      url: 'http://h:1/',
      credentials: 'v:w',
    })
    writeFileSync(join(datadir, 'own'), '__cookie__:ours\n')
    expect((await find(given, { cookieFile: join(datadir, 'own') })).credentials).toBe('__cookie__:ours')
  })

  it('takes bitcoin.conf, and of it what is for this chain', async () => {
    conf('rpcuser=a # who\nrpcpassword=b\n[main]\nrpcport=1\n[regtest]\nrpcport=2\n')
    expect(await find({})).toEqual({ url: 'http://127.0.0.1:2/', credentials: 'a:b' })
  })

  it('takes the cookie of this chain, each time anew', async () => {
    cookie('__cookie__:1')
    expect(await find({})).toEqual({ url: 'http://127.0.0.1:18443/', credentials: '__cookie__:1' })
    cookie('__cookie__:2')
    expect((await find({})).credentials).toBe('__cookie__:2')
  })

  it('says what it looked for', async () => {
    await expect(find({})).rejects.toMatchObject({
      code: 'host_failed',
      message: expect.stringContaining(join(datadir, 'regtest', '.cookie')) as string,
      hint: expect.stringContaining('factory-bitcoin-rpccookiefile') as string,
    })
    cookie('nonsense')
    await expect(find({})).rejects.toMatchObject({ code: 'host_failed' })
    await expect(find({}, {}, 'liquid')).rejects.toMatchObject({ code: 'host_failed' })
  })

  it.each([
    ['rpcport=1\nrpcport=2', '1'],
    ['regtest.rpcport=3\nrpcport=1', '3'],
    ['test.rpcport=3\nrpcport=1', '1'],
    ['[test]\nrpcport=3', undefined],
    ['  rpcport = 7  ', '7'],
    ['#rpcport=7', undefined],
    ['', undefined],
  ])('%j has the port %s', (text, port) => {
    expect(parseBitcoinConf(text, 'regtest').get('rpcport')).toBe(port)
  })
})
