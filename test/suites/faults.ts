import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Lightningd } from '../src/network/index.js'

const PRELOAD = fileURLToPath(new URL('../faults/commits.mjs', import.meta.url))

/** Environment of nodes whose plugins obey orders. */
export const OBEDIENT = { NODE_OPTIONS: `--import=${PRELOAD}` }

export interface Orders {
  /** Which of the commits that follow, counted from 1. */
  readonly at: number
  readonly when: 'before' | 'after'
  readonly signal: 'SIGKILL' | 'SIGSTOP'
}

const file = (node: Lightningd): string => join(node.dir, 'regtest', 'fault-orders.json')

let given = 0

/** Also starts the count again. */
export function order(node: Lightningd, orders: Orders): void {
  // The same orders given twice count from 1 twice.
  writeFileSync(file(node), JSON.stringify({ ...orders, number: ++given }))
}

/** Before the node is started again, or it obeys again. */
export function revoke(node: Lightningd): void {
  rmSync(file(node), { force: true })
}
