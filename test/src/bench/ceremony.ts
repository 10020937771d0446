/**
 * A whole ceremony in one process, from the invitation to the broadcast of the funding: the real machines, the real messages, the
 * real stores in memory; only the Lightning hosts are played, and most clients where there are very many. Messages are
 * delivered one after the other.
 */
import { randomBytes } from 'node:crypto'
import { decodePayload, decodeFactoryMessage, type Payload } from '@ln-factory/tlv'
import type { HostChannel } from '@ln-factory/core/host'
import type { Effect, HostCall, HostDone } from '@ln-factory/core/machine'
import { buildTree, decodeTx, defaultParams, txidBytes } from '@ln-factory/core/tree'
import { blocks, msat, participantIndex, sat, txid, type NodeId } from '@ln-factory/core/units'
import { max, median, Meter } from './meter.js'
import { ClientParty, LspParty, type ClientPhase, type LspPhase } from './party.js'
import { Puppet } from './puppet.js'

export const CAPACITY = sat(1_000_000)

/** The Lightning message type in front of each body. */
const TYPE_LENGTH = 2

export type MessageKind = Payload['kind']

/** Bytes of whole Lightning messages by kind, before the transport's encryption; per client. */
export type Traffic = ReadonlyMap<MessageKind, number>

export interface CeremonyResult {
  readonly clients: number
  /** Milliseconds of CPU. */
  readonly lsp: { readonly total: number; of(phase: LspPhase): number; readonly treeAlone: number }
  /** The others are puppets: their cost is not measured. */
  readonly realClients: number
  readonly client: {
    readonly median: number
    readonly max: number
    /** Median. */
    of(phase: ClientPhase): number
  }
  readonly sent: { readonly lsp: Traffic; readonly client: Traffic }
  /** Both ways, the client with the most. */
  readonly bytes: number
  /** Of these, the list of all keys: the part that grows with the number of clients. */
  readonly keyBytes: number
  readonly spends: number
  /** Of one client's path, the longest. */
  readonly pathSpends: number
  readonly fundingAmount: bigint
}

/** Up to so many clients all are real; beyond, every so manieth is, and the others are puppets. */
const ALL_REAL = 127
const SAMPLE = 32
const isReal = (position: number, count: number): boolean => count <= ALL_REAL || position % SAMPLE === 0

type Client = ClientParty | Puppet

interface Delivery {
  readonly from: NodeId
  readonly to: NodeId
  readonly body: Uint8Array
}

class Network {
  readonly lsp = new LspParty('the LSP')
  readonly clients: readonly Client[]
  readonly #byId: ReadonlyMap<NodeId, Client>
  readonly #channels = new Map<NodeId, HostChannel & { readonly script: Uint8Array }>()
  #queue: (() => void)[] = []
  readonly traffic = new Map<NodeId, { lsp: Map<MessageKind, number>; client: Map<MessageKind, number> }>()

  constructor(count: number) {
    this.clients = Array.from({ length: count }, (_, i) =>
      isReal(i, count) ? new ClientParty(`client ${i}`, [this.lsp.id]) : new Puppet(`client ${i}`, i, this.lsp),
    )
    this.#byId = new Map(this.clients.map((c) => [c.id, c]))
    for (const { id } of this.clients) this.traffic.set(id, { lsp: new Map(), client: new Map() })
  }

  run(): void {
    const effects = this.lsp.create({
      clients: this.clients.map(({ id }) => ({ id, capacity: CAPACITY, push: msat(0) })),
      lifetime: blocks(4320),
      params: defaultParams,
      stepTimeout: 600,
    })
    this.#act(this.lsp, effects)
    while (this.#queue.length > 0) {
      const due = this.#queue
      this.#queue = []
      for (const task of due) task()
    }
    const { state } = this.lsp
    if (state.stage !== 'confirming')
      throw new Error(`the ceremony ended ${state.stage}${state.stage === 'aborted' ? `: ${state.reason}` : ''}`)
    const lost = this.clients.find((c) => !c.ready)
    if (lost !== undefined) throw new Error(`${lost.name} is not ready`)
  }

