/** One client that leaves a factory with the LSP's help, and what tests look at. */
import { createHash } from 'node:crypto'
import { expect } from 'vitest'
import type { ClientState, LspState } from '../../src/ceremony/index.js'
import { unpackState } from '../../src/runner/index.js'
import { openMemoryStore } from '../../src/store/memory/index.js'
import { SecretKey, verifySchnorr } from '../../src/signing/index.js'
import { decodeTx, type DecodedTx } from '../../src/tree/index.js'
import { assistOutput, buildClaim } from '../../src/assist/output.js'
import type { AssistTerms } from '../../src/assist/state.js'
import { claimFeerates } from '../../src/assist/terms.js'
import { keyItem } from '../../src/turnover/index.js'
import type { AssistResult } from '../../src/runner/index.js'
import { msat, sat, txid, type Blocks, type InstanceId, type NodeId, type Sat } from '../../src/units/index.js'
import type { SimChannel } from '../simulation/host.js'
import { Net } from '../simulation/net.js'

export const BALANCE = msat(500_000_123n)

export interface Scene {
  readonly net: Net
  readonly instance: InstanceId
  /** Who leaves. */
  readonly client: NodeId
}

/** A factory of two clients, both with a balance, and a second coin of the LSP. */
export async function scene(seed = 1, lifetime?: Blocks): Promise<Scene> {
  const net = await Net.of(seed, 2)
  const request = net.request()
  const instance = await net.active(lifetime === undefined ? request : { ...request, lifetime })
  addCoin(net)
  for (const id of net.clients) channelOf(net, id).balance = BALANCE
  return { net, instance, client: net.client(0) }
}

/** Coins of tests are made by name. */
export function addCoin(net: Net, name = 'more'): void {
  const outpoint = { txid: txid(createHash('sha256').update(name).digest('hex')), vout: 0 }
  net.world.chain.mint(outpoint, sat(5_000_000n), Uint8Array.of(0x51))
  net.host(net.lsp).coins.push(outpoint)
}

export function channelOf(net: Net, id: NodeId): SimChannel {
  const [channel] = [...net.host(id).mine.values()]
  return channel ?? expect.fail('no channel')
}

/** Orders the exit; what comes of the order, once told. */
export async function leave(
  { net, instance, client }: Scene,
  request: { feerate?: number; maxFee?: Sat } = {},
): Promise<{ outcome: Promise<AssistResult | string> }> {
  const outcome = net
    .node(client)
    .assist(instance, { feerate: 1000, ...request })
    .catch((error: unknown) => (error instanceof Error ? error.message : String(error)))
  await net.world.run()
  return { outcome }
}

export async function agreed(s: Scene): Promise<AssistResult> {
  const result = await (await leave(s)).outcome
  return typeof result === 'string' ? expect.fail(result) : result
}

const stateOf = (net: Net, id: NodeId, instance: InstanceId): LspState | ClientState => {
  const store = openMemoryStore({ disk: net.disk(id).copy() })
  const stored = store.machines().find((m) => m.instance === instance) ?? expect.fail('not stored')
  return unpackState(stored, store).state
}

export function clientState({ net, client, instance }: Scene): ClientState {
  const state = stateOf(net, client, instance)
  return state.role === 'client' ? state : expect.fail('no client')
}

export function lspState({ net, instance }: Scene): LspState {
  const state = stateOf(net, net.lsp, instance)
  return state.role === 'lsp' ? state : expect.fail('no LSP')
}

export const lspStep = (s: Scene): string =>
  lspState(s)
    .assists.map((a) => a.step)
    .join()

/** The transaction in a block or a mempool that spends the output, decoded. */
export function spender({ net }: Scene, { outpoint }: Pick<AssistTerms, 'outpoint'>): DecodedTx | undefined {
  for (const id of net.world.chain.accepted) {
    const raw = net.world.chain.transaction(id)
    const tx = raw === undefined ? undefined : decodeTx(raw)
    const found = tx?.inputs.some((i) => i.outpoint.txid === outpoint.txid && i.outpoint.vout === outpoint.vout)
    if (found === true) return tx
  }
  return undefined
}

/** Would the chain take this claim? Script and signatures as consensus checks them. */
export function expectValidClaim(tx: DecodedTx, terms: AssistTerms): void {
  const claims = claimFeerates(terms.amount, terms.payoutScript, terms.feerate).map((rate) =>
    buildClaim(terms, terms.payoutScript, rate),
  )
  const claim = claims.find((c) => c.tx.txid === tx.txid) ?? expect.fail('not a claim')
  const [lsp, own, preimage, script, control] = tx.inputs[0]?.witness ?? []
  const { claim: leaf } = assistOutput(terms)
  expect(script).toEqual(leaf.leafScript)
  expect(control).toEqual(leaf.controlBlock)
  expect(
    createHash('sha256')
      .update(preimage ?? expect.fail())
      .digest(),
  ).toEqual(Buffer.from(terms.hash))
  for (const [signature, key] of [
    [lsp, terms.lspKey],
    [own, terms.clientKey],
  ] as const) {
    const publicKey = key.subarray(1)
    expect(verifySchnorr({ signature: signature ?? expect.fail(), message: claim.sighash, publicKey })).toBe(true)
  }
}

/** The LSP has what it paid for: the client's factory key, r * G = P. */
export function expectKeyHandedOver(s: Scene): void {
  const state = lspState(s)
  const [assist] = state.assists
  if (assist?.step !== 'claimed') expect.fail(`the exit is ${assist?.step ?? 'unknown'}`)
  const point = state.clients[assist.client]?.accepted?.key
  expect(assist.keyed).toBe(true)
  const key = s.net.disk(s.net.lsp).items.get(s.instance)?.get(keyItem(assist.client))
  expect(SecretKey.fromBytes(key ?? expect.fail('no key')).publicKey).toEqual(point)
}
