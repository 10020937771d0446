/** The demo without any Lightning daemon: LDK nodes in this process. */
import type { CreateResult, PathTxSummary } from '@ln-factory/core/runner'
import { instanceId } from '@ln-factory/core/units'
import { LdkNetwork, type LdkFactoryNode } from '../embedded/index.js'
import { satOfBtc, until } from '../network/index.js'
import { say } from './print.js'
import type { Closed, Created, Member, Stage, StageChannel, StageFactory, StageTx } from './stage.js'

/** sat per 1000 vB of a cooperative close. */
const CLOSE_FEERATE = 2000

interface ListedCoin {
  readonly txid: string
  readonly vout: number
  /** BTC. */
  readonly amount: number
}

class LdkMember implements Member {
  constructor(readonly node: LdkFactoryNode) {}

  get name(): string {
    return this.node.name
  }
  get id(): string {
    return this.node.host.nodeId
  }

  async coins(): Promise<ReadonlyMap<string, number>> {
    const listed = (await this.node.rpc.call('listunspent', [0])) as readonly ListedCoin[]
    return new Map(listed.map((coin) => [`${coin.txid}:${coin.vout}`, satOfBtc(coin.amount)]))
  }

  async channels(): Promise<readonly StageChannel[]> {
    const channels = await this.node.host.channels()
    return channels
      .filter((c) => c.state === 'normal')
      .map((c) => ({
        peer: c.peer,
        state: c.state,
        txid: c.funding.txid,
        vout: c.funding.vout,
        capacity: Number(c.capacity),
        ours: Number(c.ours) / 1000,
      }))
  }

  invoice(msat: number): Promise<string> {
    return Promise.resolve(this.node.invoice(BigInt(msat)))
  }

  async pay(bolt11: string): Promise<string> {
    await this.node.pay(bolt11)
    return ''
  }

  async show(instance: string): Promise<StageFactory> {
    const shown = await this.node.node.show(instanceId(instance))
    return {
      transactions: shown.transactions.map(stageTx),
      exit: { ...shown.exit, fee: Number(shown.exit.fee) },
      earlyWarning: shown.earlyWarning,
      expiry: shown.expiry,
    }
  }

  async exit(instance: string): Promise<readonly StageTx[]> {
    say(`${this.name}: factories.exit(${instance})`)
    const plan = await this.node.node.exit(instanceId(instance))
    return plan.transactions.map(stageTx)
  }
}

const stageTx = (tx: PathTxSummary): StageTx => ({ ...tx, fee: Number(tx.fee) })

export class LdkStage implements Stage {
  readonly lsp: LdkMember
  readonly clients: readonly LdkMember[]
  readonly outside = undefined
  /** LDK asks its peers for this many. */
  readonly commitmentDelay = 144

  private constructor(private readonly net: LdkNetwork) {
    this.lsp = new LdkMember(net.lsp)
    this.clients = net.clients.map((node) => new LdkMember(node))
  }

  static async start(clients: number, lspSats: number): Promise<LdkStage> {
    return new LdkStage(await LdkNetwork.start(clients, lspSats))
  }

  get bitcoind(): Stage['bitcoind'] {
    return this.net.bitcoind
  }

  async create(capacity: number, lifetime: number): Promise<Created> {
    const { net } = this
    say(`lsp: factories.create({ ${net.clients.length} clients, capacity ${capacity}, lifetime ${lifetime} })`)
    const made: CreateResult = await net.create(net.clients, BigInt(capacity), 0n, lifetime)
    return {
      instance: made.instance,
      txid: made.funding.txid,
      vout: made.funding.vout,
      amount: Number(made.fundingAmount),
    }
  }

  async close(instance: string): Promise<Closed> {
    say(`lsp: factories.close(${instance})`)
    const closed = await this.net.lsp.node.close(instanceId(instance), CLOSE_FEERATE)
    return { ...closed, fee: Number(closed.fee), ours: Number(closed.ours) }
  }

  inPhase(instance: string, phase: string, members: readonly Member[]): Promise<void> {
    const nodes = [this.lsp, ...this.clients].filter((member) => members.includes(member)).map(({ node }) => node)
    return this.net.inPhase(instanceId(instance), phase, nodes)
  }

  mine(blocks: number): Promise<void> {
    return this.net.mine(blocks, this.running())
  }

  settled(): Promise<void> {
    return this.net.settled()
  }

  stopLsp(): Promise<void> {
    return this.net.lsp.stop()
  }

  async startLsp(): Promise<void> {
    await this.net.lsp.start()
    for (const client of this.net.clients) await client.connect(this.net.lsp)
    const usable = ({ host }: LdkFactoryNode): number => host.node.manager.list_usable_channels().length
    const [, ...left] = this.net.clients
    await until(() => usable(this.net.lsp) === left.length && left.every((client) => usable(client) === 1), {
      what: 'the channels to be reestablished',
    })
  }

  stop(): Promise<void> {
    return this.net.stop()
  }

  private running(): LdkFactoryNode[] {
    return [this.net.lsp, ...this.net.clients].filter(({ host }) => host.node.running)
  }
}
