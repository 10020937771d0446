/** The LSP's side: the whole tree. */
import { FactoryError } from '@ln-factory/tlv'
import { sat, type ParticipantIndex } from '../units/index.js'
import { stockAmount, TreeAmounts } from './amounts.js'
import { checkClient, require32 } from './checks.js'
import { Distributor, type Division } from './distribute.js'
import { FactoryKeys } from './keys.js'
import { FIRST_STATE, payoutName, sharedName, stockName } from './names.js'
import { checkClientCount, earlyWarning } from './params.js'
import { positionOf } from './participants.js'
import { leafAt, routeOf } from './route.js'
import { shapeOf, sizeOf, type LeafGroup, type StockGroup, type TreeGroup } from './shape.js'
import {
  distributionSpend,
  jointScript,
  KEY_PATH,
  kickoffSpend,
  leafSpend,
  output,
  payoutSpend,
  poisonSpend,
  sharedScript,
  staticSpend,
  type Prevout,
} from './spends.js'
import { stockScripts } from './stock.js'
import type { FactoryTree, SiblingOutputs, Spend, TreeClient, TreeSpec, TxOutput } from './types.js'

/** What is not there is a defect of this module: shapes and lists are checked before. */
function at<T>(list: readonly T[], index: number): T {
  const value = list[index]
  if (value === undefined) throw new FactoryError('internal', `nothing at ${index} of ${list.length}`)
  return value
}

function checkSpec(spec: TreeSpec, leaves: number): void {
  for (const [i, client] of spec.clients.entries()) checkClient(i + 1, client)
  if (spec.poisonHashes.length !== leaves) {
    throw new FactoryError('bad_parameter', `${spec.poisonHashes.length} poison hashes for ${leaves} leaves`)
  }
  for (const [i, hash] of spec.poisonHashes.entries()) require32(`poison hash ${i}`, hash, 'bad_parameter')
}

class Builder {
  readonly spends: Spend[] = []
  readonly #amounts: TreeAmounts
  readonly #distributor: Distributor

