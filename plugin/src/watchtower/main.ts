/**
 * ln-factory-watchtower: guards factories with a bitcoind and nothing else. It holds no key; what it is fed with it sends when the chain
 * asks for it.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Tower } from '@ln-factory/core/watchtower'
import { BitcoindChain } from './chain.js'
import { Inbox } from './inbox.js'
import { readFeeders } from './secret.js'
import { serve } from './server.js'
import { SqliteTowerStore } from './store.js'

const USAGE = `ln-factory-watchtower --dir <directory> --bitcoind <url> --cookie <file> [options]

  --dir <directory>     its database, and inbox/ for bundles by file (*.json)
  --bitcoind <url>      bitcoind's RPC, for example http://127.0.0.1:8332
  --cookie <file>       holds user:password: bitcoind's own .cookie, or a file of the same form
  --listen <host:port>  take bundles over HTTP too; needs --feeders
  --feeders <file>      lines of "name secret" (32 bytes in hex), readable by you alone
  --interval <seconds>  between two looks at the chain; default 10
`

const log = (level: string, text: string): void => {
  console.log(`${new Date().toISOString()} ${level} ${text}`)
}
const explain = (error: unknown): string => (error instanceof Error ? error.message : String(error))

function given(): {
  dir: string
  bitcoind: string
  cookie: string
  listen: string | undefined
  feeders: string | undefined
  seconds: number
} {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      dir: text,
      bitcoind: text,
      cookie: text,
      listen: text,
      feeders: text,
      interval: { type: 'string', default: '10' },
      help: { type: 'boolean' },
    },
  })
  const { dir, bitcoind, cookie, listen, feeders } = values
  const seconds = Number(values.interval)
  if (values.help === true) {
    console.log(USAGE)
    process.exit(0)
  }
  if (dir === undefined || bitcoind === undefined || cookie === undefined)
    throw new Error('--dir, --bitcoind and --cookie are needed')
  if ((listen === undefined) !== (feeders === undefined)) throw new Error('--listen and --feeders go together')
  if (!(seconds >= 1 && seconds <= 3600)) throw new Error('--interval is 1 to 3600 seconds')
  return { dir, bitcoind, cookie, listen, feeders, seconds }
}

function start(): void {
  const { dir, bitcoind, cookie, listen, feeders, seconds } = given()
  const store = new SqliteTowerStore(join(dir, 'watchtower.sqlite3'))
  const inbox = new Inbox(join(dir, 'inbox'))
  const tower = new Tower({ chain: new BitcoindChain(bitcoind, cookie), store, log })
  let timer: NodeJS.Timeout | undefined
  let busy = false

  const look = async (): Promise<void> => {
    if (busy) return
    busy = true
    clearTimeout(timer)
    try {
      await tower.sync()
      if (
        inbox.take(tower, (text) => {
          log('info', text)
        }) > 0
      )
        await tower.sync()
    } catch (error) {
      log('error', explain(error))
    } finally {
      busy = false
      timer = setTimeout(() => void look(), 1000 * seconds)
    }
  }

  const server =
    listen === undefined || feeders === undefined ? undefined : serve(tower, readFeeders(feeders), () => void look())
  const [host, port] = [listen?.replace(/:\d+$/, ''), Number(/:(\d+)$/.exec(listen ?? '')?.[1])]
  server?.on('error', (error) => {
    log('error', `can't listen on ${listen ?? ''}: ${error.message}`)
    process.exit(1)
  })
  server?.listen(port, host, () => {
    log('info', `listening on ${listen ?? ''}`)
  })

  const stop = (): void => {
    clearTimeout(timer)
    server?.close()
    store.close()
    process.exit(0)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  log('info', `guards ${tower.status().bundles.length} factories`)
  void look()
}

try {
  start()
} catch (error) {
  console.error(explain(error))
  console.error(USAGE)
  process.exit(1)
}
