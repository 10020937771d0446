/** A node's side: every tower is brought every factory's bundle, when it is new and again until the tower has it. */
import type { FactoryApi } from '@ln-factory/core/runner'
import type { InstanceId } from '@ln-factory/core/units'
import { encodeBundle } from '@ln-factory/core/watchtower'
import type { Host } from '@ln-factory/core/host'
import { authorize, type TowerAddress } from './secret.js'
import { BUNDLE_PATH } from './server.js'

const TIMEOUT_MS = 20_000

interface Fed {
  /** Last line of the factory's log that the bundle takes account of. */
  readonly seq: number
  readonly sequence: number
}

export class TowerFeed {
  readonly #fed = new Map<string, Fed>()
  readonly #failed = new Map<string, string>()
  #busy = false

  constructor(
    private readonly api: Pick<FactoryApi, 'list' | 'bundle' | 'log'>,
    private readonly towers: readonly TowerAddress[],
    private readonly log: Host['log'],
    private readonly send: typeof fetch = fetch,
  ) {}

  /** Call it now and then. Never rejects: a tower that can't be reached is tried again the next time. */
  async run(): Promise<void> {
    if (this.#busy || this.towers.length === 0) return
    this.#busy = true
    try {
      for (const { instance, phase } of await this.api.list()) {
        if (phase === 'forming' || phase === 'aborted') continue
        for (const tower of this.towers) await this.#feed(tower, instance)
      }
    } catch (error) {
      this.#complain('all', `the watchtowers could not be fed: ${explain(error)}`)
    } finally {
      this.#busy = false
    }
  }

  async #feed(tower: TowerAddress, instance: InstanceId): Promise<void> {
    const key = `${tower.url} ${instance}`
    const fed = this.#fed.get(key)
    // Whatever changes what must be answered leaves a line in the factory's log.
    const news = this.api.log({ instance, after: fed?.seq, limit: 1000 })
    const seq = news.at(-1)?.seq ?? fed?.seq ?? 0
    if (fed !== undefined && news.length === 0) return
    try {
      const bundle = this.api.bundle(instance)
      if (fed?.sequence !== bundle.sequence) await this.#put(tower, encodeBundle(bundle))
      this.#fed.set(key, { seq, sequence: bundle.sequence })
      if (this.#failed.delete(key)) this.log('info', `watchtower ${tower.url} has factory ${instance} again`)
    } catch (error) {
      this.#complain(key, `watchtower ${tower.url} does not guard factory ${instance}: ${explain(error)}`)
    }
  }

  async #put({ url, name, secret }: TowerAddress, body: string): Promise<void> {
    const headers = {
      authorization: authorize(name, secret, 'PUT', BUNDLE_PATH, body),
      'content-type': 'application/json',
    }
    const response = await this.send(url + BUNDLE_PATH, {
      method: 'PUT',
      body,
      headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    // Its words go to our log: bounded, and on one line.
    const text = (await response.text()).slice(0, 300).replace(/\p{Cc}/gu, ' ')
    if (!response.ok) throw new Error(`${response.status} ${text}`)
  }

  #complain(key: string, text: string): void {
    if (this.#failed.get(key) === text) return
    this.#failed.set(key, text)
    this.log('warn', text)
  }
}

const explain = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
