/** One side of a ceremony in the benchmark: its machine, its store, and what they cost. */
import { randomBytes } from 'node:crypto'
import { sha256 } from '@noble/hashes/sha2.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import { decodeFactoryMessage, decodePayload, piggyback, Reassembler, type Payload } from '@ln-factory/tlv'
import {
  createClient,
  createLsp,
  expectsOpen,
  grantOpenStep,
  newClientLive,
  newLspLive,
  stepClient,
  stepLsp,
  type ClientState,
  type LspLive,
  type LspState,
} from '@ln-factory/core/ceremony'
import type { OpenRequest } from '@ln-factory/core/host'
import type { Context, Effect, Event, Step } from '@ln-factory/core/machine'
import { defaultPolicy, type CreateRequest } from '@ln-factory/core/runner'
import { packState } from '@ln-factory/core/runner'
import { openMemoryStore } from '@ln-factory/core/store/memory'
import { blockHeight, instanceId, msat, nodeId, type InstanceId, type NodeId } from '@ln-factory/core/units'
import { Meter } from './meter.js'

/** What the CPU time is booked to; `store` is everything but the disk, `wire` everything but the encryption. */
export type LspPhase =
  'invite' | 'tree, own nonces' | 'aggregate nonces' | 'sign, combine, verify' | 'channels' | Common
export type ClientPhase = 'accept' | 'path, own nonces' | 'sign' | 'verify' | 'channel' | Common
type Common = 'wire' | 'store'

export const HEIGHT = blockHeight(900_000)

export const idOf = (name: string): NodeId => nodeId(`02${Buffer.from(sha256(utf8ToBytes(name))).toString('hex')}`)

type State = LspState | ClientState

abstract class Party<S extends State, Phase extends string> {
  readonly id: NodeId
  readonly meter = new Meter<Phase | Common>()
  readonly #store = openMemoryStore()
  readonly #reassembler = new Reassembler()
  readonly #secret = new Uint8Array(randomBytes(32))
  #state: S | undefined

  constructor(
    readonly name: string,
    protected readonly autoAccept: readonly NodeId[] = [],
  ) {
    this.id = idOf(name)
  }

  get state(): S {
    if (this.#state === undefined) throw new Error(`${this.name} has no factory`)
    return this.#state
  }

  protected get started(): boolean {
    return this.#state !== undefined
  }

  protected context(instance: InstanceId): Context {
    return {
      self: this.id,
      nodeSecret: this.#secret,
      entropy: (bytes) => new Uint8Array(randomBytes(bytes)),
      height: HEIGHT,
      now: 1_800_000_000,
      maxPush: msat(0),
      choosesForwardingChannel: true,
      policy: { ...defaultPolicy, autoAccept: this.autoAccept },
      sealed: false,
      item: (key) => this.#store.item(instance, key),
      factory: () => undefined,
      connected: () => true,
    }
  }

  protected abstract step(event: Event): Step<S>
  protected abstract phaseOf(event: Event): Phase

  /** Bodies of messages of type 32800. */
  encode(payload: Payload): Uint8Array[] {
    return this.meter.run('wire', () => piggyback(payload))
  }

  receive(peer: NodeId, body: Uint8Array): readonly Effect[] {
    const payload = this.meter.run('wire', () => {
      const message = decodeFactoryMessage(body)
      const whole = message.kind === 'factory_piggyback' ? this.#reassembler.accept(message.payload) : undefined
      return whole === undefined ? undefined : decodePayload(whole)
    })
    if (payload === undefined || payload.kind === 'unknown_odd') return []
    return this.handle({ type: 'message', peer, payload })
  }

  handle(event: Event): readonly Effect[] {
    return this.advance(this.phaseOf(event), () => this.step(event))
  }

  /** As the runner does: what the step changed is stored before any of its effects leaves. */
  protected advance(phase: Phase, make: () => Step<S>): readonly Effect[] {
    const step = this.meter.run(phase, make)
    this.meter.run('store', () => {
      const { state, records, items, log } = step
      const changed = state !== this.#state
      if (!changed && records.length + items.length + log.length === 0) return
      const packed = changed ? packState(state, this.#state) : undefined
      this.#store.commit({
        instance: state.instance,
        role: state.role,
        state: packed?.text,
        records,
        items: [...items, ...(packed?.items ?? [])],
        log,
      })
    })
    this.#state = step.state
    return step.effects
  }
}

export class LspParty extends Party<LspState, LspPhase> {
  readonly live: LspLive = newLspLive()

  create(request: CreateRequest): readonly Effect[] {
    const instance = instanceId(randomBytes(32).toString('hex'))
    return this.advance('invite', () => createLsp(instance, request, HEIGHT))
  }

  protected step(event: Event): Step<LspState> {
    return stepLsp(this.state, this.live, event, this.context(this.state.instance))
  }

  protected phaseOf(event: Event): LspPhase {
    switch (this.state.stage) {
      case 'inviting':
        return 'invite'
      case 'preparing':
      case 'opening':
        return 'tree, own nonces'
      case 'signing':
        return event.type === 'message' && event.payload.kind === 'nonces'
          ? 'aggregate nonces'
          : 'sign, combine, verify'
      default:
        return 'channels'
    }
  }
}

export class ClientParty extends Party<ClientState, ClientPhase> {
  readonly #live = newClientLive()

  get ready(): boolean {
    return this.state.stage === 'ready'
  }

  /** Zero-conf for the announced open, once. */
  grant(request: OpenRequest): boolean {
    if (!expectsOpen(this.state, request)) return false
    this.advance('channel', () => grantOpenStep(this.state))
    return true
  }

  protected step(event: Event): Step<ClientState> {
    if (this.started) return stepClient(this.state, this.#live, event, this.context(this.state.instance))
    if (event.type !== 'message' || event.payload.kind !== 'invite') throw new Error(`${this.name} is not invited`)
    const instance = instanceId(Buffer.from(event.payload.instanceId).toString('hex'))
    return createClient(instance, event.peer, event.payload, this.context(instance))
  }

  protected phaseOf(event: Event): ClientPhase {
    if (!this.started) return 'accept'
    if (event.type !== 'message') return this.state.stage === 'joining' ? 'accept' : 'channel'
    switch (event.payload.kind) {
      case 'propose':
        return 'path, own nonces'
      case 'aggregated_nonces':
        return 'sign'
      case 'signatures':
        return 'verify'
      default:
        return 'channel'
    }
  }
}
