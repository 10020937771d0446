/** What the search for odd inputs has found (scripts/fuzz-corpus.js): each is answered as it was when it was found. */
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
  it('is answered as before', () => {
    const found = corpus[name] ?? []
    expect(found.length).toBeGreaterThan(5)
    for (const { hex, answer } of found) expect(answerOf(decode, hexToBytes(hex)), hex).toBe(answer)
  })
})
