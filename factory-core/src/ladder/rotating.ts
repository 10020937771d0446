/** What to do with one factory of the ladder now. */
import { blockHeight, type BlockHeight } from '../units/index.js'
import type { Desk } from './desk.js'
import { attemptsOf } from './memory.js'
import { expected, hourOf, likelihood } from './presence.js'
import {
  dyingHeight,
  exitHeight,
  lastMoveHeight,
  lastStartHeight,
  nextEarlyWarning,
  slotAt,
  type Slot,
} from './timing.js'
import type { Decision, LadderFactory, LadderView } from './types.js'

const BLOCKS_PER_HOUR = 6
/** As likely there as not. */
const LIKELY = 0.5

export function decideFactory(factory: LadderFactory, desk: Desk): Decision | undefined {
  const { view } = desk
  const { height, config } = view
  const { instance, residents } = factory
  const clients = residents.map((r) => r.id)
  const wait = (until: number, reason: string): Decision => ({
    do: 'wait',
    instance,
    clients,
    until: blockHeight(Math.max(height + 1, until)),
    reason,
  })

  if (factory.phase !== 'open') return undefined
  if (factory.rotating) return wait(height + 1, 'the next factory is being made')
  const by = exitHeight(factory)
  if (residents.length === 0)
    return factory.reapable
      ? { do: 'reap', instance, reason: 'nobody is left in it' }
      : {
          do: 'exit',
          instance,
          clients,
          by,
          reason: 'nobody is left in it, but it can not be taken back in one transaction',
        }
  const start = dyingHeight(factory, config)
  if (height < start) return wait(start, `active: its dying period begins at height ${start}`)
  const end = lastStartHeight(factory, config)
  const lastMove = lastMoveHeight(factory, nextEarlyWarning(config))
  const staying = residents.filter((r) => !r.underway)
  if (staying.length === 0 && height <= lastMove)
    return wait(lastMove + 1, 'all that are in it have a place in the next one')
  if (height > end) {
    const late = height <= lastMove ? ', unless they have a place in it and move in time' : ''
    return {
      do: 'exit',
      instance,
      clients,
      by,
      reason: `no next factory can be ready in time since height ${end}${late}`,
    }
  }

  const now = height === end
  const attempts = attemptsOf(view.memory, instance)
  if (height < attempts.retryAt && !now)
    return wait(Math.min(attempts.retryAt, end), `${attempts.failures} attempts failed in a row`)
  const slot = slotAt(factory, config, height)
  const used = attempts.doneAt !== undefined && attempts.doneAt >= slot.from
  if (used && !slot.last) return wait(slot.until, 'those who missed this slot get the next')

  const limit = slot.last ? config.urgentFeerate : config.maxFeerate
  if (view.feerate !== undefined && view.feerate > limit)
    return wait(
      Math.min(height + BLOCKS_PER_HOUR, end),
      `the feerate of ${view.feerate} sat/kvB is over the limit of ${limit}`,
    )
  const there = staying.filter((r) => desk.isFree(r.id))
  if (there.length === 0)
    return wait(slot.last ? height + 1 : Math.min(slot.until, height + BLOCKS_PER_HOUR), 'none of them is there')
  const better = now ? undefined : betterHeight(factory, desk, slot, end)
  if (better !== undefined)
    return wait(better, `${there.length} of ${staying.length} are there, and more are expected then`)

  const movers = desk.movers(staying)
  if (movers.length === 0)
    return wait(
      Math.min(height + BLOCKS_PER_HOUR, end),
      `the budget leaves ${desk.available} sat, too little for any of them`,
    )
  const join = desk.joiners(movers)
  desk.take([...movers, ...join])
  const of = `${movers.length} of ${staying.length} are there`
  return {
    do: 'rotate',
    instance,
    clients: movers.map((r) => r.id),
    join,
    reason: `slot ${slot.number + 1} of ${config.slots} of its dying period: ${of}, ${join.length} join`,
  }
}

/**
 * A later height of this slot at which at least one client more is expected. In the last slot only when everybody who is there now is
 * likely to be there then: nobody may miss its last chance for the others' sake.
 */
function betterHeight(factory: LadderFactory, desk: Desk, slot: Slot, end: BlockHeight): BlockHeight | undefined {
  const { view } = desk
  const { presences, now, height } = view
  const clients = factory.residents.flatMap((r) => (r.underway ? [] : [r.id]))
  const there = clients.filter((id) => desk.isFree(id))
  if (there.length === clients.length) return undefined
  // Blocks for another attempt if that one fails.
  const latest = Math.min(slot.until - 1, end - view.config.retryFirst)
  let best: BlockHeight | undefined
  let most = there.length + 1
  for (let ahead = 1; ahead < 24 && height + ahead * BLOCKS_PER_HOUR <= latest; ahead += 1) {
    const hour = hourOf(now + ahead * 3600)
    const count = expected(presences, clients, hour)
    if (count < most) continue
    if (slot.last && there.some((id) => likelihood(presences[id], hour) <= LIKELY)) continue
    best = blockHeight(height + ahead * BLOCKS_PER_HOUR)
    most = count + Number.EPSILON
  }
  return best
}

/** What the rotations of the dying factories will still take from the budget: new factories must leave it. */
export function reserved(view: LadderView, decided: ReadonlySet<string>): readonly LadderFactory[] {
  return view.factories.filter(
    (f) =>
      f.phase === 'open' &&
      !f.rotating &&
      !decided.has(f.instance) &&
      f.residents.some((r) => !r.underway) &&
      view.height >= dyingHeight(f, view.config) &&
      view.height <= lastStartHeight(f, view.config),
  )
}
