import { createConnection, type Socket } from 'node:net'
import { FactoryError } from '@ln-factory/tlv'
import { HostRpcError, HostUnansweredError } from './errors.js'
import { JsonStream } from './json-stream.js'

export interface CallOptions {
  /** Milliseconds until the call is given up; 0 waits for ever. */
  readonly timeout?: number
}

/** What calls lightningd: the client below, or a stand-in. */
export interface HostRpc {
  call(method: string, params?: object, options?: CallOptions): Promise<unknown>
}

interface Pending {
  readonly method: string
  readonly resolve: (result: unknown) => void
  readonly reject: (error: FactoryError) => void
  readonly timer: NodeJS.Timeout | undefined
}

const DEFAULT_TIMEOUT = 60_000
/** Waits between attempts to connect, in milliseconds: lightningd may be restarting, or its backlog full. */
const RETRY_DELAYS = [20, 100, 300, 600, 1000]

/**
 * lightningd's JSON-RPC over its unix socket: one connection, any number of calls at once, answers matched by id. A call whose
 * connection breaks fails at once and is not repeated, because lightningd may have executed it; the next call connects again.
 */
export class LightningRpc implements HostRpc {
  private socket: Socket | undefined
  private connecting: Promise<Socket> | undefined
  private readonly pending = new Map<string, Pending>()
  private lastId = 0
  private closed = false

  constructor(
    private readonly path: string,
    private readonly defaultTimeout: number = DEFAULT_TIMEOUT,
  ) {}

  /**
   * @throws HostRpcError lightningd refused
   * @throws HostUnansweredError no answer: whether it was executed is unknown
   */
  async call(method: string, params: object = {}, options: CallOptions = {}): Promise<unknown> {
    const id = `cln-factory:${method}#${++this.lastId}`
    const timeout = options.timeout ?? this.defaultTimeout
    return new Promise((resolve, reject) => {
      const timer =
        timeout === 0
          ? undefined
          : setTimeout(() => {
              this.settle(id)?.reject(new HostUnansweredError(method, `no answer within ${timeout} ms`))
            }, timeout)
      this.pending.set(id, { method, resolve, reject, timer })
      this.connection().then(
        (socket) => {
          // It may have timed out while we connected: then it must not be executed any more.
          if (this.pending.has(id)) socket.write(JSON.stringify({ jsonrpc: '2.0', id, method, params }))
        },
        (cause: unknown) => {
          const why = cause instanceof Error ? cause.message : String(cause)
          this.settle(id)?.reject(new HostUnansweredError(method, `can't reach lightningd: ${why}`))
        },
      )
    })
  }

  /** Fails all open calls and every later one. */
  close(): void {
    this.closed = true
    this.socket?.destroy()
    this.failAll('connection closed by us')
  }

  private async connection(): Promise<Socket> {
    if (this.closed) throw new FactoryError('host_failed', 'RPC client is closed')
    if (this.socket !== undefined) return this.socket
    this.connecting ??= this.connect().finally(() => {
      this.connecting = undefined
    })
    return this.connecting
  }

  private async connect(): Promise<Socket> {
    for (const delay of RETRY_DELAYS) {
      try {
        return await this.connectOnce()
      } catch (error) {
        if (this.closed) throw error
        await new Promise((resolve) => setTimeout(resolve, delay))
      }
    }
    return this.connectOnce()
  }

  private connectOnce(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ path: this.path })
      const stream = new JsonStream()
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        // 'close' follows every 'error', and is where open calls are failed.
        socket.on('error', () => undefined)
        if (this.closed) {
          socket.destroy()
          reject(new FactoryError('host_failed', 'RPC client is closed'))
          return
        }
        this.socket = socket
        resolve(socket)
      })
      socket.on('data', (chunk: Buffer) => {
        this.receive(socket, stream, chunk)
      })
      socket.once('end', () => socket.destroy())
      socket.once('close', () => {
        if (this.socket !== socket) return
        this.socket = undefined
        this.failAll('connection to lightningd lost')
      })
    })
  }

  private receive(socket: Socket, stream: JsonStream, chunk: Uint8Array): void {
    let messages: Record<string, unknown>[]
    try {
      messages = stream.push(chunk)
    } catch {
      socket.destroy()
      return
    }
    for (const message of messages) this.answer(message)
  }

  private answer(message: Record<string, unknown>): void {
    // lightningd sends progress notifications on the same connection; they carry no id. A late answer to a call that was
    // given up finds nothing either.
    const call = typeof message['id'] === 'string' ? this.settle(message['id']) : undefined
    if (call === undefined) return
    const error = message['error']
    if (typeof error === 'object' && error !== null) {
      const { code, message: text, data } = error as { code?: unknown; message?: unknown; data?: unknown }
      call.reject(
        new HostRpcError(call.method, typeof code === 'number' ? code : 0, typeof text === 'string' ? text : '', data),
      )
    } else if ('result' in message) call.resolve(message['result'])
    else call.reject(new HostUnansweredError(call.method, 'an answer with neither result nor error'))
  }

  private settle(id: string): Pending | undefined {
    const call = this.pending.get(id)
    if (call === undefined) return undefined
    this.pending.delete(id)
    clearTimeout(call.timer)
    return call
  }

  private failAll(why: string): void {
    for (const [id, call] of [...this.pending]) {
      this.settle(id)
      call.reject(new HostUnansweredError(call.method, why))
    }
  }
}