  #client(id: NodeId): Client {
    const client = this.#byId.get(id)
    if (client === undefined) throw new Error(`no client ${id}`)
    return client
  }

  #act(party: LspParty | Client, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.do === 'send')
        for (const body of party.encode(effect.payload)) this.#post({ from: party.id, to: effect.peer, body })
      if (effect.do === 'call') {
        const { call } = effect
        this.#queue.push(() => {
          const done = party instanceof LspParty ? this.#serveLsp(call) : this.#serveClient(party, call)
          this.#act(party, party.handle({ type: 'done', done }))
        })
      }
    }
  }

  #post({ from, to, body }: Delivery): void {
    this.#count(from, to, body)
    const receiver = to === this.lsp.id ? this.lsp : this.#client(to)
    this.#queue.push(() => {
      this.#act(receiver, receiver.receive(from, body))
    })
  }

  #count(from: NodeId, to: NodeId, body: Uint8Array): void {
    const message = decodeFactoryMessage(body)
    if (message.kind !== 'factory_piggyback') return
    const { kind } = decodePayload(message.payload)
    if (kind === 'unknown_odd') return
    const down = from === this.lsp.id
    const counts = this.traffic.get(down ? to : from)?.[down ? 'lsp' : 'client']
    counts?.set(kind, (counts.get(kind) ?? 0) + TYPE_LENGTH + body.length)
  }

  /** The LSP's Lightning node. */
  #serveLsp(call: HostCall): HostDone {
    switch (call.call) {
      case 'fundingPrepare':
        return {
          call: 'fundingPrepare',
          funding: { psbt: '', txid: txid(randomBytes(32).toString('hex')), vout: 0 },
        }
      case 'openStart': {
        const { peer, capacity, push } = call
        const granted = this.#client(peer).grant({ peer: this.lsp.id, capacity, push, channelType: undefined })
        if (!granted) throw new Error(`${peer} did not grant zero-conf`)
        return { call: 'openStart', peer, script: Uint8Array.of(0, 32, ...randomBytes(32)) }
      }
      case 'openComplete': {
        const { peer, leaf, vout, capacity, script } = call.open
        const { txid: id } = decodeTx(leaf)
        const bytes = txidBytes(id)
        bytes[31] = (bytes[31] ?? 0) ^ vout
        const channelId = Buffer.from(bytes).toString('hex')
        this.#channels.set(peer, {
          peer: this.lsp.id,
          channelId,
          funding: { txid: id, vout },
          capacity,
          ours: msat(0),
          spendable: msat(0),
          htlcs: [],
          state: 'normal',
          onChain: false,
          alias: undefined,
          script,
        })
        const client = this.#client(peer)
        this.#queue.push(() => {
          this.#act(client, client.handle({ type: 'channelsChanged' }))
        })
        return { call: 'openComplete', peer, channelId }
      }
      case 'launch':
        return { call: 'launch' }
      default:
        throw new Error(`the LSP is not expected to call ${call.call}`)
    }
  }

  #serveClient(client: Client, call: HostCall): HostDone {
    const channel = this.#channels.get(client.id)
    switch (call.call) {
      case 'newScript':
        return { call: 'newScript', script: Uint8Array.of(0x51, 32, ...randomBytes(32)) }
      case 'channels':
        return { call: 'channels', channels: channel === undefined ? [] : [channel] }
      case 'checkFunding':
        if (channel === undefined) throw new Error(`${client.name} has no channel`)
        return {
          call: 'checkFunding',
          channelId: channel.channelId,
          check: { result: 'ours', script: channel.script },
        }
      default:
        throw new Error(`a client is not expected to call ${call.call}`)
    }
  }
}

const totalOf = (traffic: Traffic): number => [...traffic.values()].reduce((sum, bytes) => sum + bytes, 0)

export function runCeremony(clients: number): CeremonyResult {
  const network = new Network(clients)
  network.run()
  const { tree } = network.lsp.live
  if (tree === undefined) throw new Error('the LSP has no tree')
  const alone = new Meter<'tree'>()
  alone.run('tree', () => buildTree(tree.spec))

  const busiest = [...network.traffic.values()].reduce((a, b) => (bothWays(b) > bothWays(a) ? b : a))
  const real = network.clients.filter((client) => client instanceof ClientParty)
  const totals = real.map((c) => c.meter.total)
  const { meter } = network.lsp
  const participants = clients + 1
  return {
    clients,
    lsp: { total: meter.total, of: (phase) => meter.of(phase), treeAlone: alone.total },
    realClients: real.length,
    client: {
      median: median(totals),
      max: max(totals),
      of: (phase) => median(real.map((c) => c.meter.of(phase))),
    },
    sent: busiest,
    bytes: bothWays(busiest),
    keyBytes: 33 * participants,
    spends: tree.spends.length,
    pathSpends: max(tree.spec.clients.map((_, i) => tree.pathIds(participantIndex(i + 1)).length)),
    fundingAmount: tree.spec.funding.amount,
  }
}

const bothWays = ({ lsp, client }: { lsp: Traffic; client: Traffic }): number => totalOf(lsp) + totalOf(client)
