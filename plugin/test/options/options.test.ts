import { defaultParams } from '@ln-factory/core/tree'
import { FactoryError } from '@ln-factory/tlv'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { options, parseOptions } from '../../src/options/index.js'
import { amountMsat, amountSat, line, percent, wholeNumber, yesOrNo } from '../../src/options/values.js'

const where = { lightningDir: '/home/node/.lightning/bitcoin', network: 'bitcoin' }
const A = '02' + 'aa'.repeat(32)
const B = '03' + 'bb'.repeat(32)

const failure = (raw: Record<string, unknown>): FactoryError => {
  try {
    parseOptions(raw, where)
  } catch (error) {
    if (error instanceof FactoryError) return error
    throw error
  }
  throw new Error('accepted')
}

describe('options', () => {
  it('have sound defaults', () => {
    const config = parseOptions({}, where)
    expect(config.database).toBe('/home/node/.lightning/bitcoin/factory/factory.sqlite3')
    expect(config.creation).toEqual({ params: defaultParams, activeBlocks: 4752 })
    expect(config.policy).toMatchObject({ autoAccept: [], minDepth: 3, minLifetime: 1008, maxCapacity: 100_000_000n })
  })

  it('accept their own defaults when lightningd repeats them', () => {
    const raw = Object.fromEntries(options.flatMap((o) => (o.default === undefined ? [] : [[o.name, o.default]])))
    expect(parseOptions(raw, where)).toEqual(parseOptions({}, where))
  })

  it('ask less of a regtest chain', () => {
    const { policy } = parseOptions({}, { ...where, network: 'regtest' })
    expect(policy).toMatchObject({ minDepth: 1, minLifetime: 144 })
  })

  it('take several node ids, once each', () => {
    const { policy } = parseOptions({ 'factory-accept-from': [`${A}, ${B}`, A] }, where)
    expect(policy.autoAccept).toEqual([A, B])
    expect(parseOptions({ 'factory-accept-from': A }, where).policy.autoAccept).toEqual([A])
  })

  it.each<[string, unknown]>([
    ['factory-db', ''],
    ['factory-accept-from', 'alice'],
    ['factory-accept-from', [A.toUpperCase()]],
    ['factory-min-capacity', '1500msat'],
    ['factory-min-capacity', '-1'],
    ['factory-max-capacity', '22000000btc'],
    ['factory-min-lifetime', 0],
    ['factory-min-lifetime', 26_281],
    ['factory-min-capacity', '2btc'],
    ['factory-max-lifetime', 1.5],
    ['factory-max-early-warning', 2017],
    ['factory-max-clients', 0],
    ['factory-max-feerate', 'fast'],
    ['factory-min-depth', 0],
    ['factory-step-timeout', 'soon'],
    ['factory-active-blocks', 143],
    ['factory-arity', 5],
    ['factory-fanout', 1],
    ['factory-states', 65],
    ['factory-step', 1009],
    ['factory-confirmation-margin', 0],
    ['factory-safety-margin', 145],
    ['factory-stock-csv', 65_536],
    ['factory-stock-per-client', true],
    ['factory-feerate', 999],
  ])('name %s when its value is %j', (name, value) => {
    const error = failure({ [name]: value })
    expect(error.code).toBe('bad_parameter')
    expect(error.message).toContain(`option ${name}: `)
  })

  it('refuse tree parameters that contradict each other', () => {
    expect(failure({ 'factory-stock-csv': 10 }).message).toMatch(/stockCsv/)
    expect(failure({ 'factory-stock-per-client': '10sat' }).message).toMatch(/stockPerClient/)
  })

  it('describe every option and have a test value for each', () => {
    for (const { name, description } of options) {
      expect(name).toMatch(/^factory-[a-z-]+$/)
      expect(description.length).toBeGreaterThan(10)
    }
    expect(new Set(options.map(({ name }) => name)).size).toBe(options.length)
  })
})

describe('values', () => {
  it.each<[unknown, bigint]>([
    [100_000, 100_000n],
    ['100000', 100_000n],
    ['100000sat', 100_000n],
    ['1000msat', 1n],
    ['0.001btc', 100_000n],
    ['1.5btc', 150_000_000n],
    ['12.000sat', 12n],
    [0, 0n],
  ])('%j is an amount in satoshi', (given, expected) => {
    expect(amountSat.parse(given)).toBe(expected)
  })

  it.each([
    -1,
    1.5,
    1e17,
    NaN,
    Infinity,
    '1.5',
    '1 sat',
    '1SAT',
    '0x10',
    '',
    '1.0001sat',
    '1msat',
    true,
    null,
    [],
    {},
    '21000001btc',
  ])('%j is none', (given) => {
    expect(amountSat.safeParse(given).success).toBe(false)
  })

  it('a plain number is what the parameter says', () => {
    expect(amountMsat.parse(7)).toBe(7n)
    expect(amountMsat.parse('7sat')).toBe(7000n)
    expect(amountMsat.parse('1.001sat')).toBe(1001n)
    expect(amountMsat.safeParse('1.5msat').success).toBe(false)
  })

  it('every whole number of msat survives all ways of writing it', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2_100_000_000_000_000_000n }), (value) => {
        const padded = value.toString().padStart(12, '0')
        expect(amountMsat.parse(`${value}msat`)).toBe(value)
        expect(amountMsat.parse(`${padded.slice(0, -3)}.${padded.slice(-3)}sat`)).toBe(value)
        expect(amountMsat.parse(`${padded.slice(0, -11)}.${padded.slice(-11)}btc`)).toBe(value)
      }),
    )
  })

  it('nothing throws anything but a zod error', () => {
    const schemas = [amountSat, amountMsat, percent, yesOrNo, wholeNumber(0, 10), line(10)]
    fc.assert(
      fc.property(fc.anything(), (value) => {
        for (const schema of schemas) schema.safeParse(value)
      }),
    )
  })

  it('percentages are parts per million', () => {
    expect(percent.parse(0.5)).toBe(5000)
    expect(percent.parse('0.0001')).toBe(1)
    expect(percent.safeParse(101).success).toBe(false)
    expect(percent.safeParse('1e1').success).toBe(false)
  })

  it('lines have no control characters', () => {
    expect(line(5).safeParse('a\nb').success).toBe(false)
    expect(line(5).safeParse('abcdef').success).toBe(false)
    expect(line(5).parse('zwölf')).toBe('zwölf')
  })
})
