import { mkdtempSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { decodeBundle, encodeBundle, type Bundle } from '@ln-factory/core/watchtower'
import { blockHeight, instanceId } from '@ln-factory/core/units'
import { FactoryError } from '@ln-factory/tlv'
import { TowerFeed } from '../../src/watchtower/feed.js'
import { authorize, readFeeders, readTowers } from '../../src/watchtower/secret.js'
import { serve } from '../../src/watchtower/server.js'
import { SqliteTowerStore } from '../../src/watchtower/store.js'

const SECRET = 'ab'.repeat(32)
const ONE = instanceId('11'.repeat(32))
const bundle: Bundle = { instance: ONE, sequence: 4, since: blockHeight(1), until: blockHeight(2), responses: [] }

describe('bundles over the wire', () => {
  const taken: [string, string][] = []
  let refuse: FactoryError | undefined
  let server: ReturnType<typeof serve>
  let url = ''
  beforeEach(async () => {
    taken.length = 0
    refuse = undefined
    const tower = {
      accept: (feeder: string, text: string) => {
        if (refuse !== undefined) throw refuse
        taken.push([feeder, text])
        const { instance, sequence } = decodeBundle(text)
        return { instance, sequence }
      },
      status: () => ({ height: blockHeight(7), bundles: [] }),
    }
    server = serve(tower, new Map([['alice', SECRET]]), () => undefined)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterEach(() => server.close())

  const put = (body: string, authorization: string, path = '/v1/bundle'): Promise<Response> =>
    fetch(url + path, { method: 'PUT', body, headers: { authorization } })

  it('are taken from who knows the secret, under its name', async () => {
    const text = encodeBundle(bundle)
    const answer = await put(text, authorize('alice', SECRET, 'PUT', '/v1/bundle', text))
    expect([answer.status, await answer.json()]).toEqual([200, { instance: ONE, sequence: 4 }])
    expect(taken).toEqual([['alice', text]])
    const status = await fetch(`${url}/v1/status`, {
      headers: { authorization: authorize('alice', SECRET, 'GET', '/v1/status', '') },
    })
    expect(await status.json()).toEqual({ height: 7, bundles: [] })
  })

  it('invariant 11: are not read from anybody else, for another path, with another body', async () => {
    const text = encodeBundle(bundle)
    const good = authorize('alice', SECRET, 'PUT', '/v1/bundle', text)
    for (const [body, header] of [
      [text, ''],
      [text, good.replace('alice', 'bob')],
      [text, authorize('alice', 'cd'.repeat(32), 'PUT', '/v1/bundle', text)],
      [text, authorize('alice', SECRET, 'GET', '/v1/bundle', text)],
      [encodeBundle({ ...bundle, sequence: 5 }), good],
      [text, good + '00'],
    ] as const)
      expect((await put(body, header)).status).toBe(401)
    expect((await put(text, authorize('alice', SECRET, 'PUT', '/v1/x', text), '/v1/x')).status).toBe(404)
    expect(taken).toEqual([])
  })

  it('that the tower refuses come back with its reason', async () => {
    refuse = new FactoryError('policy_refused', 'too many')
    const text = encodeBundle(bundle)
    const answer = await put(text, authorize('alice', SECRET, 'PUT', '/v1/bundle', text))
    expect([answer.status, await answer.json()]).toEqual([400, { code: 'policy_refused', error: 'too many' }])
  })

  it('are brought by a node when they are new, and again until the tower has them', async () => {
    const lines: string[] = []
    let seq = 1
    let sequence = 4
    const api = {
      list: () => Promise.resolve([{ instance: ONE, phase: 'active' }]),
      bundle: () => ({ ...bundle, sequence }),
      log: ({ after = 0 }: { after?: number | undefined }) => (seq > after ? [{ seq }] : []),
    } as unknown as ConstructorParameters<typeof TowerFeed>[0]
    const feed = new TowerFeed(api, [{ url, name: 'alice', secret: SECRET }], (_level, text) => void lines.push(text))
    refuse = new FactoryError('policy_refused', 'too many')
    await feed.run()
    await feed.run()
    expect(lines).toEqual([expect.stringContaining('does not guard')])
    refuse = undefined
    await feed.run()
    await feed.run()
    expect(taken.length).toBe(1)
    seq = 2
    await feed.run()
    expect(taken.length, 'nothing new to do').toBe(1)
    seq = 3
    sequence = 5
    await feed.run()
    expect(taken.length).toBe(2)
    server.close()
  })
})

describe("a tower's files", () => {
  const directory = (): string => mkdtempSync(join(tmpdir(), 'tower-'))

  it('the store keeps bundles of each feeder apart, across a restart, for one process', () => {
    const path = join(directory(), 'sub', 'tower.sqlite3')
    const store = new SqliteTowerStore(path)
    store.put('alice', ONE, 'a')
    store.put('bob', ONE, 'b')
    store.put('alice', ONE, 'c')
    store.setSetting('x', 'y')
    expect(() => new SqliteTowerStore(path)).toThrow('another watchtower')
    store.close()
    const again = new SqliteTowerStore(path)
    expect(again.bundles()).toEqual([
      { feeder: 'alice', text: 'c' },
      { feeder: 'bob', text: 'b' },
    ])
    again.remove('alice', ONE)
    expect([again.bundles().length, again.setting('x'), again.setting('z')]).toEqual([1, 'y', undefined])
    again.close()
  })

  it('invariant 11: a file that is none is refused and stays as it is', () => {
    const path = join(directory(), 'notes.txt')
    writeFileSync(path, 'not a database, but a text that somebody wants to keep')
    expect(() => new SqliteTowerStore(path)).toThrow('no database of a watchtower')
  })

  it('invariant 11: secrets are read strictly, and only when nobody else can', () => {
    const file = join(directory(), 'secrets')
    writeFileSync(file, `# mine\nalice ${SECRET}\n\n`, { mode: 0o600 })
    expect([...readFeeders(file)]).toEqual([['alice', SECRET]])
    const open = join(directory(), 'open')
    writeFileSync(open, `http://x alice ${SECRET}\n`, { mode: 0o644 })
    expect(() => readTowers(open)).toThrow('others may read')
    for (const line of [
      `alice ${SECRET} x`,
      `Alice ${SECRET}`,
      'alice 12',
      `ftp://x alice ${SECRET}`,
      `http://x/y alice ${SECRET}`,
    ]) {
      const bad = join(directory(), 'bad')
      writeFileSync(bad, line, { mode: 0o600 })
      expect(() => readTowers(bad), line).toThrow(FactoryError)
    }
  })
})
