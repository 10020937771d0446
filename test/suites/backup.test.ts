/** Backups on real nodes: made while the node runs, put back, and compared with what lightningd keeps of each factory. */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { FactoryNetwork, type Lightningd } from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'

interface Held {
  readonly held: readonly { readonly instance_id: string; readonly hold: string; readonly missing: unknown }[]
}

describeWithLightningd('invariant 8: backups on real nodes', () => {
  let net: FactoryNetwork
  let client: Lightningd
  let database: string
  beforeAll(async () => {
    net = await FactoryNetwork.start(2)
    client = net.clients[0] as Lightningd
    const info = (await client.call('getinfo')) as unknown as { readonly 'lightning-dir': string }
    database = join(info['lightning-dir'], 'factory', 'factory.sqlite3')
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  const held = async (): Promise<Held['held']> => ((await client.call('factory-restore')) as unknown as Held).held
  const lose = (): void => {
    const directory = dirname(database)
    for (const name of readdirSync(directory)) if (name.startsWith('factory.sqlite3')) rmSync(join(directory, name))
  }

  it('comes back complete, or is held back where it is not', async () => {
    const first = await net.create(net.clients, { capacity: 200_000 })
    const file = join(dirname(database), 'backup-1')
    expect(await client.call('factory-backup', { file })).toMatchObject({ file, factories: 1 })
    await expect(client.call('factory-backup', { file })).rejects.toThrow(/exist/)
    await expect(net.lsp.call('factory-restore', { file })).rejects.toThrow(/is of node/)

    // The disk dies. lightningd knows what was on it.
    await client.stop()
    lose()
    await client.start()
    expect(await held()).toMatchObject([{ instance_id: first.instance_id, hold: 'lost' }])
    expect(await client.call('factory-restore', { file })).toMatchObject({ factories: 1 })
    await client.stop()
    await client.start()
    expect(await held()).toEqual([])
    await net.connectAll()
    await net.inPhase(first.instance_id, 'active', [client])
    expect(existsSync(`${database}.before-restore-1`)).toBe(true)

    // What came after the backup is not in it: a close that was signed, most of all.
    await net.lsp.call('factory-close', [first.instance_id, '1000perkb'])
    await expect(client.call('factory-restore', { file })).rejects.toThrow(/knows more/)
    await client.stop()
    lose()
    await client.start()
    await client.call('factory-restore', { file })
    await client.stop()
    await client.start()
    const [factory] = await held()
    expect(factory).toMatchObject({ instance_id: first.instance_id, hold: 'shut', missing: ['cooperative'] })
    expect((await net.factory(client, first.instance_id))?.notice).toMatch(/signatures of cooperative are missing/)
  })
})
