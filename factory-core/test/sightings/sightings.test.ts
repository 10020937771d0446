/** Everything that is seen on a shared output gets its name, on both sides; what should be impossible raises an alarm. */
import { describe, expect, it } from 'vitest'
import { decodeTx } from '../../src/tree/index.js'
import { blocks, participantIndex, sat, txid, type InstanceId, type NodeId } from '../../src/units/index.js'
import { buildStockSweep } from '../../src/tree/index.js'
import { classify, type Knowledge } from '../../src/watch/classify.js'
import { held, treeOfLsp } from '../simulation/held.js'
import { Net, params } from '../simulation/net.js'

const short = { params: { ...params, stockCsv: blocks(30) }, lifetime: blocks(400) }

const sights = async (net: Net, id: NodeId, instance: InstanceId): Promise<string[]> =>
  ((await net.show(id, instance))?.sightings ?? []).map((s) => `${s.id ?? '-'}: ${s.sight}`)

async function exit(net: Net, id: NodeId, instance: InstanceId): Promise<void> {
  const done = net.node(id).exit(instance)
  await net.world.run()
  await done
}

describe('what is seen on shared outputs', () => {
  it('an exit: ours to who leaves, another’s to the others', async () => {
    const net = await Net.of(1, 5)
    const instance = await net.active(net.request(short))
    const last = net.client(4)
    await exit(net, last, instance)
    await net.world.mine(25)
    expect(await sights(net, last, instance)).toEqual([
      'static:0: our exit',
      'kickoff:1: our exit',
      'leaf:1: our exit',
      '-: channel close',
    ])
    expect(await sights(net, net.client(0), instance)).toEqual(["static:0: another's exit"])
    expect(await sights(net, net.lsp, instance)).toEqual([
      "static:0: another client's exit",
      "kickoff:1: another client's exit",
      "leaf:1: another client's exit",
      '-: channel close',
    ])
  })

  it('the LSP’s exit: its own to the LSP, the LSP’s to the only client that could have published it too', async () => {
    const net = await Net.of(2, 1)
    const instance = await net.active(net.request(short))
    await exit(net, net.lsp, instance)
    await net.world.mine(25)
    expect(await sights(net, net.lsp, instance)).toEqual([
      'kickoff:0: our exit',
      'leaf:0: our exit',
      '-: channel close',
    ])
    expect(await sights(net, net.client(0), instance)).toEqual([
      "kickoff:0: the LSP's exit",
      "leaf:0: the LSP's exit",
      '-: channel close',
    ])
    for (const id of net.all) expect((await net.show(id, instance))?.alarm).toBeUndefined()
  })

  it('a close and a distribution', async () => {
    const net = await Net.of(3, 2)
    const instance = await net.active(net.request(short))
    const closing = net.node(net.lsp).close(instance, 1000)
    await net.world.run()
    await closing
    await net.world.mine(2)
    for (const id of net.all) expect(await sights(net, id, instance)).toEqual(['close: cooperative close'])

    const other = await Net.of(4, 2)
    const second = await other.active(other.request(short))
    other.world.crash(other.lsp)
    const expiry = (await other.show(other.client(0), second))?.expiry ?? 0
    await other.world.mine(expiry - other.world.chain.height + 3)
    expect(await sights(other, other.client(0), second)).toContain('dist:funding: distribution')
  })

  it('is taken back with the block that held it', async () => {
    const net = await Net.of(5, 5)
    const instance = await net.active(net.request(short))
    net.world.chain.broadcast((await held(net, instance, 'static:0')).raw)
    await net.world.mine(3)
    expect(await sights(net, net.lsp, instance)).toEqual(["static:0: another client's exit"])
    net.world.chain.reorg(3, () => false)
    for (let i = 0; i < 4; i++) net.world.chain.mine()
    await net.world.mine(1)
    for (const id of net.all) expect(await sights(net, id, instance)).toEqual([])
  })

  it('invariant 5: an unknown spend of the funding is an alarm at everyone, until a reorganisation takes it back', async () => {
    const net = await Net.of(6, 2)
    const instance = await net.active(net.request(short))
    const { raw } = await held(net, instance, 'dist:funding')
    // The same output, spent at once and to somebody else: only a chain without signature checks takes it.
    const forged = Uint8Array.from(raw)
    forged.set([0, 0, 0, 0], forged.length - 4)
    expect(net.world.chain.broadcast(forged).accepted).toBe(true)
    await net.world.mine(2)
    for (const id of net.all) {
      const shown = await net.show(id, instance)
      expect(shown?.alarm).toContain(decodeTx(forged).txid)
      expect(shown?.sightings.map((s) => s.sight)).toEqual(['unknown'])
      expect(
        net
          .node(id)
          .log({ instance })
          .filter((l) => l.kind === 'warning' && l.text.includes('unknown')).length,
      ).toBe(1)
      net.world.crash(id)
    }
    await net.heal()
    for (const id of net.all) {
      expect((await net.show(id, instance))?.alarm, 'after a restart').toBeDefined()
      expect(
        net
          .node(id)
          .log({ instance })
          .filter((l) => l.text.includes('unknown')).length,
        'once',
      ).toBe(1)
    }
    net.world.chain.reorg(2, () => false)
    for (let i = 0; i < 3; i++) net.world.chain.mine()
    await net.world.mine(1)
    for (const id of net.all) expect((await net.show(id, instance))?.alarm).toBeUndefined()
  })
})

describe('classify', () => {
  it('invariant 7: names a superseded state, and tells the CSV branch of a stock from a spend by all', async () => {
    const net = await Net.of(7, 2)
    const instance = await net.active(net.request(short))
    const tree = await treeOfLsp(net, instance)
    const leaf = tree.spends.find((s) => s.role === 'leaf')
    const poison = tree.spends.find((s) => s.role === 'poison')
    if (leaf === undefined || poison === undefined) throw new Error('no leaf')
    const base: Knowledge = {
      self: participantIndex(1),
      spends: tree.spends,
      superseded: new Set(),
      close: undefined,
      channels: [],
      leaving: new Set(),
      handedOver: false,
    }
    const tx = decodeTx(leaf.tx.bytes)
    expect(classify(base, leaf.prevout.outpoint, tx)).toMatchObject({ sight: "another's exit", alarm: false })
    const stale = classify({ ...base, superseded: new Set([leaf.tx.txid]) }, leaf.prevout.outpoint, tx)
    expect(stale).toMatchObject({ sight: 'stale state', alarm: true })
    const sweep = buildStockSweep({
      params: tree.spec.params,
      lspKey: tree.spec.lspKey,
      poison,
      script: Uint8Array.from([0x51, 0x20, ...new Uint8Array(32)]),
      feerate: 1000,
    })
    const spent = (witness: readonly Uint8Array[]) => ({
      ...decodeTx(sweep.tx.bytes),
      inputs: [{ outpoint: poison.prevout.outpoint, sequence: 0, witness }],
    })
    const { leafScript, controlBlock } = sweep.key
    const signature = new Uint8Array(64)
    expect(classify(base, poison.prevout.outpoint, spent([signature, leafScript, controlBlock])).sight).toBe(
      'stock sweep',
    )
    const other = { txid: txid('77'.repeat(32)), amount: sat(0) }
    expect(classify(base, poison.prevout.outpoint, { ...spent([signature]), txid: other.txid })).toEqual({
      sight: 'unknown',
      id: undefined,
      alarm: false,
    })
    expect(classify(base, leaf.prevout.outpoint, { ...tx, txid: other.txid })).toMatchObject({
      sight: 'unknown',
      alarm: true,
    })
  })
})
