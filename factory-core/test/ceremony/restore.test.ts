import { describe, expect, it } from 'vitest'
import type { Payload, Propose } from '@ln-factory/tlv'
import { txid } from '../../src/units/index.js'
import { MemoryDisk } from '../../src/store/memory/index.js'
import { expectFreeCoins, expectWhole } from '../simulation/checks.js'
import { Net, payloadOf, tamper } from '../simulation/net.js'

describe('invariant 4: one outpoint, one signature', () => {
  it('what is on record for the funding output of a proposal is not signed otherwise', async () => {
    const net = await Net.of(1, 3)
    const victim = net.client(0)
    const sighash = new Uint8Array(32).fill(7)
    tamper(net.world, [net.lsp, victim], 'propose', (p) => {
      const id = txid(Buffer.from(p.fundingTxid).reverse().toString('hex'))
      net.disk(victim).records.set(`${id}:${p.fundingVout}/child`, [{ index: 0, rule: 'once', sighash }])
      return [p]
    })
    const said: string[] = []
    const before = net.world.wire
    net.world.wire = (from, to, body) => {
      if (from === victim) said.push(payloadOf(body)?.kind ?? '')
      return before(from, to, body)
    }
    const { instance, outcome } = await net.order()
    await net.world.calm()
    expect(await outcome).toMatch(/refused to sign/)
    expect(said).not.toContain('partial_signatures')
    expect(await expectWhole(net, instance)).toBe('given up')
  })

  it('the LSP neither, and no signature leaves it', async () => {
    const net = await Net.of(2, 2)
    const sighash = new Uint8Array(32).fill(7)
    tamper(net.world, [net.lsp, net.client(0)], 'propose', (p) => {
      const id = txid(Buffer.from(p.fundingTxid).reverse().toString('hex'))
      net.disk(net.lsp).records.set(`${id}:${p.fundingVout}/distribution`, [{ index: 0, rule: 'once', sighash }])
      return [p]
    })
    const { instance, outcome } = await net.order()
    await net.world.calm()
    expect(await outcome).toMatch(/refused to sign/)
    for (const id of net.all) expect(net.signatures(id, instance)).toBe(0)
    expect(await expectWhole(net, instance)).toBe('given up')
    expectFreeCoins(net)
  })
})

/**
 * What protects an old copy of the disk where the host keeps nothing: it never signs a path with a key that may have signed one,
 * because a restart before `stored` draws a new key or gives up. It is not protected from having forgotten a close.
 */
describe('invariant 8: an old copy of the disk, on a host that keeps nothing', () => {
  it.each(['accept', 'nonces'] as const)(
    'of a client, made when its %s left: signs nothing with the key it had',
    async (kind) => {
      const net = await Net.of(3, 2)
      const victim = net.client(0)
      let copy: MemoryDisk | undefined
      const proposals: Propose[] = []
      tamper(net.world, [net.lsp, victim], 'propose', (p) => {
        proposals.push(p)
        return [p]
      })
      tamper(net.world, [victim, net.lsp], kind, (m): readonly Payload[] => {
        copy = net.disk(victim).copy()
        return [m]
      })
      const instance = await net.active()
      net.world.crash(victim)
      delete net.host(victim).anchor
      if (copy === undefined) throw new Error('no copy')
      net.world.disks.set(victim, copy)
      await net.world.start(victim)
      await net.world.connect(net.lsp, victim)
      await net.world.run()
      const said: string[] = []
      net.world.wire = (from, _to, body) => {
        const payload = payloadOf(body)
        if (from === victim && payload !== undefined) said.push(payload.kind)
        return [body]
      }
      // The LSP is a liar now: the same instance, the same key, another funding.
      for (const p of proposals) await net.say(net.lsp, victim, { ...p, fundingVout: p.fundingVout + 1 })
      expect(said).not.toContain('nonces')
      expect(copy.records.size).toBe(0)
      expect((await net.show(victim, instance))?.phase).toBe('aborted')
    },
  )

  it('of the LSP, made before the launch: does not give up the channels of a factory that is on chain', async () => {
    const net = await Net.of(4, 2)
    let copy: MemoryDisk | undefined
    tamper(net.world, [net.client(0), net.lsp], 'channel_ready', (m) => {
      copy = net.disk(net.lsp).copy()
      return [m]
    })
    const instance = await net.active()
    net.world.crash(net.lsp)
    delete net.host(net.lsp).anchor
    if (copy === undefined) throw new Error('no copy')
    net.world.disks.set(net.lsp, copy)
    await net.heal()
    await net.world.calm()
    await net.world.mine(2)
    expect(net.host(net.lsp).mine.size).toBe(2)
    expect(new Set(await net.phases(instance))).toEqual(new Set(['active']))
  })
})
