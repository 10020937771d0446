import { PassThrough } from 'node:stream'
import type { HostHandlers, HtlcEvent, OpenDecision, OpenRequest } from '@ln-factory/core/host'
import { instanceId } from '@ln-factory/core/units'
import { describe, expect, it } from 'vitest'
import { ClnHost, wireHooks, type Wiring } from '../../src/host/index.js'
import { FactoryPlugin, JsonStream } from '../../src/rpc/index.js'
import { FakeRpc } from './fake-rpc.js'

const PEER = '0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'
const IN = 'aa'.repeat(32)
const OUT = 'bb'.repeat(32)
const FACTORY: OpenDecision = { kind: 'factory', instance: instanceId('11'.repeat(32)) }

const channel = {
  peer_id: PEER,
  state: 'CHANNELD_NORMAL',
  channel_id: IN,
  alias: { local: '1x2x3' },
  short_channel_id: '9x9x9',
}
const lightningd = (): FakeRpc =>
  new FakeRpc({
    getinfo: () => ({ id: PEER, version: 'v26.06', network: 'regtest', blockheight: 100 }),
    listpeerchannels: () => ({ channels: [channel] }),
    listpeers: () => ({ peers: [{ id: PEER, connected: true, features: `80${'00'.repeat(33)}` }] }),
  })

/** Hooks on a plugin between two pipes; `up` lets the node start. */
function wired(handlers: Partial<HostHandlers> = {}, rpc = lightningd()) {
  const plugin = new FactoryPlugin({ customMessages: [], featureBits: {} })
  let resolve: (wiring: Wiring) => void = () => undefined
  let fail: (error: Error) => void = () => undefined
  const ready = new Promise<Wiring>((done, no) => {
    resolve = done
    fail = no
  })
  ready.catch(() => undefined)
  wireHooks(plugin, ready)
  const input = new PassThrough()
  const output = new PassThrough()
  const parser = new JsonStream()
  const pending = new Map<unknown, (result: unknown) => void>()
  const logs: string[] = []
  output.on('data', (chunk: Buffer) => {
    for (const message of parser.push(chunk)) {
      pending.get(message['id'])?.(message['result'])
      if (message['method'] === 'log') logs.push((message['params'] as { message: string }).message)
    }
  })
  plugin.start(input, output)
  let id = 0
  const nothing = (): Promise<void> => Promise.resolve()
  const all: HostHandlers = {
    message: nothing,
    peerConnected: nothing,
    peerDisconnected: nothing,
    openRequest: () => ({ kind: 'ordinary' }),
    htlc: () => ({ kind: 'continue' }),
    block: nothing,
    channelsChanged: nothing,
    ...handlers,
  }
  return {
    rpc,
    logs,
    fail,
    up: async () => {
      resolve({ host: await ClnHost.create({ rpc, lightningDir: '/', log: () => undefined }), handlers: all })
    },
    hook: (method: string, params: unknown) =>
      new Promise<unknown>((done) => {
        pending.set(++id, done)
        input.write(JSON.stringify({ jsonrpc: '2.0', id, method, params }))
      }),
    notify: (method: string, params: unknown) => {
      input.write(JSON.stringify({ jsonrpc: '2.0', method, params }))
    },
  }
}

const open = (changes: object = {}) => ({
  openchannel: {
    id: PEER,
    funding_msat: 1_000_000_000,
    push_msat: 546_000,
    channel_reserve_msat: 546_000,
    // As lightningd sends it: not a number that JavaScript can hold.
    max_htlc_value_in_flight_msat: 18446744073709551615n.toString(),
    channel_flags: 0,
    channel_type: { bits: [12, 22, 46, 50], names: [] },
    ...changes,
  },
})
const ZERO_CONF = { result: 'continue', mindepth: 0, reserve: '0sat' }

