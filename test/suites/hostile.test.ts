import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { FactoryNetwork, RpcError, until, type Lightningd, type ListedFactory } from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'

const PRELOAD = fileURLToPath(new URL('../faults/mutate.mjs', import.meta.url))

/** What the client says, and whether it had signed (its own transactions, which nobody else's signatures fit) before it could know. */
const CASES: readonly (readonly [mutation: string, answer: RegExp, signed: boolean])[] = [
  ['early warning that the tree does not need', /early warning of 17 blocks, but the tree needs 16/, false],
  ['W that nobody can pay', /W is 3004 blocks/, false],
  ['too short a lifetime', /leaves less than W \+ 144 blocks/, false],
  ['one satoshi less in the funding', /funding/, false],
  ['our key replaced', /our key is not at our place/, false],
  ['another place', /our key is not at our place/, false],
  ['a client too many', /3 clients proposed, but 2 were invited/, false],
  ['one satoshi more for a sibling', /funding|sat/, false],
  ['a sibling missing', /sibling|outputs/, false],
  ['a channel script that is none', /P2WSH|script/, false],
  ['another expiry than the LSP signs for', /bad partial signature/, true],
  ['another channel script', /bad partial signature/, true],
  ['another poison hash', /bad partial signature/, true],
  ['a final signature of nothing', /signature for .* is not valid/, true],
  ['swapped final signatures', /signature for .* is not valid/, true],
]

describeWithLightningd('an LSP whose messages are not what its machine says', () => {
  let net: FactoryNetwork
  const orders = (): string => join(net.lsp.dir, 'regtest', 'mutation.json')

  beforeAll(async () => {
    net = await FactoryNetwork.start(2)
    await net.lsp.restart({ env: { NODE_OPTIONS: `--import=${PRELOAD}` } })
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  const factories = async (node: Lightningd): Promise<readonly ListedFactory[]> =>
    ((await node.call('factory-list')) as { factories: ListedFactory[] }).factories

  it.each(CASES)('invariants 1 and 11: %s', async (mutation, answer, signed) => {
    await net.connectAll()
    const known = new Set((await Promise.all(net.clients.map(factories))).flat().map((f) => f.instance_id))
    writeFileSync(orders(), JSON.stringify(mutation))
    const params = { clients: net.clients.map((c) => c.id), capacity: 1_000_000, lifetime: 500 }
    const refusal = await net.lsp.call('factory-create', params).then(
      () => undefined,
      (error: unknown) => error,
    )
    rmSync(orders())
    expect(refusal).toBeInstanceOf(RpcError)
    expect((refusal as RpcError).message).toMatch(answer)
    for (const client of net.clients) {
      const mine = (await factories(client)).filter((f) => !known.has(f.instance_id))
      for (const { instance_id } of mine) {
        await net.inPhase(instance_id, 'aborted', [client])
        const { log } = (await client.call('factory-log', { instance_id })) as { log: { kind: string }[] }
        if (!signed) expect(log.filter((entry) => entry.kind === 'signed')).toEqual([])
      }
    }
    await until(async () => (await net.lsp.call('listfunds')).outputs.every((o) => !o.reserved), {
      what: 'the LSP’s coins to be free again',
    })
  })

  it('works when nothing is changed', async () => {
    await net.connectAll()
    await net.create(net.clients)
  })
})
