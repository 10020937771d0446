/**
 * What every host must do for a factory (core `host/port.ts`), as tests against a real node of it. Another host passes by
 * giving a pair of its own.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Host } from '@ln-factory/core/host'
import { blockHeight, msat, nodeId, sat, toMsat } from '@ln-factory/core/units'
import { hex } from '@scure/base'
import { until } from '../../src/network/index.js'
import { directConformance } from './direct.js'
import { buildLeaf, factoryScript, fundingFor, openVirtual } from './leaf.js'
import { FACTORY, type Recorder } from './recorder.js'

export interface HostUnderTest {
  /** Of the running process: another object after a restart. */
  readonly host: Host
  readonly events: Recorder
  connect(other: HostUnderTest): Promise<void>
  disconnect(other: HostUnderTest): Promise<void>
  restart(): Promise<void>
  stop(): Promise<void>
  /** Invoice over `amount` msat. */
  invoice(amount: bigint): Promise<string>
  pay(invoice: string): Promise<void>
  /** Confirmed coins of the wallet, in satoshi. */
  balance(): Promise<bigint>
}

export interface HostPair {
  readonly lsp: HostUnderTest
  readonly client: HostUnderTest
  /** Mine, and wait until both nodes have seen it. */
  mine(blocks: number): Promise<void>
  inMempool(txid: string): Promise<void>
  mempool(): Promise<readonly string[]>
  /** A node without factories. */
  outsider(): Promise<{ readonly id: string; connect(to: HostUnderTest): Promise<void> }>
  stop(): Promise<void>
}

const CAPACITY = sat(1_000_000)
const HALF = msat(500_000_000n)

