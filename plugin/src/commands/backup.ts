/** Commands around the loss of the database: a copy, putting it back, and what an old one is not trusted with. */
import type { RestoredSummary } from '@ln-factory/core/runner'
import { instance, line, yesOrNo } from '../options/values.js'
import { defineCommand, type JsonObject } from './command.js'

const MAX_PATH = 4096

export const backup = defineCommand({
  name: 'factory-backup',
  description: 'Write an encrypted copy of the factory database to a new file',
  details:
    'Holds everything up to the last commit, and is made while the node runs. Only a node with the same seed can read it. It is for ' +
    'the signatures, so that what is in factories can be taken out when the disk dies; an old one is not trusted to sign.',
  params: { file: line(MAX_PATH).describe('absolute path of a file that does not exist; readable by its owner only') },
  run: ({ backups }, { file }) => {
    const { size, factories } = backups.save(file)
    return Promise.resolve({ file, bytes: size, factories })
  },
})

export const restore = defineCommand({
  name: 'factory-restore',
  description: 'Put a backup in the place of the database at the next start, or show what is held back after a restore',
  details:
    'With a file: checks it, refuses it when the database that is here knows more, and lays it beside the database; restart lightningd, ' +
    "and it takes its place. The old database is kept. Then the copy is compared with what lightningd's own database says of each " +
    'factory. Those that the copy knows completely go on; the others sign nothing any more. Without a file: lists these.',
  params: { file: line(MAX_PATH).optional().describe('absolute path of a file that factory-backup wrote') },
  run: ({ api, backups }, { file }) => {
    if (file === undefined) return Promise.resolve({ held: api.restored().map(heldResult) })
    const { factories, time } = backups.stage(file)
    return Promise.resolve({
      file,
      factories,
      made_at: time,
      next: 'Restart lightningd: the backup is used from then on.',
    })
  },
})

export const reconcile = defineCommand({
  name: 'factory-reconcile',
  description: 'Say what a factory is still used for when nobody knows what its old database has forgotten',
  details:
    'For factories that factory-restore lists as suspended with missing unknown. They never sign again. With use=false (default) the ' +
    'factory can be left and is followed on chain. With use=true HTLCs flow again too: say so only when you know that no cooperative ' +
    'close was signed since the backup was made, or what comes in from now on can be lost.',
  params: {
    instance_id: instance.describe('the factory'),
    use: yesOrNo.optional().describe('true to let HTLCs in again'),
  },
  run: async ({ api }, { instance_id, use = false }) => {
    await api.reconcile(instance_id, use ? 'use' : 'exit')
    return {
      instance_id,
      held: api
        .restored()
        .filter((r) => r.instance === instance_id)
        .map(heldResult),
    }
  },
})

export const heldResult = (r: RestoredSummary): JsonObject => ({
  instance_id: r.instance,
  role: r.role,
  lsp: r.lsp,
  hold: r.hold,
  missing: r.missing,
  why: r.why,
})
