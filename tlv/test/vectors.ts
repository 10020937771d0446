/** The published vectors, and how a test says which error it expects. */
import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import { FactoryError, type Readable } from '../src/index.js'

export interface Valid {
  readonly name: string
  readonly hex: string
  readonly decoded: Readable
  /** False: decodes, but a sender would have written it otherwise (ignored records). */
  readonly canonical?: boolean
}

export interface Invalid {
  readonly name: string
  readonly hex: string
  readonly error: string
}

export interface VectorFile {
  readonly valid: readonly Valid[]
  readonly invalid: readonly Invalid[]
}

export interface FragmentVectorFile {
  readonly valid: readonly { name: string; max: number; payload: string; fragments: string[] }[]
  readonly invalid: readonly { name: string; max: number; fragments: string[]; error: string }[]
}

export const load = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'))

/** Runs what must throw a FactoryError and gives its code. */
export function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof FactoryError) return error.code
    throw error
  }
  return expect.fail('nothing was thrown')
}
