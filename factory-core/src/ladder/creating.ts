/** When the waiting room gets a factory of its own. */
import { blockHeight, type BlockHeight } from '../units/index.js'
import type { Desk } from './desk.js'
import { attemptsOf } from './memory.js'
import type { Decision } from './types.js'

const BLOCKS_PER_HOUR = 6

export function decideCreation(desk: Desk): Decision | undefined {
  const { view, waiting } = desk
  const { config, height } = view
  const [longest] = waiting
  if (longest === undefined) return undefined
  const wait = (until: number, reason: string): Decision => ({
    do: 'wait',
    instance: undefined,
    clients: waiting.map((w) => w.id),
    until: blockHeight(Math.max(height + 1, until)),
    reason,
  })

  if (view.creating) return wait(height + 1, 'a factory is being made')
  const attempts = attemptsOf(view.memory, undefined)
  if (height < attempts.retryAt) return wait(attempts.retryAt, `${attempts.failures} attempts failed in a row`)
  if (view.factories.filter((f) => f.phase !== 'leaving').length >= config.factories)
    return wait(
      height + BLOCKS_PER_HOUR,
      `the ladder has its ${config.factories} factories: a place in the next rotation`,
    )
  const next = nextCreation(desk)
  if (height < next) return wait(next, 'creations are spread over the active period')
  if (view.feerate !== undefined && view.feerate > config.maxFeerate)
    return wait(
      height + BLOCKS_PER_HOUR,
      `the feerate of ${view.feerate} sat/kvB is over the limit of ${config.maxFeerate}`,
    )
  const ready = waiting.filter((w) => desk.isFree(w.id))
  const [first] = ready
  if (first === undefined) return wait(height + BLOCKS_PER_HOUR, 'none of them is there')
  const patient = Math.min(...ready.map((w) => w.since)) + config.patience
  if (ready.length < config.minClients && height < patient)
    return wait(patient, `${ready.length} are there, and a factory has at least ${config.minClients} at first`)
  const clients = desk.joiners([])
  if (clients.length === 0)
    return wait(height + BLOCKS_PER_HOUR, `the budget leaves ${desk.available} sat for new clients, too little for any`)
  desk.take(clients)
  return { do: 'create', clients, reason: `${clients.length} of ${waiting.length} waiting clients are there` }
}

/** So that the factories of a full ladder do not all die at once. */
function nextCreation({ view }: Desk): BlockHeight {
  const { config, memory } = view
  const spacing = Math.floor(config.activeBlocks / config.factories)
  return blockHeight(memory.creating.doneAt === undefined ? 0 : memory.creating.doneAt + spacing)
}
