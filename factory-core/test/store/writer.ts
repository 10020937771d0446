/** Run as a process of its own by sqlite.test.ts: commits without end and says so on stdout after each commit. */
import { FactoryError } from '@ln-factory/tlv'
import { writeSync } from 'node:fs'
import { openSqliteStore } from '../../src/store/sqlite/index.js'
import { instanceId, txid } from '../../src/units/index.js'

const say = (line: string): number => writeSync(1, `${line}\n`)

try {
  const store = openSqliteStore(process.argv[2] ?? '')
  for (let i = store.log({}).length; ; i++) {
    store.commit({
      instance: instanceId('1'.padStart(64, '0')),
      role: 'lsp',
      state: `state ${i}`,
      records: [
        {
          outpoint: { txid: txid('ab'.repeat(32)), vout: i },
          class: 'child',
          index: 0,
          rule: 'once',
          sighash: new Uint8Array(32).fill(1),
        },
      ],
      items: [{ key: `item ${i}`, value: new Uint8Array(300).fill(i % 256) }],
      log: [{ kind: 'signed', text: `line ${i}` }],
    })
    say(String(i))
  }
} catch (error) {
  say(error instanceof FactoryError ? error.code : String(error))
}
