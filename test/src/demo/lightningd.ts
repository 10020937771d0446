/** The demo on stock lightningds with the plugin, and one without. */
import assert from 'node:assert/strict'
import {
  FactoryNetwork,
  until,
  type ClosedFactory,
  type Lightningd,
  type ListedChannel,
  type ShownFactory,
} from '../network/index.js'
import { say } from './print.js'
import type { Closed, Created, Member, Party, Stage, StageChannel, StageFactory, StageTx } from './stage.js'

/** States in which a channel's balance can be spent over it. */
const LIVE = ['CHANNELD_NORMAL', 'CHANNELD_AWAITING_LOCKIN']

interface Paid {
  readonly status: string
  readonly parts: number
  readonly amount_msat: number
  readonly amount_sent_msat: number
}

let labels = 0

class LightningdParty implements Party {
  constructor(
    readonly node: Lightningd,
    private readonly payCommand = 'pay',
  ) {}

  get name(): string {
    return this.node.alias
  }
  get id(): string {
    return this.node.id
  }

  async coins(): Promise<ReadonlyMap<string, number>> {
    const { outputs } = await this.node.call('listfunds')
    const ours = outputs.filter((o) => o.status !== 'spent')
    return new Map(ours.map((o) => [`${o.txid}:${o.output}`, o.amount_msat / 1000]))
  }

  async channels(): Promise<readonly StageChannel[]> {
    const { channels } = await this.node.call('listpeerchannels')
    return channels.filter((c) => LIVE.includes(c.state)).map(stageChannel)
  }

  async invoice(msat: number): Promise<string> {
    const label = `demo-${++labels}`
    return (await this.node.call('invoice', { amount_msat: msat, label, description: label })).bolt11
  }

  async pay(bolt11: string): Promise<string> {
    const paid = (await this.node.call(this.payCommand, { bolt11 })) as unknown as Paid
    assert.equal(paid.status, 'complete')
    const parts = paid.parts === 1 ? '' : ` in ${paid.parts} parts`
    return `${parts}, fee ${(paid.amount_sent_msat - paid.amount_msat) / 1000} sat`
  }
}

/** Its invoices and payments know the factory. */
class LightningdMember extends LightningdParty implements Member {
  constructor(
    private readonly net: FactoryNetwork,
    node: Lightningd,
  ) {
    super(node, 'factory-pay')
  }

  override invoice(msat: number): Promise<string> {
    return this.net.invoice(this.node, msat)
  }

  async show(instance: string): Promise<StageFactory> {
    const shown = await this.net.show(this.node, instance)
    const { exit, early_warning: earlyWarning, expiry, transactions } = shown
    return {
      transactions: transactions.map(stageTx),
      exit: { transactions: exit.transactions, vsize: exit.vsize, fee: exit.fee_sat, blocks: exit.blocks },
      earlyWarning,
      expiry,
    }
  }

  async exit(instance: string): Promise<readonly StageTx[]> {
    say(`${this.name}$ lightning-cli factory-exit ${instance}`)
    const plan = (await this.node.call('factory-exit', [instance])) as unknown as Pick<ShownFactory, 'transactions'>
    return plan.transactions.map(stageTx)
  }
}

const stageTx = ({ fee_sat: fee, ...tx }: ShownFactory['transactions'][number]): StageTx => ({ ...tx, fee })

const stageChannel = (c: ListedChannel): StageChannel => ({
  peer: c.peer_id,
  state: c.state,
  txid: c.funding_txid,
  vout: c.funding_outnum,
  capacity: c.total_msat / 1000,
  ours: c.to_us_msat / 1000,
})

export class LightningdStage implements Stage {
  readonly lsp: LightningdMember
  readonly clients: readonly LightningdMember[]
  /** lightningd's default on regtest. */
  readonly commitmentDelay = 5

  private constructor(
    private readonly net: FactoryNetwork,
    readonly outside: LightningdParty,
  ) {
    this.lsp = new LightningdMember(net, net.lsp)
    this.clients = net.clients.map((node) => new LightningdMember(net, node))
  }

  static async start(clients: number, lspSats: number): Promise<LightningdStage> {
    const net = await FactoryNetwork.start(clients, { lspSats })
    try {
      const [outside] = (await net.network.add(['outside'])) as [Lightningd]
      await net.network.fund(outside, 10_000_000)
      const { scid } = await net.network.openChannel(outside, net.lsp, 8_000_000)
      say(`outside has no plugin, and an ordinary channel with the LSP: ${scid}`)
      return new LightningdStage(net, new LightningdParty(outside))
    } catch (error) {
      await net.stop()
      throw error
    }
  }

  get bitcoind(): Stage['bitcoind'] {
    return this.net.network.bitcoind
  }

  async create(capacity: number, lifetime: number): Promise<Created> {
    const { net } = this
    say(`lsp$ lightning-cli factory-create '[${net.clients.length} node ids]' ${capacity} lifetime=${lifetime}`)
    const made = await net.create(net.clients, { capacity, lifetime })
    return {
      instance: made.instance_id,
      txid: made.funding_txid,
      vout: made.funding_outnum,
      amount: made.funding_sat,
    }
  }

  async close(instance: string): Promise<Closed> {
    say(`lsp$ lightning-cli factory-close ${instance}`)
    const closed = (await this.net.lsp.call('factory-close', { instance_id: instance })) as unknown as ClosedFactory
    return { txid: closed.txid, fee: closed.fee_sat, vsize: closed.vsize, ours: closed.to_us_sat }
  }

  inPhase(instance: string, phase: string, members: readonly Member[]): Promise<void> {
    const nodes = [this.lsp, ...this.clients].filter((member) => members.includes(member)).map(({ node }) => node)
    return this.net.inPhase(instance, phase, nodes)
  }

  mine(blocks: number): Promise<void> {
    return this.net.network.mine(blocks)
  }

  settled(): Promise<void> {
    return this.net.network.settled()
  }

  stopLsp(): Promise<void> {
    return this.net.lsp.stop()
  }

  async startLsp(): Promise<void> {
    await this.net.lsp.start()
    await this.net.connectAll()
    for (const { node } of [...this.clients.slice(1), this.outside])
      await until(
        async () => {
          const { channels } = await node.call('listpeerchannels')
          return channels.some((c) => c.peer_connected && c.state === 'CHANNELD_NORMAL')
        },
        { what: `the channel of ${node.alias} to be reestablished` },
      )
  }

  stop(): Promise<void> {
    return this.net.stop()
  }
}
