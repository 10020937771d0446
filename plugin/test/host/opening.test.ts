import { msat, nodeId, sat } from '@ln-factory/core/units'
import { schnorr } from '@noble/curves/secp256k1.js'
import { base64, hex } from '@scure/base'
import { p2tr, Transaction } from '@scure/btc-signer'
import { describe, expect, it } from 'vitest'
import { Channels } from '../../src/host/channels.js'
import { Opening } from '../../src/host/opening.js'
import { Peers } from '../../src/host/peers.js'
import { txidOf, unsignedPsbt } from '../../src/host/psbt.js'
import { HostUnansweredError } from '../../src/rpc/index.js'
import { FakeRpc, refuse, type Answer } from './fake-rpc.js'

const PEER = nodeId('0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798')
const CHANNEL = 'cc'.repeat(32)
const factory = p2tr(schnorr.getPublicKey(Uint8Array.from({ length: 32 }, () => 3))).script
const script = hex.decode(`0020${'22'.repeat(32)}`)
const prevout = { amount: sat(101_240), script: factory }
const leaf = ((): Uint8Array => {
  const tx = new Transaction({ version: 3, allowUnknownOutputs: true })
  tx.addInput({ txid: '11'.repeat(32), index: 0 })
  tx.addOutput({ script, amount: 100_000n })
  tx.addOutput({ script: hex.decode('51024e73'), amount: 240n })
  return tx.unsignedTx
})()
const psbt = unsignedPsbt(leaf, prevout)

/** lightningd with one channel, as far as an open needs it. */
class Node {
  channel: Record<string, unknown> | undefined
  connected = true
  features = `80${'00'.repeat(33)}`
  readonly rpc: FakeRpc

  constructor(answers: Record<string, Answer> = {}) {
    this.rpc = new FakeRpc({
      listpeers: () => ({ peers: [{ id: PEER, connected: this.connected, features: this.features }] }),
      listpeerchannels: () => ({ channels: this.channel === undefined ? [] : [this.channel] }),
      fundchannel_start: () => ({ scriptpubkey: hex.encode(script), channel_type: { bits: [12, 22, 46, 50] } }),
      fundchannel_cancel: () => ({}),
      ping: () => ({}),
      ...answers,
    })
  }

  opening(dropsChannels = false): Opening {
    return new Opening(this.rpc, new Peers(this.rpc), new Channels(this.rpc), { dropsChannels })
  }

  withheld(state = 'CHANNELD_NORMAL'): this {
    this.channel = {
      peer_id: PEER,
      state,
      channel_id: CHANNEL,
      funding_txid: txidOf(leaf),
      funding: { psbt, withheld: true },
    }
    return this
  }
}

const start = { peer: PEER, capacity: sat(100_000), push: msat(0) }
const unanswered: Answer = () => {
  throw new HostUnansweredError('method', 'no answer')
}

describe('opening on an outpoint that is not on chain', () => {
  it('asks for a private zero-conf anchors channel and gives its script', async () => {
    const node = new Node()
    expect(await node.opening().start(start)).toEqual({ script })
    expect(node.rpc.calls.find((c) => c.method === 'fundchannel_start')?.params).toMatchObject({
      amount: '100000sat',
      push_msat: '0msat',
      announce: false,
      mindepth: 0,
      reserve: '0sat',
      channel_type: [12, 22, 46, 50],
    })
  })

  it.each<[string, string, Record<string, Answer>]>([
    ['peer_offline', 'a peer that just left', { fundchannel_start: refuse(305, 'Peer not connected') }],
    ['channel_busy', 'an open under way', { fundchannel_start: refuse(-1, 'Already funding channel') }],
    ['peer_silent', 'a peer that does not answer', { fundchannel_start: unanswered }],
    ['host_failed', 'a refusal', { fundchannel_start: refuse(-1, 'They sent ERROR: no') }],
    [
      'peer_unsupported',
      'a peer that agrees to another type',
      { fundchannel_start: () => ({ scriptpubkey: hex.encode(script), channel_type: { bits: [12] } }) },
    ],
  ])('says %s for %s', async (code, _what, answers) => {
    await expect(new Node(answers).opening().start(start)).rejects.toMatchObject({ code })
  })

  it('says which peer is not there or offers no factories, before it asks it anything', async () => {
    const node = new Node()
    node.connected = false
    await expect(node.opening().start(start)).rejects.toMatchObject({ code: 'peer_offline' })
    node.connected = true
    node.features = '02'
    await expect(node.opening().start(start)).rejects.toMatchObject({ code: 'peer_unsupported' })
    expect(node.rpc.count('fundchannel_start')).toBe(0)
  })

  it('invariant 2: completes withheld, with the leaf unsigned', async () => {
    const node = new Node({ fundchannel_complete: () => ({ channel_id: CHANNEL, commitments_secured: true }) })
    expect(await node.opening().complete({ peer: PEER, leaf, prevout, vout: 0 })).toEqual({ channelId: CHANNEL })
    expect(node.rpc.calls.at(-1)?.params).toEqual({ id: PEER, psbt, withhold: true })
  })

  it('invariant 2: leaves no channel behind of which the caller never hears', async () => {
    const node: Node = new Node({
      fundchannel_complete: (params) => {
        node.withheld()
        return unanswered(params)
      },
      close: () => ({}),
    })
    await expect(node.opening().complete({ peer: PEER, leaf, prevout, vout: 0 })).rejects.toMatchObject({
      code: 'peer_silent',
    })
    expect(node.rpc.calls.filter((c) => c.method === 'close').map((c) => c.params['id'])).toEqual([CHANNEL])
  })
})

