/**
 * A client that answers as it should and checks nothing: it looks the transactions and the aggregate keys up in the LSP's memory.
 * At many hundreds of clients in one process, the others' key aggregation would be nearly all of the time; what the LSP
 * gets to see, and every byte on the wire, is the same.
 */
import { randomBytes } from 'node:crypto'
import { decodeFactoryMessage, decodePayload, piggyback, type Payload } from '@ln-factory/tlv'
import { spendAggregate } from '@ln-factory/core/ceremony'
import type { Effect, Event } from '@ln-factory/core/machine'
import { generateNonce, openSession, SecretKey, type SecretNonce } from '@ln-factory/core/signing'
import type { FactoryKeys, Spend } from '@ln-factory/core/tree'
import { participantIndex, type NodeId, type ParticipantIndex } from '@ln-factory/core/units'
import { idOf, type LspParty } from './party.js'

const random = (bytes: number): Uint8Array => new Uint8Array(randomBytes(bytes))

export class Puppet {
  readonly id: NodeId
  readonly #secretKey = SecretKey.fromBytes(random(32))
  readonly #self: ParticipantIndex
  #nonces: readonly SecretNonce[] = []
  #ready = false

  constructor(
    readonly name: string,
    position: number,
    readonly lsp: LspParty,
  ) {
    this.id = idOf(name)
    this.#self = participantIndex(position + 1)
  }

  get ready(): boolean {
    return this.#ready
  }

  grant(): boolean {
    return true
  }

  encode(payload: Payload): Uint8Array[] {
    return piggyback(payload)
  }

  receive(_peer: NodeId, body: Uint8Array): readonly Effect[] {
    const message = decodeFactoryMessage(body)
    if (message.kind !== 'factory_piggyback') return []
    const payload = decodePayload(message.payload)
    if (payload.kind === 'unknown_odd') return []
    const answer = this.#answer(payload)
    return answer === undefined ? [] : [{ do: 'send', peer: this.lsp.id, payload: answer }]
  }

  handle(event: Event): readonly Effect[] {
    if (event.type === 'channelsChanged') return [{ do: 'call', call: { call: 'channels' } }]
    if (event.type !== 'done' || event.done.call !== 'channels') return []
    const [channel] = event.done.channels
    if (channel === undefined) return []
    this.#ready = true
    const channelId = Uint8Array.from(Buffer.from(channel.channelId, 'hex'))
    const { instance } = this.lsp.state
    const instanceId = Uint8Array.from(Buffer.from(instance, 'hex'))
    return [{ do: 'send', peer: this.lsp.id, payload: { kind: 'channel_ready', instanceId, channelId } }]
  }

  #answer(payload: Payload): Payload | undefined {
    const { instanceId } = payload
    switch (payload.kind) {
      case 'invite': {
        const payoutScript = Uint8Array.of(0x51, 32, ...random(32))
        return { kind: 'accept', instanceId, factoryKey: this.#secretKey.publicKey, keySalt: random(16), payoutScript }
      }
      case 'propose': {
        const { keys, spends } = this.#path()
        const nonces = spends.map((spend) =>
          generateNonce({
            secretKey: this.#secretKey,
            aggregate: spendAggregate(spend, keys),
            message: spend.sighash,
            entropy: () => random(32),
          }),
        )
        this.#nonces = nonces.map((nonce) => nonce.secret)
        return { kind: 'nonces', instanceId, nonces: nonces.map((nonce) => nonce.public) }
      }
      case 'aggregated_nonces': {
        const { keys, spends } = this.#path()
        const signatures = spends.map((spend, i) => {
          const aggregatedNonce = payload.nonces[i]
          const nonce = this.#nonces[i]
          if (aggregatedNonce === undefined || nonce === undefined) throw new Error(`no nonce for ${spend.id}`)
          const aggregate = spendAggregate(spend, keys)
          return openSession({ aggregate, message: spend.sighash, aggregatedNonce }).sign(nonce, this.#secretKey)
        })
        return { kind: 'partial_signatures', instanceId, signatures }
      }
      case 'signatures':
        return { kind: 'stored', instanceId }
      default:
        return undefined
    }
  }

  #path(): { readonly keys: FactoryKeys; readonly spends: readonly Spend[] } {
    const { keys, tree } = this.lsp.live
    if (keys === undefined || tree === undefined) throw new Error('the LSP is not signing')
    const ids = new Set(tree.pathIds(this.#self))
    const byId = new Map(tree.spends.filter((spend) => ids.has(spend.id)).map((spend) => [spend.id, spend]))
    const spends = [...ids].flatMap((id) => byId.get(id) ?? [])
    return { keys, spends }
  }
}
