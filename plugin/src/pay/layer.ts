/** What one payment knows beyond the gossip (hints of the invoice, failures on the way), in a layer of askrene of its own. */
import type { NodeId, Msat } from '@ln-factory/core/units'
import type { Rpc } from '../commands/command.js'
import { ask } from '../commands/node-state.js'
import { HostRpcError } from '../rpc/errors.js'
import type { Invoice } from './bolt11.js'
import { directionOf } from './channels.js'
import { foundRoutes, type FoundRoute, type Hop } from './route.js'

export interface Wanted {
  readonly from: NodeId
  readonly to: NodeId
  readonly amount: Msat
  readonly maxFee: Msat
  readonly finalCltv: number
  readonly maxDelay: number
  readonly maxParts: number
}

/** A hint tells no capacity: assume far more than is needed, and learn. */
const HINT_CAPACITY = 100n

const text = (amount: bigint): string => `${amount}msat`

export class PaymentLayer {
  private constructor(
    private readonly rpc: Rpc,
    private readonly name: string,
  ) {}

  static async create(rpc: Rpc, name: string): Promise<PaymentLayer> {
    await rpc.call('askrene-create-layer', { layer: name })
    return new PaymentLayer(rpc, name)
  }

  /** Failing to remove it costs a little memory until lightningd restarts, and must not hide how the payment ended. */
  async remove(): Promise<void> {
    await this.rpc.call('askrene-remove-layer', { layer: this.name }).catch(() => undefined)
  }

  /** The invoice's hints, except through ourselves: those channels are known better. A hint that askrene refuses is not used. */
  async addHints(invoice: Invoice, us: NodeId, total: Msat): Promise<void> {
    for (const route of invoice.hints) {
      if (route.some(({ node }) => node === us)) continue
      for (const [i, hop] of route.entries()) {
        const next = route[i + 1]?.node ?? invoice.payee
        if (next === hop.node) continue
        try {
          await this.addChannel(hop, next, total)
        } catch (error) {
          if (!(error instanceof HostRpcError)) throw error
        }
      }
    }
  }

  private async addChannel(hop: Invoice['hints'][number][number], next: NodeId, total: Msat): Promise<void> {
    const capacity = text(total * HINT_CAPACITY)
    await this.rpc.call('askrene-create-channel', {
      layer: this.name,
      source: hop.node,
      destination: next,
      short_channel_id: hop.scid,
      capacity_msat: capacity,
    })
    await this.rpc.call('askrene-update-channel', {
      layer: this.name,
      short_channel_id_dir: `${hop.scid}/${directionOf(hop.node, next)}`,
      enabled: true,
      htlc_minimum_msat: text(0n),
      htlc_maximum_msat: capacity,
      fee_base_msat: text(hop.feeBase),
      fee_proportional_millionths: hop.feeRate,
      cltv_expiry_delta: hop.cltvDelta,
    })
  }

  async disable(scidDir: string): Promise<void> {
    const update = { layer: this.name, short_channel_id_dir: scidDir, enabled: false }
    await this.rpc.call('askrene-update-channel', update)
  }

  /** `amount` did not pass there. */
  async constrain(scidDir: string, amount: number): Promise<void> {
    await this.rpc.call('askrene-inform-channel', {
      layer: this.name,
      short_channel_id_dir: scidDir,
      amount_msat: `${amount}msat`,
      inform: 'constrained',
    })
  }

  /** Keep later routes of this payment from counting on what an HTLC under way uses. lightningd itself counts our own channels. */
  async reserve(path: readonly Hop[]): Promise<void> {
    await this.reservation('askrene-reserve', path)
  }

  async unreserve(path: readonly Hop[]): Promise<void> {
    await this.reservation('askrene-unreserve', path)
  }

  private async reservation(method: string, path: readonly Hop[]): Promise<void> {
    const hops = path.slice(1).map((h) => ({
      short_channel_id_dir: h.short_channel_id_dir,
      amount_msat: `${h.amount_in_msat}msat`,
      layer: this.name,
    }))
    if (hops.length > 0) await this.rpc.call(method, { path: hops })
  }

  /** Routes for the whole amount, or the reason why there are none. */
  async routes(wanted: Wanted): Promise<readonly FoundRoute[] | string> {
    try {
      const found = await ask(
        this.rpc,
        'getroutes',
        {
          source: wanted.from,
          destination: wanted.to,
          amount_msat: text(wanted.amount),
          layers: ['auto.localchans', 'auto.sourcefree', this.name],
          maxfee_msat: text(wanted.maxFee),
          final_cltv: wanted.finalCltv,
          maxdelay: wanted.maxDelay,
          maxparts: wanted.maxParts,
        },
        foundRoutes,
      )
      return found.routes
    } catch (error) {
      if (error instanceof HostRpcError) return error.rpcMessage
      throw error
    }
  }
}
