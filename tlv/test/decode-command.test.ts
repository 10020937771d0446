import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { load, type VectorFile } from './vectors.js'

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))
const run = (args: string[], input = ''): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(process.execPath, [path('../bin/ln-factory-decode.js'), ...args], { input, encoding: 'utf8' })

const blip56 = load('blip56') as VectorFile
const payload = load('payload') as VectorFile
const openChannel = load('open-channel') as VectorFile
const named = (file: VectorFile, name: string): string =>
  file.valid.find((v) => v.name === name)?.hex ?? expect.fail(`no vector ${name}`)

// The command reads the build; nothing happens here when it is up to date.
beforeAll(() => {
  const tsc = fileURLToPath(import.meta.resolve('typescript/bin/tsc'))
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-b', path('..')], { encoding: 'utf8' })
  expect(status, stdout).toBe(0)
})

describe('ln-factory-decode', () => {
  const stored = named(blip56, 'factory_piggyback: stored')
  const content = {
    kind: 'factory_piggyback',
    protocol: { id: expect.any(String) as string, name: 'ln-factory 1' },
    payload: { kind: 'stored', instance_id: '11'.repeat(32) },
  }

  it.each([
    ['a whole Lightning message', '8020' + stored, { format: 'message', content: { type: 32800, message: content } }],
    ['a body', stored, { format: 'body', content }],
    [
      'an open_channel stream',
      named(openChannel, 'after upfront_shutdown_script and channel_type'),
      { format: 'open_channel', content: { early_warning: 480, protocol: { name: 'ln-factory 1' } } },
    ],
    [
      'a payload',
      named(payload, 'accept'),
      { format: 'payload', content: { kind: 'accept', key_salt: '44'.repeat(16) } },
    ],
    [
      'a fragment',
      '000000000002abcd',
      { format: 'payload', content: { kind: 'fragment', index: 0, total: 2, bytes: 'abcd' } },
    ],
    [
      'what the other plugin announces',
      '80e90002fd020020' + Buffer.from('SuperScalar/v1').toString('hex').padEnd(64, '0'),
      { format: 'message', content: { type: 33001, message: { protocols: [{ name: 'SuperScalar/v1' }] } } },
    ],
    ['an unknown odd submessage', '80200003', { content: { message: { kind: 'unknown_odd', id: 3 } } }],
  ])('prints %s', (_, hex, expected) => {
    for (const { status, stdout, stderr } of [run([hex]), run([], `${hex.toUpperCase()}\n`)]) {
      expect(stderr).toBe('')
      expect(status).toBe(0)
      expect(JSON.parse(stdout)).toMatchObject(expected)
    }
  })

  it.each([
    ['not hex', 'xyz', 'wire_value'],
    ['half a byte', '802', 'wire_value'],
    ['nothing', '', 'wire_value'],
    ['an unknown even submessage', '80200010', 'wire_unknown_even'],
    ['a payload of ours that is broken', '8020' + stored.slice(0, -2), 'wire_truncated'],
    ['an odd number and nothing else', '0003', 'wire_value'],
  ])('refuses %s', (_, hex, code) => {
    const { status, stdout, stderr } = run([], hex)
    expect(status).toBe(1)
    expect(stdout).toBe('')
    expect(stderr).toMatch(new RegExp(`^ln-factory-decode: ${code}: .+\n$`))
  })

  it('explains itself', () => {
    expect(run(['--help'])).toMatchObject({ status: 0, stderr: '' })
    expect(run(['--help']).stdout).toMatch(/^usage:/)
    expect(run(['00', '00'])).toMatchObject({ status: 1, stdout: '' })
  })
})

describe('no two readings of the same bytes', () => {
  it.each(blip56.valid.filter(({ canonical }) => canonical !== false))('body $name', async ({ hex }) => {
    const { describe: describeHex } = await import('../src/index.js')
    expect(describeHex(hex).format).toBe('body')
  })

  it.each(payload.valid.filter(({ canonical }) => canonical !== false))('payload $name', async ({ hex }) => {
    const { describe: describeHex } = await import('../src/index.js')
    expect(describeHex(hex).format).toBe('payload')
  })
})
