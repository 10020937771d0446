/** docs/protocol.md is normative: what it says about numbers and fields must be what the code does. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  decodePayload,
  hexToBytes,
  MAX_PAYLOAD,
  MAX_UNSPLIT,
  MAX_BODY,
  PROTOCOL_ID,
  PayloadKind,
} from '../src/index.js'
import { load, type VectorFile } from './vectors.js'

const text = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8')
const { valid } = load('payload') as VectorFile

/** `### \`name\` (kind): who`, with the text below it. */
const sections = text.split(/\n(?=### `)/).flatMap((section) => {
  const [, name, kind] = /^### `(\w+)` \((\d+)\): /.exec(section) ?? []
  return name === undefined ? [] : [{ name, kind: Number(kind), body: section.split(/\n## /)[0] ?? '' }]
})

/** Names in the first column of the section's table. */
const fieldsOf = (body: string): string[] => [...body.matchAll(/^\| `(\w+)`/gm)].map(([, field]) => field ?? '')

describe('docs/protocol.md', () => {
  it('has a section for each payload, in the order of their numbers', () => {
    expect(sections.map(({ kind }) => kind)).toEqual(Object.values(PayloadKind))
  })

  it.each(sections)('$name has its number and its fields, in order', ({ name, kind, body }) => {
    const vector = valid.find((v) => v.name === name) ?? expect.fail(`no vector ${name}`)
    expect(Number.parseInt(vector.hex.slice(0, 4), 16)).toBe(kind)
    expect(decodePayload(hexToBytes(vector.hex)).kind).toBe(name)
    const { params, ...fields } = vector.decoded as Record<string, object>
    const named = [...Object.keys(fields), ...Object.keys(params ?? {})]
    expect(named).toEqual(['kind', 'instance_id', ...fieldsOf(body)])
  })

  it('gives our protocol id and the sizes', () => {
    expect(text).toContain(PROTOCOL_ID)
    for (const size of [MAX_BODY, MAX_UNSPLIT, MAX_PAYLOAD]) expect(text).toContain(size.toLocaleString('en-US'))
  })
})
