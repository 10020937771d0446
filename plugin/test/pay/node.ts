/** A lightningd that pays: its own channels, routes found the simple way, and a fate for every part that is sent. */
import type { GatedChannel } from '@ln-factory/core/runner'
import { blockHeight, blocks, instanceId } from '@ln-factory/core/units'
import type { CommandContext } from '../../src/commands/index.js'
import { HostRpcError, HostUnansweredError } from '../../src/rpc/errors.js'
import { backups, config, FakeApi, LSP_ID } from '../commands/fakes.js'

export const PAYEE = '03' + 'dd'.repeat(32)
/** Our LSP as a client sees it. */
export const PEER = '02' + '77'.repeat(32)
export const HASH = '5a'.repeat(32)
export const PREIMAGE = '9b'.repeat(32)
export const HEIGHT = 1000
export const W = 456

export const gate = (change: Partial<GatedChannel> = {}): GatedChannel => ({
  instance: instanceId('ab'.repeat(32)),
  role: 'client',
  gate: 'open',
  earlyWarning: blocks(W),
  expiry: blockHeight(6000),
  confirmationMargin: blocks(6),
  ...change,
})

export interface FakeChannel {
  readonly scid: string
  readonly spendable: number
  readonly receivable?: number
  readonly gate?: GatedChannel | undefined
  readonly peer?: string
  readonly connected?: boolean
}

/**
 * What becomes of a part. `lost`: the answer to sendpay gets lost, and it was (`sent`) or was not sent. `in progress`, `paid`:
 * another command pays or has paid the invoice.
 */
export type Fate =
  'arrives' | 'no way' | 'refused' | 'not taken' | 'lost, sent' | 'lost, not sent' | 'in progress' | 'paid'

interface SentPart {
  readonly partid: number
  readonly amount: number
  readonly route: readonly { short_channel_id_dir: string; amount_out_msat: number; cltv_out: number }[]
  readonly total: string
  readonly fate: Fate
  polls: number
  state: 'pending' | 'failed' | 'complete'
}

const NEVER_SENT: readonly Fate[] = ['not taken', 'lost, not sent', 'in progress', 'paid']
const HOP_FEE = 7
/** Polls after which the payee gives up on an incomplete set. */
const PATIENCE = 3

export class PayingNode {
  readonly parts: SentPart[] = []
  readonly layers = new Set<string>()
  readonly disabled = new Set<string>()
  readonly calls: { method: string; params: Record<string, unknown> }[] = []
  records: object[] = []
  /** Total of what was pending or complete at any moment. */
  mostUnderWay = 0
  decoded: Record<string, unknown> = {
    type: 'bolt11 invoice',
    valid: true,
    currency: 'bcrt',
    payee: PAYEE,
    payment_hash: HASH,
    payment_secret: '11'.repeat(32),
    amount_msat: 1_000_000,
    created_at: Math.floor(Date.now() / 1000),
    expiry: 3600,
    min_final_cltv_expiry: 18,
    features: '024100',
  }
  onPoll: () => void = () => undefined

  constructor(
    readonly channels: readonly FakeChannel[],
    private readonly fateOf: (part: number) => Fate = () => 'arrives',
    /** Largest part that a route is found for. */
    private readonly largestPart = Infinity,
  ) {}

  get context(): CommandContext {
    const api = new FakeApi()
    const gates = this.channels.map((c) => [c.scid, c.gate] as const)
    api.gated = (channelId: string) => gates.find(([scid]) => scid === channelId)?.[1]
    return {
      api,
      backups,
      config,
      rpc: { call: (method, params) => this.call(method, params as Record<string, unknown>) },
    }
  }

  get underWay(): number {
    return this.parts.reduce((sum, part) => (part.state === 'failed' ? sum : sum + part.amount), 0)
  }

  private async call(method: string, params: Record<string, unknown>): Promise<unknown> {
    await Promise.resolve()
    this.calls.push({ method, params })
    switch (method) {
      case 'getinfo':
        return { blockheight: HEIGHT }
      case 'decode':
        return this.decoded
      case 'listsendpays':
        return { payments: this.records }
      case 'listpeerchannels':
        return { channels: this.channels.map((c) => this.listed(c)) }
      case 'askrene-create-layer':
        this.layers.add(params['layer'] as string)
        return {}
      case 'askrene-remove-layer':
        this.layers.delete(params['layer'] as string)
        return {}
      case 'askrene-update-channel':
        if (params['enabled'] === false) this.disabled.add(params['short_channel_id_dir'] as string)
        return {}
      case 'preapproveinvoice':
      case 'askrene-create-channel':
      case 'askrene-inform-channel':
      case 'askrene-reserve':
      case 'askrene-unreserve':
        return {}
      case 'getroutes':
        return this.getroutes(params)
      case 'sendpay':
        return this.sendpay(params)
      case 'waitsendpay':
        return this.waitsendpay(params['partid'] as number)
      default:
        throw new HostRpcError(method, -32601, 'unknown command')
    }
  }