  constructor(
    private readonly spec: TreeSpec,
    private readonly keys: FactoryKeys,
  ) {
    this.#amounts = new TreeAmounts(
      spec.params,
      spec.clients.map((c) => c.capacity),
    )
    this.#distributor = new Distributor(spec.params, spec.clients)
  }

  fundingAmount(root: TreeGroup): bigint {
    return this.#amounts.into(root)
  }

  private add(spend: Spend): Spend {
    this.spends.push(spend)
    return spend
  }

  private clientAt(position: number): TreeClient {
    return at(this.spec.clients, position)
  }

  /** Everything that spends `prevout`, the shared output above `group`, and all below. */
  below(group: TreeGroup, prevout: Prevout): void {
    if (group.kind === 'leaf') this.leaf(group, prevout)
    else {
      const outputs = group.children.map((child) => ({
        amount: this.#amounts.into(child),
        script: sharedScript(this.keys, child),
      }))
      const spend = this.add(staticSpend(group, prevout, outputs))
      for (const [i, child] of group.children.entries()) this.below(child, output(spend, i))
    }
    this.distribution(group, prevout)
  }

  private leaf(leaf: LeafGroup, prevout: Prevout): void {
    const { params } = this.spec
    const toLeaf = { amount: this.#amounts.intoLeaf(leaf), script: sharedScript(this.keys, leaf) }
    const kickoff = this.add(kickoffSpend(leaf, prevout, [toLeaf]))
    const hash = at(this.spec.poisonHashes, leaf.number)
    const stocks = leaf.stocks.map((stock) => ({ stock, scripts: stockScripts(params, this.keys, stock, hash) }))
    const outputs: TxOutput[] = [
      ...leaf.children.map(({ from }) => ({
        amount: this.clientAt(from).capacity,
        script: this.clientAt(from).channelScript,
      })),
      ...stocks.map(({ stock, scripts }) => ({ amount: stockAmount(params, stock), script: scripts.script })),
    ]
    const spend = this.add(leafSpend(params, leaf, FIRST_STATE, output(kickoff, 0), outputs))
    for (const { stock, scripts } of stocks) {
      const from = output(spend, sizeOf(leaf) + stock.number)
      this.add(poisonSpend(stock, FIRST_STATE, scripts, from, this.shares(stock)))
      const paid = this.payTo(this.#distributor.divideStock(stock, from.amount))
      this.add(distributionSpend(this.spec.expiry, stockName(stock, FIRST_STATE), stock, scripts.keyPath, from, paid))
    }
  }

  private shares(stock: StockGroup): TxOutput[] {
    return stock.children.map(({ from }) => ({
      amount: this.spec.params.stockPerClient,
      script: this.clientAt(from).payoutScript,
    }))
  }

  private distribution(group: TreeGroup, prevout: Prevout): void {
    const name = sharedName(group)
    const division = this.#distributor.divide(group, prevout.amount)
    const spend = this.add(distributionSpend(this.spec.expiry, name, group, KEY_PATH, prevout, this.payTo(division)))
    this.payouts(name, division, spend)
  }

  private payTo({ entries, amounts }: Division): TxOutput[] {
    return entries.map((entry, i) => ({
      amount: sat(at(amounts, i)),
      script: sizeOf(entry) === 1 ? this.clientAt(entry.from).payoutScript : jointScript(this.keys, entry),
    }))
  }

  private payouts(parent: string, { entries }: Division, parentSpend: Spend): void {
    for (const [i, entry] of entries.entries()) {
      if (sizeOf(entry) === 1) continue
      const name = payoutName(parent, i)
      const prevout = output(parentSpend, i)
      const division = this.#distributor.divide(entry, prevout.amount)
      const spend = this.add(payoutSpend(name, entry, prevout, this.payTo(division)))
      this.payouts(name, division, spend)
    }
  }
}

/**
 * The whole tree of a factory.
 * @param keys to share aggregated keys with later steps; must be those of the spec, LSP first
 * @throws FactoryError `bad_parameter`, `bad_amount`, `bad_key` naming what or whose; `early_warning_unpayable`
 */
export function buildTree(
  spec: TreeSpec,
  keys = new FactoryKeys([spec.lspKey, ...spec.clients.map((c) => c.key)]),
): FactoryTree {
  checkClientCount(spec.clients.length)
  earlyWarning(spec.params, spec.clients.length)
  const shape = shapeOf(spec.params, spec.clients.length)
  checkSpec(spec, shape.leaves.length)
  const builder = new Builder(spec, keys)
  const needed = builder.fundingAmount(shape.root)
  if (spec.funding.amount !== needed) {
    throw new FactoryError('bad_amount', `the funding output has ${spec.funding.amount} sat; this tree needs ${needed}`)
  }
  const fundingScript = sharedScript(keys, shape.root)
  builder.below(shape.root, { ...spec.funding, script: fundingScript })

  const byId = new Map(builder.spends.map((spend) => [spend.id, spend]))
  const find = (id: string): Spend => {
    const spend = byId.get(id)
    if (spend === undefined) throw new FactoryError('internal', `the tree lacks ${id}`)
    return spend
  }
  const position = (client: ParticipantIndex): number => {
    if (client < 1 || client > spec.clients.length)
      throw new FactoryError('bad_parameter', `there is no client ${client}`)
    return positionOf(client)
  }
  const siblingsOf = (id: string, own: readonly number[]): SiblingOutputs =>
    find(id)
      .tx.outputs.slice(0, -1)
      .filter((_, i) => !own.includes(i))

  return {
    spec,
    fundingScript,
    spends: builder.spends,
    pathIds: (client) => routeOf(shape, position(client)).map((step) => step.id),
    siblings: (client) => routeOf(shape, position(client)).map((step) => siblingsOf(step.id, step.own)),
    channel: (client) => {
      const leaf = leafAt(shape, position(client))
      return output(find(`leaf:${leaf.number}`), position(client) - leaf.from)
    },
    leafOf: (client) => leafAt(shape, position(client)).number,
  }
}
