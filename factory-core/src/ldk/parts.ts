/** The pieces that every LDK node is made of, and how we set them. */
import * as ldk from 'lightningdevkit'
import { sharedGraph } from './wasm.js'

/** sat per 1000 weight units: the floor that nodes relay, and that LDK accepts from its peers. */
export const FLOOR_FEERATE = 253

export interface PartsOptions {
  readonly network: ldk.Network
  /** 32 bytes. */
  readonly seed: Uint8Array
  readonly log: (level: 'debug' | 'warn' | 'error', text: string) => void
  readonly broadcast: (txs: readonly Uint8Array[]) => void
  /** A monitor changed: these are its bytes. Called from WASM: must not throw, nor call LDK. */
  readonly persist: (funding: ldk.OutPoint, monitor: ldk.ChannelMonitor) => void
  readonly archive: (funding: ldk.OutPoint) => void
}

/** Whoever holds this keeps what Rust points at. */
export interface Parts {
  readonly keys: ldk.KeysManager
  readonly logger: ldk.Logger
  readonly fees: ldk.FeeEstimator
  readonly broadcaster: ldk.BroadcasterInterface
  readonly persist: ldk.Persist
  readonly chain: ldk.ChainMonitor
  readonly router: ldk.Router
  readonly messageRouter: ldk.MessageRouter
  readonly config: ldk.UserConfig
  readonly owned: readonly unknown[]
}

export function assemble(options: PartsOptions): Parts {
  const now = Date.now()
  const keys = ldk.KeysManager.constructor_new(options.seed, BigInt(Math.floor(now / 1000)), (now % 1000) * 1_000_000)
  const logger = ldk.Logger.new_impl({
    log: (record) => {
      const level = record.get_level()
      if (level === ldk.Level.LDKLevel_Error) options.log('error', record.get_args())
      else if (level === ldk.Level.LDKLevel_Warn) options.log('warn', record.get_args())
      else if (level === ldk.Level.LDKLevel_Info || level === ldk.Level.LDKLevel_Debug)
        options.log('debug', record.get_args())
    },
  })
  const fees = ldk.FeeEstimator.new_impl({ get_est_sat_per_1000_weight: () => FLOOR_FEERATE })
  const broadcaster = ldk.BroadcasterInterface.new_impl({
    broadcast_transactions: (txs) => {
      options.broadcast(txs.map((tx) => Uint8Array.from(tx)))
    },
  })
  const done = ldk.ChannelMonitorUpdateStatus.LDKChannelMonitorUpdateStatus_Completed
  // "Completed" before it is stored: nothing that rests on it leaves the node before the commit.
  const persist = ldk.Persist.new_impl({
    persist_new_channel: (funding, monitor) => {
      options.persist(funding, monitor)
      return done
    },
    update_persisted_channel: (funding, _update, monitor) => {
      options.persist(funding, monitor)
      return done
    },
    archive_persisted_channel: (funding) => {
      options.archive(funding)
    },
  })
  const chain = ldk.ChainMonitor.constructor_new(
    ldk.Option_FilterZ.constructor_none(),
    broadcaster,
    logger,
    fees,
    persist,
  )
  const graph = sharedGraph(options.network)
  const scorer = ldk.ProbabilisticScorer.constructor_new(
    ldk.ProbabilisticScoringDecayParameters.constructor_default(),
    graph,
    logger,
  )
  const score = ldk.MultiThreadedLockableScore.constructor_new(scorer.as_Score())
  const router = ldk.DefaultRouter.constructor_new(
    graph,
    logger,
    keys.as_EntropySource(),
    score.as_LockableScore(),
    ldk.ProbabilisticScoringFeeParameters.constructor_default(),
  )
  const messageRouter = ldk.DefaultMessageRouter.constructor_new(graph, keys.as_EntropySource())
  return {
    keys,
    logger,
    fees,
    broadcaster,
    persist,
    chain,
    router: router.as_Router(),
    messageRouter: messageRouter.as_MessageRouter(),
    config: config(),
    owned: [graph, scorer, score, router, messageRouter],
  }
}

/** What the manager and the monitors have to tell, collected: handlers must not call back into them. */
export function takeEvents(manager: ldk.ChannelManager, { chain }: Parts): ldk.Event[] {
  const events: ldk.Event[] = []
  const handler = ldk.EventHandler.new_impl({
    handle_event: (event) => {
      events.push(event)
      return ldk.Result_NoneReplayEventZ.constructor_ok()
    },
  })
  manager.as_EventsProvider().process_pending_events(handler)
  chain.as_EventsProvider().process_pending_events(handler)
  return events
}

function config(): ldk.UserConfig {
  const all = ldk.UserConfig.constructor_default()
  const handshake = all.get_channel_handshake_config()
  handshake.set_negotiate_anchors_zero_fee_htlc_tx(true)
  handshake.set_negotiate_scid_privacy(true)
  handshake.set_announce_for_forwarding(false)
  // The least that LDK knows is 1000 sat.
  handshake.set_their_channel_reserve_proportional_millionths(0)
  handshake.set_max_inbound_htlc_value_in_flight_percent_of_channel(100)
  all.set_channel_handshake_config(handshake)
  const limits = all.get_channel_handshake_limits()
  limits.set_force_announced_channel_preference(false)
  all.set_channel_handshake_limits(limits)
  all.set_manually_accept_inbound_channels(true)
  // Every channel of a factory is private.
  all.set_accept_forwards_to_priv_channels(true)
  return all
}
