/**
 * What the search for odd inputs has found (scripts/fuzz-corpus.js). Which answer each had then is noted; as layouts grow it may
 * get another one, but always a message or a `wire_` code.
 */
import { describe, expect, it } from 'vitest'
import { decodeFactoryMessage, decodePayload, FactoryError, findChannelInFactory, hexToBytes } from '../src/index.js'
import { readFileSync } from 'node:fs'

interface Found {
  readonly hex: string
  /** `ok` and the kind of message, or the error's code. */
  readonly answer: string
}

const corpus = JSON.parse(readFileSync(new URL('./corpus.json', import.meta.url), 'utf8')) as Record<string, Found[]>

const DECODERS: Record<string, (bytes: Uint8Array) => unknown> = {
  blip56: decodeFactoryMessage,
  payload: decodePayload,
  'open-channel': findChannelInFactory,
}

function answerOf(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): string {
  try {
    const value = decode(bytes) as { kind?: string } | undefined
    return `ok ${value?.kind ?? 'nothing'}`
  } catch (error) {
    expect(error).toBeInstanceOf(FactoryError)
    return (error as FactoryError).code
  }
}

describe.each(Object.entries(DECODERS))('the corpus of %s', (name, decode) => {
  it('is answered, by a message or a wire_ code', () => {
    const found = corpus[name] ?? []
    expect(found.length).toBeGreaterThan(5)
    for (const { hex } of found) expect(answerOf(decode, hexToBytes(hex)), hex).toMatch(/^(ok |wire_)/)
  })
})
