/** The options of lightningd that the plugin adds: name, type, meaning. Their bounds are in parse.ts. */
import { defaultFeeLimits } from '@ln-factory/core/fees'
import { defaultParams, MAX_CLIENTS, MAX_EARLY_WARNING } from '@ln-factory/core/tree'
import type { OptionSpec } from '../rpc/plugin.js'

/** 30 days of use and 3 days of moving out, at 144 blocks a day. */
export const ACTIVE_BLOCKS = 33 * 144

const int = (name: string, value: number, description: string): OptionSpec => ({
  name: `factory-${name}`,
  type: 'int',
  default: value,
  description,
})
const text = (name: string, value: string, description: string): OptionSpec => ({
  name: `factory-${name}`,
  type: 'string',
  default: value,
  description,
})

const bitcoind = (name: string, type: 'int' | 'string', description: string): OptionSpec => ({
  name: `factory-bitcoin-${name}`,
  type,
  description,
})

export const options: readonly OptionSpec[] = [
  {
    name: 'factory-db',
    type: 'string',
    description:
      'Database of the factories (default: factory/factory.sqlite3 in the lightning directory). Losing it loses funds',
  },
  {
    name: 'factory-accept-from',
    type: 'string',
    multi: true,
    description: 'Node id of an LSP whose invitations are accepted within the limits; may be given several times',
  },
  text('min-capacity', '10000sat', 'Refuse invitations to a smaller channel'),
  text('max-capacity', '1btc', 'Refuse invitations to a larger channel'),
  {
    name: 'factory-min-lifetime',
    type: 'int',
    description: 'Refuse invitations to factories that expire in fewer blocks (default: 1008; 144 on regtest)',
  },
  int('max-lifetime', 26_280, 'Refuse invitations to factories that expire in more blocks'),
  int(
    'max-early-warning',
    MAX_EARLY_WARNING,
    'Refuse invitations to factories whose exit must start more blocks ahead',
  ),
  int('max-clients', MAX_CLIENTS, 'Refuse invitations to factories of more clients'),
  int('max-feerate', 10_000, 'Refuse trees with a higher feerate built in, in satoshi per 1000 vB'),
  {
    name: 'factory-min-depth',
    type: 'int',
    description: 'Confirmations of the funding before HTLCs flow (default: 3; 1 on regtest)',
  },
  text(
    'max-bump-fee',
    `${defaultFeeLimits.perTransaction}sat`,
    'Most that is added to the fee of one transaction of a tree, so that it confirms in time',
  ),
  text(
    'bump-budget',
    `${defaultFeeLimits.perFactory}sat`,
    'Most that is added to the fees of all transactions of one factory together',
  ),
  bitcoind('rpcconnect', 'string', "Host of bitcoind's RPC, for packages (default: lightningd's own setting)"),
  bitcoind('rpcport', 'int', "Port of bitcoind's RPC (default: lightningd's own setting)"),
  bitcoind('rpcuser', 'string', "User for bitcoind's RPC (default: lightningd's own setting)"),
  bitcoind('rpcpassword', 'string', "Password for bitcoind's RPC (default: lightningd's own setting)"),
  bitcoind('rpccookiefile', 'string', "Cookie file of bitcoind's RPC (default: in bitcoind's data directory)"),
  {
    name: 'factory-watchtowers',
    type: 'string',
    description:
      'File of watchtowers that guard our factories too, a line "url name secret" each; readable by you alone',
  },
  int('step-timeout', 120, 'Seconds that each step of a ceremony may take'),
  int(
    'active-blocks',
    ACTIVE_BLOCKS,
    'New factories: blocks until the clients must leave; the early warning comes on top',
  ),
  int('arity', defaultParams.arity, 'New factories: clients that share a stock (a leaf holds its square)'),
  int('fanout', defaultParams.fanout, 'New factories: most outputs of a fan-out transaction'),
  int('states', defaultParams.states, 'New factories: states that a leaf can go through'),
  int('step', defaultParams.step, 'New factories: blocks of relative lock time between two states'),
  int(
    'confirmation-margin',
    defaultParams.confirmationMargin,
    'New factories: blocks for each level of the tree to confirm',
  ),
  int('safety-margin', defaultParams.safetyMargin, 'New factories: blocks kept on top of the early warning'),
  int(
    'stock-csv',
    defaultParams.stockCsv,
    "New factories: relative lock time of the LSP's branch of a stock, in blocks",
  ),
  text(
    'stock-per-client',
    `${defaultParams.stockPerClient}sat`,
    "New factories: each client's share of its stock; 0 for none",
  ),
  int('feerate', defaultParams.feerate, 'New factories: feerate built into the tree, in satoshi per 1000 vB'),
]
