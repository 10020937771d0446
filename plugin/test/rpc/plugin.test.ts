import { PassThrough } from 'node:stream'
import { FactoryError } from '@ln-factory/tlv'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FactoryPlugin, JsonStream } from '../../src/rpc/index.js'

type Message = Record<string, unknown>

/** A plugin between two pipes, and what it has written. */
function started(prepare: (plugin: FactoryPlugin) => void = () => undefined) {
  const plugin = new FactoryPlugin({ customMessages: [32800], featureBits: { init: '80', node: '80' } })
  prepare(plugin)
  const input = new PassThrough()
  const output = new PassThrough()
  const parser = new JsonStream()
  const written: Message[] = []
  const waiting: (() => void)[] = []
  output.on('data', (chunk: Buffer) => {
    written.push(...parser.push(chunk))
    for (const wake of waiting.splice(0)) wake()
  })
  const answers = async (count: number): Promise<Message[]> => {
    const found = () => written.filter((m) => 'id' in m)
    while (found().length < count) await new Promise<void>((wake) => waiting.push(wake))
    return found()
  }
  const request = async (
    method: string,
    params: unknown = {},
    id: string | number = `cln:${method}#1`,
  ): Promise<Message> => {
    const before = written.filter((m) => 'id' in m).length
    input.write(JSON.stringify({ jsonrpc: '2.0', id, method, params }) + '\n\n')
    return (await answers(before + 1)).at(-1) as Message
  }
  plugin.start(input, output)
  return { plugin, input, output, written, answers, request }
}

const init = {
  options: {},
  configuration: { 'lightning-dir': '/nowhere', 'rpc-file': 'rpc', network: 'regtest', startup: true },
}