export function hostConformance(start: () => Promise<HostPair>): void {
  describe('host', () => {
    let pair: HostPair
    let lsp: HostUnderTest
    let client: HostUnderTest
    /** What the client's host can take. */
    let PUSH = msat(0)
    beforeAll(async () => {
      pair = await start()
      ;({ lsp, client } = pair)
      PUSH = client.host.caps.maxPush < HALF ? client.host.caps.maxPush : HALF
      await client.connect(lsp)
    })
    afterAll(async () => {
      // Undefined when the pair did not start.
      await (pair as HostPair | undefined)?.stop()
    })

    const channelOf = async (node: HostUnderTest, channelId: string) =>
      (await node.host.channels()).find((c) => c.channelId === channelId)
    const normal = (node: HostUnderTest, channelId: string) =>
      until(async () => (await channelOf(node, channelId))?.state === 'normal', { what: 'the channel to be normal' })

    const reconnect = async (): Promise<void> => {
      await until(
        async () => {
          if ((await client.host.peers()).some((p) => p.id === lsp.host.nodeId && p.connected)) return true
          await client.connect(lsp)
          return false
        },
        { what: 'the connection' },
      )
    }

    it('derives the same secret for the same label, and another for another', async () => {
      const [a, again, b, theirs] = await Promise.all([
        lsp.host.deriveSecret('a'),
        lsp.host.deriveSecret('a'),
        lsp.host.deriveSecret('b'),
        client.host.deriveSecret('a'),
      ])
      expect(a).toHaveLength(32)
      expect(again).toEqual(a)
      expect(b).not.toEqual(a)
      expect(theirs).not.toEqual(a)
    })

    it('sees that the peer offers factories, and is told of its connection', async () => {
      const peer = (await lsp.host.peers()).find((p) => p.id === client.host.nodeId)
      expect(peer).toMatchObject({ connected: true, factories: true })
      await until(() => lsp.events.connected.includes(client.host.nodeId), { what: 'the event' })
    })

    it('carries messages both ways, whole and in order', async () => {
      const bodies = Array.from({ length: 30 }, (_, i) => new Uint8Array(i === 7 ? 65_531 : 10 + i).fill(i))
      for (const body of bodies) await lsp.host.send(client.host.nodeId, body)
      await until(() => client.events.messages.length === bodies.length, { what: 'all messages' })
      expect(client.events.messages.map((m) => m.body)).toEqual(bodies)
      expect(client.events.messages.every((m) => m.peer === lsp.host.nodeId)).toBe(true)

      await client.host.send(lsp.host.nodeId, Uint8Array.of(1, 2, 3))
      await until(() => lsp.events.messages.length === 1, { what: 'the answer' })
    })

    it('never sends to a peer without the feature bit, nor to one that is not there', async () => {
      const outsider = await pair.outsider()
      await outsider.connect(lsp)
      const id = nodeId(outsider.id)
      await until(async () => (await lsp.host.peers()).some((p) => p.id === id && p.connected), {
        what: 'the connection',
      })
      await expect(lsp.host.send(id, Uint8Array.of(0, 2))).rejects.toMatchObject({ code: 'peer_unsupported' })
      expect((await lsp.host.peers()).find((p) => p.id === id)).toMatchObject({ connected: true, factories: false })
      await expect(lsp.host.openStart({ peer: id, capacity: CAPACITY, push: PUSH })).rejects.toMatchObject({
        code: 'peer_unsupported',
      })
      const nobody = nodeId('0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798')
      await expect(lsp.host.send(nobody, Uint8Array.of(0, 2))).rejects.toMatchObject({ code: 'peer_offline' })
    })

    it('reads the chain: heights, blocks, outputs, and refusals in words', async () => {
      const height = await lsp.host.height()
      expect(await lsp.host.block(blockHeight(height + 1))).toBeUndefined()
      const block = await lsp.host.block(height)
      expect(block?.hash).toMatch(/^[0-9a-f]{64}$/)
      expect(block?.raw.length).toBeGreaterThan(80)
      const nothing = { txid: '00'.repeat(32) as never, vout: 0 }
      expect(await lsp.host.utxo(nothing)).toBeUndefined()
      const leaf = buildLeaf({ txid: '11'.repeat(32) as never, vout: 0 }, [
        { script: factoryScript, capacity: CAPACITY },
      ])
      const refused = await lsp.host.broadcast(leaf.signed)
      expect(refused.accepted).toBe(false)
      expect(refused.error).toMatch(/inputs/i)
    })

    it('prepares a funding and frees its coins again, as often as asked', async () => {
      const amount = sat(6_000_000)
      const first = await lsp.host.fundingPrepare(factoryScript, amount)
      await expect(lsp.host.fundingPrepare(factoryScript, amount)).rejects.toMatchObject({ code: 'insufficient_funds' })
      await lsp.host.fundingRelease(first)
      await lsp.host.fundingRelease(first)
      const second = await lsp.host.fundingPrepare(factoryScript, amount)
      await lsp.host.fundingRelease(second)
      expect(await pair.mempool()).toEqual([])
    })

    it('invariant 6: an open that no ceremony announced is not zero-conf; one can be refused', async () => {
      client.events.openDecision = { kind: 'refuse', reason: 'no such ceremony' }
      await expect(lsp.host.openStart({ peer: client.host.nodeId, capacity: CAPACITY, push: PUSH })).rejects.toThrow(
        /no such ceremony/,
      )
      expect(client.events.opens.at(-1)).toMatchObject({ peer: lsp.host.nodeId, capacity: CAPACITY, push: PUSH })
      // Not every host says that a zero-conf channel is one.
      expect([
        [12, 22, 46],
        [12, 22, 46, 50],
      ]).toContainEqual(client.events.opens.at(-1)?.channelType)
      client.events.openDecision = FACTORY
    })

    it('refuses a push that it would not survive to spend', async () => {
      const { maxPush } = client.host.caps
      if (maxPush >= toMsat(CAPACITY)) return
      const push = msat(maxPush + 1n)
      await expect(lsp.host.openStart({ peer: client.host.nodeId, capacity: CAPACITY, push })).rejects.toThrow(/push/)
    })

    it('invariant 2: an open that is cancelled or never completed leaves nothing, and the next one works', async () => {
      const start = () => lsp.host.openStart({ peer: client.host.nodeId, capacity: CAPACITY, push: PUSH })
      await until(
        async () => {
          await reconnect()
          return start()
        },
        { what: 'an open' },
      )
      await lsp.host.openCancel(client.host.nodeId)
      await lsp.host.openCancel(client.host.nodeId)
      expect(await lsp.host.channels()).toEqual([])
      // The peer may need a moment to forget the first.
      await until(
        async () => {
          await reconnect()
          return start()
        },
        { what: 'the next open' },
      )
      await client.disconnect(lsp)
      const gone = async () => (await lsp.host.peers()).every((p) => p.id !== client.host.nodeId || !p.connected)
      await until(gone, { what: 'the disconnect' })
      await until(() => lsp.events.disconnected.includes(client.host.nodeId), { what: 'its event' })
      await expect(start()).rejects.toMatchObject({ code: 'peer_offline' })
      expect(await lsp.host.channels()).toEqual([])
      await reconnect()
    })

    it('an abort before the release leaves the opener without channel and without debt', async () => {
      const { funding, channelId } = await openVirtual(lsp.host, client.host.nodeId, CAPACITY, PUSH)
      await normal(lsp, channelId)
      await lsp.host.drop(client.host.nodeId, channelId)
      await lsp.host.drop(client.host.nodeId, channelId)
      await lsp.host.fundingRelease(funding)
      await until(async () => (await channelOf(lsp, channelId)) === undefined, { what: 'the channel to be gone' })
      expect(await pair.mempool()).toEqual([])
      await expect(lsp.host.release(channelId)).rejects.toThrow(channelId)
      // A client's drop may have to leave an entry, but never one that is in use.
      await client.host.drop(lsp.host.nodeId, channelId)
      await until(async () => (await channelOf(client, channelId))?.state !== 'normal', { what: 'it to be out of use' })
      await reconnect()
    })

    describe('a channel that goes live', () => {
      let opened: Awaited<ReturnType<typeof openVirtual>>

      it('is opened on an outpoint that nobody knows, on both sides, with the pushed balance', async () => {
        opened = await openVirtual(lsp.host, client.host.nodeId, CAPACITY, PUSH)
        const { channelId, leaf } = opened
        await Promise.all([normal(lsp, channelId), normal(client, channelId)])
        const common = { channelId, funding: leaf.outpoints[0], capacity: CAPACITY, htlcs: [], onChain: false }
        expect(await channelOf(lsp, channelId)).toMatchObject({ ...common, ours: toMsat(CAPACITY) - PUSH })
        expect(await channelOf(client, channelId)).toMatchObject({ ...common, ours: PUSH })
        expect((await channelOf(client, channelId))?.alias).toMatch(/^\d+x\d+x\d+$/)
        expect(client.events.changes).toBeGreaterThan(0)
      })

      it('is known by both as theirs, by the script of its funding', async () => {
        const { channelId, script } = opened
        for (const { host } of [lsp, client])
          expect(await host.checkFunding(channelId)).toEqual({ result: 'ours', script })
        expect((await client.host.checkFunding('00'.repeat(32))).result).toBe('unknown')
      })

      it('is released, as often as asked, and lives on over a restart of both', async () => {
        await lsp.host.release(opened.channelId)
        await lsp.host.release(opened.channelId)
        await Promise.all([lsp.restart(), client.restart()])
        await reconnect()
        await Promise.all([normal(lsp, opened.channelId), normal(client, opened.channelId)])
        await lsp.host.release(opened.channelId)
        expect(await pair.mempool()).toEqual([])
      })

      it('invariant 8: its funding is broadcast by the restarted node, as often as asked, with the txid that was promised', async () => {
        const { funding } = opened
        await lsp.host.fundingBroadcast(funding)
        await pair.inMempool(funding.txid)
        await lsp.host.fundingBroadcast(funding)
        expect(await lsp.host.utxo(funding)).toEqual({ amount: fundingFor([CAPACITY]), script: factoryScript })
        await pair.mine(1)
        await lsp.host.fundingBroadcast(funding)
        expect(await pair.mempool()).toEqual([])
        const height = await lsp.host.height()
        await until(() => lsp.events.height >= height && client.events.height >= height, { what: 'the block event' })
        const block = await lsp.host.block(height)
        expect(hex.encode(block?.raw ?? new Uint8Array())).toContain(hex.encode(factoryScript))
      })

      /** A payment is answered before its HTLC has left both commitments: only then are balances final. */
      const settled = async (): Promise<void> => {
        for (const side of [lsp, client])
          await until(async () => (await channelOf(side, opened.channelId))?.htlcs.length === 0, {
            what: 'HTLCs to settle',
          })
      }

      it('pays both ways, and every HTLC passes the handler', async () => {
        await reconnect()
        lsp.events.htlcs.length = client.events.htlcs.length = 0
        await lsp.pay(await client.invoice(300_000_000n))
        await settled()
        await client.pay(await lsp.invoice(25_000_000n))
        for (const { events } of [lsp, client]) {
          expect(events.htlcs).toHaveLength(1)
          expect(events.htlcs[0]).toMatchObject({
            inChannelId: opened.channelId,
            outChannelId: undefined,
            cltvOut: undefined,
          })
          const { cltvIn, height } = events.htlcs[0] as { cltvIn: number; height: number }
          expect(cltvIn).toBeGreaterThan(height)
        }
        await settled()
        expect((await channelOf(client, opened.channelId))?.ours).toBe(PUSH + 275_000_000n)
      })

      it('invariant 6: an HTLC that the handler refuses comes back as failed', async () => {
        client.events.htlcDecision = { kind: 'fail', failure: '2002', reason: 'gate is shut' }
        await expect(lsp.pay(await client.invoice(1_000_000n))).rejects.toThrow()
        client.events.htlcDecision = { kind: 'continue' }
        await lsp.pay(await client.invoice(1_000_000n))
      })

      directConformance(() => ({
        payer: lsp,
        payee: client,
        channelId: opened.channelId,
        settled,
        reconnect: async () => {
          await reconnect()
          await Promise.all([normal(lsp, opened.channelId), normal(client, opened.channelId)])
        },
      }))

      it('leaves while the other side is gone: leaf, commitment, coins in the wallet', async () => {
        await settled()
        const before = await client.balance()
        const ours = ((await channelOf(client, opened.channelId))?.ours ?? 0n) / 1000n
        await lsp.stop()
        await client.host.forceClose(lsp.host.nodeId, opened.channelId)
        await client.host.forceClose(lsp.host.nodeId, opened.channelId)
        expect((await channelOf(client, opened.channelId))?.state).not.toBe('normal')
        expect(await client.host.broadcast(opened.leaf.signed)).toEqual({ accepted: true, error: undefined })
        expect(await client.host.broadcast(opened.leaf.signed)).toEqual({ accepted: true, error: undefined })
        await pair.mine(1)
        expect(await client.host.broadcast(opened.leaf.signed)).toMatchObject({ accepted: true, error: undefined })
        await until(
          async () => {
            await pair.mine(1)
            const [outpoint] = opened.leaf.outpoints
            return outpoint !== undefined && (await client.host.utxo(outpoint)) === undefined
          },
          { what: 'the commitment to spend the leaf', seconds: 150 },
        )
        expect((await channelOf(client, opened.channelId))?.onChain).toBe(true)
        await until(
          async () => {
            await pair.mine(1)
            return (await client.balance()) > before
          },
          { what: 'the balance to arrive', seconds: 150 },
        )
        const got = (await client.balance()) - before
        expect(got).toBeLessThanOrEqual(ours)
        expect(got).toBeGreaterThan(ours - 7000n)
      })
    })
  })
}
