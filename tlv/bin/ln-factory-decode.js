#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { describe, FactoryError } from '../dist/index.js'

const USAGE = `usage: ln-factory-decode [hex]

Prints a message of the factory protocol as JSON. The hex comes from the argument or from standard input and is one of: a
Lightning message of type 32800, its body without the two type bytes, the TLV stream of an open_channel that carries
channel_in_factory (65600), or a bare payload.`

const args = process.argv.slice(2)
if (args.includes('--help') || args.length > 1) {
  const asked = args.includes('--help')
  console[asked ? 'log' : 'error'](USAGE)
  process.exit(asked ? 0 : 1)
}
try {
  console.log(JSON.stringify(describe(args[0] ?? readFileSync(0, 'utf8')), undefined, 2))
} catch (error) {
  if (!(error instanceof FactoryError)) throw error
  console.error(`ln-factory-decode: ${error.code}: ${error.message}`)
  process.exitCode = 1
}