describe('the openchannel hook', () => {
  const decided = async (decision: OpenDecision, params: unknown): Promise<unknown> => {
    const { up, hook } = wired({ openRequest: () => decision })
    await up()
    return hook('openchannel', params)
  }

  it('shows the core what was asked', async () => {
    const seen: OpenRequest[] = []
    const { up, hook } = wired({
      openRequest: (request) => {
        seen.push(request)
        return FACTORY
      },
    })
    await up()
    expect(await hook('openchannel', open())).toEqual(ZERO_CONF)
    expect(seen).toEqual([{ peer: PEER, capacity: 1_000_000n, push: 546_000n, channelType: [12, 22, 46, 50] }])
  })

  it('shows the core what the open says of its factory, on a node that reads it', async () => {
    const seen: OpenRequest[] = []
    const { up, hook } = wired({
      openRequest: (request) => {
        seen.push(request)
        return FACTORY
      },
    })
    await up()
    const ids = { factory_protocol_id: '5b'.repeat(32), factory_instance_id: '5c'.repeat(32) }
    const bound = { channel_in_factory: { ...ids, factory_early_warning_time: 480 } }
    expect(await hook('openchannel', open(bound))).toEqual(ZERO_CONF)
    expect(seen[0]?.binding).toEqual({ protocol: '5b'.repeat(32), instance: '5c'.repeat(32), earlyWarning: 480 })
    // Short ids are what that node's memory made of them.
    const short = { channel_in_factory: { ...ids, factory_instance_id: '5c', factory_early_warning_time: 480 } }
    expect(await hook('openchannel', open(short))).toMatchObject({ result: 'reject' })
  })

  it('invariant 6: grants zero-conf to an announced open only', async () => {
    expect(await decided({ kind: 'ordinary' }, open())).toEqual({ result: 'continue' })
    expect(await decided({ kind: 'refuse', reason: 'no' }, open())).toEqual({ result: 'reject', error_message: 'no' })
  })

  it.each([
    ['no anchors', { channel_type: { bits: [12] } }],
    ['no static keys', { channel_type: { bits: [22] } }],
    ['an unknown type', { channel_type: { bits: [12, 22, 80] } }],
    ['no type at all', { channel_type: undefined }],
    ['an announced channel', { channel_flags: 1 }],
    ['one msat more pushed than the reserve keeps', { push_msat: 546_001 }],
  ])('invariant 5: refuses %s, however well announced, and leaves an ordinary open alone', async (_name, changes) => {
    expect(await decided(FACTORY, open(changes))).toMatchObject({ result: 'reject' })
    expect(await decided({ kind: 'ordinary' }, open(changes))).toEqual({ result: 'continue' })
  })

  it('takes what LDK opens: the peer’s type without the zero-conf bit', async () => {
    expect(await decided(FACTORY, open({ channel_type: { bits: [12, 22, 46] } }))).toEqual(ZERO_CONF)
  })

  it('lets nothing in when it is not understood, or the node is not there', async () => {
    expect(await decided(FACTORY, { openchannel: { id: 'x' } })).toMatchObject({ result: 'reject' })
    const { hook, fail } = wired()
    const answer = hook('openchannel', open())
    fail(new Error('store is corrupt'))
    expect(await answer).toMatchObject({ result: 'reject' })
  })
})

const htlc = (changes: object = {}, onion: object = {}) => ({
  onion: { payload: '', next_onion: '', shared_secret: '', forward_msat: 1000, outgoing_cltv_value: 500, ...onion },
  htlc: {
    short_channel_id: '1x2x3',
    id: 0,
    amount_msat: 1100,
    cltv_expiry: 540,
    cltv_expiry_relative: 440,
    payment_hash: 'cc'.repeat(32),
  },
  ...changes,
})

