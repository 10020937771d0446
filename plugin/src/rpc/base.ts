/**
 * clightningjs' Plugin class, typed. Its registries (`methods`, `options`, `hooks`, `notifications`) and the calls that fill
 * them are kept; what moves bytes is replaced in plugin.ts, because it parses stdin read by read (a message cut in two
 * throws), drops errors of hooks, and can't express all of today's manifest.
 */
import type { EventEmitter } from 'node:events'
import Plugin from 'clightningjs'

/** One entry of clightningjs' `methods`. */
export interface BaseMethod {
  readonly name: string
  readonly usage: string
  readonly description: string
  readonly longDescription: string
  main: (params: unknown) => unknown
}

export interface BaseOption {
  type: string
  default: unknown
  description: string
  value: unknown
}

export interface BasePlugin {
  options: Record<string, BaseOption>
  methods: BaseMethod[]
  notifications: Record<string, EventEmitter>
  hooks: Record<string, (params: unknown) => unknown>
  dynamic: boolean
  addMethod(
    name: string,
    callback: (params: unknown) => unknown,
    usage?: string,
    description?: string,
    longDescription?: string,
  ): void
  addHook(name: string, callback: (params: unknown) => unknown): void
  subscribe(name: string): void
  log(message: string, level?: 'debug' | 'info' | 'warn' | 'error'): void
  _write(content: string): Promise<void>
  _getmanifest(params: unknown): object
  _writeJsonrpcNotification(method: string, params: object): Promise<void>
  _writeJsonrpcResponse(result: unknown, id: string | number, isError?: boolean): Promise<void>
}

export const BasePlugin = Plugin as new (params?: { dynamic: boolean }) => BasePlugin
