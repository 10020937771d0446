/**
 * A watchtower: keeps bundles of feeders, follows the chain, and sends what is due. It holds no key and no coin. Ports around it: a
 * chain, a store, a log.
 */
import { FactoryError } from '@ln-factory/tlv'
import type { BroadcastResult, Host } from '../host/port.js'
import type { FactoryStore } from '../store/port.js'
import type { BlockHeight, InstanceId, OutPoint, Txid } from '../units/index.js'
import { outPointKey } from '../units/index.js'
import { ChainFollower, type ChainSource } from '../watch/index.js'
import { digestOf } from './bundle.js'
import { decodeBundle, plainBundle, type ReadyBundle } from './format.js'
import { towerLimits, type TowerLimits } from './limits.js'
import { planResponse, watchedBy, type Plan } from './plan.js'

/** A name of the operator's choosing; what one feeder brings can't touch what another one brought. */
export type Feeder = string

export interface StoredBundle {
  readonly feeder: Feeder
  readonly text: string
}

/** Every write is durable when it returns. */
export interface TowerStore extends Pick<FactoryStore, 'setting' | 'setSetting'> {
  bundles(): readonly StoredBundle[]
  put(feeder: Feeder, instance: InstanceId, text: string): void
  remove(feeder: Feeder, instance: InstanceId): void
}

export interface TowerDeps {
  readonly chain: ChainSource & { broadcast(tx: Uint8Array): Promise<BroadcastResult> }
  readonly store: TowerStore
  readonly log: Host['log']
  readonly limits?: TowerLimits
}

export interface TowerStatus {
  readonly height: BlockHeight | undefined
  readonly bundles: readonly { readonly feeder: Feeder; readonly instance: InstanceId; readonly sequence: number }[]
}

interface Guarded {
  readonly feeder: Feeder
  readonly bundle: ReadyBundle
  readonly bytes: number
  /** Of what it does. */
  readonly digest: string
  /** What was said about each response last, so that it is said once. */
  readonly said: Map<string, string>
}

export class Tower {
  readonly #guarded = new Map<string, Guarded>()
  /** How many bundles want to know about each thing. */
  readonly #wanted = new Map<string, number>()
  readonly #follower: ChainFollower
  readonly #limits: TowerLimits
  /** A bundle came since the last block: what it waits for may have happened before. */
  #fresh = false
  readonly #brought = new Map<Feeder, { height: number; count: number }>()

