#!/usr/bin/env node
/**
 * A Core Lightning plugin that looks like another factory protocol: it sets feature bit 271, and tells every peer on message type
 * 33001 that it speaks `SuperScalar/v1`. It understands nothing.
 */
import { Buffer } from 'node:buffer'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const FEATURES = '80'.padEnd(2 * 34, '0')
const PROTOCOL = Buffer.from('SuperScalar/v1'.padEnd(32, '\0')).toString('hex')
/** Type 33001, submessage 2 (supported_factory_protocols), TLV 512 of 32 bytes. */
const ANNOUNCEMENT = `80e9${'0002'}${'fd0200'}${'20'}${PROTOCOL}`

let socket = ''

function answer(id, result) {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id, result })}\n\n`)
}

function announce(peer) {
  const connection = createConnection(socket)
  const params = { node_id: peer, msg: ANNOUNCEMENT }
  connection.write(JSON.stringify({ jsonrpc: '2.0', id: 'announce', method: 'sendcustommsg', params }))
  connection.once('data', () => connection.end())
}

function handle({ id, method, params }) {
  switch (method) {
    case 'getmanifest':
      return answer(id, {
        options: [],
        rpcmethods: [],
        subscriptions: ['connect'],
        featurebits: { init: FEATURES, node: FEATURES },
        custommessages: [32800, 33001],
        dynamic: false,
      })
    case 'init':
      socket = join(params.configuration['lightning-dir'], params.configuration['rpc-file'])
      return answer(id, {})
    case 'connect':
      return announce(params.connect.id)
  }
}

// Requests may be spread over lines; each ends with an empty one.
let text = ''
createInterface({ input: process.stdin }).on('line', (line) => {
  text += line
  if (line !== '' || text === '') return
  const request = JSON.parse(text)
  text = ''
  handle(request)
})
