import { appendFileSync } from 'node:fs'
import { beforeEach, describe } from 'vitest'
import {
  findBitcoind,
  findContainerEngine,
  findLightningd,
  tailsOfRunning,
  type Program,
} from '../src/network/index.js'

/** Registers a suite, or skips it and leaves the reason where scripts/test reads it, so that no skip goes unseen. */
function gated(needed: readonly (() => Program<unknown>)[]) {
  return (title: string, suite: () => void): void => {
    const why = needed.map((find) => find()).flatMap((program) => (program.found ? [] : [program.why]))[0]
    if (why !== undefined) {
      const skipped = `${title} (${why})`
      const list = process.env['LN_FACTORY_SKIPS']
      if (list !== undefined) appendFileSync(list, `${skipped}\n`)
      describe.skip(skipped, suite)
      return
    }
    describe(title, () => {
      beforeEach(({ onTestFailed }) => {
        onTestFailed(() => {
          process.stderr.write(`${tailsOfRunning()}\n`)
        })
      })
      suite()
    })
  }
}

/** A suite on a real bitcoind. */
export const describeWithBitcoind = gated([findBitcoind])
/** A suite on a real bitcoind and stock lightningds. */
export const describeWithLightningd = gated([findBitcoind, findLightningd])
/** A suite that builds or runs containers. */
export const describeWithContainers = gated([findContainerEngine])
