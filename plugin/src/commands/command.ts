/**
 * A command of ours: its words, its parameters, and what it does. Parameters come as lightningd gives them, a list (by position)
 * or an object (by name); both are checked strictly before anything happens. No command knows how requests travel.
 */
import type { FactoryApi } from '@ln-factory/core/runner'
import type { BackupReport } from '@ln-factory/core/store/sqlite'
import { FactoryError } from '@ln-factory/tlv'
import { z } from 'zod'
import { firstIssue } from '../options/values.js'
import type { FactoryConfig } from '../options/index.js'

export type Json = string | number | boolean | null | JsonObject | readonly Json[]
/** `undefined` is left out. */
export interface JsonObject {
  readonly [key: string]: Json | undefined
}

/** lightningd's own commands. */
export interface Rpc {
  /** @param options.timeout milliseconds; 0 waits for ever */
  call(method: string, params: object, options?: { readonly timeout?: number }): Promise<unknown>
}

/** Copies of the database. Both throw FactoryError. */
export interface Backups {
  save(file: string): BackupReport
  stage(file: string): BackupReport
}

export interface CommandContext {
  readonly backups: Backups
  readonly api: FactoryApi
  readonly rpc: Rpc
  readonly config: FactoryConfig
}

export interface Command {
  readonly name: string
  /** Parameters as `lightning-cli help` shows them: required ones first, optional ones in brackets. */
  readonly usage: string
  readonly description: string
  readonly longDescription: string
  /** Checks the parameters and does nothing. @throws FactoryError `bad_parameter` */
  validate(params: unknown): void
  /** @throws FactoryError `bad_parameter` before anything was done; else what the command's documentation lists */
  run(context: CommandContext, params: unknown): Promise<JsonObject>
}

interface Definition<S extends z.ZodRawShape> {
  readonly name: string
  readonly description: string
  /** Sentences on what happens, units and refusals; the parameters' own descriptions are added below them. */
  readonly details: string
  /** In the order of positions. Each has a description. */
  readonly params: S
  /** What no single parameter can tell. @throws FactoryError `bad_parameter` */
  readonly check?: (args: z.output<z.ZodObject<S>>) => void
  readonly run: (context: CommandContext, args: z.output<z.ZodObject<S>>) => Promise<JsonObject>
}

export function defineCommand<S extends z.ZodRawShape>(definition: Definition<S>): Command {
  const { name, description, details, params, check, run } = definition
  const schema = z.strictObject(params)
  const fields = Object.entries(params).map(([field, type]) => describeField(field, type))

  const parse = (raw: unknown): z.output<z.ZodObject<S>> => {
    const parsed = schema.safeParse(byName(name, Object.keys(params), raw))
    if (!parsed.success) {
      const hint = `lightning-cli help ${name}`
      throw new FactoryError('bad_parameter', `${name}: ${firstIssue(parsed.error)}`, hint)
    }
    check?.(parsed.data)
    return parsed.data
  }

  return {
    name,
    usage: fields.map((f) => (f.required ? f.name : `[${f.name}]`)).join(' '),
    description,
    longDescription: [details, ...fields.map((f) => `${f.name}: ${f.help}${f.required ? '' : ' (optional)'}`)].join(
      '\n',
    ),
    validate: (raw) => {
      parse(raw)
    },
    run: async (context, raw) => run(context, parse(raw)),
  }
}

function describeField(name: string, type: z.core.$ZodType): { name: string; required: boolean; help: string } {
  return {
    name,
    required: !z.safeParse(type, undefined).success,
    help: z.globalRegistry.get(type)?.description ?? '',
  }
}

/** As lightningd's own commands do, a `null` stands for a parameter that is left out. */
function byName(command: string, names: readonly string[], raw: unknown): Readonly<Record<string, unknown>> {
  const given: Record<string, unknown> = {}
  if (Array.isArray(raw)) {
    if (raw.length > names.length) {
      throw new FactoryError(
        'bad_parameter',
        `${command}: ${raw.length} parameters, and it takes ${names.length} at most`,
      )
    }
    names.forEach((name, i) => (given[name] = raw[i] as unknown))
  } else if (typeof raw === 'object' && raw !== null) {
    for (const [name, value] of Object.entries(raw)) {
      if (!names.includes(name)) {
        const takes = names.length === 0 ? 'it takes none' : `it takes ${names.join(', ')}`
        throw new FactoryError('bad_parameter', `${command}: no parameter is called ${JSON.stringify(name)}; ${takes}`)
      }
      given[name] = value
    }
  } else if (raw !== undefined) {
    throw new FactoryError('bad_parameter', `${command}: parameters must be a list or an object`)
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null && value !== undefined))
}
