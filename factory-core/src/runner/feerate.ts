/** What a transaction pays that may take some blocks: for plans and estimates, not for what must confirm. */
import type { Engine } from './engine.js'

const TARGET = 6

/** sat per 1000 vB; undefined while the node has no estimate. */
export async function usualFeerate(engine: Engine): Promise<number | undefined> {
  const { feeWallet } = engine.deps.host
  try {
    const { estimates } = (await feeWallet?.feerates()) ?? { estimates: [] }
    return (estimates.find((e) => e.blocks >= TARGET) ?? estimates.at(-1))?.feerate
  } catch (error) {
    engine.warn('feerates', error)
    return undefined
  }
}
