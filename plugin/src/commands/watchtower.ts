/** What a watchtower needs of this node, as a file. */
import { writeFileSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { encodeBundle } from '@ln-factory/core/watchtower'
import { FactoryError } from '@ln-factory/tlv'
import { instance, line } from '../options/values.js'
import { defineCommand } from './command.js'

export const watchtowerExport = defineCommand({
  name: 'factory-watchtower-export',
  description: 'Write what a watchtower needs to guard one factory: finished transactions, no secret',
  details:
    'Put the file into the inbox of ln-factory-watchtower. Export again after every change of the factory (sequence says which is ' +
    'newer); a tower of factory-watchtowers is brought it without a command.',
  params: {
    instance_id: instance.describe('the factory'),
    file: line(1000).optional().describe('absolute path of a new file; without it the bundle is in the answer'),
  },
  run: ({ api }, { instance_id, file }) => {
    const bundle = api.bundle(instance_id)
    const text = encodeBundle(bundle)
    const what = { instance_id, sequence: bundle.sequence, responses: bundle.responses.map((r) => r.id) }
    if (file === undefined) return Promise.resolve({ ...what, bundle: text })
    if (!isAbsolute(file))
      throw new FactoryError('bad_parameter', 'factory-watchtower-export: file must be an absolute path')
    try {
      writeFileSync(file, text, { mode: 0o600, flag: 'wx' })
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      throw new FactoryError('bad_parameter', `factory-watchtower-export: the file can't be written: ${why}`)
    }
    return Promise.resolve({ ...what, file, bytes: text.length })
  },
})
