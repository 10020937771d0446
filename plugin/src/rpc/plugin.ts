import type { EventEmitter } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { FactoryError } from '@ln-factory/tlv'
import { BasePlugin } from './base.js'
import { INVALID_REQUEST, METHOD_NOT_FOUND, toJsonRpcError } from './errors.js'
import { JsonStream } from './json-stream.js'

/** lightningd's `init` request, as far as it is used. */
export interface InitParams {
  readonly options: Readonly<Record<string, unknown>>
  readonly configuration: {
    readonly 'lightning-dir': string
    readonly 'rpc-file': string
    readonly network: string
    readonly startup: boolean
  }
}

/** What else lightningd must know about us (manifest of the plugin API). */
export interface PluginSpec {
  /** Even message types that we understand; lightningd hangs up on others. */
  readonly customMessages: readonly number[]
  /** Feature bits to set, hex as lightningd wants it. */
  readonly featureBits: { readonly init?: string; readonly node?: string }
}

export interface HookSpec {
  /** Plugins that come after (before) us in the chain. */
  readonly before?: readonly string[]
  readonly after?: readonly string[]
  /** Only these, for hooks with filters (`custommsg`: message types). */
  readonly filters?: readonly (string | number)[]
  /** Answered when the handler throws: lightningd dies of a hook that answers with an error. */
  readonly fallback: object
}

export interface OptionSpec {
  readonly name: string
  readonly type: 'string' | 'int' | 'bool' | 'flag'
  readonly default?: string | number | boolean
  readonly description: string
  readonly multi?: boolean
}

/** Checks parameters without doing anything; throws FactoryError `bad_parameter`. */
export type ParamsCheck = (params: unknown) => void

type Params = Readonly<Record<string, unknown>> | readonly unknown[]

/** A node holds its channels by us: never `dynamic`, which lightningd also demands for feature bits. */
export class FactoryPlugin extends BasePlugin {
  /** Called once for lightningd's `init`, before it is answered. A string returned is the reason to disable the plugin. */
  onInit: (params: InitParams) => Promise<string | undefined> = () => Promise.resolve(undefined)
  /** Called once when lightningd lets us go: `shutdown`, or its end of the pipe closed. */
  onShutdown: () => void = () => undefined

  private output: Writable | undefined
  private shuttingDown = false
  private readonly hookSpecs = new Map<string, HookSpec>()
  private readonly optionSpecs: OptionSpec[] = []
  private readonly checks = new Map<string, ParamsCheck>()

  constructor(private readonly spec: PluginSpec) {
    super({ dynamic: false })
    // Who does not ask to be told is killed.
    this.subscribe('shutdown')
  }

  /** clightningjs' addMethod, with the check that `lightning-cli check` runs. */
  override addMethod(
    name: string,
    callback: (params: unknown) => unknown,
    usage = '',
    description = '',
    longDescription = description,
    check?: ParamsCheck,
  ): void {
    super.addMethod(name, callback, usage, description, longDescription)
    if (check !== undefined) this.checks.set(name, check)
  }

  /** clightningjs' addOption refuses empty and false defaults, and knows no `multi`. */
  addOption(option: OptionSpec): void {
    this.optionSpecs.push(option)
    this.options[option.name] = {
      type: option.type,
      default: option.default,
      description: option.description,
      value: option.default,
    }
  }

  override addHook(
    name: string,
    callback: (params: unknown) => unknown,
    spec: HookSpec = { fallback: CONTINUE },
  ): void {
    super.addHook(name, callback)
    this.hookSpecs.set(name, spec)
  }

  /** Subscribe to a topic of lightningd; `handler` gets the notification's parameters. */
  onNotification(topic: string, handler: (params: unknown) => void): void {
    if (this.notifications[topic] === undefined) this.subscribe(topic)
    ;(this.notifications[topic] as EventEmitter).on(topic, handler)
  }

  override _getmanifest(): object {
    return {
      options: this.optionSpecs,
      rpcmethods: this.methods.map((m) => ({
        name: m.name,
        usage: m.usage,
        description: m.description,
        long_description: m.longDescription,
      })),
      subscriptions: Object.keys(this.notifications),
      hooks: [...this.hookSpecs].map(([name, { before, after, filters }]) => ({
        name,
        ...(before === undefined ? {} : { before }),
        ...(after === undefined ? {} : { after }),
        ...(filters === undefined ? {} : { filters }),
      })),
      custommessages: this.spec.customMessages,
      featurebits: this.spec.featureBits,
      dynamic: false,
      nonnumericids: true,
      cancheck: true,
    }
  }

