/** What factories cost and earn. */
import { instance } from '../options/values.js'
import { defineCommand } from './command.js'
import { economicsResult } from './ladder-results.js'

export const economics = defineCommand({
  name: 'factory-economics',
  description: 'Show costs, earnings, coverage and exit floor, by factory and client',
  details:
    'paid is what went to miners until now. coverage is what a client gets at the least if the LSP does nothing until the expiry, and its level ' +
    'is near from 90 % on, over when the balance is more. exit_floor is what leaving alone costs a client at the feerate of today.',
  params: { instance_id: instance.optional().describe('only this factory; default all that had a funding') },
  run: async ({ api }, { instance_id }) => ({ factories: (await api.economics(instance_id)).map(economicsResult) }),
})