  /** @throws FactoryError `store_corrupt` */
  constructor(readonly deps: TowerDeps) {
    this.#limits = deps.limits ?? towerLimits
    this.#follower = new ChainFollower(deps.chain, deps.store, (event) =>
      event.kind === 'tip' ? this.#act(event.height) : Promise.resolve(),
    )
    for (const { feeder, text } of deps.store.bundles()) this.#guard(feeder, decodeBundle(text, this.#limits), text)
  }

  /** Catch up with the chain and send what is due. Call it for every block, and now and then. @throws FactoryError `host_failed` */
  async sync(): Promise<void> {
    await this.#follower.sync()
    const { height } = this.#follower
    if (!this.#fresh || height === undefined) return
    this.#fresh = false
    await this.#act(height)
  }

  status(feeder?: Feeder): TowerStatus {
    const all = [...this.#guarded.values()].filter((g) => feeder === undefined || g.feeder === feeder)
    return {
      height: this.#follower.height,
      bundles: all.map((g) => ({ feeder: g.feeder, instance: g.bundle.instance, sequence: g.bundle.sequence })),
    }
  }

  /**
   * Stored durably when it returns; guarded from the next `sync` on. The same bundle again is fine.
   * @throws FactoryError `bad_parameter` for a bad, stale or oversized bundle; `policy_refused` when the feeder has too many
   */
  accept(feeder: Feeder, text: string): { readonly instance: InstanceId; readonly sequence: number } {
    const height = this.#follower.height
    if (height === undefined)
      throw new FactoryError('host_failed', 'the watchtower does not know the chain yet', 'Try again later.')
    this.#count(feeder, height)
    const bundle = decodeBundle(text, this.#limits)
    const { instance, sequence } = bundle
    const before = this.#guarded.get(key(feeder, instance))
    this.#check(feeder, bundle, text, before, height)
    if (before?.bundle.sequence === sequence) return { instance, sequence }
    if (bundle.responses.length === 0) {
      if (before !== undefined) this.#forget(before)
    } else {
      this.deps.store.put(feeder, instance, text)
      this.#guard(feeder, bundle, text)
      if (before !== undefined) this.#release(before)
      this.#fresh = true
    }
    return { instance, sequence }
  }

  #count(feeder: Feeder, height: number): void {
    const last = this.#brought.get(feeder)
    const count = last?.height === height ? last.count + 1 : 1
    if (count > this.#limits.perBlock)
      throw new FactoryError(
        'policy_refused',
        `more than ${this.#limits.perBlock} bundles in one block`,
        'Try again with the next block.',
      )
    this.#brought.set(feeder, { height, count })
  }

  #check(feeder: Feeder, bundle: ReadyBundle, text: string, before: Guarded | undefined, height: number): void {
    const { bundles, feederBytes, lookBack, lifetime } = this.#limits
    const last = before?.bundle.sequence
    if (
      last !== undefined &&
      (bundle.sequence < last || (bundle.sequence === last && before?.digest !== digestOf(plainBundle(bundle))))
    )
      throw new FactoryError(
        'bad_parameter',
        `stale: sequence ${last} is here already`,
        'Was the node restored from an old copy?',
      )
    if (bundle.since < height - lookBack)
      throw new FactoryError('bad_parameter', `starts at ${bundle.since}: more than ${lookBack} blocks back`)
    if (bundle.until > height + lifetime)
      throw new FactoryError('bad_parameter', `lasts until ${bundle.until}: more than ${lifetime} blocks`)
    const others = [...this.#guarded.values()].filter((g) => g.feeder === feeder && g !== before)
    const total = others.reduce((sum, g) => sum + g.bytes, text.length)
    if (others.length >= bundles || total > feederBytes)
      throw new FactoryError(
        'policy_refused',
        `more than ${bundles} bundles, or more than ${feederBytes} bytes, of one feeder`,
      )
  }

  #guard(feeder: Feeder, bundle: ReadyBundle, text: string): void {
    this.#guarded.set(key(feeder, bundle.instance), {
      feeder,
      bundle,
      bytes: text.length,
      digest: digestOf(plainBundle(bundle)),
      said: new Map(),
    })
    for (const what of bundle.responses.flatMap(watchedBy)) {
      const name = keyOf(what)
      this.#wanted.set(name, (this.#wanted.get(name) ?? 0) + 1)
      if (typeof what === 'string') this.#follower.watchTx(what, bundle.since)
      else this.#follower.watchOutpoint(what, bundle.since)
    }
  }

  #forget(guarded: Guarded): void {
    const { feeder, bundle } = guarded
    this.deps.store.remove(feeder, bundle.instance)
    this.#guarded.delete(key(feeder, bundle.instance))
    this.#release(guarded)
  }

  #release({ bundle }: Guarded): void {
    for (const what of bundle.responses.flatMap(watchedBy)) {
      const name = keyOf(what)
      const left = (this.#wanted.get(name) ?? 1) - 1
      if (left > 0) this.#wanted.set(name, left)
      else {
        this.#wanted.delete(name)
        this.#follower.unwatch(what)
      }
    }
  }

  /** After a block: everything that is due goes out, one by one; what can't go out now is tried again with the next block. */
  async #act(height: BlockHeight): Promise<void> {
    const follower = this.#follower
    const view = {
      height,
      confirmedAt: (txid: Txid) => follower.confirmedAt(txid),
      spentBy: (outpoint: OutPoint) => follower.spentBy(outpoint),
    }
    for (const guarded of [...this.#guarded.values()]) {
      if (height >= guarded.bundle.until) {
        this.deps.log('info', `${guarded.feeder}: factory ${guarded.bundle.instance} is over`)
        this.#forget(guarded)
        continue
      }
      for (const response of guarded.bundle.responses)
        await this.#do(guarded, response.id, planResponse(response, view))
    }
  }

  async #do(guarded: Guarded, id: string, plan: Plan): Promise<void> {
    if (plan.do === 'wait') return
    const what = `${guarded.feeder}: factory ${guarded.bundle.instance}: ${id}`
    if (plan.do === 'nothing more') {
      this.#say(guarded, id, 'info', `${what} is in a block`)
      return
    }
    if (plan.do === 'give up') {
      this.#say(guarded, id, 'warn', `${what}: ${plan.by} spends what ${plan.txid} would spend`)
      return
    }
    try {
      const { accepted, error } = await this.deps.chain.broadcast(plan.raw)
      if (accepted) this.#say(guarded, id, 'warn', `${what}: sent ${plan.txid}`)
      else this.#say(guarded, id, 'info', `${what}: ${plan.txid} can't be sent now: ${error ?? 'no reason given'}`)
    } catch (error) {
      // One that bitcoind can't answer must not keep the others from their turn.
      this.#say(
        guarded,
        id,
        'error',
        `${what}: ${plan.txid}: ${error instanceof Error ? error.message : String(error)}`,
      )
    }
  }

  #say({ said }: Guarded, id: string, level: Parameters<Host['log']>[0], text: string): void {
    if (said.get(id) === text) return
    said.set(id, text)
    this.deps.log(level, text)
  }
}

const key = (feeder: Feeder, instance: InstanceId): string => `${feeder}/${instance}`
const keyOf = (what: Txid | OutPoint): string => (typeof what === 'string' ? what : outPointKey(what))