describe('release', () => {
  it('invariant 7: gives lightningd the leaf with a witness that never validates, and sees that it is stored', async () => {
    const node: Node = new Node({
      sendpsbt: (params) => {
        const sent = Transaction.fromPSBT(base64.decode(params['psbt'] as string), { allowUnknownOutputs: true })
        expect(hex.encode(sent.unsignedTx)).toBe(hex.encode(leaf))
        expect(sent.getInput(0).finalScriptWitness).toEqual([new Uint8Array(64)])
        node.channel = { ...node.channel, funding: { psbt, withheld: false } }
        return refuse(-1, 'Error broadcasting transaction')(params)
      },
    }).withheld()
    await node.opening().release(CHANNEL)
    await node.opening().release(CHANNEL)
    expect(node.rpc.count('sendpsbt')).toBe(1)
  })

  it('fails when the channel is gone, or stays withheld: then no coins may move', async () => {
    await expect(new Node().opening().release(CHANNEL)).rejects.toMatchObject({ code: 'host_failed' })
    const stuck = new Node({ sendpsbt: refuse(-1, 'no') }).withheld()
    await expect(stuck.opening().release(CHANNEL)).rejects.toThrow('still withheld')
    const vanishing: Node = new Node({
      sendpsbt: () => {
        vanishing.channel = undefined
        return {}
      },
    }).withheld()
    await expect(vanishing.opening().release(CHANNEL)).rejects.toThrow('any more')
  })
})

describe('leaving', () => {
  it('drops by forgetting where lightningd can, else by a close that is never unilateral', async () => {
    const able = new Node({ 'dev-forget-channel': () => ({}) }).withheld()
    await able.opening(true).drop(PEER, CHANNEL)
    expect(able.rpc.calls.at(-1)).toMatchObject({
      method: 'dev-forget-channel',
      params: { channel_id: CHANNEL, force: true },
    })
    const stock = new Node({ close: unanswered }).withheld()
    await stock.opening().drop(PEER, CHANNEL)
    expect(stock.rpc.calls.at(-1)).toMatchObject({ method: 'close', params: { id: CHANNEL, unilateraltimeout: 0 } })
    const nothing = new Node()
    await nothing.opening().drop(PEER, CHANNEL)
    expect(nothing.rpc.count('close')).toBe(0)
  })

  it('closes by force once, waits for nobody, and says when lightningd will not', async () => {
    const node = new Node({ close: unanswered }).withheld()
    await node.opening().forceClose(CHANNEL)
    expect(node.rpc.calls.at(-1)).toMatchObject({ params: { id: CHANNEL, unilateraltimeout: 1 } })
    const leaving = new Node().withheld('AWAITING_UNILATERAL')
    await leaving.opening().forceClose(CHANNEL)
    expect(leaving.rpc.count('close')).toBe(0)
    const refusing = new Node({ close: refuse(-1, 'no') }).withheld()
    await expect(refusing.opening().forceClose(CHANNEL)).rejects.toMatchObject({ code: 'host_failed' })
  })
})
