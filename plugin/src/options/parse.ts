/** lightningd's option values, checked: a wrong one stops the plugin with a sentence that names it. */
import { join } from 'node:path'
import type { FeeLimits } from '@ln-factory/core/fees'
import { defaultPolicy, type Policy } from '@ln-factory/core/runner'
import { checkParams, type TreeParams } from '@ln-factory/core/tree'
import type { Blocks } from '@ln-factory/core/units'
import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'
import type { BitcoindSettings } from '../host/bitcoind-access.js'
import { readTowers, type TowerAddress } from '../watchtower/secret.js'
import { options } from './specs.js'
import { amountSat, blockCount, node, wholeNumber } from './values.js'

/** Where lightningd runs; from its `init` message. */
export interface Surroundings {
  /** The network's own directory, absolute. */
  readonly lightningDir: string
  /** `bitcoin`, `testnet`, `signet`, `regtest`, … */
  readonly network: string
}

export interface FactoryConfig {
  readonly network: string
  /** Path of the database. Its directory is for us alone (mode 0700). */
  readonly database: string
  /** What an invitation must keep to; the operator may change it at run time. */
  readonly policy: Policy
  /** What may be added to the fees of a tree's transactions. */
  readonly feeLimits: FeeLimits
  readonly bitcoind: BitcoindSettings
  readonly towers: readonly TowerAddress[]
  /** Seconds. */
  readonly stepTimeout: number
  /** Of factories that we create, when the command doesn't say otherwise. */
  readonly creation: { readonly params: TreeParams; readonly activeBlocks: Blocks }
}

const path = z.string().min(1, 'must be a path')
const word = z.string().min(1, 'must not be empty')
const nodes = z.array(node)
const ANY_HEIGHT = 499_999_999

const schema = (regtest: boolean) =>
  z.strictObject({
    'factory-db': path.optional(),
    'factory-accept-from': nodes.default([]),
    'factory-min-capacity': amountSat,
    'factory-max-capacity': amountSat,
    'factory-min-lifetime': blockCount(1, ANY_HEIGHT).default(blockCount(1, ANY_HEIGHT).parse(regtest ? 144 : 1008)),
    'factory-max-lifetime': blockCount(1, ANY_HEIGHT),
    'factory-max-early-warning': blockCount(1, 2016),
    'factory-max-clients': wholeNumber(1, 1000),
    'factory-max-feerate': wholeNumber(1000, 100_000),
    'factory-min-depth': wholeNumber(1, 144).default(regtest ? 1 : 3),
    'factory-max-bump-fee': amountSat,
    'factory-bump-budget': amountSat,
    'factory-bitcoin-rpcconnect': word.optional(),
    'factory-bitcoin-rpcport': wholeNumber(1, 65_535).optional(),
    'factory-bitcoin-rpcuser': word.optional(),
    'factory-bitcoin-rpcpassword': word.optional(),
    'factory-bitcoin-rpccookiefile': path.optional(),
    'factory-watchtowers': path.optional(),
    'factory-step-timeout': wholeNumber(1, 86_400),
    'factory-active-blocks': blockCount(144, ANY_HEIGHT),
    'factory-arity': wholeNumber(1, 4),
    'factory-fanout': wholeNumber(2, 16),
    'factory-states': wholeNumber(1, 64),
    'factory-step': blockCount(1, 1008),
    'factory-confirmation-margin': blockCount(1, 144),
    'factory-safety-margin': blockCount(0, 144),
    'factory-stock-csv': blockCount(1, 65_535),
    'factory-stock-per-client': amountSat,
    'factory-feerate': wholeNumber(1000, 100_000),
  })

/** lightningd gives a list for `multi`; one value may hold several node ids, divided by commas. */
function split(value: unknown): unknown {
  const given = Array.isArray(value) ? value : [value]
  return given.flatMap((one: unknown) => (typeof one === 'string' ? one.split(',').map((id) => id.trim()) : [one]))
}

/**
 * @param raw the `options` of lightningd's `init`; what it leaves out has its default
 * @throws FactoryError `bad_parameter`, naming the option
 */
export function parseOptions(raw: Readonly<Record<string, unknown>>, where: Surroundings): FactoryConfig {
  const given: Record<string, unknown> = {}
  for (const { name, default: fallback, multi } of options) {
    const value = raw[name] ?? fallback
    if (value !== undefined) given[name] = multi === true ? split(value) : value
  }
  const parsed = schema(where.network === 'regtest').safeParse(given)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw wrong(String(issue?.path[0]), issue?.message ?? 'invalid')
  }
  const o = parsed.data
  ordered('factory-min-capacity', o['factory-min-capacity'], 'factory-max-capacity', o['factory-max-capacity'])
  ordered('factory-min-lifetime', o['factory-min-lifetime'], 'factory-max-lifetime', o['factory-max-lifetime'])
  const params: TreeParams = {
    arity: o['factory-arity'],
    fanout: o['factory-fanout'],
    states: o['factory-states'],
    step: o['factory-step'],
    confirmationMargin: o['factory-confirmation-margin'],
    safetyMargin: o['factory-safety-margin'],
    stockCsv: o['factory-stock-csv'],
    stockPerClient: o['factory-stock-per-client'],
    feerate: o['factory-feerate'],
  }
  try {
    checkParams(params)
  } catch (error) {
    throw error instanceof FactoryError ? wrong('factory-* for new factories', error.message) : error
  }
  return {
    network: where.network,
    database: o['factory-db'] ?? join(where.lightningDir, 'factory', 'factory.sqlite3'),
    policy: {
      autoAccept: [...new Set(o['factory-accept-from'])],
      minCapacity: o['factory-min-capacity'],
      maxCapacity: o['factory-max-capacity'],
      minLifetime: o['factory-min-lifetime'],
      maxLifetime: o['factory-max-lifetime'],
      maxEarlyWarning: o['factory-max-early-warning'],
      maxClients: o['factory-max-clients'],
      maxFeerate: o['factory-max-feerate'],
      minDepth: o['factory-min-depth'],
      // Not options: an operator sets prices at run time, with factory-policy.
      sales: defaultPolicy.sales,
    },
    feeLimits: { perTransaction: o['factory-max-bump-fee'], perFactory: o['factory-bump-budget'] },
    bitcoind: {
      host: o['factory-bitcoin-rpcconnect'],
      port: o['factory-bitcoin-rpcport'],
      user: o['factory-bitcoin-rpcuser'],
      password: o['factory-bitcoin-rpcpassword'],
      cookieFile: o['factory-bitcoin-rpccookiefile'],
    },
    towers: towersIn(o['factory-watchtowers']),
    stepTimeout: o['factory-step-timeout'],
    creation: { params, activeBlocks: o['factory-active-blocks'] },
  }
}

function towersIn(file: string | undefined): readonly TowerAddress[] {
  if (file === undefined) return []
  try {
    return readTowers(file)
  } catch (error) {
    throw wrong('factory-watchtowers', error instanceof Error ? error.message : String(error))
  }
}

const wrong = (name: string, why: string): FactoryError =>
  new FactoryError('bad_parameter', `option ${name}: ${why}`, `lightningd --help shows what ${name} means`)

function ordered(lowName: string, low: bigint | number, highName: string, high: bigint | number): void {
  if (low > high) throw wrong(lowName, `${low} is more than ${highName} (${high})`)
}
