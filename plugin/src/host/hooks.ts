import { FactoryError } from '@ln-factory/tlv'
import { hex } from '@scure/base'
import { blockHeight, floorSat, msat, nodeId } from '@ln-factory/core/units'
import type { HostHandlers, OpenDecision, OpenRequest } from '@ln-factory/core/host'
import type { z } from 'zod'
import type { FactoryPlugin } from '../rpc/index.js'
import { FACTORY_MESSAGE, type ClnHost } from './cln.js'
import { blockAdded, connected, customMessage, disconnected, htlcAccepted, openChannel, parse } from './replies.js'

/** What the hooks need; there once the node is up. */
export interface Wiring {
  readonly host: ClnHost
  readonly handlers: HostHandlers
}

/** Odd type on which another factory protocol announces itself. It is named to people and never spoken. */
export const OTHER_PROTOCOL_MESSAGE = 33001
/** BOLT 4 temporary_node_failure. */
const TEMPORARY_NODE_FAILURE = '2002'
/** Channel types that a factory channel may have: anchors and static keys always, alias and zero-conf if the peer says so. */
const REQUIRED_BITS = [12, 22]
const ALLOWED_BITS = [12, 22, 46, 50]

/** channel_flags bit 0 of open_channel (BOLT 2). */
const ANNOUNCE = 1

type Open = z.infer<typeof openChannel>['openchannel']

const CONTINUE = { result: 'continue' }
const reject = (reason: string): object => ({ result: 'reject', error_message: reason })

/**
 * lightningd's hooks and notifications, translated for the core. They are registered before lightningd starts and may come
 * before the node is up (HTLCs are replayed at once): until `ready` they wait, and when it fails nothing is let in.
 */
export function wireHooks(plugin: FactoryPlugin, ready: Promise<Wiring>): void {
  const report =
    (what: string) =>
    (error: unknown): void => {
      plugin.log(`${what}: ${error instanceof Error ? error.message : String(error)}`, 'error')
    }
  /** Handlers are called in the order of the events: continuations of one promise run in the order they were added. */
  const later = (what: string, act: (wiring: Wiring) => Promise<void> | void): void => {
    ready.then(act).catch(report(what))
  }

  plugin.addHook(
    'custommsg',
    (params) => {
      const { peer_id, payload } = parse(customMessage, 'custommsg', params)
      const message = hex.decode(payload)
      const type = ((message[0] ?? 0) << 8) | (message[1] ?? 0)
      const body = message.subarray(2)
      const peer = nodeId(peer_id)
      if (type === FACTORY_MESSAGE) later(`message of ${peer}`, ({ handlers }) => handlers.message(peer, body))
      else if (type === OTHER_PROTOCOL_MESSAGE)
        later(`message of ${peer}`, ({ handlers }) => handlers.otherProtocol?.(peer, body))
      // At once, whatever becomes of it: lightningd holds nothing back for the answer, and later plugins wait for it.
      return CONTINUE
    },
    { filters: [FACTORY_MESSAGE, OTHER_PROTOCOL_MESSAGE], fallback: CONTINUE },
  )

  plugin.addHook(
    'openchannel',
    async (params) => {
      const { openchannel: open } = parse(openChannel, 'openchannel', params)
      const { handlers } = await ready
      const channelType = open.channel_type?.bits
      const decision = handlers.openRequest({
        peer: nodeId(open.id),
        capacity: floorSat(msat(open.funding_msat)),
        push: msat(open.push_msat),
        channelType,
        binding: bindingOf(open),
      })
      return answerOpen(decision, flawOf(open))
    },
    { fallback: reject('channel factory plugin failed') },
  )

  plugin.addHook(
    'htlc_accepted',
    async (params) => {
      const { onion, htlc, forward_to } = parse(htlcAccepted, 'htlc_accepted', params)
      const { host, handlers } = await ready
      const inChannelId = await host.index.byShortId(htlc.short_channel_id)
      if (inChannelId === undefined)
        throw new FactoryError('host_failed', `HTLC on unknown channel ${htlc.short_channel_id}`)
      const forwards = onion.short_channel_id !== undefined
      const held = forwards
        ? undefined
        : handlers.received?.({
            id: `${inChannelId}/${htlc.id}`,
            channelId: inChannelId,
            hash: htlc.payment_hash,
            amount: msat(htlc.amount_msat),
            expiry: htlc.cltv_expiry,
          })
      if (held !== undefined) {
        // lightningd keeps an HTLC for as long as its hook is not answered, and asks again after a restart.
        const decision = await held
        if (decision.kind === 'settle') return { result: 'resolve', payment_key: hex.encode(decision.preimage) }
        plugin.log(`HTLC on ${htlc.short_channel_id} refused: ${decision.reason}`, 'info')
        return { result: 'fail', failure_message: decision.failure }
      }
      const decision = handlers.htlc({
        inChannelId,
        outChannelId: forward_to,
        amountIn: msat(htlc.amount_msat),
        amountOut: forwards && onion.forward_msat !== undefined ? msat(onion.forward_msat) : undefined,
        cltvIn: htlc.cltv_expiry,
        cltvOut: forwards ? onion.outgoing_cltv_value : undefined,
        height: blockHeight(htlc.cltv_expiry - htlc.cltv_expiry_relative),
      })
      if (decision.kind === 'continue')
        return decision.forwardTo === undefined
          ? CONTINUE
          : {
              ...CONTINUE,
              forward_to: await choose(host, decision.forwardTo, onion.short_channel_id, onion.forward_msat ?? 0),
            }
      plugin.log(`HTLC on ${htlc.short_channel_id} refused: ${decision.reason}`, 'info')
      return { result: 'fail', failure_message: decision.failure }
    },
    { fallback: { result: 'fail', failure_message: TEMPORARY_NODE_FAILURE } },
  )

  plugin.onNotification('connect', (params) => {
    const peer = nodeId(parse(connected, 'connect', params).connect.id)
    later(`connect of ${peer}`, ({ handlers }) => handlers.peerConnected(peer))
  })
  plugin.onNotification('disconnect', (params) => {
    const peer = nodeId(parse(disconnected, 'disconnect', params).disconnect.id)
    later(`disconnect of ${peer}`, ({ host, handlers }) => {
      host.connections.disconnected(peer)
      return handlers.peerDisconnected(peer)
    })
  })
  plugin.onNotification('block_added', (params) => {
    const height = blockHeight(parse(blockAdded, 'block_added', params).block_added.height)
    later(`block ${height}`, ({ handlers }) => handlers.block(height))
  })
  for (const topic of ['channel_opened', 'channel_state_changed'])
    plugin.onNotification(topic, () => {
      later(topic, ({ handlers }) => handlers.channelsChanged())
    })
}

