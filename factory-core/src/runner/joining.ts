/** Asking for a place in a factory, and being asked: both sides' lists, kept in the store, and the messages between them. */
import { clipText, FactoryError, MAX_REFUSE_REASON, type Payload } from '@ln-factory/tlv'
import {
  answered,
  ask,
  consents,
  invited,
  leave,
  seated,
  settled,
  unwish,
  wish,
  wishOf,
  type Admission,
  type Room,
  type Standing,
  type Told,
  type Wish,
  type Wishes,
} from '../ladder/index.js'
import { idBytes } from '../machine/index.js'
import { decodeState, encodeState } from '../store/index.js'
import { MIN_CAPACITY } from '../tree/index.js'
import { instanceId, sat, type InstanceId, type NodeId, type Sat } from '../units/index.js'
import type { Policy } from './api.js'
import type { Engine } from './engine.js'
import { phaseOf } from './views.js'

const ROOM = 'ladder/waiting'
const WISHES = 'ladder/wishes'
/** Requests that change something, per peer and connection: each costs a write. */
const MAX_CHANGES = 20

export class Joining {
  #room: Room
  #wishes: Wishes
  readonly #changes = new Map<NodeId, number>()

  constructor(
    private readonly engine: Engine,
    private readonly admission: () => Admission,
  ) {
    const read = (key: string): unknown => {
      const text = engine.deps.store.setting(key)
      return text === undefined ? [] : decodeState(text)
    }
    this.#room = read(ROOM) as Room
    this.#wishes = read(WISHES) as Wishes
  }

  get room(): Room {
    return this.#room
  }

  get wishes(): Wishes {
    return this.#wishes
  }

  /** @returns false for a message that is not about joining */
  message(peer: NodeId, payload: Payload): boolean {
    const request = instanceId(Buffer.from(payload.instanceId).toString('hex'))
    switch (payload.kind) {
      case 'join_request':
        this.#asked(peer, request, sat(payload.capacity))
        return true
      case 'join_withdraw':
        this.#setRoom(leave(this.#room, peer, request))
        return true
      case 'join_accepted':
        this.#answered(peer, request, { kind: 'accepted', place: payload.place, waiting: payload.waiting })
        return true
      case 'join_refused':
        this.#answered(peer, request, { kind: 'refused', reason: payload.reason })
        return true
      default:
        return false
    }
  }

  connected(peer: NodeId): void {
    this.#changes.delete(peer)
    const mine = wishOf(this.#wishes, peer)
    if (mine?.answer.kind === 'none' || mine?.answer.kind === 'accepted') this.#send(mine)
  }

  join(lsp: NodeId, capacity: Sat): void {
    if (capacity < MIN_CAPACITY)
      throw new FactoryError('bad_amount', `a channel holds at least ${MIN_CAPACITY} sat, not ${capacity}`)
    const { deps, height } = this.engine
    const request = instanceId(Buffer.from(deps.entropy(32)).toString('hex'))
    this.#setWishes(wish(this.#wishes, { lsp, request, capacity, since: height }))
    const mine = wishOf(this.#wishes, lsp)
    if (mine !== undefined) this.#send(mine)
  }

  withdraw(lsp: NodeId): void {
    const mine = wishOf(this.#wishes, lsp)
    if (mine === undefined) throw new FactoryError('bad_parameter', `nothing was asked of ${lsp}`)
    this.#setWishes(unwish(this.#wishes, lsp))
    this.engine.peers.send(lsp, { kind: 'join_withdraw', instanceId: idBytes(mine.request) })
  }

  dismiss(id: NodeId, reason: string): void {
    const entry = this.#room.find((r) => r.id === id)
    if (entry === undefined) throw new FactoryError('bad_parameter', `${id} does not wait`)
    this.#setRoom(leave(this.#room, id))
    this.#refuse(id, entry.request, reason)
  }

  /** The policy for an invitation: whoever asked for it has consented to it, and to no other. */
  policyFor(lsp: NodeId, instance: InstanceId, capacity: bigint): Policy {
    const { policy } = this.engine
    if (!consents(this.#wishes, { lsp, instance, capacity }, (old) => this.#standing(old))) return policy
    this.#setWishes(invited(this.#wishes, lsp, instance))
    return { ...policy, autoAccept: [...policy.autoAccept, lsp] }
  }

  /** Whoever has its place waits no more, on either side. */
  settle(): void {
    const machines = [...this.engine.machines.values()]
    const standing = machines.filter((m) => ['confirming', 'active'].includes(phaseOf(m)))
    const places = standing.flatMap((m) =>
      m.role === 'lsp' ? m.state.clients.map((c) => ({ id: c.id, createdAt: m.state.createdAt })) : [],
    )
    this.#setRoom(seated(this.#room, places))
    const lsps = new Set(standing.flatMap((m) => (m.role === 'client' ? [m.state.lsp] : [])))
    this.#setWishes(
      settled(
        this.#wishes,
        (instance) => this.#standing(instance),
        (lsp) => lsps.has(lsp),
      ),
    )
  }

  #standing(instance: InstanceId): Standing {
    const machine = this.engine.machines.get(instance)
    const phase = machine === undefined ? 'aborted' : phaseOf(machine)
    if (phase === 'forming') return 'forming'
    return phase === 'confirming' || phase === 'active' ? 'standing' : 'ended'
  }

  #asked(peer: NodeId, request: InstanceId, capacity: Sat): void {
    const asked = { id: peer, request, capacity, since: this.engine.height }
    const { room, answer } = ask(this.#room, this.admission(), asked)
    if (room !== this.#room) {
      const changes = (this.#changes.get(peer) ?? 0) + 1
      this.#changes.set(peer, changes)
      if (changes > MAX_CHANGES) {
        this.#refuse(peer, request, 'too many changes: come back later')
        return
      }
      this.#setRoom(room)
    }
    if (answer.kind === 'refused') this.#refuse(peer, request, answer.reason)
    else {
      const { place, waiting } = answer
      this.engine.peers.send(peer, { kind: 'join_accepted', instanceId: idBytes(request), place, waiting })
    }
  }

  #refuse(peer: NodeId, request: InstanceId, reason: string): void {
    const text = clipText(reason, MAX_REFUSE_REASON)
    this.engine.peers.send(peer, { kind: 'join_refused', instanceId: idBytes(request), reason: text })
  }

  #answered(lsp: NodeId, request: InstanceId, answer: Told): void {
    const next = answered(this.#wishes, lsp, request, answer)
    if (next === undefined) return
    this.#setWishes(next)
    const said = answer.kind === 'accepted' ? `place ${answer.place} of ${answer.waiting}` : `refused: ${answer.reason}`
    this.engine.deps.host.log('info', `request to join a factory of ${lsp}: ${said}`)
  }

  #send({ lsp, request, capacity }: Wish): void {
    this.engine.peers.send(lsp, { kind: 'join_request', instanceId: idBytes(request), capacity })
  }

  #setRoom(room: Room): void {
    if (room === this.#room) return
    this.engine.deps.store.setSetting(ROOM, encodeState(room))
    this.#room = room
  }

  #setWishes(wishes: Wishes): void {
    if (wishes === this.#wishes) return
    this.engine.deps.store.setSetting(WISHES, encodeState(wishes))
    this.#wishes = wishes
  }
}
