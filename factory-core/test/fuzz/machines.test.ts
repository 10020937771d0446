/**
 * Every stage that the flows reach, fed with every event that they saw, changed at random, and with every payload that the wire
 * knows. What the machines remember and hear is recorded as the flows run, so that new stages and events are fuzzed by
 * themselves.
 */
import { decodePayload, encodePayload, FactoryError, type Payload } from '@ln-factory/tlv'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { payloadArb } from '../../../tlv/test/arbitraries.js'
import type { Context, Event, Step } from '../../src/machine/index.js'
import type * as MachineModule from '../../src/runner/machine.js'
import type { Machine } from '../../src/runner/machine.js'
import { decodeState, encodeState } from '../../src/store/index.js'
import { MemoryDisk, openMemoryStore } from '../../src/store/memory/index.js'
import { idBytes } from '../../src/machine/index.js'
import { outPointKey, type InstanceId, type NodeId } from '../../src/units/index.js'
import { expectWhole } from '../simulation/checks.js'
import { Net, payloadOf } from '../simulation/net.js'
import { flows } from './flows.js'
import { diceArb, mutated, type Dice } from './mutate.js'
import type { World } from '../simulation/world.js'

type State = Machine['state']
interface Seen {
  readonly role: Machine['role']
  readonly state: State
  readonly event: Event
  readonly context: Context
}

const seen = vi.hoisted(() => ({ all: [] as Seen[], on: true }))
vi.mock('../../src/runner/machine.js', async (original) => {
  const real = await original<typeof MachineModule>()
  const stepMachine = (machine: Machine, event: Event, context: Context): Step<State> => {
    if (seen.on) seen.all.push({ role: machine.role, state: machine.state, event, context })
    return real.stepMachine(machine, event, context)
  }
  return { ...real, stepMachine }
})
const { clientMachine, lspMachine, stepMachine } = await import('../../src/runner/machine.js')

const RUNS = { numRuns: 500 * Number(process.env['LN_FACTORY_FUZZ'] ?? '1') }
/** Of one role and stage, and of one role and kind of event, so many are kept. */
const KEPT = 12

const perName = <T>(items: readonly T[], name: (item: T) => string): T[] => {
  const counts = new Map<string, number>()
  // Each as far from the others as there are many.
  return items.filter((item, i) => {
    const n = counts.get(name(item)) ?? 0
    if (n >= KEPT || (n > 3 && i % 3 !== 0)) return false
    counts.set(name(item), n + 1)
    return true
  })
}
const nameOf = (event: Event): string => {
  switch (event.type) {
    case 'message':
      return `message ${event.payload.kind}`
    case 'done':
      return `done ${event.done.call}`
    case 'failed':
      return `failed ${event.call.call}`
    case 'operator':
      return `operator ${event.order.order}`
    default:
      return event.type
  }
}

let states: Seen[] = []
let events: Event[] = []
beforeAll(async () => {
  for (const flow of flows) {
    const from = seen.all.length
    const net = await flow()
    // Its processes may be dead by now; their disks are not.
    for (const [i, one] of seen.all.entries())
      if (i >= from) {
        const { instance } = one.state
        const items = net.disk(one.context.self).items.get(instance)
        const context = {
          ...one.context,
          item: (key: string) => items?.get(key),
          factory: () => undefined,
          connected: () => true,
        }
        seen.all[i] = { ...one, context }
      }
  }
  seen.on = false
  states = perName(seen.all, (s) => `${s.role} ${s.state.stage}`)
  events = perName(
    seen.all.map((s) => s.event),
    nameOf,
  )
}, 120_000)
afterAll(() => {
  seen.all.length = 0
})

const pick = <T>(items: readonly T[], dice: Dice): T => {
  const item = items[dice(items.length)]
  if (item === undefined) throw new Error('nothing was recorded')
  return item
}

/** As it comes over the wire: what can't be encoded or decoded never reaches a machine. */
function overTheWire(payload: Payload): Payload | undefined {
  try {
    const read = decodePayload(encodePayload(payload))
    return read.kind === 'unknown_odd' ? undefined : read
  } catch (error) {
    if (error instanceof FactoryError) return undefined
    // A mutation that no type allows.
    return undefined
  }
}

const peersOf = (state: State): NodeId[] => (state.role === 'lsp' ? state.clients.map((c) => c.id) : [state.lsp])

function anyEvent(state: State, dice: Dice, random: Payload): Event | undefined {
  const chosen = pick(events, dice)
  const peer = pick(peersOf(state), dice)
  const at = (payload: Payload): Payload => ({ ...payload, instanceId: idBytes(state.instance) })
  if (dice(4) === 0) return { type: 'message', peer, payload: at(random) }
  if (chosen.type === 'message') {
    const payload = overTheWire(at(dice(3) === 0 ? chosen.payload : mutated(chosen.payload, dice)))
    return payload && { type: 'message', peer, payload }
  }
  const event = dice(3) === 0 ? chosen : mutated(chosen, dice)
  return 'peer' in event ? { ...event, peer } : event
}