describe('FactoryPlugin', () => {
  it('answers getmanifest with all that lightningd must know', async () => {
    const { request } = started((plugin) => {
      plugin.addOption({ name: 'a-flag', type: 'bool', default: false, description: 'off at first' })
      plugin.addOption({ name: 'many', type: 'string', multi: true, description: 'several' })
      plugin.addMethod('do-it', () => ({}), 'what [how]', 'Does it', 'Does it well')
      plugin.addHook('custommsg', () => ({}), { filters: [32800], after: ['other'], fallback: { result: 'continue' } })
      plugin.onNotification('connect', () => undefined)
    })
    expect(await request('getmanifest', { 'allow-deprecated-apis': false })).toEqual({
      jsonrpc: '2.0',
      id: 'cln:getmanifest#1',
      result: {
        options: [
          { name: 'a-flag', type: 'bool', default: false, description: 'off at first' },
          { name: 'many', type: 'string', multi: true, description: 'several' },
        ],
        rpcmethods: [{ name: 'do-it', usage: 'what [how]', description: 'Does it', long_description: 'Does it well' }],
        subscriptions: ['shutdown', 'connect'],
        hooks: [{ name: 'custommsg', after: ['other'], filters: [32800] }],
        custommessages: [32800],
        featurebits: { init: '80', node: '80' },
        dynamic: false,
        nonnumericids: true,
        cancheck: true,
      },
    })
  })

  it('answers every request once, with its own id, however stdin is cut and whatever takes longest', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.nat()), { minLength: 1, maxLength: 12 }),
        fc.infiniteStream(fc.nat()),
        async (ids, random) => {
          const next = (below: number): number => (random.next().value as number) % below
          const { input, answers } = started((plugin) => {
            plugin.addMethod('echo', async (params) => {
              for (let i = next(5); i > 0; i--) await Promise.resolve()
              return params
            })
          })
          const data = Buffer.from(
            ids.map((id, i) => JSON.stringify({ jsonrpc: '2.0', id, method: 'echo', params: { i, id } })).join(''),
          )
          for (let at = 0; at < data.length;) {
            const size = 1 + next(40)
            input.write(data.subarray(at, at + size))
            at += size
          }
          const got = await answers(ids.length)
          const key = (m: Message) => (m['result'] as { i: number }).i
          expect([...got].sort((a, b) => key(a) - key(b))).toEqual(
            ids.map((id, i) => ({ jsonrpc: '2.0', id, result: { i, id } })),
          )
        },
      ),
      { numRuns: 40 },
    )
  })

  it('gives errors stable codes, with ours beside them', async () => {
    const { request } = started((plugin) => {
      plugin.addMethod('bad', () => {
        throw new FactoryError('bad_parameter', 'no such thing', 'try another')
      })
      plugin.addMethod('poor', () => Promise.reject(new FactoryError('insufficient_funds', 'too little')))
      plugin.addMethod('bug', () => {
        throw new TypeError('x is undefined')
      })
      plugin.addMethod('unsendable', () => ({ amount: 1n }))
    })
    expect(await request('bad')).toMatchObject({
      error: { code: -32602, message: 'no such thing', data: { code: 'bad_parameter', hint: 'try another' } },
    })
    expect(await request('poor')).toMatchObject({ error: { code: 5634, data: { code: 'insufficient_funds' } } })
    expect(await request('bug')).toMatchObject({
      error: { code: -32603, message: 'x is undefined', data: { code: 'internal' } },
    })
    expect(await request('unsendable')).toMatchObject({ error: { code: -32603 } })
    expect(await request('unknown')).toMatchObject({ error: { code: -32601 } })
  })

  it('checks parameters without running the command, by name and by position', async () => {
    let ran = 0
    const given: unknown[] = []
    const { request } = started((plugin) => {
      plugin.addMethod(
        'do-it',
        () => ({ ran: ++ran }),
        '',
        '',
        '',
        (params) => {
          given.push(params)
          if (JSON.stringify(params).includes('wrong')) throw new FactoryError('bad_parameter', 'wrong')
        },
      )
    })
    expect(await request('check', { command_to_check: 'do-it', a: 1 })).toMatchObject({
      result: { command_to_check: 'do-it' },
    })
    expect(await request('check', ['do-it', 1, 2])).toMatchObject({ result: { command_to_check: 'do-it' } })
    expect(await request('check', ['do-it', 'wrong'])).toMatchObject({ error: { code: -32602 } })
    expect(await request('check', ['other'])).toMatchObject({ error: { code: -32601 } })
    expect(await request('check', {})).toMatchObject({ error: { code: -32600 } })
    expect(given).toEqual([{ a: 1 }, [1, 2], ['wrong']])
    expect(ran).toBe(0)
  })

  it('takes option values from init, and passes on why it must be disabled', async () => {
    const { plugin, request } = started((p) => {
      p.addOption({ name: 'depth', type: 'int', default: 0, description: 'd' })
    })
    expect(await request('init', { ...init, options: { depth: 7, unknown: 1 } })).toMatchObject({ result: {} })
    expect(plugin.options['depth']?.value).toBe(7)
    plugin.onInit = () => Promise.resolve('database is locked')
    expect(await request('init', init)).toMatchObject({ result: { disable: 'database is locked' } })
  })

  it('invariant 11: a hook that fails answers with its fallback, never with an error', async () => {
    const { request, written } = started((plugin) => {
      plugin.addHook('htlc_accepted', () => Promise.reject(new Error('broken')), {
        fallback: { result: 'fail', failure_message: '2002' },
      })
      plugin.addHook('custommsg', () => {
        throw new FactoryError('host_failed', 'broken')
      })
    })
    expect(await request('htlc_accepted')).toMatchObject({ result: { result: 'fail', failure_message: '2002' } })
    expect(await request('custommsg')).toMatchObject({ result: { result: 'continue' } })
    const logs = written.filter((m) => m['method'] === 'log')
    expect(logs.length).toBeGreaterThanOrEqual(2)
    expect(logs[0]).toMatchObject({ params: { level: 'error' } })
  })

  it('delivers notifications in order, and outlives a handler that throws', async () => {
    const seen: unknown[] = []
    const { input, request } = started((plugin) => {
      plugin.onNotification('block_added', (params) => {
        seen.push(params)
        if (seen.length === 2) throw new Error('second')
      })
      plugin.addMethod('ping', () => ({}))
    })
    for (let i = 1; i <= 3; i++) input.write(JSON.stringify({ jsonrpc: '2.0', method: 'block_added', params: { i } }))
    input.write(JSON.stringify({ jsonrpc: '2.0', method: 'never_subscribed', params: {} }))
    await request('ping')
    expect(seen).toEqual([{ i: 1 }, { i: 2 }, { i: 3 }])
  })

  it.each([
    [
      'the shutdown notification',
      (input: PassThrough) => input.write('{"jsonrpc":"2.0","method":"shutdown","params":{}}'),
    ],
    ['the end of stdin', (input: PassThrough) => input.end()],
    ['garbage', (input: PassThrough) => input.write('garbage')],
  ])('stops once at %s', async (_name, end) => {
    let stops = 0
    const { plugin, input } = started()
    const stopped = new Promise<void>((resolve) => {
      plugin.onShutdown = () => {
        stops++
        resolve()
      }
    })
    end(input)
    await stopped
    input.end()
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(stops).toBe(1)
  })

  it('writes nothing but JSON-RPC, a log line for each line of text', async () => {
    const { plugin, written, request } = started((p) => {
      p.addMethod('ping', () => ({}))
    })
    plugin.log('one\ntwo "quoted"\n', 'warn')
    await request('ping')
    expect(written.filter((m) => m['method'] === 'log').map((m) => m['params'])).toEqual([
      { level: 'warn', message: 'one' },
      { level: 'warn', message: 'two "quoted"' },
    ])
  })
})
