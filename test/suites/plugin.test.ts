/** The executable itself in a stock lightningd: loading, refusing, checking, stopping, dying. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Network, until, type Lightningd } from '../src/network/index.js'
import { PLUGIN } from '../src/network/factoryNetwork.js'
import { describeWithLightningd } from './gate.js'

const FEATURE_271 = `80${'00'.repeat(33)}`

describeWithLightningd('cln-factory in lightningd', () => {
  let network: Network
  let node: Lightningd
  beforeAll(async () => {
    network = await Network.start()
    ;[node] = (await network.add(['node'], { plugin: PLUGIN })) as [Lightningd]
  })
  afterAll(() => network.stop())

  it('announces feature bit 271 in init and in the node announcement', async () => {
    const { our_features } = await node.call('getinfo')
    for (const features of [our_features.init, our_features.node]) {
      expect(BigInt(`0x${features}`) & BigInt(`0x${FEATURE_271}`)).not.toBe(0n)
    }
  })

  it('keeps its database to itself', () => {
    const directory = join(node.dir, 'regtest', 'factory')
    expect(statSync(directory).mode & 0o777).toBe(0o700)
    expect(statSync(join(directory, 'factory.sqlite3')).mode & 0o777).toBe(0o600)
  })

  it('answers commands sent at the same time, and shows its usage', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => node.call('factory-list')))
    expect(answers.every((a) => JSON.stringify(a) === '{"factories":[]}')).toBe(true)
    expect(JSON.stringify(await node.call('help', { command: 'factory-create' }))).toContain('clients')
  })

  it('invariant 11: refuses wrong parameters with a stable code, in `check` too, and does nothing', async () => {
    for (const method of ['factory-show', 'factory-exit', 'factory-close']) {
      await expect(node.call(method, { instance_id: 'xx' })).rejects.toMatchObject({ code: -32602 })
      await expect(node.call(method, { nonsense: 1 })).rejects.toMatchObject({ code: -32602 })
      await expect(node.call('check', { command_to_check: method, instance_id: 'xx' })).rejects.toMatchObject({
        code: -32602,
      })
    }
    const unknown = { instance_id: '00'.repeat(32) }
    await expect(node.call('factory-show', unknown)).rejects.toMatchObject({ code: 5631 })
    expect(await node.call('check', { command_to_check: 'factory-show', ...unknown })).toEqual({
      command_to_check: 'factory-show',
    })
  })

  it('stops cleanly with lightningd, and starts again with what it had', async () => {
    const pid = node.pluginPid()
    await node.restart()
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
    expect(node.log()).not.toMatch(/failed to self-terminate|BROKEN/)
    expect(await node.call('factory-list')).toEqual({ factories: [] })
  })

  it('invariant 12: takes lightningd with it when it dies and is important', async () => {
    node.killPlugin9()
    await node.exited()
    expect(node.running).toBe(false)
    await node.start()
    expect(await node.call('factory-list')).toEqual({ factories: [] })
  })

  it('invariant 11: says which option is wrong, and changes nothing', async () => {
    const [loose] = (await network.add(['loose'], {
      plugin: PLUGIN,
      important: false,
      options: { 'factory-fanout': 1 },
    })) as [Lightningd]
    await expect(loose.call('factory-list')).rejects.toMatchObject({ code: -32601 })
    await until(() => /factory-fanout/.test(loose.log()), { what: 'the reason in the log' })
  })

  it('gives `lightningd --help` its options, and ends with its input', async () => {
    const plugin = spawn(PLUGIN, { stdio: ['pipe', 'pipe', 'inherit'] })
    const answered = once(plugin.stdout, 'data')
    plugin.stdin.write('{"jsonrpc":"2.0","id":1,"method":"getmanifest","params":{}}\n\n')
    const [chunk] = (await answered) as [Buffer]
    expect(chunk.toString()).toContain('factory-db')
    plugin.stdin.end()
    expect(await once(plugin, 'exit')).toEqual([0, null])
  })
})
