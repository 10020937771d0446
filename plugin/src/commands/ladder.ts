/** The ladder's operator: its settings, what it does next, and what that will cost. */
import { forecast, type LadderConfig } from '@ln-factory/core/ladder'
import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'
import { amountSat, blockCount, wholeNumber } from '../options/values.js'
import { defineCommand } from './command.js'
import { configResult, decisionResult, forecastResult } from './ladder-results.js'

/** 30 days. */
const MONTH = 30 * 144
const FEERATE = wholeNumber(1000, 10_000_000)

export const ladder = defineCommand({
  name: 'factory-ladder',
  description: 'Run a ladder of factories: settings, schedule, and forecast of costs',
  details:
    'For the LSP. Creates factories for the clients that wait, moves every client to the next factory in its dying period, and ' +
    'stays within the budget and the feerates. Without an action, what is given replaces that setting, and is kept over restarts. ' +
    'The trees are built with the factory-* options.',
  params: {
    action: z
      .enum(['show', 'start', 'stop', 'schedule', 'forecast'])
      .optional()
      .describe(
        'show (default): the settings; start, stop: act on the schedule or only watch; schedule: what is due, with its height and ' +
          'reason; forecast: what the coming blocks cost on chain if all goes well',
      ),
    active_blocks: blockCount(1, 26_280).optional().describe('blocks until the clients of a factory begin to move'),
    dying_blocks: blockCount(1, 4320).optional().describe('blocks in which they move'),
    slots: wholeNumber(1, 100).optional().describe('construction times in these blocks'),
    factories: wholeNumber(1, 1000).optional().describe('most factories that new clients may make it grow to'),
    min_clients: wholeNumber(1, 1000)
      .optional()
      .describe('clients that wait before a new factory is created for them, …'),
    max_clients: wholeNumber(1, 1000).optional().describe('most clients of a factory'),
    patience: blockCount(0, 26_280).optional().describe('… unless one has waited so many blocks'),
    budget: amountSat.optional().describe('most of our own satoshi in factories'),
    max_feerate: FEERATE.optional().describe('satoshi per 1000 vB above which nothing is created or moved'),
    urgent_feerate: FEERATE.optional().describe('the same in the last slot of a dying factory'),
    retry_first: blockCount(1, 1008).optional().describe('blocks of pause after a failure, doubled with the next'),
    retry_most: blockCount(1, 1008).optional().describe('most blocks of pause'),
    depth: wholeNumber(1, 144).optional().describe('confirmations that clients ask of a new factory'),
    step_timeout: wholeNumber(1, 65_535).optional().describe('seconds for each step of a ceremony'),
    blocks: blockCount(1, 26_280).optional().describe('forecast: how far; default 4320, 30 days'),
    feerates: z.array(FEERATE).max(20).optional().describe('forecast: satoshi per 1000 vB; default 1000, 10000, 50000'),
  },
  check: ({ action = 'show', blocks, feerates, ...settings }) => {
    if (action !== 'show' && Object.values(settings).some((value) => value !== undefined))
      throw new FactoryError('bad_parameter', `factory-ladder: no settings with ${action}`)
    if (action !== 'forecast' && (blocks ?? feerates) !== undefined)
      throw new FactoryError('bad_parameter', 'factory-ladder: blocks and feerates go with forecast')
  },
  run: async ({ api }, { action = 'show', blocks = MONTH, feerates = [1000, 10_000, 50_000], ...given }) => {
    if (action === 'schedule' || action === 'forecast') {
      const plan = await api.ladder.plan()
      if (action === 'forecast') return forecastResult(plan, forecast(plan.view, blocks), feerates)
      return {
        running: plan.running,
        height: plan.view.height,
        feerate_perkb: plan.view.feerate,
        schedule: plan.decisions.map(decisionResult),
      }
    }
    if (action !== 'show') api.ladder.setRunning(action === 'start')
    const old = api.ladder.status().config
    const next: LadderConfig = {
      ...old,
      activeBlocks: given.active_blocks ?? old.activeBlocks,
      dyingBlocks: given.dying_blocks ?? old.dyingBlocks,
      slots: given.slots ?? old.slots,
      factories: given.factories ?? old.factories,
      minClients: given.min_clients ?? old.minClients,
      maxClients: given.max_clients ?? old.maxClients,
      patience: given.patience ?? old.patience,
      budget: given.budget ?? old.budget,
      maxFeerate: given.max_feerate ?? old.maxFeerate,
      urgentFeerate: given.urgent_feerate ?? old.urgentFeerate,
      retryFirst: given.retry_first ?? old.retryFirst,
      retryMost: given.retry_most ?? old.retryMost,
      depth: given.depth ?? old.depth,
      stepTimeout: given.step_timeout ?? old.stepTimeout,
    }
    if (Object.values(given).some((value) => value !== undefined)) api.ladder.configure(next)
    const { running, config } = api.ladder.status()
    return { running, ...configResult(config) }
  },
})
