import { describe, expect, it } from 'vitest'
import { isDue } from '../../src/htlc/index.js'
import { blockHeight, blocks } from '../../src/units/index.js'

const W = blocks(100)
const at = (height: number, direction: 'in' | 'out', answered: boolean): boolean =>
  isDue({ direction, expiry: 1000, answered }, blockHeight(height), W)

describe('HTLC rule 3: the exit starts W blocks early', () => {
  it('for an offered HTLC, at expiry - W', () => {
    expect(at(899, 'out', false)).toBe(false)
    expect(at(900, 'out', false)).toBe(true)
  })

  it('for a fulfilled HTLC that the peer does not settle, at expiry - W - 18', () => {
    expect(at(881, 'in', true)).toBe(false)
    expect(at(882, 'in', true)).toBe(true)
  })

  it('never for an incoming HTLC that we have no answer to', () => {
    expect(at(2000, 'in', false)).toBe(false)
  })
})
