import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'
import { defineCommand, type Command } from './command.js'

/** The commands' own words, for those who have no manual at hand. */
export const helpFor = (others: readonly Command[]): Command => {
  const help: Command = defineCommand({
    name: 'factory-help',
    description: 'Explain the factory commands',
    details: 'Without a parameter it lists them; results and error codes are in docs/rpc.md.',
    params: { command: z.string().optional().describe('one command, with or without factory- in front') },
    run: (_, { command }) => {
      const all = [...others, help]
      if (command === undefined) {
        return Promise.resolve({
          help: all.map(({ name, usage, description }) => ({ command: `${name} ${usage}`.trim(), description })),
        })
      }
      const found = all.find(({ name }) => name === command || name === `factory-${command}`)
      if (found === undefined) {
        const known = all.map(({ name }) => name).join(', ')
        throw new FactoryError('bad_parameter', `factory-help: no command is called ${JSON.stringify(command)}`, known)
      }
      const { name, usage, description, longDescription } = found
      return Promise.resolve({
        help: [{ command: `${name} ${usage}`.trim(), description, details: longDescription.split('\n') }],
      })
    },
  })
  return help
}
