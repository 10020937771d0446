/** One peer floods while others pay; and what a node writes down holds no secret and is for its user alone. */
import {
  deriveFactoryKey,
  derivePoisonPreimage,
  FACTORY_SECRET_LABEL,
  type FactoryKeyRequest,
} from '@ln-factory/core/signing'
import { instanceId, nodeId } from '@ln-factory/core/units'
import { encodeFactoryMessage, protocolId } from '@ln-factory/tlv'
import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { FactoryNetwork, type CreatedFactory, type Lightningd } from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'

/** docs/security.md: what a flood may add to the plugin's memory. */
const MOST_GROWTH = 256 << 20
const PAYMENTS = 10

const memory = (node: Lightningd): number => {
  const status = readFileSync(`/proc/${node.pluginPid()}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
}
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

describeWithLightningd('a flood of messages', () => {
  let net: FactoryNetwork
  let factory: CreatedFactory

  beforeAll(async () => {
    net = await FactoryNetwork.start(3)
    factory = await net.create(net.clients.slice(0, 2))
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  const pays = async (): Promise<number> => {
    const [payee] = net.clients as [Lightningd]
    const started = performance.now()
    for (let i = 0; i < PAYMENTS; i++) {
      const { status } = await net.lsp.call('pay', { bolt11: await net.invoice(payee, 1_000_000) })
      expect(status).toBe('complete')
    }
    return (performance.now() - started) / PAYMENTS
  }

  it('leaves the payments of others as they are, and memory under the stated amount', async () => {
    const flooder = net.clients.at(-1) as Lightningd
    await pays()
    const quiet = await pays()
    const before = memory(net.lsp)
    const bodies = [
      encodeFactoryMessage({ kind: 'factory_piggyback', protocolId: protocolId(), payload: new Uint8Array(30_000) }),
      // The first fragment of a payload that never ends.
      encodeFactoryMessage({
        kind: 'factory_piggyback',
        protocolId: protocolId(),
        payload: Uint8Array.from([0, 0, 0, 0, 0, 9, ...new Uint8Array(65_485)]),
      }),
      Uint8Array.of(0, 4),
    ]
    const messages = bodies.map((body) => `8020${hex(body)}`)
    const flood = { sent: 0, over: false }
    const flooding = Array.from({ length: 4 }, async () => {
      while (!flood.over) {
        const msg = messages[flood.sent % messages.length]
        await flooder.call('sendcustommsg', { node_id: net.lsp.id, msg }).catch(() => undefined)
        flood.sent++
      }
    })
    const loud = await pays()
    flood.over = true
    await Promise.all(flooding)
    const growth = memory(net.lsp) - before
    process.stdout.write(
      `flood: ${flood.sent} messages meanwhile; a payment takes ${(loud / quiet).toFixed(2)} times as long; memory ${(growth / 1e6).toFixed(0)} MB more\n`,
    )
    expect(flood.sent).toBeGreaterThan(PAYMENTS)
    expect(growth).toBeLessThan(MOST_GROWTH)
    expect((await net.factory(net.lsp, factory.instance_id))?.phase).toBe('active')
    const lines = net.lsp
      .log()
      .split('\n')
      .filter((line) => line.includes(`message from ${flooder.id} ignored`))
    expect(lines.length).toBeLessThan(100)
  })

  it('no secret is in logs, answers, errors or the database, and files are private', async () => {
    const [client] = net.clients as [Lightningd]
    const instance = instanceId(factory.instance_id)
    for (const node of [net.lsp, client]) {
      const said = [node.log()]
      for (const [method, params] of [
        ['factory-list', {}],
        ['factory-show', { instance_id: instance }],
        ['factory-log', { limit: 1000 }],
        ['factory-peers', {}],
        ['factory-policy', {}],
      ] as const)
        said.push(JSON.stringify(await node.call(method, params)))
      for (const wrong of [{ instance_id: '00'.repeat(32) }, { instance_id: 7 }, {}])
        said.push(await node.call('factory-show', wrong).then(JSON.stringify, String))
      const { secret } = (await node.call('makesecret', { string: FACTORY_SECRET_LABEL })) as { secret: string }
      await node.stop()
      const folder = join(node.dir, 'regtest', 'factory')
      const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name))
      expect(files.length).toBeGreaterThan(0)
      for (const file of [folder, ...files]) expect(statSync(file).mode & 0o077, file).toBe(0)
      const stored = Buffer.concat(files.filter((file) => statSync(file).isFile()).map((file) => readFileSync(file)))
      const salts = new Set(
        [...stored.toString('latin1').matchAll(/"salt":\{"\$bytes":"([0-9a-f]{32})"\}/g)].map((m) => m[1] ?? ''),
      )
      const secrets = secretsOf(Buffer.from(secret, 'hex'), instance, net.lsp.id, [...salts, '00'.repeat(16)])
      expect(secrets.length).toBeGreaterThan(4)
      for (const one of secrets) {
        expect(stored.includes(Buffer.from(one)), 'a secret in the database').toBe(false)
        for (const text of [...said, stored.toString('latin1')]) {
          expect(text.includes(hex(one)), 'a secret in hex').toBe(false)
          expect(text.includes(Buffer.from(one).toString('base64')), 'a secret in base64').toBe(false)
        }
      }
      await node.start()
    }
  })
})

/** The node's secret, and what it gives for this factory: keys for each salt, and preimages of the LSP's. */
function secretsOf(
  nodeSecret: Uint8Array,
  instance: ReturnType<typeof instanceId>,
  lsp: string,
  salts: readonly string[],
): Uint8Array[] {
  const keys = salts.map((salt) => {
    const request: FactoryKeyRequest = {
      nodeSecret,
      instanceId: instance,
      salt: Uint8Array.from(Buffer.from(salt, 'hex')),
      peerNodeId: nodeId(lsp),
    }
    // As `deriveFactoryKey` makes it, which keeps the bytes to itself.
    deriveFactoryKey(request)
    const info = Buffer.concat([
      Buffer.from(FACTORY_SECRET_LABEL),
      Buffer.from(instance, 'hex'),
      Buffer.from(lsp, 'hex'),
      Buffer.alloc(4),
    ])
    return hkdf(sha256, nodeSecret, request.salt, info, 32)
  })
  const preimages = [0, 1, 2, 3].map((leaf) =>
    derivePoisonPreimage({ nodeSecret, instanceId: instance, leaf, state: 0 }),
  )
  return [nodeSecret, ...keys, ...preimages]
}
