/**
 * Loaded into a plugin by NODE_OPTIONS, for the suites that kill or stop it: the plugin itself has no such switch. Counts the
 * commits that change a factory's state; at the one that the orders name, the process sends itself a signal, before or after the
 * commit. The orders are read from the working directory, which lightningd gives every plugin: the node's own.
 */
import { readFileSync } from 'node:fs'
import Database from 'better-sqlite3'

const NO_ORDERS = ''
let orders = NO_ORDERS
let commits = 0

function read() {
  let text = NO_ORDERS
  try {
    text = readFileSync('fault-orders.json', 'utf8')
  } catch {
    // None were given.
  }
  if (text !== orders) commits = 0
  orders = text
}

function obey(when) {
  if (orders === NO_ORDERS) return
  const { at, when: due, signal } = JSON.parse(orders)
  if (commits === at && when === due) process.kill(process.pid, signal)
}

const { transaction } = Database.prototype

/** The store commits a batch with `immediate`; `exclusive` is its migrations'. */
Database.prototype.transaction = function (work) {
  const made = transaction.call(this, work)
  const immediate = (batch) => {
    if (batch.state === undefined) return made.immediate(batch)
    read()
    commits++
    obey('before')
    const result = made.immediate(batch)
    obey('after')
    return result
  }
  return Object.assign((...values) => made(...values), { immediate, exclusive: made.exclusive })
}