  private listed(c: FakeChannel): object {
    return {
      peer_id: c.peer ?? PEER,
      peer_connected: c.connected ?? true,
      state: 'CHANNELD_NORMAL',
      channel_id: c.scid,
      alias: { local: c.scid, remote: `9${c.scid}` },
      direction: 0,
      spendable_msat: c.spendable,
      receivable_msat: c.receivable ?? 0,
    }
  }

  /** Fills one channel after the other; every route is LSP, then payee. */
  private getroutes(params: Record<string, unknown>): object {
    let left = parseInt(params['amount_msat'] as string)
    const final = params['final_cltv'] as number
    const routes: object[] = []
    for (const c of this.channels) {
      if (this.disabled.has(`${c.scid}/0`)) continue
      const amount = Math.min(left, c.spendable - HOP_FEE, this.largestPart)
      if (amount <= 0) continue
      left -= amount
      const direct = params['destination'] === (c.peer ?? PEER)
      const fee = direct ? 0 : HOP_FEE
      const last = {
        short_channel_id_dir: '8x8x8/1',
        node_id_out: PAYEE,
        amount_in_msat: amount,
        amount_out_msat: amount,
        cltv_out: final,
      }
      const head = {
        short_channel_id_dir: `${c.scid}/0`,
        node_id_out: c.peer ?? PEER,
        amount_in_msat: amount + fee,
        amount_out_msat: amount + fee,
        cltv_out: direct ? final : final + 34,
      }
      routes.push({ amount_msat: amount, path: direct ? [head] : [head, last] })
      if (left === 0) break
    }
    if (left > 0) throw new HostRpcError('getroutes', 205, 'no route')
    return { routes }
  }

  private sendpay(params: Record<string, unknown>): object {
    const route = params['route'] as SentPart['route']
    const partid = params['partid'] as number
    const fate = this.fateOf(this.parts.length)
    const part: SentPart = {
      partid,
      amount: route.at(-1)?.amount_out_msat ?? 0,
      route,
      total: params['amount_msat'] as string,
      fate,
      polls: 0,
      state: NEVER_SENT.includes(fate) ? 'failed' : 'pending',
    }
    this.parts.push(part)
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay)
    if (fate === 'lost, sent' || fate === 'lost, not sent') throw new HostUnansweredError('sendpay', 'connection lost')
    if (fate === 'not taken') throw this.routeFailure(route[0]?.short_channel_id_dir ?? '', 0x2002)
    if (fate === 'in progress') throw new HostRpcError('sendpay', 200, 'another group is in progress')
    return { status: fate === 'paid' ? 'complete' : 'pending' }
  }

  private waitsendpay(partid: number): object {
    this.onPoll()
    const part = this.parts.find((p) => p.partid === partid)
    if (part === undefined || part.fate === 'lost, not sent') throw new HostRpcError('waitsendpay', 208, 'never')
    if (part.state === 'complete') return { payment_preimage: PREIMAGE }
    if (part.fate === 'no way') {
      part.state = 'failed'
      throw this.routeFailure('8x8x8/1', 0x1007)
    }
    if (part.fate === 'refused') {
      part.state = 'failed'
      throw new HostRpcError('waitsendpay', 203, 'unknown invoice', { failcode: 0x400f })
    }
    const arrived = this.parts.filter((p) => p.state === 'pending' && (p.fate === 'arrives' || p.fate === 'lost, sent'))
    if (`${arrived.reduce((sum, p) => sum + p.amount, 0)}msat` === part.total) {
      for (const p of arrived) p.state = 'complete'
      return { payment_preimage: PREIMAGE }
    }
    if (++part.polls < PATIENCE) throw new HostRpcError('waitsendpay', 200, 'still pending')
    part.state = 'failed'
    throw new HostRpcError('waitsendpay', 203, 'mpp timeout', { failcode: 23 })
  }

  private routeFailure(scidDir: string, failcode: number): HostRpcError {
    const [scid, direction] = scidDir.split('/')
    return new HostRpcError('waitsendpay', 204, 'failed on the way', {
      erring_channel: scid,
      erring_direction: Number(direction),
      failcode,
    })
  }
}

export { LSP_ID as SELF }
