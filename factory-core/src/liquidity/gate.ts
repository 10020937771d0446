/** Channels that were sold, as the HTLC rules see them: each has its own W, and none takes HTLCs before it is paid for. */
import type { ReceivedHtlc } from '../host/port.js'
import type { LspBase, LspState } from '../ceremony/lsp/state.js'
import type { ClientBase } from '../ceremony/client/state.js'

export interface SoldChannel {
  /** Chain transactions above it. */
  readonly depth: number
  readonly open: boolean
  /** Participant. */
  readonly buyer: number
}

/** The sold channel `channelId` of an LSP's factory, also while it is being sold, and when that was given up. */
export function soldAs({ sales }: LspBase, channelId: string): SoldChannel | undefined {
  if (sales === undefined) return undefined
  const found = sales.signed.find((s) => s.channelId === channelId)
  if (found !== undefined) {
    const depth = sales.signed.filter((s) => s.stock === found.stock).indexOf(found) + 1
    return { depth, open: found.live, buyer: found.buyer }
  }
  const pending = sales.pending.find((p) => 'channelId' in p && p.channelId === channelId)
  if (pending === undefined && !sales.strays.includes(channelId)) return undefined
  return { depth: 0, open: false, buyer: pending?.buyer ?? 0 }
}

/** The same of a client's purchases. */
export function boughtAs({ sales }: ClientBase, channelId: string): SoldChannel | undefined {
  if (sales === undefined) return undefined
  const found = sales.chain.find((l) => l.channelId === channelId)
  if (found !== undefined) {
    const depth = sales.chain.filter((l) => l.stock === found.stock).indexOf(found) + 1
    // With the signatures on disk it is as good as any channel; the LSP keeps it shut until it is paid.
    return { depth, open: found.bought !== undefined, buyer: found.buyer }
  }
  const ours = sales.pending?.channelId === channelId || sales.strays.includes(channelId)
  return ours ? { depth: 0, open: false, buyer: 0 } : undefined
}

/** An HTLC that pays for a sale, over a channel of this factory that carries HTLCs. */
export function paysForSale(state: LspState, htlc: ReceivedHtlc): boolean {
  const { sales, clients } = state
  if (sales === undefined) return false
  const sale = [...sales.signed, ...sales.pending].find((s) => s.step !== 'offered' && s.payment.hash === htlc.hash)
  if (sale === undefined) return false
  return clients[sale.buyer - 1]?.channelId === htlc.channelId || soldAs(state, htlc.channelId)?.open === true
}