const revived = ({ role, state }: Pick<Seen, 'role' | 'state'>): Machine => {
  // Machines may not change what they were given, so the recorded ones can be used again.
  const copy = decodeState(encodeState(state)) as State
  return role === 'lsp' && copy.role === 'lsp' ? lspMachine(copy, true) : clientMachine(copy as never, true)
}

describe('machines', () => {
  it('has stages and events to fuzz', () => {
    const stages = new Set(states.map((s) => `${s.role} ${s.state.stage}`))
    expect(stages.size).toBeGreaterThan(18)
    expect(new Set(events.map(nameOf)).size).toBeGreaterThan(30)
  })

  it('invariants 4, 8 and 11: any event at any stage: no throw, a state that can be stored, no signature without its record', () => {
    let moved = 0
    fc.assert(
      fc.property(diceArb, fc.array(payloadArb, { minLength: 4, maxLength: 4 }), (dice, random) => {
        const start = pick(states, dice)
        const machine = revived(start)
        const { instance } = start.state
        const disk = new MemoryDisk()
        const store = openMemoryStore({ disk })
        const signed = new Map<string, string>()
        const context: Context = {
          ...start.context,
          item: (key) => store.item(instance, key) ?? start.context.item(key),
        }
        for (const payload of random) {
          const event = anyEvent(machine.state, dice, payload)
          if (event === undefined) continue
          const before = encodeState(machine.state)
          let step: Step<State>
          try {
            step = stepMachine(machine, event, context)
          } catch (error) {
            // An order is refused in the operator's face, with a code; nothing else may throw.
            expect(error, nameOf(event)).toBeInstanceOf(FactoryError)
            expect(event.type).toBe('operator')
            expect(encodeState(machine.state)).toBe(before)
            continue
          }
          expect(encodeState(machine.state), `${nameOf(event)} changed the state in place`).toBe(before)
          const text = encodeState(step.state)
          expect(encodeState(decodeState(text))).toBe(text)
          expect(step.state.instance).toBe(instance)
          expect(step.state.role).toBe(machine.role)
          if (!commits(store, instance, machine, text, step)) continue
          if (text !== before) moved++
          for (const record of step.records) {
            const key = `${outPointKey(record.outpoint)}/${record.class}/${record.rule === 'once' ? 0 : record.index}`
            const sighash = Buffer.from(record.sighash).toString('hex')
            expect(signed.get(key) ?? sighash, 'two messages for one output').toBe(sighash)
            signed.set(key, sighash)
          }
          for (const effect of step.effects)
            if (effect.do === 'send' && effect.payload.kind.includes('partial_signature'))
              expect(signed.size, `${effect.payload.kind} without a record`).toBeGreaterThan(0)
          machine.state = step.state
        }
      }),
      RUNS,
    )
    expect(moved).toBeGreaterThan(RUNS.numRuns / 20)
  })
})

/** False when the store refuses: then nothing of the step has happened. */
function commits(
  store: ReturnType<typeof openMemoryStore>,
  instance: InstanceId,
  machine: Machine,
  state: string,
  step: Step<State>,
): boolean {
  try {
    store.commit({ instance, role: machine.role, state, records: step.records, items: step.items, log: step.log })
    return true
  } catch (error) {
    expect(error).toBeInstanceOf(FactoryError)
    expect((error as FactoryError).code).toBe('signing_conflict')
    return false
  }
}

describe('nodes', () => {
  it('invariants 2, 10 and 11: whatever happens to messages on the way, nobody throws, and nobody has half a factory', async () => {
    const outcomes = new Map<string, number>()
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 0xffffff }), diceArb, async (seed, dice) => {
        const net = await Net.of(seed, 2)
        disturb(net.world, dice)
        const { instance } = await net.order()
        net.world.wire = (_from, _to, body) => [body]
        await net.converge()
        const outcome = await expectWhole(net, instance)
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      }),
      { numRuns: 16 * Number(process.env['LN_FACTORY_FUZZ'] ?? '1') },
    )
    expect([...outcomes.keys()].sort()).toEqual(['active', 'given up'])
  }, 240_000)
})

/** One message in twelve is lost, repeated, changed, or replaced by an older one. */
function disturb(world: World, dice: Dice): void {
  const past: Uint8Array[] = []
  world.wire = (_from, _to, body) => {
    past.push(body)
    if (dice(12) !== 0) return [body]
    switch (dice(4)) {
      case 0:
        return []
      case 1:
        return [body, body]
      case 2:
        return [pick(past, dice)]
      default:
        return [payloadOf(body) === undefined ? body : mutated(body, dice, 1)]
    }
  }
}