  override _write(content: string): Promise<void> {
    // Node queues what the pipe does not take yet; order is kept.
    this.output?.write(content + '\n\n')
    return Promise.resolve()
  }

  /** Read lightningd's requests from `input` until it ends; answers and logs go to `output`, and nothing else may. */
  start(input: Readable = process.stdin, output: Writable = process.stdout): void {
    const stream = new JsonStream()
    this.output = output
    // lightningd is gone when its pipe breaks; the end of the input tells us the same.
    output.on('error', () => {
      this.shutdown()
    })
    input.on('data', (chunk: Buffer) => {
      let messages: Record<string, unknown>[]
      try {
        messages = stream.push(chunk)
      } catch (error) {
        this.log(`lightningd sent no JSON: ${String(error)}`, 'error')
        input.destroy()
        this.shutdown()
        return
      }
      for (const message of messages) this.dispatch(message)
    })
    input.once('end', () => {
      this.shutdown()
    })
    input.once('error', () => {
      this.shutdown()
    })
  }

  private shutdown(): void {
    if (this.shuttingDown) return
    this.shuttingDown = true
    this.onShutdown()
  }

  private dispatch(message: Record<string, unknown>): void {
    const { method, id } = message
    const params = (message['params'] ?? {}) as Params
    if (typeof method !== 'string') return
    if (typeof id !== 'string' && typeof id !== 'number') {
      this.notify(method, params)
      return
    }
    this.answer(method, params)
      .then(
        (result) => this._writeJsonrpcResponse(result, id),
        (error: unknown) => {
          if (!(error instanceof FactoryError)) this.log(`${method} failed: ${describe(error)}`, 'error')
          return this._writeJsonrpcResponse(
            error instanceof ProtocolError ? error.json : toJsonRpcError(error),
            id,
            true,
          )
        },
      )
      .catch((error: unknown) => {
        // An answer that is no JSON (a bigint, a cycle): the caller must not wait for ever.
        this.log(`${method}: answer can't be sent: ${describe(error)}`, 'error')
        void this._writeJsonrpcResponse(toJsonRpcError(error), id, true)
      })
  }

  private notify(topic: string, params: Params): void {
    try {
      this.notifications[topic]?.emit(topic, params)
    } catch (error) {
      this.log(`notification ${topic}: ${describe(error)}`, 'error')
    }
    if (topic === 'shutdown') this.shutdown()
  }

  private async answer(method: string, params: Params): Promise<unknown> {
    if (method === 'getmanifest') return this._getmanifest()
    if (method === 'init') return this.initialise(params as unknown as InitParams)
    if (method === 'check') return this.check(params)
    const hook = this.hooks[method]
    if (hook !== undefined) return this.runHook(method, hook, params)
    return this.find(method).main(params)
  }

  private async initialise(params: InitParams): Promise<object> {
    for (const [name, value] of Object.entries(params.options)) {
      const option = this.options[name]
      if (option !== undefined) option.value = value
    }
    const disable = await this.onInit(params)
    return disable === undefined ? {} : { disable }
  }

  private async runHook(name: string, hook: (params: unknown) => unknown, params: Params): Promise<unknown> {
    try {
      return await hook(params)
    } catch (error) {
      this.log(`hook ${name} failed: ${describe(error)}`, 'error')
      return this.hookSpecs.get(name)?.fallback ?? CONTINUE
    }
  }

  private check(params: Params): object {
    const { name, rest } = splitCheck(params)
    this.find(name)
    this.checks.get(name)?.(rest)
    return { command_to_check: name }
  }

  private find(name: string): { main: (params: unknown) => unknown } {
    const method = this.methods.find((m) => m.name === name)
    if (method === undefined) throw new ProtocolError({ code: METHOD_NOT_FOUND, message: `unknown command '${name}'` })
    return method
  }
}

const CONTINUE = { result: 'continue' }

class ProtocolError extends Error {
  constructor(readonly json: { readonly code: number; readonly message: string }) {
    super(json.message)
  }
}

const describe = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error))

/** `check` comes with the parameters of the command it checks, and the command's name among them or in front. */
function splitCheck(params: Params): { name: string; rest: Params } {
  let name: unknown
  let rest: Params
  if (Array.isArray(params)) {
    name = params[0]
    rest = params.slice(1)
  } else {
    const { command_to_check: command, ...others } = params as Record<string, unknown>
    name = command
    rest = others
  }
  if (typeof name !== 'string') throw new ProtocolError({ code: INVALID_REQUEST, message: 'check: no command named' })
  return { name, rest }
}
