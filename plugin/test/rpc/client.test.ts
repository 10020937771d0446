import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HostRpcError, HostUnansweredError, JsonStream, LightningRpc } from '../../src/rpc/index.js'

interface Request {
  readonly id: string
  readonly method: string
  readonly params: unknown
}

/** A lightningd that answers as the test says, on a real unix socket. */
class FakeLightningd {
  readonly dir = mkdtempSync(join(tmpdir(), 'rpc-'))
  readonly path = join(this.dir, 'lightning-rpc')
  readonly requests: Request[] = []
  readonly sockets = new Set<Socket>()
  connections = 0
  onRequest: (request: Request, socket: Socket) => void = () => undefined
  private server: Server | undefined

  listen(): Promise<void> {
    this.server = createServer((socket) => {
      this.connections++
      this.sockets.add(socket)
      const stream = new JsonStream()
      socket.on('error', () => undefined)
      socket.on('close', () => this.sockets.delete(socket))
      socket.on('data', (chunk) => {
        for (const message of stream.push(chunk)) {
          const request = message as unknown as Request
          this.requests.push(request)
          this.onRequest(request, socket)
        }
      })
    })
    return new Promise((resolve) => this.server?.listen(this.path, resolve))
  }

  stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    const { server } = this
    return new Promise((resolve) => (server === undefined ? resolve() : server.close(() => resolve())))
  }
}

const reply = (id: string, result: unknown): string => `${JSON.stringify({ jsonrpc: '2.0', id, result })}\n\n`

describe('LightningRpc', () => {
  let lightningd: FakeLightningd
  let rpc: LightningRpc
  beforeEach(async () => {
    lightningd = new FakeLightningd()
    await lightningd.listen()
    rpc = new LightningRpc(lightningd.path)
  })
  afterEach(async () => {
    rpc.close()
    await lightningd.stop()
    rmSync(lightningd.dir, { recursive: true })
  })

  it('matches answers to calls by id, in any order and cut anywhere, over one connection', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'binary' }), { minLength: 1, maxLength: 20 }),
        fc.infiniteStream(fc.nat()),
        async (words, random) => {
          const next = (below: number): number => (random.next().value as number) % below
          const waiting: Request[] = []
          lightningd.onRequest = (request, socket) => {
            waiting.push(request)
            if (waiting.length < words.length) return
            let out = Buffer.alloc(0)
            while (waiting.length > 0) {
              const [one] = waiting.splice(next(waiting.length), 1) as [Request]
              out = Buffer.concat([out, Buffer.from(reply(one.id, one.params))])
            }
            while (out.length > 0) {
              const size = 1 + next(out.length)
              socket.write(out.subarray(0, size))
              out = out.subarray(size)
            }
          }
          const results = await Promise.all(words.map((word) => rpc.call('echo', { word })))
          expect(results).toEqual(words.map((word) => ({ word })))
        },
      ),
      { numRuns: 30 },
    )
    expect(lightningd.connections).toBe(1)
  })

  it('gives lightningd’s refusal with its code, and goes on', async () => {
    lightningd.onRequest = ({ id }, socket) => {
      socket.write(JSON.stringify({ jsonrpc: '2.0', id, error: { code: 301, message: 'too poor', data: { need: 5 } } }))
    }
    const error = await rpc.call('txprepare').catch((e: unknown) => e)
    expect(error).toBeInstanceOf(HostRpcError)
    expect(error).toMatchObject({
      code: 'host_failed',
      method: 'txprepare',
      rpcCode: 301,
      rpcMessage: 'too poor',
      data: { need: 5 },
    })
    lightningd.onRequest = ({ id }, socket) => socket.write(reply(id, 1))
    expect(await rpc.call('getinfo')).toBe(1)
  })

  it('fails what a broken connection left open, executes nothing twice, and connects again', async () => {
    lightningd.onRequest = ({ id }, socket) => {
      const half = reply(id, { long: 'x'.repeat(1000) })
      socket.write(half.slice(0, 500), () => socket.destroy())
    }
    const calls = await Promise.allSettled([rpc.call('pay'), rpc.call('pay')])
    for (const call of calls) {
      expect(call.status).toBe('rejected')
      expect((call as PromiseRejectedResult).reason).toBeInstanceOf(HostUnansweredError)
    }
    const seen = lightningd.requests.length
    lightningd.onRequest = ({ id }, socket) => socket.write(reply(id, 'well'))
    expect(await rpc.call('getinfo')).toBe('well')
    expect(lightningd.requests).toHaveLength(seen + 1)
    expect(lightningd.connections).toBeGreaterThan(1)
  })

  it('reaches a lightningd that comes back', async () => {
    lightningd.onRequest = ({ id }, socket) => socket.write(reply(id, 1))
    await rpc.call('getinfo')
    await lightningd.stop()
    // What is sent before we see the end of the connection may fail; from then on calls wait for a new one.
    await rpc.call('getinfo').catch(() => undefined)
    const waiting = rpc.call('getinfo')
    const back = new Promise<void>((resolve) => setTimeout(resolve, 50)).then(() => lightningd.listen())
    expect(await waiting).toBe(1)
    await back
  })

  it('gives up a call after its time, ignores the late answer, and does not disturb others', async () => {
    const late: { id: string; socket: Socket }[] = []
    lightningd.onRequest = ({ id, method }, socket) => {
      if (method === 'slow') late.push({ id, socket })
      else {
        for (const one of late.splice(0)) one.socket.write(reply(one.id, 'late'))
        socket.write(reply(id, 'quick'))
      }
    }
    await expect(rpc.call('slow', {}, { timeout: 30 })).rejects.toThrow('no answer within 30 ms')
    expect(await rpc.call('quick')).toBe('quick')
    expect(lightningd.connections).toBe(1)
  })

  it('does not send a call that was given up before there was a connection', async () => {
    await lightningd.stop()
    lightningd.onRequest = ({ id }, socket) => socket.write(reply(id, 1))
    await expect(rpc.call('pay', {}, { timeout: 10 })).rejects.toThrow('no answer')
    const next = rpc.call('getinfo')
    await lightningd.listen()
    expect(await next).toBe(1)
    expect(lightningd.requests.map((r) => r.method)).toEqual(['getinfo'])
  })

  it('passes over notifications and unknown ids', async () => {
    lightningd.onRequest = ({ id }, socket) => {
      socket.write(JSON.stringify({ jsonrpc: '2.0', method: 'message', params: { id, level: 'info' } }))
      socket.write(reply('another', 'wrong'))
      socket.write(reply(id, 'right'))
    }
    expect(await rpc.call('close')).toBe('right')
  })

  it('takes garbage for a broken connection', async () => {
    lightningd.onRequest = (_request, socket) => socket.write('HTTP/1.1 400 Bad Request')
    await expect(rpc.call('getinfo')).rejects.toBeInstanceOf(HostUnansweredError)
    lightningd.onRequest = ({ id }, socket) => socket.write(JSON.stringify({ id, strange: true }))
    await expect(rpc.call('getinfo')).rejects.toThrow('neither result nor error')
  })

  it('says when there is no lightningd', async () => {
    await expect(new LightningRpc(join(lightningd.dir, 'nothing')).call('getinfo')).rejects.toThrow(/can't reach/)
  })

  it('fails every call once it is closed', async () => {
    const open = rpc.call('waitsendpay', {}, { timeout: 0 })
    await new Promise((resolve) => setTimeout(resolve, 20))
    rpc.close()
    await expect(open).rejects.toThrow('closed')
    await expect(rpc.call('getinfo')).rejects.toThrow('closed')
  })
})
