/** The LSP's waiting room. */
import type { Admission } from '@ln-factory/core/ladder'
import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'
import { amountSat, line, node, wholeNumber, yesOrNo } from '../options/values.js'
import { defineCommand } from './command.js'
import { admissionResult } from './ladder-results.js'
import { amount } from './results.js'

export const waiting = defineCommand({
  name: 'factory-waiting',
  description: 'Show who waits for a place in a factory, remove one, or say who may wait',
  details:
    'For the LSP. A client asks with factory-join. The ladder puts those who wait into the next factory that is created or rotated. What is ' +
    'given of the rules replaces them, and is kept over restarts; those who wait already stay.',
  params: {
    remove: node.optional().describe('node id of a client that shall not wait any more'),
    reason: line(200).optional().describe('why; the client is told'),
    open: yesOrNo.optional().describe('true: new clients may ask'),
    only: z.array(node).optional().describe('node ids that may ask; empty for all'),
    min_capacity: amountSat.optional().describe('satoshi of the smallest channel'),
    max_capacity: amountSat.optional().describe('satoshi of the largest channel'),
    max_waiting: wholeNumber(0, 10_000).optional().describe('most clients that wait'),
  },
  check: ({ remove, reason }) => {
    if (reason !== undefined && remove === undefined)
      throw new FactoryError('bad_parameter', 'factory-waiting: reason goes with remove')
  },
  run: ({ api }, { remove, reason, open, only, min_capacity, max_capacity, max_waiting }) => {
    const { ladder } = api
    if (remove !== undefined) ladder.dismiss(remove, reason ?? 'the operator removed the request')
    const old = ladder.status().admission
    const next: Admission = {
      open: open ?? old.open,
      only: only === undefined ? old.only : [...new Set(only)],
      minCapacity: min_capacity ?? old.minCapacity,
      maxCapacity: max_capacity ?? old.maxCapacity,
      maxWaiting: max_waiting ?? old.maxWaiting,
    }
    if ([open, only, min_capacity, max_capacity, max_waiting].some((value) => value !== undefined))
      ladder.setAdmission(next)
    return Promise.resolve({
      waiting: ladder.waiting().map((w) => ({ id: w.id, capacity_sat: amount(w.capacity), since: w.since })),
      ...admissionResult(ladder.status().admission),
    })
  },
})
