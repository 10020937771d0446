import { FINAL_DEPTH } from '../../src/finality/depth.js'
import { beforeEach, describe, expect, it } from 'vitest'
import type { ClosePropose, Payload } from '@ln-factory/tlv'
import { decodeTx } from '../../src/tree/index.js'
import { msat, type InstanceId, type NodeId } from '../../src/units/index.js'
import { Net, payloadOf, tamper } from '../simulation/net.js'
import type { SimChannel } from '../simulation/host.js'

const seeds = Number(process.env['LN_FACTORY_SEEDS'] ?? '1')
const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte)

/** Far from its expiry, so that nobody leaves because of it. */
const PENDING = { direction: 'in', expiry: 900, answered: false } as const

let net: Net
let instance: InstanceId

const channelOf = (n: Net, id: NodeId): SimChannel => {
  const [channel] = [...n.host(id).mine.values()]
  if (channel === undefined) throw new Error('no channel')
  return channel
}

async function open(seed: number, balances: readonly bigint[]): Promise<void> {
  net = await Net.of(seed, balances.length)
  instance = await net.active()
  balances.forEach((b, i) => {
    channelOf(net, net.client(i)).balance = msat(b)
  })
}

/** Orders the close; what comes of it, once told. */
async function order(): Promise<{ outcome: Promise<string> }> {
  const closing = net.node(net.lsp).close(instance, 1000)
  const outcome = closing.then(
    ({ txid }) => txid,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
  await net.world.run()
  return { outcome }
}

const records = (id: NodeId): number =>
  [...net.disk(id).records.keys()].filter((k) => k.endsWith('/cooperative')).length

/** Satoshi by script that the close with this id pays, in order. */
function payouts(txid: string): bigint[] {
  const raw = net.world.chain.transaction(txid)
  if (raw !== undefined) return decodeTx(raw).outputs.map((o) => o.amount)
  throw new Error(`no transaction ${txid}`)
}

describe('invariant 10: a close pays each its balance, and nobody a satoshi more', () => {
  it.each<[string, readonly bigint[], readonly bigint[]]>([
    ['whole satoshi', [5_000_000n, 7_000_000n], [5_000n, 7_000n]],
    ['parts of a satoshi are dropped', [5_000_999n, 330_001n], [5_000n, 330n]],
    ['dust is not paid', [329_999n, 1_000_000n], [1_000n]],
    ['nothing is not paid', [0n, 0n], []],
  ])('%s', async (_name, balances, due) => {
    await open(1, balances)
    const { outcome } = await order()
    const txid = await outcome
    await net.world.mine(1)
    expect(await net.phases(instance)).toEqual(['closed', 'closed', 'closed'])
    const paid = payouts(txid)
    expect(paid.slice(0, -1)).toEqual(due)
    const details = await net.show(net.lsp, instance)
    const fee = (details?.fundingAmount ?? 0n) - paid.reduce((a, b) => a + b, 0n)
    expect(fee).toBeGreaterThan(0n)
    expect(fee).toBeLessThan(1000n)
    await net.world.mine(FINAL_DEPTH)
    expect([...net.host(net.lsp).mine.keys()]).toEqual([])
  })
})

describe('a close that a client does not agree to', () => {
  beforeEach(() => open(2, [5_000_000n, 7_000_000n]))

  it('of another balance: refused with its reason, nothing signed, all goes on', async () => {
    const host = net.host(net.client(0))
    const channels = host.channels.bind(host)
    host.channels = async () => (await channels()).map((c) => ({ ...c, ours: msat(5_000_001n) }))
    const { outcome } = await order()
    expect(await outcome).toMatch(/our balance is 5000001 msat, not 5000000/)
    expect(await outcome).toContain(net.client(0))
    expect(records(net.client(0))).toBe(0)
    expect(await net.phases(instance)).toEqual(['active', 'active', 'active'])
  })

  it('while an HTLC is pending at the LSP: waits for it, then closes', async () => {
    channelOf(net, net.client(0)).htlcs.push(PENDING)
    const { outcome } = await order()
    expect(await net.phases(instance)).toEqual(['closing', 'active', 'active'])
    channelOf(net, net.client(0)).htlcs.length = 0
    await net.world.tick()
    expect(await outcome).toMatch(/^[0-9a-f]{64}$/)
  })

  it('while an HTLC never settles: given up after the step time-out', async () => {
    channelOf(net, net.client(0)).htlcs.push(PENDING)
    const { outcome } = await order()
    await net.world.calm()
    expect(await outcome).toMatch(/HTLCs did not settle/)
    expect(await net.phases(instance)).toEqual(['active', 'active', 'active'])
  })

  it('while an HTLC is pending at the client: refused', async () => {
    const host = net.host(net.client(0))
    const channels = host.channels.bind(host)
    host.channels = async () => (await channels()).map((c) => ({ ...c, htlcs: [PENDING] }))
    const { outcome } = await order()
    expect(await outcome).toMatch(/HTLC is pending/)
    expect(records(net.client(0))).toBe(0)
  })

  it('whose host does not answer: refused', async () => {
    net.host(net.client(0)).channels = () => Promise.reject(new Error('no answer'))
    const { outcome } = await order()
    expect(await outcome).toMatch(/no answer/)
    expect(records(net.client(0))).toBe(0)
    expect((await net.phases(instance))[0]).toBe('active')
  })

  it.each<[string, (p: ClosePropose, ours: number) => ClosePropose, RegExp]>([
    ['1 sat less for it', (p, i) => change(p, i, (a) => a - 1n), /pays us 4999 sat instead of 5000/],
    ['1 sat more for it', (p, i) => change(p, i, (a) => a + 1n), /pays us 5001 sat instead of 5000/],
    ['nothing for it', (p, i) => ({ ...p, outputs: p.outputs.filter((_, j) => j !== i) }), /pays us 0 sat/],
    [
      'its money twice',
      (p, i) => ({ ...p, outputs: [...p.outputs, ...p.outputs.slice(i, i + 1)] }),
      /pays us 10000 sat/,
    ],
    ['a lock time', (p) => ({ ...p, lockTime: 1 }), /lock time/],
    ['another balance', (p) => ({ ...p, balance: p.balance - 1n }), /our balance is/],
    [
      'more than the funding',
      (p) => ({ ...p, outputs: [...p.outputs, { amount: 10_000_000n, script: p2tr(1) }] }),
      /more than the funding holds/,
    ],
    ['dust for somebody', (p) => also(p, 329n, p2tr(1)), /dust/],
    ['a script that does not relay', (p) => also(p, 1000n, Uint8Array.of(0x51)), /none of P2WPKH/],
  ])('of %s: refused, nothing signed', async (_name, hostile, reason) => {
    tamper(net.world, [net.lsp, net.client(0)], 'close_propose', (p) => [
      hostile(
        p,
        p.outputs.findIndex((o) => o.amount === 5_000n),
      ),
    ])
    const { outcome } = await order()
    expect(await outcome).toMatch(reason)
    expect(records(net.client(0))).toBe(0)
    expect((await net.show(net.client(0), instance))?.phase).toBe('active')
  })
})

const p2tr = (byte: number): Uint8Array => Uint8Array.from([0x51, 0x20, ...filled(32, byte)])
/** Another output, at the expense of the last one, the LSP's. */
const also = (p: ClosePropose, amount: bigint, script: Uint8Array): ClosePropose => ({
  ...change(p, p.outputs.length - 1, (a) => a - amount),
  outputs: [...change(p, p.outputs.length - 1, (a) => a - amount).outputs, { amount, script }],
})
function change(p: ClosePropose, at: number, f: (amount: bigint) => bigint): ClosePropose {
  return { ...p, outputs: p.outputs.map((o, i) => (i === at ? { ...o, amount: f(o.amount) } : o)) }
}

describe('silence while closing', () => {
  it.each(['close_nonce', 'close_partial_signature'] as const)(
    'before %s: named; ordered again, it goes on',
    async (kind) => {
      await open(3, [5_000_000n, 7_000_000n])
      tamper(net.world, [net.client(1), net.lsp], kind, () => [])
      const { outcome } = await order()
      await net.world.calm()
      expect(await outcome).toMatch(/no answer from/)
      expect(await outcome).toContain(net.client(1))
      expect(await outcome).not.toContain(net.client(0))
      // A partial signature is out: these amounts or none, and no HTLC may move them.
      const bound = kind === 'close_partial_signature'
      expect(await net.phases(instance)).toEqual(Array.from({ length: 3 }, () => (bound ? 'closing' : 'active')))
      const again = await order()
      expect(await again.outcome).toMatch(/^[0-9a-f]{64}$/)
      await net.world.mine(1)
      expect(await net.phases(instance)).toEqual(['closed', 'closed', 'closed'])
      for (const id of net.all) expect(records(id)).toBe(1)
    },
  )

  it('of the LSP after the client signed: the client leaves alone with the balance that it froze', async () => {
    await open(4, [5_000_000n, 7_000_000n])
    tamper(net.world, [net.lsp, net.client(0)], 'close_complete', () => [])
    tamper(net.world, [net.client(1), net.lsp], 'close_partial_signature', () => [])
    const { outcome } = await order()
    await net.world.calm()
    expect(await outcome).toMatch(/no answer/)
    net.world.crash(net.lsp)
    const leaving = net.node(net.client(0)).exit(instance)
    await net.world.run()
    await leaving
    await net.world.mine(30)
    expect((await net.show(net.client(0), instance))?.phase).toBe('exited')
  })

  it('an exit that the close overtakes ends in the close', async () => {
    await open(5, [5_000_000n, 7_000_000n])
    const held: Payload[] = []
    tamper(net.world, [net.client(1), net.lsp], 'close_partial_signature', (p) => {
      held.push(p)
      return []
    })
    const { outcome } = await order()
    expect(held.length).toBe(1)
    // No block is mined: the exit waits in the mempool's place that the close takes.
    const host = net.host(net.client(0))
    host.broadcast = () => Promise.resolve({ accepted: false, error: 'mempool full' })
    await net.node(net.client(0)).exit(instance)
    await net.world.run()
    for (const p of held) await net.say(net.client(1), net.lsp, p)
    expect(await outcome).toMatch(/^[0-9a-f]{64}$/)
    await net.world.mine(2)
    expect((await net.show(net.client(0), instance))?.phase).toBe('closed')
  })
})

describe('partial signatures for the close', () => {
  it.each<[string, Uint8Array]>([
    ['wrong', filled(32, 3)],
    ['above the order', filled(32, 0xff)],
  ])('%s: its sender is named, the amounts stay, ordered again it works', async (_name, signature) => {
    await open(6, [5_000_000n, 7_000_000n])
    tamper(net.world, [net.client(1), net.lsp], 'close_partial_signature', (p) => [{ ...p, signature }])
    const { outcome } = await order()
    expect(await outcome).toMatch(/bad partial signature/)
    expect(await outcome).toContain(net.client(1))
    expect(await outcome).not.toContain(net.client(0))
    const again = await order()
    expect(await again.outcome).toMatch(/^[0-9a-f]{64}$/)
  })

  it('a nonce that is no point: its sender is named, not who spoke last', async () => {
    await open(7, [5_000_000n, 7_000_000n, 1_000_000n])
    tamper(net.world, [net.client(1), net.lsp], 'close_nonce', (p) => [
      { ...p, nonce: Uint8Array.from([2, ...filled(32, 0xff), 2, ...filled(32, 0xff)]) },
    ])
    const { outcome } = await order()
    expect(await outcome).toContain(net.client(1))
    expect(await outcome).not.toContain(net.client(0))
    expect(await outcome).not.toContain(net.client(2))
  })

  it('invariant 4: another close after the first is bound is not signed by anyone', async () => {
    await open(8, [5_000_000n, 7_000_000n])
    tamper(net.world, [net.client(1), net.lsp], 'close_partial_signature', () => [])
    await order()
    await net.world.calm()
    const said: string[] = []
    const before = net.world.wire
    net.world.wire = (from, to, body) => {
      const payload = payloadOf(body)
      if (from === net.client(0) && payload !== undefined)
        said.push(payload.kind === 'abort' ? payload.reason : payload.kind)
      return before(from, to, body)
    }
    const instanceId = Uint8Array.from(Buffer.from(instance, 'hex'))
    await net.say(net.lsp, net.client(0), {
      kind: 'close_propose',
      instanceId,
      balance: 5_000_000n,
      lockTime: 0,
      outputs: [{ amount: 5_000n, script: p2tr(4) }],
    })
    expect(said).toEqual(['close refused: another close was agreed before'])
    expect(records(net.client(0))).toBe(1)
  })
})

describe.each(Array.from({ length: seeds }, (_, i) => i + 1))(
  'crashes and lost connections while closing, order of events %i',
  (seed) => {
    /** Whatever happened: the factory is closed, with everyone paid, or lives. */
    async function converges(): Promise<void> {
      net.world.kill = undefined
      net.world.wire = (_from, _to, body) => [body]
      for (let i = 0; i < 3; i++) {
        await net.heal()
        await net.world.calm()
      }
      let phases = await net.phases(instance)
      if (!phases.every((p) => p === 'closed')) {
        if (phases[0] === 'active' || phases[0] === 'closing') {
          const again = await order()
          await net.world.calm()
          expect(await again.outcome, phases.join()).toMatch(/^[0-9a-f]{64}$/)
        }
        await net.world.mine(1)
        phases = await net.phases(instance)
      }
      expect(phases).toEqual(['closed', 'closed', 'closed'])
      for (const id of net.all) expect(records(id)).toBe(1)
    }

    it.each(['before', 'after'] as const)('a crash of either side, %s any commit', async (when) => {
      for (const role of ['lsp', 'client'] as const)
        for (let k = 1; ; k++) {
          await open(seed, [5_000_000n, 7_000_000n])
          const node = role === 'lsp' ? net.lsp : net.client(0)
          net.world.kill = { node, at: (net.world.commits.get(node) ?? 0) + k, when }
          net
            .node(net.lsp)
            .close(instance, 1000)
            .catch(() => undefined)
          await net.world.run()
          if (net.world.nodes.has(node)) break
          await converges()
        }
    })

    it('a lost connection at any message', async () => {
      for (let at = 1; ; at++) {
        await open(seed + 100, [5_000_000n, 7_000_000n])
        let sent = 0
        net.world.wire = (from, to, body) => {
          if (payloadOf(body) === undefined || ++sent !== at) return [body]
          net.world.disconnect(from, to)
          return []
        }
        net
          .node(net.lsp)
          .close(instance, 1000)
          .catch(() => undefined)
        await net.world.run()
        if (sent < at) break
        await converges()
      }
    })

    it('messages that arrive twice', async () => {
      await open(seed + 200, [5_000_000n, 7_000_000n])
      net.world.wire = (_from, _to, body) => [body, body]
      const { outcome } = await order()
      expect(await outcome).toMatch(/^[0-9a-f]{64}$/)
    })

    it('a round that is repeated while answers are on their way', async () => {
      for (let i = 0; i < 5; i++) {
        await open(seed + 300 + i, [5_000_000n, 7_000_000n])
        tamper(net.world, [net.lsp, net.client(0)], 'close_propose', (p) => {
          const instanceId = p.instanceId
          void net.say(net.client(1), net.lsp, { kind: 'sync', instanceId, stage: 'closing' })
          return [p]
        })
        const { outcome } = await order()
        await net.world.run()
        expect(await outcome).toMatch(/^[0-9a-f]{64}$/)
      }
    })
  },
)

describe('reorganisations', () => {
  it('a close that is taken back keeps its channels, and comes again', async () => {
    net = await Net.of(9, 2, { minDepth: 2 })
    instance = await net.active()
    const { outcome } = await order()
    const txid = await outcome
    await net.world.mine(1)
    expect((await net.phases(instance)).slice(1)).toEqual(['closing', 'closing'])
    net.world.chain.reorg(1, () => false)
    await net.world.mine(3)
    expect(net.world.chain.accepted.has(txid)).toBe(true)
    await net.world.mine(2)
    expect((await net.phases(instance)).slice(1)).toEqual(['closed', 'closed'])
  })
})
