import { instanceId } from '@ln-factory/core/units'
import { describe, expect, it } from 'vitest'
import { ClnAnchor } from '../../src/host/anchor.js'
import { FakeRpc } from './fake-rpc.js'

const ONE = instanceId('01'.repeat(32))
const TWO = instanceId('02'.repeat(32))

/** lightningd's datastore, as far as it matters. */
class Datastore extends FakeRpc {
  readonly entries = new Map<string, { string: string; generation: number }>()

  constructor() {
    super({
      listdatastore: () => ({
        datastore: [...this.entries].map(([key, { string, generation }]) => ({
          key: key.split('/'),
          generation,
          hex: Buffer.from(string).toString('hex'),
          string,
        })),
      }),
      datastore: ({ key, string, mode, generation }) => {
        const name = (key as string[]).join('/')
        const old = this.entries.get(name)
        if (mode === 'must-create' && old !== undefined) throw new Error('1202: Key already exists')
        if (mode === 'must-replace' && old?.generation !== generation) throw new Error('1201: generation is different')
        const entry = { string: string as string, generation: (old?.generation ?? -1) + 1 }
        this.entries.set(name, entry)
        return { key, ...entry }
      },
    })
  }
}

describe("lightningd's datastore as anchor", () => {
  it('gives back what was kept, by instance', async () => {
    const rpc = new Datastore()
    const anchor = new ClnAnchor(rpc)
    expect((await anchor.read()).size).toBe(0)
    await anchor.keep(ONE, 'a')
    await anchor.keep(TWO, 'b')
    await anchor.keep(ONE, 'c')
    expect([...rpc.entries.keys()]).toEqual([`ln-factory/reach/${ONE}`, `ln-factory/reach/${TWO}`])
    const again = new ClnAnchor(rpc)
    expect([...(await again.read())]).toEqual([
      [ONE, 'c'],
      [TWO, 'b'],
    ])
    await again.keep(ONE, 'd')
    expect((await anchor.read()).get(ONE)).toBe('d')
  })

  it('does not write over what somebody else wrote', async () => {
    const rpc = new Datastore()
    const [mine, other] = [new ClnAnchor(rpc), new ClnAnchor(rpc)]
    await mine.keep(ONE, 'a')
    await expect(other.keep(ONE, 'x')).rejects.toThrow(/already exists/)
    await other.read()
    await other.keep(ONE, 'b')
    await expect(mine.keep(ONE, 'c')).rejects.toThrow(/generation/)
    expect((await other.read()).get(ONE)).toBe('b')
  })

  it('knows its own write again when the answer was lost', async () => {
    const rpc = new Datastore()
    const anchor = new ClnAnchor(rpc)
    await anchor.keep(ONE, 'a')
    const write = rpc.answers['datastore']
    if (write === undefined) throw new Error('no answer')
    rpc.answers['datastore'] = (params) => {
      write(params)
      throw new Error('connection lost')
    }
    await expect(anchor.keep(ONE, 'b')).rejects.toThrow(/lost/)
    rpc.answers['datastore'] = write
    await anchor.keep(ONE, 'c')
    expect((await anchor.read()).get(ONE)).toBe('c')
  })

  it('leaves other keys alone, and does not guess at what is no text', async () => {
    const rpc = new Datastore()
    rpc.entries.set('ln-factory/reach', { string: 'x', generation: 0 })
    expect((await new ClnAnchor(rpc).read()).size).toBe(0)
    const broken = new FakeRpc({
      listdatastore: () => ({ datastore: [{ key: ['ln-factory', 'reach', ONE], generation: 0, hex: 'ff' }] }),
    })
    await expect(new ClnAnchor(broken).read()).rejects.toMatchObject({ code: 'host_failed' })
  })
})