const bindingOf = ({ channel_in_factory: bound }: Open): OpenRequest['binding'] =>
  bound && {
    protocol: bound.factory_protocol_id,
    instance: bound.factory_instance_id,
    earlyWarning: bound.factory_early_warning_time,
  }

/** The channel that the payer named, else the first, of those that can carry the amount now; the first when none can. */
async function choose(
  host: ClnHost,
  candidates: readonly string[],
  named: string | undefined,
  amount: number,
): Promise<string | undefined> {
  const channels = await host.channels()
  const wanted = named === undefined ? undefined : await host.index.byShortId(named)
  const order = [...candidates].sort((a, b) => Number(b === wanted) - Number(a === wanted))
  const fits = (id: string): boolean => channels.some((c) => c.channelId === id && c.spendable >= amount)
  return order.find(fits) ?? order[0]
}

function answerOpen(decision: OpenDecision, flaw: string | undefined): object {
  switch (decision.kind) {
    case 'ordinary':
      return CONTINUE
    case 'refuse':
      return reject(decision.reason)
    case 'factory':
      return flaw === undefined ? { result: 'continue', mindepth: 0, reserve: '0sat' } : reject(flaw)
  }
}

/** Why such a channel can't be one of a factory, however well announced. */
function flawOf(open: Open): string | undefined {
  const bits = open.channel_type?.bits ?? []
  if (!REQUIRED_BITS.every((bit) => bits.includes(bit)) || !bits.every((bit) => ALLOWED_BITS.includes(bit)))
    return `a factory channel has a channel type of ${REQUIRED_BITS.join()} and at most ${ALLOWED_BITS.join()}, not ${bits.join()}`
  if ((open.channel_flags & ANNOUNCE) !== 0) return 'a factory channel is not announced'
  // See `maxPush` in cln.ts: our balance can't fall under the reserve that the peer asks of us.
  if (open.push_msat > open.channel_reserve_msat)
    return `push of ${open.push_msat} msat is more than the reserve of ${open.channel_reserve_msat} msat, which this node does not survive`
  return undefined
}
