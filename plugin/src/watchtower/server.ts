/** Bundles over the wire: `PUT /v1/bundle` brings one, `GET /v1/status` says what is guarded. One small HTTP server. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { towerLimits, type Tower } from '@ln-factory/core/watchtower'
import { FactoryError } from '@ln-factory/tlv'
import { claimedName, isAuthentic } from './secret.js'

const MAX_CONNECTIONS = 32
const TIMEOUT_MS = 15_000

export const BUNDLE_PATH = '/v1/bundle'
export const STATUS_PATH = '/v1/status'

class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message)
  }
}

/** @param changed called after a bundle was taken */
export function serve(
  tower: Pick<Tower, 'accept' | 'status'>,
  feeders: ReadonlyMap<string, string>,
  changed: () => void,
): Server {
  const server = createServer(
    { requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS, maxHeaderSize: 8192 },
    (request, response) => {
      answer(tower, feeders, request).then(
        (body) => {
          reply(response, 200, body)
          if (request.method === 'PUT') changed()
        },
        (error: unknown) => {
          if (error instanceof Refusal) reply(response, error.status, { error: error.message })
          else if (error instanceof FactoryError)
            reply(response, 400, { code: error.code, error: error.message, hint: error.hint })
          else reply(response, 500, { error: 'internal' })
          // What is still coming is not read.
          request.destroy()
        },
      )
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  server.keepAliveTimeout = 1000
  return server
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' })
  response.end(JSON.stringify(body))
}

async function answer(
  tower: Pick<Tower, 'accept' | 'status'>,
  feeders: ReadonlyMap<string, string>,
  request: IncomingMessage,
): Promise<object> {
  const { method = '', url: path = '', headers } = request
  const name = claimedName(headers.authorization)
  const secret = name === undefined ? undefined : feeders.get(name)
  // Who is nobody here is not even read.
  if (name === undefined || secret === undefined || headers.authorization === undefined)
    throw new Refusal(401, 'unknown')
  const body = await read(request)
  if (!isAuthentic(headers.authorization, secret, method, path, body)) throw new Refusal(401, 'unknown')
  if (method === 'PUT' && path === BUNDLE_PATH) return tower.accept(name, body)
  if (method === 'GET' && path === STATUS_PATH) return tower.status(name)
  throw new Refusal(404, `no ${method} ${path}`)
}

async function read(request: IncomingMessage): Promise<string> {
  const most = towerLimits.bundleBytes
  if (Number(request.headers['content-length'] ?? 0) > most) throw new Refusal(413, `more than ${most} bytes`)
  const parts: Buffer[] = []
  let size = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length
    if (size > most) throw new Refusal(413, `more than ${most} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}
