/**
 * Values as people write them on lightningd's command line and in RPC parameters, as zod schemas. An amount is what it is for
 * lightningd's own commands: a whole number in the parameter's own unit, or a number with `msat`, `sat` or `btc` behind it.
 */
import {
  blocks,
  instanceId,
  msat,
  nodeId,
  sat,
  type Blocks,
  type InstanceId,
  type Msat,
  type NodeId,
  type Sat,
} from '@ln-factory/core/units'
import { z } from 'zod'

/** A schema from a function that throws an Error with a sentence for people. */
const from = <T>(parse: (value: unknown) => T): z.ZodType<T> =>
  z.unknown().transform((value, context): T => {
    try {
      return parse(value)
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) })
      return z.NEVER
    }
  })

/** Longest piece of a wrong value that is told back. */
const MAX_SHOWN = 200

function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value)
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}

const DECIMALS = { msat: 0, sat: 3, btc: 11 } as const
const AMOUNT = /^(\d{1,19})(?:\.(\d{1,11}))?(msat|sat|btc)$/

function parseMsat(value: unknown, unit: 'msat' | 'sat'): Msat {
  const text =
    typeof value === 'number' || (typeof value === 'string' && /^\d+$/.test(value)) ? `${value}${unit}` : value
  const match = typeof text === 'string' ? AMOUNT.exec(text) : null
  const [, whole, fraction = '', suffix] = match ?? []
  const decimals = DECIMALS[suffix as keyof typeof DECIMALS]
  if (whole === undefined || fraction.length > decimals) {
    throw new RangeError(`${shown(value)} is no amount: write 1000${unit}, or a whole number of ${unit}`)
  }
  return msat(BigInt(whole + fraction.padEnd(decimals, '0')))
}

/** A plain number is millisatoshi. */
export const amountMsat: z.ZodType<Msat> = from((value) => parseMsat(value, 'msat'))

/** A plain number is satoshi; an amount that is no whole number of satoshi is refused. */
export const amountSat: z.ZodType<Sat> = from((value) => {
  const amount = parseMsat(value, 'sat')
  if (amount % 1000n !== 0n) throw new RangeError(`${shown(value)} is no whole number of satoshi`)
  return sat(amount / 1000n)
})

export const wholeNumber = (low: number, high: number): z.ZodType<number> =>
  from((value) => {
    const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value
    if (typeof number !== 'number' || !Number.isInteger(number) || number < low || number > high) {
      throw new RangeError(`${shown(value)} is no whole number from ${low} to ${high}`)
    }
    return number
  })

export const blockCount = (low: number, high: number): z.ZodType<Blocks> =>
  wholeNumber(low, high).transform((count) => blocks(count))

/** A share of the whole in percent, 0 to 100, with at most 4 decimals; as parts per million. */
export const percent: z.ZodType<number> = from((value) => {
  const number = typeof value === 'string' && /^\d{1,3}(\.\d{1,4})?$/.test(value) ? Number(value) : value
  if (typeof number !== 'number' || !(number >= 0 && number <= 100)) {
    throw new RangeError(`${shown(value)} is no percentage from 0 to 100`)
  }
  return Math.round(number * 10_000)
})

export const yesOrNo: z.ZodType<boolean> = from((value) => {
  if (value === true || value === 'true') return true
  if (value === false || value === 'false') return false
  throw new RangeError(`${shown(value)} is neither true nor false`)
})

/** One line for people: no control characters. */
export const line = (most: number): z.ZodType<string> =>
  from((value) => {
    if (typeof value !== 'string' || value.length > most || /\p{Cc}/u.test(value)) {
      throw new RangeError(`must be a text of at most ${most} characters, without control characters`)
    }
    return value
  })

const text = <T>(parse: (value: string) => T): z.ZodType<T> =>
  from((value) => {
    if (typeof value !== 'string') throw new RangeError(`${shown(value)} is no text`)
    return parse(value)
  })

export const node: z.ZodType<NodeId> = text(nodeId)
export const instance: z.ZodType<InstanceId> = text(instanceId)

/** First thing that is wrong, with the name of the value it is in. */
export function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0]
  if (issue === undefined) return 'invalid'
  const path = issue.path.map(String).join('.')
  return path === '' ? issue.message : `${path}: ${issue.message}`
}
