import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { FactoryError, type ErrorCode } from '@ln-factory/tlv'
import { describe, expect, it } from 'vitest'
import { commands } from '../../src/commands/index.js'
import { options } from '../../src/options/index.js'
import { toJsonRpcError } from '../../src/rpc/errors.js'

const read = (file: string): string =>
  readFileSync(fileURLToPath(new URL(`../../../docs/${file}`, import.meta.url)), 'utf8')
const rpc = read('rpc.md')

describe('docs/rpc.md', () => {
  it.each(commands.map((command) => [command.name, command] as const))(
    'documents %s with all its parameters',
    (name, { usage }) => {
      const section = rpc.split('\n## ').find((text) => text.startsWith(`${name}\n`))
      for (const parameter of usage.split(' ').filter((word) => word !== '')) {
        expect(section).toContain(parameter.replace(/[[\]]/g, ''))
      }
    },
  )

  const rows = [...rpc.matchAll(/^\| +(-?\d+) +\| `(\w+)` +\| .+ \|$/gm)].map(
    ([, number, name]) => [name as ErrorCode, Number(number)] as const,
  )

  it.each(rows)('gives %s its number', (name, number) => {
    expect(toJsonRpcError(new FactoryError(name, '')).code).toBe(number)
  })

  it('lists every error code once', () => {
    const source = readFileSync(fileURLToPath(new URL('../../src/rpc/errors.ts', import.meta.url)), 'utf8')
    const table = source.slice(source.indexOf('RPC_CODES'), source.indexOf('JsonRpcError {'))
    const names = [...table.matchAll(/^ {2}(\w+): /gm)].map(([, name]) => name)
    expect(rows.map(([name]) => name).sort()).toEqual(names.sort())
  })
})

describe('docs/operator.md', () => {
  it.each(options.map(({ name }) => name))('explains %s', (name) => {
    expect(read('operator.md')).toContain(`\`${name}\``)
  })
})
