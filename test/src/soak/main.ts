/**
 * scripts/soak [minutes] [--seed N] [--report FILE]: a network of real nodes that pay, die, come back, leave and start again, until the
 * time is over. Ends with 0 only when no satoshi is lost.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { findBitcoind, findLightningd, tailsOfRunning } from '../network/index.js'
import { Generation, type Counts } from './generation.js'
import { SoakLedger } from './ledger.js'
import { Payments } from './payments.js'
import { Random } from './random.js'
import { report, type Soak } from './report.js'
import { World } from './world.js'

const CLIENTS = 6
/** Blocks for every sweep: relative locks of commitments and stocks, and some. */
const SWEEPS = 60
const MOST_TROUBLES = 5

async function soak(minutes: number, seed: number): Promise<Soak> {
  const started = Date.now()
  const say = (text: string): void => {
    process.stdout.write(`${String(Math.round((Date.now() - started) / 1000)).padStart(6)} s  ${text}\n`)
  }
  const random = new Random(seed)
  say(`seed ${seed}: an LSP, ${CLIENTS} clients, a node outside`)
  const world = await World.start(CLIENTS)
  const counts: Counts = {}
  const troubles: string[] = []
  try {
    const ledger = await SoakLedger.open(world)
    const payments = new Payments(world, random)
    const generation = new Generation(world, random, payments, counts, say)
    const deadline = started + minutes * 60_000
    while (Date.now() < deadline) {
      try {
        await generation.run(deadline)
        await world.net.network.settled()
      } catch (error) {
        // To be looked into; the money is counted all the same.
        troubles.push(error instanceof Error ? error.message : String(error))
        say(`trouble: ${troubles.at(-1) ?? ''}`)
        if (troubles.length > MOST_TROUBLES) break
        await world.mend()
        await generation.endAll().catch((again: unknown) => troubles.push(String(again)))
      }
    }
    say('the time is over; sweeps confirm')
    await world.mend()
    await generation.endAll()
    for (let i = 0; i < SWEEPS; i++) await world.net.network.mine(1)
    const balance = await ledger.close()
    return {
      seed,
      minutes: Math.round((Date.now() - started) / 60_000),
      nodes: { lightningd: findLightningdVersion(), bitcoind: findBitcoindVersion(), clients: CLIENTS },
      payments: payments.tally,
      reasons: Object.fromEntries(payments.reasons),
      counts,
      troubles,
      balance,
    }
  } catch (error) {
    process.stderr.write(`${tailsOfRunning()}\n`)
    throw error
  } finally {
    await world.net.stop()
  }
}

const findLightningdVersion = (): string => {
  const found = findLightningd()
  return found.found ? found.program.version : found.why
}
const findBitcoindVersion = (): string => {
  const found = findBitcoind()
  return found.found ? found.program.version : found.why
}

try {
  const { values, positionals } = parseArgs({
    options: { seed: { type: 'string' }, report: { type: 'string' } },
    allowPositionals: true,
  })
  const minutes = Number(positionals[0] ?? '10')
  const seed = Number(values.seed ?? Date.now() % 1_000_000)
  if (!(minutes > 0) || !Number.isInteger(seed))
    throw new Error('usage: scripts/soak [minutes] [--seed N] [--report FILE]')
  const result = await soak(minutes, seed)
  if (values.report !== undefined) writeFileSync(values.report, `${JSON.stringify(result, undefined, 2)}\n`)
  process.stdout.write(`\n${report(result)}\n`)
  if (result.balance.lost !== 0 || result.troubles.length > 0) process.exitCode = 1
} catch (error) {
  process.stderr.write(
    `\nThe soak failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  )
  process.exitCode = 1
}