describe('the htlc_accepted hook', () => {
  it('translates a forward and a payment to us, by alias and by scid', async () => {
    const seen: HtlcEvent[] = []
    const { up, hook, rpc } = wired({
      htlc: (event) => {
        seen.push(event)
        return { kind: 'continue' }
      },
    })
    await up()
    expect(await hook('htlc_accepted', htlc({ forward_to: OUT }, { short_channel_id: '7x7x7' }))).toEqual({
      result: 'continue',
    })
    await hook('htlc_accepted', { ...htlc(), htlc: { ...htlc().htlc, short_channel_id: '9x9x9' } })
    const common = { inChannelId: IN, amountIn: 1100n, cltvIn: 540, height: 100 }
    expect(seen).toEqual([
      { ...common, outChannelId: OUT, amountOut: 1000n, cltvOut: 500 },
      { ...common, outChannelId: undefined, amountOut: undefined, cltvOut: undefined },
    ])
    // Known channels cost no question.
    expect(rpc.count('listpeerchannels')).toBe(1)
  })

  it('sends a forward over the channel that the payer named, or the first that can carry it', async () => {
    const [A, B, C] = ['ee'.repeat(32), 'ef'.repeat(32), 'f0'.repeat(32)]
    const rpc = lightningd()
    rpc.answers['listpeerchannels'] = () => ({
      channels: [
        channel,
        ...[A, B, C].map((channel_id, i) => ({
          ...channel,
          channel_id,
          short_channel_id: undefined,
          alias: { local: `${i}x0x0` },
          funding_txid: 'ab'.repeat(32),
          funding_outnum: i,
          total_msat: 1_000_000,
          to_us_msat: 500_000,
          spendable_msat: i === 0 ? 999 : 400_000,
        })),
      ],
    })
    const { up, hook } = wired({ htlc: () => ({ kind: 'continue', forwardTo: [A, B, C] }) }, rpc)
    await up()
    const forward = (named: string) =>
      hook('htlc_accepted', htlc({ forward_to: OUT }, { short_channel_id: named, forward_msat: 1000 }))
    expect(await forward('2x0x0')).toEqual({ result: 'continue', forward_to: C })
    expect(await forward('0x0x0')).toEqual({ result: 'continue', forward_to: B })
    expect(await forward('7x7x7')).toEqual({ result: 'continue', forward_to: B })
  })

  it('fails what the core refuses, in its words', async () => {
    const { up, hook, logs } = wired({ htlc: () => ({ kind: 'fail', failure: '2002', reason: 'gate is shut' }) })
    await up()
    expect(await hook('htlc_accepted', htlc())).toEqual({ result: 'fail', failure_message: '2002' })
    expect(logs.join()).toContain('gate is shut')
  })

  it('holds an HTLC that somebody waits for until it is decided, whatever the gates say', async () => {
    const { up, hook } = wired({
      htlc: () => ({ kind: 'fail', failure: '2002', reason: 'gate is shut' }),
      received: ({ id, hash, amount, expiry }) => {
        expect([id, amount, expiry]).toEqual([`${IN}/0`, 1100n, 540])
        if (hash !== 'cc'.repeat(32)) return undefined
        return Promise.resolve({ kind: 'settle', preimage: new Uint8Array(32).fill(7) })
      },
    })
    await up()
    expect(await hook('htlc_accepted', htlc())).toEqual({ result: 'resolve', payment_key: '07'.repeat(32) })
    const other = { ...htlc(), htlc: { ...htlc().htlc, payment_hash: 'dd'.repeat(32) } }
    expect(await hook('htlc_accepted', other)).toEqual({ result: 'fail', failure_message: '2002' })
    // A forward is never for us, whatever its hash is.
    expect(await hook('htlc_accepted', htlc({ forward_to: OUT }, { short_channel_id: '7x7x7' }))).toMatchObject({
      result: 'fail',
    })
  })

  it('invariant 6: fails an HTLC that can’t be judged', async () => {
    const { up, hook } = wired({
      htlc: () => {
        throw new Error('bug')
      },
    })
    await up()
    const failed = { result: 'fail', failure_message: '2002' }
    expect(await hook('htlc_accepted', htlc())).toEqual(failed)
    expect(await hook('htlc_accepted', { onion: {}, htlc: {} })).toEqual(failed)
    expect(await hook('htlc_accepted', { ...htlc(), htlc: { ...htlc().htlc, short_channel_id: '5x5x5' } })).toEqual(
      failed,
    )
  })

  it('invariant 12: holds HTLCs of before the start until the node is up', async () => {
    let answered = false
    const { up, hook } = wired()
    const answer = hook('htlc_accepted', htlc()).then((result) => {
      answered = true
      return result
    })
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(answered).toBe(false)
    await up()
    expect(await answer).toEqual({ result: 'continue' })
  })
})

describe('messages and notifications', () => {
  it('reach the core in the order in which they came, also those of before the start', async () => {
    const seen: string[] = []
    const note = (what: string) => {
      seen.push(what)
      return Promise.resolve()
    }
    const { up, hook, notify } = wired({
      message: (_peer, body) => note(`message ${body.join()}`),
      peerConnected: (peer) => note(`connected ${peer}`),
      peerDisconnected: () => note('disconnected'),
      block: (height) => note(`block ${height}`),
      channelsChanged: () => note('channels'),
      otherProtocol: (_peer, body) => void note(`other ${body.join()}`),
    })
    notify('connect', { connect: { id: PEER, direction: 'in' } })
    expect(await hook('custommsg', { peer_id: PEER, payload: '80200102' })).toEqual({ result: 'continue' })
    notify('block_added', { block_added: { hash: '', height: 7 } })
    await up()
    notify('channel_state_changed', { channel_state_changed: {} })
    await hook('custommsg', { peer_id: PEER, payload: '80e903' })
    await hook('custommsg', { peer_id: PEER, payload: '00070000' })
    notify('disconnect', { disconnect: { id: PEER } })
    await hook('custommsg', { peer_id: PEER, payload: '8020' })
    await hook('htlc_accepted', htlc())
    expect(seen).toEqual([
      `connected ${PEER}`,
      'message 1,2',
      'block 7',
      'channels',
      'other 3',
      'disconnected',
      'message ',
    ])
  })

  it('invariant 11: a handler that fails is logged and stops nothing', async () => {
    const { up, hook, logs } = wired({
      message: () => Promise.reject(new Error('first')),
      channelsChanged: () => {
        throw new Error('second')
      },
    })
    await up()
    await hook('custommsg', { peer_id: PEER, payload: '8020' })
    expect(await hook('custommsg', { peer_id: PEER, payload: 'zz' })).toEqual({ result: 'continue' })
    expect(await hook('custommsg', { peer_id: PEER, payload: '' })).toEqual({ result: 'continue' })
    expect(await hook('htlc_accepted', htlc())).toEqual({ result: 'continue' })
    expect(logs.join()).toContain('first')
  })
})
